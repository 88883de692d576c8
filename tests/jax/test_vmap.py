"""`jax.vmap` and what is made of it, against the same of a scan."""

import jax
import numpy as np
import pytest

from tests.jax.oracle import N_B, SIZES, TAU, assert_trees_close, scan_loss


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


def test_the_gradient_of_a_sum_over_members_with_parameters_of_their_own(problem):
    """An ensemble: vmap inside, grad outside; what members share gets a sum."""
    _, x, initial, w = problem.arguments
    params = {n: np.stack([v, 0.5 * v, -v]) for n, v in problem.params.items()}

    def total(f):
        def inner(p, x):
            return f(p, x, initial, w)

        return lambda p, x: jax.vmap(inner, (0, None))(p, x).sum()

    for transform in (lambda f: f, jax.jit):
        found = transform(jax.grad(total(problem.ours), (0, 1)))(params, x)
        assert_trees_close(found, jax.grad(total(problem.scan), (0, 1))(params, x))
    twice = jax.jit(jax.vmap(jax.grad(total(problem.ours), (0, 1)), (None, 0)))
    exact = jax.vmap(jax.grad(total(problem.scan), (0, 1)), (None, 0))
    xs = np.stack([x, -x])
    assert_trees_close(twice(params, xs), exact(params, xs))
