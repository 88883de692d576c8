"""bptt.jax against the same cell written with `jax.lax.scan`, in float64.

Nothing is shared with what is tested: JAX runs the scan and differentiates it.
"""

import doctest
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import bptt

if not os.environ.get("BPTT_REQUIRED_FRAMEWORKS"):
    pytest.importorskip("jax")

import jax
import jax.numpy as jnp

from bptt.jax.kept import LIMIT, Kept

TAU, N_B = 5, 3
SIZES = {"n_x": 2, "n_h": 4, "n_o": 6}
# float64, sums of at most tau * n_b * n_h terms in another order: 60 * 2^-53, times 15
TOLERANCE = 1e-13


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


# ----- the oracle -----


def book_step(p, state, x):
    """Goodfellow et al., 10.8-10.9."""
    h = jnp.tanh(p["b"] + state["h"] @ p["W"].T + x @ p["U"].T)
    return {"h": h}


def lstm_step(p, state, x):
    """Goodfellow et al., 10.40-10.44."""

    def gate(name, function):
        return function(
            p[f"b_{name}"] + state["h"] @ p[f"W_{name}"].T + x @ p[f"U_{name}"].T
        )

    i, f, q = (gate(name, jax.nn.sigmoid) for name in "ifq")
    s = f * state["s"] + i * gate("g", jnp.tanh)
    return {"s": s, "h": q * jnp.tanh(s)}


STEPS = {"elman": book_step, "lstm": lstm_step}


def scan_loss(step, p, x, initial, y, w):
    """The weighted loss, every h, and the last states, by `lax.scan`."""

    def body(state, x_t):
        state = step(p, state, x_t)
        return state, state["h"]

    final, h = jax.lax.scan(body, initial, x)
    log_y_hat = jax.nn.log_softmax(p["c"] + h @ p["V"].T)
    L = -jnp.take_along_axis(log_y_hat, y[..., None], axis=-1)[..., 0]
    return (w * L).sum(), h, final


class Problem:
    """A cell, its arrays, and a function of all its results in both forms."""

    def __init__(self, name, **options):
        rng = np.random.default_rng(3)
        self.cell = bptt.cells.get(name).with_readout()
        self.step = STEPS[name]
        self.params = {
            key: 0.5 * rng.normal(size=value.shape)
            for key, value in self.cell.init(**SIZES).items()
        }
        self.x = rng.normal(size=(TAU, N_B, SIZES["n_x"]))
        self.y = rng.integers(0, SIZES["n_o"], (TAU, N_B))
        self.w = rng.uniform(0.2, 2, (TAU, N_B))
        shape = (N_B, SIZES["n_h"])
        self.initial = {s: rng.normal(size=shape) for s in self.cell.states}
        self.k = rng.normal(size=(TAU, *shape))
        self.k_final = {s: rng.normal(size=shape) for s in self.cell.states}
        self.f = bptt.jax.recurrent(self.cell, nodes="h", **options)

    def ours(self, p, x, initial, w):
        out = self.f(p, {"x": x, "y": self.y}, initial, w)
        return self._total(out.loss, out.nodes["h"], out.final)

    def scan(self, p, x, initial, w):
        return self._total(*scan_loss(self.step, p, x, initial, self.y, w))

    def _total(self, loss, h, final):
        """Depends on the loss, on every h, and on the last states once more."""
        more = sum((final[s] * self.k_final[s]).sum() for s in self.k_final)
        return loss + (jnp.sin(h) * self.k).sum() + more

    @property
    def arguments(self):
        return self.params, self.x, self.initial, self.w


@pytest.fixture(scope="module")
def problem():
    with jax.enable_x64(True):
        return Problem("elman")


@pytest.fixture(scope="module")
def lstm():
    with jax.enable_x64(True):
        return Problem("lstm")


def assert_trees_close(ours, theirs):
    ours, theirs = jax.tree.leaves_with_path(ours), jax.tree.leaves_with_path(theirs)
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype, path
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * abs(b).max())


# ----- values and gradients -----


@pytest.mark.parametrize("name", ["problem", "lstm"])
def test_every_gradient_equals_that_of_a_scan(name, request):
    problem = request.getfixturevalue(name)
    arguments = problem.arguments
    ours, scan = (
        jax.value_and_grad(f, range(len(arguments)))
        for f in (problem.ours, problem.scan)
    )
    expected = jax.jit(scan)(*arguments)
    assert_trees_close(jax.jit(ours)(*arguments), expected)
    if name == "problem":  # the same kernels, reached without jit
        assert_trees_close(ours(*arguments), expected)


