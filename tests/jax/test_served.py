"""Calls that machine code does without Python: their bits are those of Python's.

Every cell in one type of numbers; in both with BPTT_EVERY_CELL=1.
"""

import importlib
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
from bptt.jax.primitives import HANDLER

RUN = importlib.import_module("bptt.jax.run")
# Python checks tokens at every call, and makes static values of parameters.
NOT_SERVED = {"antisymmetric", "book", "jordan", "leaky", "low_rank"}
LOSS = """
W: (n_h, n_h)
U: (n_h, n_x)
V: (n_o, n_h)
x: n_x
y: n_o
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = mse(V @ h[t], y[t])
"""


def make_arrays(cell, dtype, tau=3, n_b=2, seed=0, **sizes):
    """Parameters, inputs and an initial value of every state."""
    rng = np.random.default_rng(seed)
    params = cell.init(**sizes)
    params = {
        name: np.asarray(value + 0.1 * rng.normal(size=np.shape(value)), dtype)
        for name, value in params.items()
    }
    inputs = {}
    for name, spec in cell.graph.inputs.items():
        shape = tuple(sizes.get(dim, dim) for dim in spec.shape)
        if spec.index is None:
            inputs[name] = rng.normal(size=(tau, n_b, *shape)).astype(dtype)
        else:
            inputs[name] = rng.integers(0, sizes[spec.index], (tau, n_b, *shape))
    return params, inputs


def sizes_of(cell):
    specs = (*cell.graph.parameters.values(), *cell.graph.inputs.values())
    dims = {d for spec in specs for d in spec.shape}
    dims |= {spec.index for spec in cell.graph.inputs.values()}
    named = sorted(dim for dim in dims if isinstance(dim, str))
    return {dim: 5 + 2 * number for number, dim in enumerate(named)}


def make_loss(f, inputs):
    """Reads every result; of real inputs, too."""

    def loss(params, reals):
        out = f(params, inputs | reals)
        found = [jnp.sin(v).sum() for v in jax.tree.leaves((out.nodes, out.final))]
        return sum(found, 0.0 if out.loss is None else 2 * out.loss)

    reals = {n: v for n, v in inputs.items() if v.dtype.kind == "f"}
    return jax.jit(jax.value_and_grad(loss, (0, 1))), reals


def assert_same_bits(found, expected):
    for (path, a), b in zip(
        jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True
    ):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), path


def by_python(call, *arguments):
    with HANDLER.board.set_aside():
        return jax.tree.map(np.array, call(*arguments))


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """However many entries the tests before have left."""
    monkeypatch.setattr("bptt.jax.served.MOST_ENTRIES", 1 << 20)


@pytest.fixture
def no_python(monkeypatch):
    """From now on a call that goes through Python fails."""

    def refuse():
        def fail(*_):
            raise AssertionError("a call went through Python")

        for name in ("_forward", "_backward"):
            monkeypatch.setattr(RUN, name, fail)

    return refuse


EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for number, name in enumerate(sorted(bptt.cells.names()))
        for turn, dtype in enumerate((np.float32, np.float64))
        if EVERY or turn == number % 2
    ],
)
def test_every_cell_gives_the_bits_that_python_gives(name, dtype, no_python):
    cell = bptt.cells.get(name)
    params, inputs = make_arrays(cell, dtype, **sizes_of(cell))
    f = bptt.jax.recurrent(cell)
    both, reals = make_loss(f, inputs)
    alone = jax.jit(lambda p: f(p, inputs))
    calls = ((both, params, reals), (alone, params))
    expected = [by_python(*call) for call in calls]
    for call in calls:
        jax.block_until_ready(call[0](*call[1:]))
    if name not in NOT_SERVED:
        no_python()
    assert_same_bits([call[0](*call[1:]) for call in calls], expected)


@pytest.mark.parametrize(("tau", "n_b"), [(1, 1), (1, 4), (7, 1), (40, 3), (9, 33)])
def test_any_numbers_of_steps_and_rows(tau, n_b, no_python):
    """Of 9 x 33 rows an LSTM's sums over time take more than one block of rows."""
    cell = bptt.cells.lstm
    params, inputs = make_arrays(cell, np.float32, tau, n_b, n_x=3, n_h=300)
    both, reals = make_loss(bptt.jax.recurrent(cell, threads=1), inputs)
    expected = by_python(both, params, reals)
    jax.block_until_ready(both(params, reals))
    no_python()
    assert_same_bits(both(params, reals), expected)


