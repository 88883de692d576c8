"""Functions that hold less of their steps: the same bits, or a clear no."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
import bptt.jax
from bptt import errors

TAU, N_B, SIZES = 23, 4, {"n_x": 3, "n_h": 5, "n_o": 6}
BACKWARD = "h[t] = tanh(W @ h[t+1] + U @ x[t]); L[t] = sum(h[t] ** 2)"
CELLS = {
    "lstm": bptt.cells.lstm,
    "gru read out": bptt.cells.gru.with_readout(),
    "backward": bptt.Cell(BACKWARD),
}


def case_of(cell):
    rng = np.random.default_rng(0)
    sizes = {name: n for name, n in SIZES.items() if name in cell.dims}
    inputs = {"x": rng.standard_normal((TAU, N_B, 3)).astype(np.float32)}
    if "y" in cell.inputs:
        inputs["y"] = rng.integers(0, 6, (TAU, N_B))
    return cell.init(**sizes, dtype=np.float32), inputs


def value_and_gradient(cell, lengths=None, **limit):
    params, inputs = case_of(cell)
    f = bptt.jax.recurrent(cell, nodes=("h",), **limit)

    def total(params, x):
        out = f(params, inputs | {"x": x}, lengths=lengths)
        h = out.nodes["h"]
        found = (h * jnp.linspace(-1, 1, h.size).reshape(h.shape)).sum()
        found += sum((state**2).sum() for state in out.final.values())
        return found if out.loss is None else found + out.loss

    return jax.jit(jax.value_and_grad(total, (0, 1)))(params, inputs["x"])


@pytest.mark.parametrize("lengths", [None, [23, 9, 20, 2]])
@pytest.mark.parametrize("name", CELLS)
def test_functions_give_the_bits_of_those_that_keep_every_step(name, lengths):
    if lengths is not None:
        lengths = jnp.array(lengths)
    whole = value_and_gradient(CELLS[name], lengths)
    for limit in ({"checkpoint": 3}, {"checkpoint": "optimal"}, {"memory": "40MB"}):
        found = value_and_gradient(CELLS[name], lengths, **limit)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(a, b)


def test_truncation_is_the_core_s():
    cell = CELLS["gru read out"]
    params, inputs = case_of(cell)
    f = bptt.jax.recurrent(cell, truncate=(2, 7))
    found = jax.grad(lambda p: f(p, inputs).loss)(params)
    direct = cell.gradient(params, inputs, truncate=(2, 7))
    exact = cell.gradient(params, inputs)
    for name, value in found.items():
        # JAX sums the loss and sends its seed of 1 back: rounding alone may differ.
        np.testing.assert_allclose(value, direct[name], rtol=1e-5, atol=1e-6)
    assert not np.allclose(exact["W_n"], found["W_n"], rtol=1e-3)


def test_mistakes():
    with pytest.raises(errors.MemoryBudgetError, match="memory='much'"):
        bptt.jax.recurrent(CELLS["lstm"], memory="much")
    with pytest.raises(errors.TruncationError, match="reads later steps"):
        bptt.jax.recurrent(CELLS["backward"], truncate=(2, 7))
    with pytest.raises(Exception, match="the least that works here is"):
        jax.block_until_ready(value_and_gradient(CELLS["lstm"], memory="1KB"))


@pytest.mark.parametrize("lengths", [None, [23, 9, 20, 2]])
def test_a_forward_pass_with_a_limit_keeps_nothing_of_its_steps(lengths):
    """Its pullback holds the call's own arrays; without a limit buffers, too."""
    params, inputs = case_of(CELLS["lstm"])
    lengths = None if lengths is None else jnp.array(lengths)

    def count(**limit):
        f = bptt.jax.recurrent(CELLS["lstm"], nodes=("h",), **limit)
        whole = jax.jit(lambda p: f(p, inputs, lengths=lengths).nodes["h"])
        _, pull = jax.vjp(whole, params)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(pull))

    given = sum(a.nbytes for a in (*params.values(), *inputs.values()))
    # Gates, s and h of every step and row; the limit leaves at most the arguments.
    assert count() > given + TAU * N_B * 5 * 5 * 4
    for limit in ({"checkpoint": 3}, {"checkpoint": "sqrt"}, {"memory": "40MB"}):
        assert count(**limit) <= given + 8 * N_B
