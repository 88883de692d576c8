"""Element types of calls and results."""

import jax
import numpy as np
import pytest

import bptt
from tests.jax.oracle import Problem


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


WHOLE = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64"]


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_for_real_ones_are_their_values(dtype):
    """Pixels, one-hot rows: an int32 x was read as if its bits were a float32's."""
    cell = bptt.cells.elman
    f = bptt.jax.recurrent(cell)
    params = cell.init(n_x=2, n_h=3, seed=0, dtype=np.float32)
    x, h = (np.arange(16).reshape(4, 2, 2) % 3).astype(dtype), np.ones((2, 3), dtype)
    found = f(params, {"x": x}, {"h": h}).final["h"]
    real = f(params, {"x": x.astype(np.float32)}, {"h": h.astype(np.float32)})
    assert np.array_equal(found, real.final["h"])


def test_tokens_and_lengths_too_large_for_32_bits_are_refused():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + E[:, k[t]])")
    f = bptt.jax.recurrent(cell)
    params = cell.init(n_h=3, n_k=4, dtype=np.float32)
    with jax.enable_x64(True):
        for dtype in (np.uint64, np.int64):
            wrong = np.full((4, 2), 2**32, dtype)
            with pytest.raises(Exception, match="IndexRangeError: input k holds"):
                jax.block_until_ready(f(params, {"k": wrong}).final["h"])
            few = np.full((4, 2), 1, dtype)
            with pytest.raises(Exception, match="LengthsError: lengths holds"):
                jax.block_until_ready(
                    f(params, {"k": few}, lengths=wrong[0]).final["h"]
                )
    with pytest.raises(bptt.errors.LengthsError, match="element type bool"):
        f(params, {"k": np.ones((4, 2), int)}, lengths=np.array([True, True]))


def test_complex_numbers_and_random_keys_are_refused_by_name():
    cell = bptt.cells.elman
    f = bptt.jax.recurrent(cell)
    params = cell.init(n_x=2, n_h=3, dtype=np.float32)
    x, h = np.ones((4, 2, 2), np.float32), np.ones((2, 3), np.float32)
    key = jax.random.split(jax.random.key(0), (4, 2))
    for given in (
        ({n: v * 1j for n, v in params.items()}, {"x": x}),
        (params, {"x": x * 1j}), (params, {"x": key}),
        (params, {"x": x}, {"h": h * 1j}),
    ):  # fmt: skip
        with pytest.raises(bptt.errors.DtypeError, match="use float32 or float64"):
            f(*given)
