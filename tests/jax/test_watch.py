"""Norms of the states' gradients, collected around training steps of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
import bptt.jax
from tests.jax.oracle import N_B, TAU, Problem


@pytest.fixture
def parts():
    """Two layers: an LSTM whose h a network of the book reads."""
    lstm, book = bptt.cells.lstm, bptt.cells.book
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=(7, 3, 2)), "y": rng.integers(0, 5, (7, 3))}
    params = (lstm.init(n_x=2, n_h=4, seed=1), book.init(n_x=4, n_h=6, n_o=5, seed=2))
    return lstm, book, params, data


def network(lower, upper, data, lengths=None):
    def loss(params):
        h = lower(params[0], {"x": data["x"]}, lengths=lengths).nodes["h"]
        return upper(params[1], {"x": h, "y": data["y"]}, lengths=lengths).loss

    return loss


def expected(parts, params, lengths=None):
    """By the library's core: ∇ of the upper layer's states and input, then below."""
    lstm, book, _, data = parts
    more = {} if lengths is None else {"lengths": lengths}
    h = lstm.forward(params[0], {"x": data["x"]}, executor="reference", **more)["h"]
    above = book.gradient(
        params[1], {"x": h, "y": data["y"]}, nodes=("h",), input_gradient=True,
        executor="reference", **more,
    )  # fmt: skip
    below = lstm.gradient(
        params[0], {"x": data["x"]}, nodes=("h", "s"), seeds={"h": above.inputs["x"]},
        executor="reference", **more,
    )  # fmt: skip
    found = {"upper.h": above.nodes["h"], "lower.h": below.nodes["h"],
             "lower.s": below.nodes["s"]}  # fmt: skip
    return {n: np.linalg.norm(g.reshape(7, -1), axis=1) for n, g in found.items()}


@pytest.mark.parametrize("lengths", [None, np.array([7, 2, 5])])
def test_norms_are_those_of_the_core(parts, lengths):
    lstm, book, params, data = parts
    watch = bptt.jax.FlowWatch(every=1)
    lower = watch.layer("lower", bptt.jax.recurrent(lstm))
    upper = watch.layer("upper", bptt.jax.recurrent(book))
    step = jax.jit(jax.value_and_grad(network(lower, upper, data, lengths)))
    rows = []
    for _ in range(2):
        with watch:
            _, grads = step(params)
        rows.append(expected(parts, params, lengths))
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    step(params)  # outside: not seen
    assert sorted(watch.norms) == ["lower.h", "lower.s", "upper.h"]
    for name, found in watch.norms.items():
        # float64; kernels sum some 30 products in another order
        np.testing.assert_allclose(found, [row[name] for row in rows], rtol=1e-11)
    assert not np.allclose(*watch.norms["lower.s"], rtol=1e-3)


def test_a_watched_layer_gives_the_gradients_of_one_that_is_not(parts):
    lstm, book, params, data = parts
    plain = bptt.jax.recurrent(lstm), bptt.jax.recurrent(book)
    watch = bptt.jax.FlowWatch(every=2)
    seen = [watch.layer(str(n), f) for n, f in enumerate(plain)]
    want = jax.jit(jax.grad(network(*plain, data)))(params)
    step = jax.jit(jax.grad(network(*seen, data)))
    for _ in range(3):
        with watch:
            found = step(params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13),
            found, want,
        )  # fmt: skip
    assert watch.iterations == [0, 2]
    assert watch.norms["1.h"].shape == (2, 7)


@pytest.mark.parametrize("has_own", [False, True], ids=["shared", "of each call"])
def test_calls_of_a_vmap_add_their_squares(has_own):
    problem = Problem("elman")
    p, x, initial, w = problem.arguments
    batch = jnp.stack([x, 2 * x, -x])
    watch = bptt.jax.FlowWatch(every=1)
    f = watch.layer("one", problem.f)

    def loss(p, x):
        return f(p, {"x": x, "y": problem.y}, initial, w).loss

    many = jax.tree.map(lambda a: jnp.stack([a] * 3), p) if has_own else p
    step = jax.vmap(jax.grad(loss, 1), in_axes=(0 if has_own else None, 0))
    with watch:
        step(many, batch)
    squares = np.zeros(TAU)
    for one in batch:
        grad = problem.cell.gradient(
            p, {"x": np.asarray(one), "y": problem.y}, nodes=("h",), initial=initial,
            weights=w, executor="reference",
        )  # fmt: skip
        squares += (grad.nodes["h"] ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(watch.norms["one.h"], [np.sqrt(squares)], rtol=1e-11)
    assert N_B > 1


def test_the_context_waits_for_a_step_that_is_still_being_computed():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + x[t]); L[t] = sum(h[t] ** 2)")
    watch = bptt.jax.FlowWatch(every=1)
    f = watch.layer("slow", bptt.jax.recurrent(cell))
    step = jax.jit(jax.grad(lambda p, x: f(p, {"x": x}).loss))
    p, x = {"W": 0.5 * np.eye(64)}, np.ones((300, 32, 64))
    for _ in range(3):
        with watch:
            p = step(p, x)
    assert watch.norms["slow.h"].shape == (3, 300)
    assert np.isfinite(watch.norms["slow.h"]).all()


def test_an_error_inside_leaves_the_watch_off(parts):
    watch = bptt.jax.FlowWatch(every=1)
    with pytest.raises(ZeroDivisionError), watch:
        raise ZeroDivisionError
    assert watch.iteration == 1
    watch.note("late", {"h": np.ones((3, 1, 1))})
    assert watch.norms == {}


def test_steps_that_are_run_again_are_watched_too(parts):
    lstm, book, params, data = parts
    watch = bptt.jax.FlowWatch(every=1)
    lower = watch.layer("lower", bptt.jax.recurrent(lstm, checkpoint=3))
    upper = watch.layer("upper", bptt.jax.recurrent(book, checkpoint=2))
    with watch:
        jax.jit(jax.grad(network(lower, upper, data)))(params)
    for name, row in expected(parts, params).items():
        np.testing.assert_allclose(watch.norms[name], [row], rtol=1e-11)
