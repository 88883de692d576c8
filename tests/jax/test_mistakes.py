"""What is refused, when, and in which words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
from tests.jax.oracle import N_B, TAU, assert_trees_close


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
    diverged = np.where(x == x.max(), np.nan, x)
    assert jnp.isnan(f(diverged, problem.y))
    checked = bptt.jax.recurrent(problem.cell, check_finite=True)
    f = wrap(lambda x: checked(p, {"x": x, "y": problem.y}).loss)
    with pytest.raises(Exception, match="NotFiniteError: input x holds NaN, 1 of 30"):
        jax.block_until_ready(f(diverged))


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


def test_a_mean_over_no_weight_is_refused_as_the_cell_does(problem):
    p, x, _, _ = problem.arguments
    f = bptt.jax.recurrent(problem.cell, reduction="mean")
    inputs = {"x": x, "y": problem.y}
    none = np.zeros((TAU, N_B))
    says = "reduction 'mean' divides by the sum of the weights, which is 0"
    with pytest.raises(bptt.errors.ReductionError, match=says):
        problem.cell.forward(p, inputs, reduction="mean", weights=none)
    with pytest.raises(bptt.errors.ReductionError, match=says):
        f(p, inputs, weights=none)
    for transform in (jax.jit, lambda f: jax.jit(jax.grad(f))):
        total = transform(lambda w: f(p, inputs, weights=w).loss)
        with pytest.raises(Exception, match=f"ReductionError: {says}"):
            jax.block_until_ready(total(none))