@pytest.mark.parametrize("wanted", [("s",), ("h", "s"), ()])
def test_gradients_on_sequences_and_on_last_values(wanted, no_python):
    """The last value of a state alone, of one that has a sequence too, and initial.

    The gradient of initial values is NumPy's where no kernel leaves it.
    """
    cell = bptt.cells.lstm
    params, inputs = make_arrays(cell, np.float64, 4, 3, n_x=2, n_h=6)
    initial = {"h": np.full((3, 6), 0.3), "s": np.linspace(-1, 1, 18).reshape(3, 6)}
    f = bptt.jax.recurrent(cell, nodes=wanted)

    def loss(params, initial):
        out = f(params, inputs, initial)
        rows = [(value**2).sum() for value in out.nodes.values()]
        return sum(rows, jnp.sin(out.final["s"]).sum())

    for wrt in (0, (0, 1)):
        both = jax.jit(jax.value_and_grad(loss, wrt))
        expected = by_python(both, params, initial)
        for _ in range(2):
            assert_same_bits(both(params, initial), expected)
        if wrt == 0:
            alone = both, expected
    no_python()
    assert_same_bits(alone[0](params, initial), alone[1])


def test_a_loss_over_all_steps(no_python):
    cell = bptt.Cell(LOSS)
    params, inputs = make_arrays(cell, np.float32, 6, 3, n_x=2, n_h=5, n_o=4)
    both, reals = make_loss(bptt.jax.recurrent(cell, nodes="h"), inputs)
    expected = by_python(both, params, reals)
    jax.block_until_ready(both(params, reals))
    no_python()
    assert_same_bits(both(params, reals), expected)


@pytest.mark.parametrize("axes", [(0, None), (None, 1), (0, 1)])
def test_vmap_over_parameters_rows_or_both(axes, no_python):
    cell = bptt.cells.gru
    params, inputs = make_arrays(cell, np.float32, 5, 3, n_x=2, n_h=7)
    if axes[0] == 0:
        params = {n: np.stack([v, 1.5 * v, -v, 0.1 * v]) for n, v in params.items()}
    f = bptt.jax.recurrent(cell)
    x = np.stack([k * inputs["x"] for k in range(1, 5)], 1)
    x = x if axes[1] == 1 else inputs["x"]

    def loss(params, x):
        return jnp.sin(f(params, {"x": x}).nodes["h"]).sum()

    batch = jax.jit(jax.vmap(jax.value_and_grad(loss), axes))
    expected = by_python(batch, params, x)
    jax.block_until_ready(batch(params, x))
    no_python()
    assert_same_bits(batch(params, x), expected)


def test_nan_goes_in_and_comes_out(no_python):
    cell = bptt.cells.lstm
    params, inputs = make_arrays(cell, np.float32, 3, 2, n_x=2, n_h=5)
    both, reals = make_loss(bptt.jax.recurrent(cell), inputs)
    jax.block_until_ready(both(params, reals))
    no_python()
    diverged = reals["x"].copy()
    diverged[1, 0, 0] = np.nan
    value, (gradient, _) = both(params, {"x": diverged})
    assert np.isnan(value)
    assert all(np.isnan(entry).any() for entry in gradient.values())
    assert np.isfinite(both(params, reals)[0])