def test_results_equal_those_of_the_cell_itself(problem):
    p, x, initial, w = problem.arguments
    out = problem.f(p, {"x": x, "y": problem.y}, initial, w)
    run = problem.cell.forward(p, {"x": x, "y": problem.y}, initial=initial, weights=w)
    assert out.loss == pytest.approx(run.loss, rel=1e-14)
    assert np.array_equal(out.nodes["h"], run["h"])
    assert all(np.array_equal(out.final[s], run.final[s]) for s in run.final)


@pytest.mark.parametrize("reduction", ["batch_mean", "mean", "last"])
def test_reductions_are_those_of_the_cell(reduction):
    problem = Problem("elman", reduction=reduction)
    p, x, _, w = problem.arguments
    inputs = {"x": x, "y": problem.y}
    for weights in (None, w, w[:, 0]):
        ours = problem.f(p, inputs, weights=weights).loss
        cells = problem.cell.forward(p, inputs, reduction=reduction, weights=weights)
        assert ours == pytest.approx(cells.loss, rel=1e-14)


def test_a_layer_returns_its_states_and_passes_gradients_on():
    problem = Problem("elman")
    p = {name: problem.params[name] for name in "bWU"}
    f = bptt.jax.recurrent(bptt.cells.elman)
    out = f(p, {"x": problem.x})
    assert out.loss is None
    assert list(out.nodes) == ["h"]
    zero = {"h": jnp.zeros((N_B, SIZES["n_h"]))}

    def readout(h):
        return (problem.k * h**2).sum()

    def scanned(p):
        body = lambda state, x: (book_step(p, state, x),) * 2  # noqa: E731
        return readout(jax.lax.scan(body, zero, problem.x)[1]["h"])

    ours = jax.grad(lambda p: readout(f(p, {"x": problem.x}).nodes["h"]))(p)
    assert_trees_close(ours, jax.grad(scanned)(p))


def test_a_gradient_that_only_the_last_state_receives_is_right(problem):
    """No gradient arrives at a sequence: the last row is seeded alone."""
    p, x, initial, w = problem.arguments

    def ours(x):
        out = problem.f(p, {"x": x, "y": problem.y}, initial)
        return (out.final["h"] * problem.k_final["h"]).sum()

    def scan(x):
        _, _, final = scan_loss(problem.step, p, x, initial, problem.y, w)
        return (final["h"] * problem.k_final["h"]).sum()

    assert_trees_close(jax.grad(ours)(x), jax.grad(scan)(x))


def test_without_a_batch_axis_results_have_none(problem):
    p, x, initial, w = problem.arguments
    one = {s: value[1] for s, value in initial.items()}
    out = problem.f(p, {"x": x[:, 1], "y": problem.y[:, 1]}, one, w[:, 1])
    rows = problem.f(p, {"x": x, "y": problem.y}, initial, w)
    np.testing.assert_allclose(out.nodes["h"], rows.nodes["h"][:, 1], rtol=1e-14)
    np.testing.assert_allclose(out.final["h"], rows.final["h"][1], rtol=1e-14)


def test_an_input_read_one_step_late_is_a_state_with_a_gradient():
    cell = bptt.Cell("h[t] = tanh(U @ x[t] + V @ x[t-1] + W @ h[t-1])")
    p = cell.init(n_x=2, n_h=3)
    rng = np.random.default_rng(1)
    x, before = rng.normal(size=(TAU, N_B, 2)), rng.normal(size=(N_B, 2))
    k = rng.normal(size=(TAU, N_B, 3))
    f = bptt.jax.recurrent(cell)
    assert np.array_equal(f(p, {"x": x}).final["x"], x[-1])
    ours = jax.grad(lambda b: (k * f(p, {"x": x}, {"x": b}).nodes["h"]).sum())(before)
    theirs = cell.gradient(
        p, {"x": x}, seeds={"h": k}, initial={"x": before}, initial_gradient=True
    )
    np.testing.assert_allclose(ours, theirs.initial["x"], rtol=1e-14)


# ----- rows of different lengths -----

LENGTHS = np.array([2, TAU, 4])


def one_by_one(problem, p, x, initial, w):
    """Every row alone, cut off where it ends, by scans."""
    total = 0.0
    for row, n in enumerate(LENGTHS):
        cut = np.s_[:n, row : row + 1]
        first = {s: value[row : row + 1] for s, value in initial.items()}
        loss, h, final = scan_loss(
            problem.step, p, x[cut], first, problem.y[cut], w[cut]
        )
        k_final = {s: k[row : row + 1] for s, k in problem.k_final.items()}
        more = sum((final[s] * k_final[s]).sum() for s in final)
        total += loss + (jnp.sin(h) * problem.k[cut]).sum() + more
    return total


