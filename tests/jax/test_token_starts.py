"""Tokens read at other steps: a function goes on from `final`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
import bptt.jax

X = np.array([[1, 2], [3, 0], [2, 2], [0, 1], [3, 3]])


def make(read):
    cell = bptt.Cell(f"h[t] = tanh(W @ h[t-1] + U[:, x[t]] + R[:, {read}])")
    return bptt.jax.recurrent(cell), cell.init(n_h=3, n_x=4, seed=0)


@pytest.mark.parametrize("read", ["x[t-1]", "x[t-3]"])
def test_two_pieces_are_the_whole(read):
    f, params = make(read)

    def in_two(p):
        begun = f(p, {"x": X[:2]})
        assert begun.final["x"].dtype == jnp.zeros((), int).dtype
        later = f(p, {"x": X[2:]}, initial=begun.final)
        h = jnp.concatenate([begun.nodes["h"], later.nodes["h"]])
        return (h**2).sum(), h

    def in_one(p):
        h = f(p, {"x": X}).nodes["h"]
        return (h**2).sum(), h

    (grad, h), (expected, known) = (
        jax.jit(jax.grad(way, has_aux=True))(params) for way in (in_two, in_one)
    )
    np.testing.assert_allclose(h, known, rtol=0, atol=1e-14)
    for name in params:
        np.testing.assert_allclose(grad[name], expected[name], rtol=0, atol=1e-13)


def test_rows_that_ended_early_go_on():
    f, params = make("x[t-3]")
    begun = f(params, {"x": X}, lengths=np.array([5, 1]))
    later = f(params, {"x": X}, initial=begun.final).nodes["h"]
    both = np.concatenate([X[:1, 1], X[:, 1]])
    known = f(params, {"x": both}).nodes["h"][1:]
    np.testing.assert_allclose(later[:, 1], known, rtol=0, atol=1e-14)


@pytest.mark.parametrize("start", [[99, 1], [-1, 1], [1, 99]])
def test_every_step_of_a_start_is_in_its_range(start):
    f, params = make("x[t-2]")
    with pytest.raises(Exception, match="initial state x holds"):
        jax.block_until_ready(f(params, {"x": X[:, 0]}, initial={"x": np.array(start)}))
    with pytest.raises(bptt.errors.DtypeError, match="initial state x is a token"):
        f(params, {"x": X[:, 0]}, initial={"x": np.array([1.0, 2.0])})