def test_donated_buffers(no_python):
    cell = bptt.cells.lstm
    params, inputs = make_arrays(cell, np.float32, 3, 2, n_x=2, n_h=5)
    f = bptt.jax.recurrent(cell)

    def step(params, x):
        gradient = jax.grad(lambda p: (f(p, {"x": x}).nodes["h"] ** 2).sum())(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

    def train(step):
        moved = jax.tree.map(jnp.array, params)
        for _ in range(4):
            moved = step(moved, inputs["x"])
        return moved

    expected = by_python(train, jax.jit(step))
    donating = jax.jit(step, donate_argnums=0)
    jax.block_until_ready(train(donating))
    no_python()
    assert_same_bits(train(donating), expected)


def test_threads_that_call_at_once_have_memory_of_their_own(no_python):
    cell = bptt.cells.lstm
    params, inputs = make_arrays(cell, np.float32, 20, 3, n_x=4, n_h=16)
    both, reals = make_loss(bptt.jax.recurrent(cell, threads=1), inputs)
    arguments = [{"x": k * reals["x"]} for k in range(1, 5)]
    expected = [by_python(both, params, x) for x in arguments]
    jax.block_until_ready(both(params, reals))
    no_python()
    wrong = []

    def work(number):
        for _ in range(50):
            try:
                assert_same_bits(both(params, arguments[number]), expected[number])
            except BaseException as error:  # noqa: BLE001  shown below
                wrong.append(error)
                return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_cell_that_differs_in_one_number_is_another_call(no_python):
    """Equal names, sizes and length of text."""
    text = "W: (n_h, n_h)\nx: n_h\nh[t] = tanh({} * (W @ h[t-1] + x[t]))\n"
    found = []
    for number in ("0.5", "0.7"):
        cell = bptt.Cell(text.format(number))
        params, inputs = make_arrays(cell, np.float32, n_h=5)
        both, reals = make_loss(bptt.jax.recurrent(cell), inputs)
        jax.block_until_ready(both(params, reals))
        found.append((both, params, reals))
    expected = [by_python(*call) for call in found]
    no_python()
    for (both, *arguments), known in zip(found, expected, strict=True):
        assert_same_bits(both(*arguments), known)
    assert expected[0][0] != expected[1][0]


def test_a_full_board_leaves_later_calls_to_python(monkeypatch):
    monkeypatch.setattr("bptt.jax.served.MOST_ENTRIES", HANDLER.board.n_entries)
    cell = bptt.cells.elman
    params, inputs = make_arrays(cell, np.float32, 11, 5, n_x=3, n_h=13)
    both, reals = make_loss(bptt.jax.recurrent(cell), inputs)
    first = both(params, reals)
    before = HANDLER.board.n_entries
    assert_same_bits(both(params, reals), first)
    assert HANDLER.board.n_entries == before


def count_served(call, *arguments):
    """How many of a call's tasks, new ones, machine code does from now on."""
    before = HANDLER.board.n_entries
    expected = by_python(call, *arguments)
    jax.block_until_ready(call(*arguments))
    assert_same_bits(call(*arguments), expected)
    return HANDLER.board.n_entries - before


ONE_NUMBER = "U: (n_h, n_x)\nb: ()\nh[t] = tanh(b * h[t-1] + U @ x[t])"
BACKWARD_ALONE = {"one number": ONE_NUMBER, "large": bptt.cells.lstm.text}
EARLIER = "h[t] = tanh(W @ h[t-{}] + U @ x[t-{}] + R @ x[t])"


@pytest.mark.parametrize("name", BACKWARD_ALONE)
def test_a_backward_pass_that_numpy_has_a_part_in(name):
    """docs/jax.md lists them: one number's gradient, and much memory."""
    cell = bptt.Cell(BACKWARD_ALONE[name])
    n_h = 321 if name == "large" else 19
    params, inputs = make_arrays(cell, np.float32, 2, 3, n_x=n_h - 1, n_h=n_h)
    f = bptt.jax.recurrent(cell, threads=1)
    gradient = jax.jit(jax.grad(lambda p: jnp.sin(f(p, inputs).nodes["h"]).sum()))
    assert count_served(gradient, params) == 1  # forward


@pytest.mark.parametrize(("state", "read"), [(2, 1), (1, 1), (2, 0)])
def test_cells_that_read_several_steps_away(state, read):
    text = EARLIER.format(state, read).replace("t-0", "t")
    params, inputs = make_arrays(bptt.Cell(text), np.float32, 5, 3, n_x=4, n_h=17)
    f = bptt.jax.recurrent(bptt.Cell(text), threads=1)
    gradient = jax.jit(jax.grad(lambda p: jnp.sin(f(p, inputs).nodes["h"]).sum()))
    assert count_served(gradient, params) == 0


@pytest.mark.parametrize("name", ["lstm", "gru", "lem", "indrnn", "mingru"])
def test_gradients_of_initial_states(name):
    cell = bptt.cells.get(name)
    params, inputs = make_arrays(cell, np.float32, 4, 2, n_x=3, n_h=23)
    f = bptt.jax.recurrent(cell, threads=1)
    states = {n: np.full((2, 23), 0.1, np.float32) for n in cell.states}

    def loss(params, states):
        return sum(jnp.sin(v).sum() for v in f(params, inputs, states).nodes.values())

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    served = 2 if name in ("indrnn", "mingru") else 1
    assert count_served(gradient, params, states) == served


@pytest.mark.parametrize("option", ["lengths", "check_finite", "checkpoint"])
def test_what_needs_a_look_at_values_goes_through_python(option):
    cell = bptt.cells.elman
    params, inputs = make_arrays(cell, np.float64, 6, 2, n_x=3, n_h=4)
    options = {"check_finite": {"check_finite": True}, "checkpoint": {"checkpoint": 2}}
    f = bptt.jax.recurrent(cell, **options.get(option, {}))
    lengths = np.array([6, 4]) if option == "lengths" else None
    both = jax.jit(jax.grad(lambda p: f(p, inputs, lengths=lengths).nodes["h"].sum()))
    before = HANDLER.board.n_entries
    found = both(params)
    assert_same_bits(both(params), found)
    assert HANDLER.board.n_entries == before
    seeds = {"h": np.ones((6, 2, 4))}
    exact = cell.gradient(params, inputs, seeds=seeds, lengths=lengths)
    for name in params:
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-12, atol=1e-13)