def test_rows_of_different_lengths_are_rows_that_end_there(lstm):
    """What lies beyond a row's end is NaN here and changes nothing."""
    problem = lstm
    p, x, initial, w = lstm.arguments
    useful = np.arange(TAU)[:, None] < LENGTHS
    padded = np.where(useful[..., None], x, np.nan)

    def ours(p, x, initial, w):
        out = problem.f(p, {"x": x, "y": problem.y}, initial, w, LENGTHS)
        more = sum((out.final[s] * problem.k_final[s]).sum() for s in out.final)
        sines = (jnp.sin(out.nodes["h"]) * problem.k).sum()
        return out.loss + sines + more

    numbers = range(4)
    found = jax.jit(jax.value_and_grad(ours, numbers))(p, padded, initial, w)
    expected = jax.jit(jax.value_and_grad(lambda *a: one_by_one(problem, *a), numbers))(
        p, x, initial, w
    )
    assert_trees_close(found, expected)


def test_lengths_are_folded_by_vmap_and_checked(problem):
    p, x, initial, w = problem.arguments
    xs, lengths = np.stack([x, -x]), np.stack([LENGTHS, LENGTHS[::-1]])

    def total(x, lengths):
        out = problem.f(p, {"x": x, "y": problem.y}, initial, w, lengths)
        return out.loss + (out.final["h"] * problem.k_final["h"]).sum()

    both = jax.jit(jax.vmap(jax.value_and_grad(total)))(xs, lengths)
    alone = [jax.value_and_grad(total)(*pair) for pair in zip(xs, lengths, strict=True)]
    assert_trees_close(both, jax.tree.map(lambda *a: jnp.stack(a), *alone))
    with pytest.raises(bptt.errors.LengthsError, match=r"shape \(n_b,\) = \(3,\)"):
        total(x, LENGTHS[:2])
    with pytest.raises(Exception, match="LengthsError: lengths holds 6 at row 0"):
        jax.block_until_ready(total(x, LENGTHS + 4))


@pytest.mark.parametrize("reduction", ["batch_mean", "mean", "last"])
def test_reductions_of_rows_of_different_lengths_are_those_of_the_cell(reduction):
    problem = Problem("elman", reduction=reduction)
    p, x, _, w = problem.arguments
    inputs = {"x": x, "y": problem.y}
    for weights in (None, w):
        ours = problem.f(p, inputs, weights=weights, lengths=LENGTHS).loss
        cells = problem.cell.forward(
            p, inputs, reduction=reduction, weights=weights, lengths=LENGTHS
        )
        assert ours == pytest.approx(cells.loss, rel=1e-14)


# ----- vmap -----


def test_the_gradient_of_a_mean_over_vmap_is_one_pass_over_all_rows(problem):
    rng = np.random.default_rng(4)
    p, _, initial, w = problem.arguments
    xs = rng.normal(size=(2, TAU, N_B, SIZES["n_x"]))

    def mean(total):
        over_x = jax.vmap(total, in_axes=(None, 0, None, None))
        return lambda p, xs: over_x(p, xs, initial, w).mean()

    ours, scan = (
        jax.jit(jax.grad(mean(f), (0, 1))) for f in (problem.ours, problem.scan)
    )
    assert_trees_close(ours(p, xs), scan(p, xs))
    calls = str(jax.make_jaxpr(ours)(p, xs))
    assert calls.count("bptt_backward[") == 1
    assert "scan[" not in calls  # no loop over the examples


@pytest.mark.parametrize("in_axes", [(None, 1, 0, None), (0, None, None, 1)])
def test_one_gradient_per_example_equals_that_of_a_scan(problem, in_axes):
    """Parameters of its own, a batch axis at any place, states batched or shared."""

    def spread(tree, axis):
        if axis is None:
            return tree
        return jax.tree.map(lambda a: np.stack([a, 0.7 * a], axis), tree)

    arguments = [spread(*both) for both in zip(problem.arguments, in_axes, strict=True)]
    ours, scan = (
        jax.jit(jax.vmap(jax.grad(f, range(4)), in_axes))(*arguments)
        for f in (problem.ours, problem.scan)
    )
    assert_trees_close(ours, scan)


