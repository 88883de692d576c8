"""Every cell of examples/catalogue as a function of JAX arrays, against a torch loop.

In float64, to the bound of `front_ends.assert_same`. A program of XLA is compiled for
each, so a usual run takes a part of the cells, full and ragged batches in turn; see
cases.py.
"""

import jax
import jax.numpy as jnp
import pytest

from tests.catalogue.cases import KINDS, N_B, part
from tests.catalogue.front_ends import (
    Both,
    assert_all,
    assert_same,
    in_turn,
    jax_gradients,
)
from tests.catalogue.loops import LOOPS


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(**in_turn(part(LOOPS, 2), KINDS))
def test_gradients_are_those_of_a_loop(name, is_ragged):
    both = Both(name, is_ragged=is_ragged)
    assert_all(jax_gradients(both), both.loops_gradients())


@pytest.mark.parametrize("name", KINDS)
def test_a_vmap_over_rows_is_every_row(name):
    """Values, a gradient for each row, and the gradient of the sum over rows."""
    both = Both(name)
    case, f = both.case, both.jax_function()

    def total(params, inputs, initial):
        return jnp.sin(both.value(f(params, inputs, initial))).sum()

    axes = (None, both.row_axes(case.inputs), dict.fromkeys(case.initial, 0))
    arrays = (case.params, case.inputs, case.initial)
    each = jax.vmap(jax.value_and_grad(total), axes)
    values, grads = jax.jit(each)(*arrays)
    over = jax.vmap(total, axes)
    summed = jax.jit(jax.grad(lambda p: over(p, *arrays[1:]).sum()))(case.params)
    for b in range(N_B):
        one = {n: a[b] for n, a in case.initial.items()}
        inputs = both.row(case.inputs, b)
        value, grad = jax.value_and_grad(total)(case.params, inputs, one)
        assert_same(values[b], value)
        for label in case.params:
            assert_same(grads[label][b], grad[label], label)
    for label in case.params:
        assert_same(grads[label].sum(0), summed[label], label)


@pytest.mark.parametrize("name", [n for n in KINDS if n != "echo_state"])
def test_a_vmap_over_parameters_is_every_member(name):
    both = Both(name)
    case, f = both.case, both.jax_function()
    members = [1.0, 0.9, 1.1]
    stacked = {n: jnp.stack([s * a for s in members]) for n, a in case.params.items()}

    def total(params, initial):
        out = f(params, case.inputs, initial)
        return jnp.sin(both.value(out)).sum()

    run = jax.jit(jax.vmap(jax.value_and_grad(total), (0, None)))
    values, grads = run(stacked, case.initial)
    for number, scale in enumerate(members):
        one = {n: scale * a for n, a in case.params.items()}
        value, grad = jax.value_and_grad(total)(one, case.initial)
        assert_same(values[number], value)
        for label in case.params:
            assert_same(grads[label][number], grad[label], label)


@pytest.mark.parametrize("name", ["narx", "rwkv4", "dilated", "mlstm"])
def test_two_pieces_are_one_sequence(name):
    both = Both(name)
    case, f = both.case, both.jax_function()

    def one(params):
        out = f(params, case.inputs, case.initial)
        return both.value(out).sum(), out.final

    def two(params):
        early, late = ({n: a[part] for n, a in case.inputs.items()}
                       for part in (slice(2), slice(2, None)))  # fmt: skip
        first = f(params, early, case.initial)
        second = f(params, late, first.final)
        return both.value(first).sum() + both.value(second).sum(), second.final

    runs = [jax.value_and_grad(g, has_aux=True)(case.params) for g in (one, two)]
    (value, final), grad = runs[0]
    (other, last), slope = runs[1]
    assert_same(other, value)
    for state in final:
        assert_same(last[state], final[state], state)
    for label in grad:
        assert_same(slope[label], grad[label], label)