def test_vmap_of_vmap_folds_both_axes_into_rows(problem):
    p, x, initial, w = problem.arguments
    xs = np.stack([np.stack([x, 2 * x]), np.stack([-x, x / 2])])
    in_axes = (None, 0, None, None)
    ours, scan = (
        jax.jit(jax.vmap(jax.vmap(f, in_axes), in_axes))(p, xs, initial, w)
        for f in (problem.ours, problem.scan)
    )
    assert_trees_close(ours, scan)


def test_jacrev_has_a_row_per_element(problem):
    p, x, initial, w = problem.arguments

    def ours(x):
        return problem.f(p, {"x": x, "y": problem.y}, initial).final["h"]

    def scan(x):
        return scan_loss(problem.step, p, x, initial, problem.y, w)[2]["h"]

    ours, scan = (jax.jit(jax.jacrev(f)) for f in (ours, scan))
    assert_trees_close(ours(x), scan(x))


def test_checkpoint_and_scan_over_windows_work(problem):
    """Truncation without truncating: windows in a scan, states across."""
    p, x, initial, w = problem.arguments
    windows = np.stack([x, -x])

    def total(step_window):
        def body(state, x):
            final, out = step_window(state, x)
            return final, out

        return lambda p: jax.lax.scan(body, initial, windows)[1].sum()

    def ours_of(p):
        @jax.checkpoint
        def window(state, x):
            out = problem.f(p, {"x": x, "y": problem.y}, state, w)
            return out.final, out.loss

        return total(window)(p)

    def scan_of(p):
        def window(state, x):
            loss, _, final = scan_loss(problem.step, p, x, state, problem.y, w)
            return final, loss

        return total(window)(p)

    ours, scan = (jax.jit(jax.grad(f)) for f in (ours_of, scan_of))
    assert_trees_close(ours(p), scan(p))


# ----- element types -----


def test_float32_stays_float32_whatever_the_inputs(problem):
    p = {name: value.astype(np.float32) for name, value in problem.params.items()}
    _, x, initial, w = problem.arguments
    assert x.dtype == np.float64
    value, grad = jax.jit(jax.value_and_grad(problem.ours))(p, x, initial, w)
    assert {leaf.dtype for leaf in jax.tree.leaves((grad, value))} <= {
        np.dtype(np.float32), np.dtype(np.float64),
    }  # fmt: skip
    assert all(leaf.dtype == np.float32 for leaf in grad.values())
    exact = jax.jit(jax.grad(problem.scan))(*problem.arguments)
    for name, leaf in grad.items():
        # 24 bits, through tau steps: measured 4e-7 of the largest element
        assert abs(leaf - exact[name]).max() < 4e-6 * abs(exact[name]).max()


def test_without_x64_everything_is_float32():
    with jax.enable_x64(False):
        problem = Problem("elman")
        grad = jax.jit(jax.grad(problem.ours))(*problem.arguments)
        assert all(leaf.dtype == np.float32 for leaf in grad.values())


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_tokens_of_any_integer_type_are_tokens(dtype):
    cell = bptt.cells.elman.with_tokens()
    p = cell.init(n_x=5, n_h=3)
    x = np.array([[0, 4], [3, 1], [2, 2]])
    ours = bptt.jax.recurrent(cell)(p, {"x": x.astype(dtype)}).nodes["h"]
    assert np.array_equal(ours, cell.forward(p, {"x": x})["h"])


# ----- mistakes -----


def test_arrays_that_do_not_fit_are_refused_when_the_call_is_traced(problem):
    p, x, _, _ = problem.arguments
    f = jax.jit(lambda x: problem.f(p, {"x": x, "y": problem.y}).loss)
    with pytest.raises(bptt.errors.SizeError, match="means tau = 3, n_b = 3"):
        f(x[:3])
    with pytest.raises(bptt.errors.ReductionError, match=r"\(tau, n_b\) = \(5, 3\)"):
        problem.f(p, {"x": x, "y": problem.y}, weights=np.ones((3, 5)))


def test_options_are_refused_when_the_function_is_made(problem):
    with pytest.raises(bptt.errors.UnknownNodeError, match="z is not a node"):
        bptt.jax.recurrent(problem.cell, nodes="z")
    with pytest.raises(bptt.errors.ReductionError, match="'max' is not known"):
        bptt.jax.recurrent(problem.cell, reduction="max")
    with pytest.raises(bptt.errors.ThreadsError, match="whole number >= 1"):
        bptt.jax.recurrent(problem.cell, threads=0)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_value_that_cannot_be_is_reported_with_our_message(problem, wrap):
    p, x, _, _ = problem.arguments
    f = wrap(lambda x, y: problem.f(p, {"x": x, "y": y}).loss)
    with pytest.raises(Exception, match="IndexRangeError: input y holds 6 at"):
        jax.block_until_ready(f(x, np.full_like(problem.y, 6)))
    with pytest.raises(Exception, match="NotFiniteError: input x holds NaN, 1 of 30"):
        jax.block_until_ready(f(np.where(x == x.max(), np.nan, x), problem.y))


def test_forward_mode_and_second_derivatives_say_what_to_use(problem):
    arguments = problem.arguments
    with pytest.raises(bptt.errors.ForwardModeError, match="reverse mode alone"):
        jax.jvp(lambda p: problem.ours(p, *arguments[1:]), arguments[:1], arguments[:1])
    with pytest.raises(bptt.errors.ForwardModeError, match="reverse mode alone"):
        jax.jit(jax.jacfwd(problem.ours))(*arguments)

    def squared(p):
        grad = jax.grad(problem.ours)(p, *arguments[1:])
        return (grad["W"] ** 2).sum()

    with pytest.raises(bptt.errors.SecondDerivativeError, match="hessian_vector"):
        jax.grad(squared)(arguments[0])


def test_a_gradient_used_as_a_number_may_stand_inside_another(problem):
    """One step of plain descent, then the gradient there: no second derivative."""
    p, *rest = problem.arguments

    def after_a_step(total):
        def run(p):
            grad = jax.lax.stop_gradient(jax.grad(total)(p, *rest))
            return total({k: p[k] - 0.1 * grad[k] for k in p}, *rest)

        return jax.jit(jax.grad(run))

    assert_trees_close(*(after_a_step(f)(p) for f in (problem.ours, problem.scan)))


# ----- buffers kept between the passes -----


def test_the_backward_pass_goes_on_from_the_forward_pass(problem, monkeypatch):
    def refuse(*_):
        raise AssertionError("the forward pass ran once more")

    monkeypatch.setattr(importlib.import_module("bptt.jax.task"), "_go_back", refuse)
    ours = jax.jit(jax.grad(problem.ours))(*problem.arguments)
    assert_trees_close(ours, jax.jit(jax.grad(problem.scan))(*problem.arguments))


def test_passes_that_waited_too_long_are_computed_again(problem):
    """More forward passes than are kept, then all the backward passes; twice."""
    n_passes = LIMIT + 3
    p, x, initial, w = problem.arguments
    pulls = [
        jax.vjp(lambda x: problem.ours(p, x, initial, w), x * k)[1]
        for k in range(1, n_passes + 1)
    ]
    scan = jax.jit(jax.grad(problem.scan, 1))
    for k, pull in enumerate(pulls, 1):
        expected = scan(p, x * k, initial, w)
        for seed in (1.0, 3.0):
            assert_trees_close(pull(seed)[0], seed * expected)


def test_a_pass_is_found_by_its_own_token_alone():
    kept, other = Kept(), Kept()
    first, second = kept.put("a", "pass 1"), kept.put("b", "pass 2")
    assert other.take("a", first) is None
    assert kept.take("a", second) is None  # of another computation
    assert kept.take("a", first) == "pass 1"
    assert kept.take("a", first) is None  # its buffers are used up


# ----- the module itself -----


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_bptt_imports_jax_only_when_bptt_jax_is_named():
    code = "import sys, bptt; assert 'jax' not in sys.modules; bptt.jax.recurrent"
    ended = run_python(code)
    assert ended.returncode == 0, ended.stderr


def test_a_missing_jax_is_named_with_the_extra_to_install():
    code = "import sys; sys.modules['jax'] = None; import bptt; bptt.jax"
    ended = run_python(code)
    assert 'bptt.jax needs jax, which is not installed: pip install "bptt[jax]"' in (
        ended.stderr
    )


def test_a_compiled_program_holds_the_equations_themselves(problem):
    """Not the number of something in this process's memory: programs are kept on disk
    by JAX's cache, and serialised by `jax.export`."""
    p, x, _, _ = problem.arguments
    total = jax.jit(lambda p, x: problem.f(p, {"x": x, "y": problem.y}).loss)
    assert "W @ h[t-1] + U @ x[t]" in total.lower(p, x).as_text()


def test_the_example_of_the_docstring_runs():
    module = importlib.import_module("bptt.jax.recurrent")
    assert doctest.testmod(module) == (0, 7)
