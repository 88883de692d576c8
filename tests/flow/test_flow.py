"""Gradient flow against brute force: differences of runs, products, definitions."""

from __future__ import annotations

import numpy as np
import pytest

import bptt
from bptt.flow import measure
from bptt.flow.steps import steps_of

TAU = 5
SIZES = {"n_x": 2, "n_h": 3, "n_o": 4}


def run_of(name, scale=1.0):
    cell = bptt.cells.get(name).with_readout()
    rng = np.random.default_rng(3)
    params = cell.init(**SIZES, seed=1)
    params = {
        k: scale * (v + 0.2 * rng.normal(size=v.shape)) for k, v in params.items()
    }
    inputs = {"x": rng.normal(size=(TAU, 2)), "y": rng.integers(0, 4, TAU)}
    return cell, params, inputs


def state_after_one_step(cell, params, inputs, t, states, before):
    """All states at t, one after the other, from those at t - 1."""
    one = {name: array[t - 1 : t] for name, array in inputs.items()}
    parts, start = {}, 0
    for name in states:
        parts[name], start = before[start : start + 3], start + 3
    run = cell.forward(params, one, initial=parts, executor="reference")
    return np.concatenate([run[name][0] for name in states])


@pytest.mark.parametrize("name", ["book", "lstm", "gru"])
def test_the_jacobian_of_a_step_equals_differences_of_that_step(name):
    cell, params, inputs = run_of(name)
    unrolled = cell.unroll(params, inputs)
    states = [s for s in cell.graph.states if s in cell.graph.definitions]
    for t, step in enumerate(steps_of(cell.graph, unrolled), start=1):
        before = np.concatenate(
            [unrolled.values[unrolled.place(s, t - 1)] for s in states]
        )
        columns = []
        for unit in np.eye(len(before)) * 1e-6:
            up, down = (
                state_after_one_step(cell, params, inputs, t, states, before + step_by)
                for step_by in (unit, -unit)
            )
            columns.append((up - down) / 2e-6)
        # Central differences of smooth functions of size 1 at 1e-6: about 1e-10.
        assert np.abs(step.jacobian - np.array(columns).T).max() < 1e-8


@pytest.mark.parametrize("name", ["book", "lstm"])
def test_injected_is_the_gradient_of_the_loss_of_that_step_alone(name):
    cell, params, inputs = run_of(name)
    flow = measure(cell.graph, cell.unroll(params, inputs))
    for t in range(1, TAU + 1):
        only = np.zeros(TAU)
        only[t - 1] = 1.0
        alone = cell.unroll(params, inputs, weights=only)
        whole = cell.unroll(params, inputs)
        for state in flow.states:
            now = alone.grad(alone.place(state, t))
            total = whole.grad(whole.place(state, t))
            assert flow.injected[state][t - 1] == pytest.approx(np.linalg.norm(now))
            assert flow.norms[state][t - 1] == pytest.approx(np.linalg.norm(total))
            rest = np.linalg.norm(total - now)
            assert flow.arrived[state][t - 1] == pytest.approx(rest, abs=1e-15)


def test_singular_values_are_those_of_the_product_from_t_to_tau():
    cell, params, inputs = run_of("book")
    unrolled = cell.unroll(params, inputs)
    flow = measure(cell.graph, unrolled)
    assert flow.singular_values.shape == (TAU + 1, 3)
    assert np.array_equal(flow.singular_values[TAU], np.ones(3))
    for t in range(TAU):
        product = np.eye(3)
        for s in range(t + 1, TAU + 1):
            h = unrolled.values[unrolled.place("h", s)]
            product = np.diag(1 - h**2) @ params["W"] @ product
        expected = np.linalg.svd(product, compute_uv=False)
        assert flow.singular_values[t] == pytest.approx(expected, rel=1e-10)


def test_lyapunov_exponents_add_up_to_the_mean_log_determinant():
    cell, params, inputs = run_of("lstm")
    flow = measure(cell.graph, cell.unroll(params, inputs))
    logs = [np.linalg.slogdet(j)[1] for j in flow.jacobians]
    assert flow.exponents.sum() == pytest.approx(np.mean(logs))
    assert list(flow.exponents) == sorted(flow.exponents, reverse=True)


def linear_flow(matrix, tau):
    cell = bptt.Cell("h[t] = W @ h[t-1] + U @ x[t]\nL[t] = sum(h[t])")
    params = {"W": np.array(matrix), "U": np.ones((2, 1))}
    unrolled = cell.unroll(params, {"x": np.ones((tau, 1))})
    return measure(cell.graph, unrolled)


def test_exponents_of_a_constant_diagonal_jacobian_are_the_logs_of_its_diagonal():
    flow = linear_flow([[0.5, 0.0], [0.0, 2.0]], 7)
    assert flow.exponents == pytest.approx(np.log([2.0, 0.5]))
    assert flow.rate == pytest.approx(np.log(2.0))


def test_a_cell_without_a_state_has_no_directions():
    cell = bptt.Cell("h[t] = tanh(U @ x[t])\nL[t] = sum(h[t])")
    unrolled = cell.unroll({"U": np.ones((2, 3))}, {"x": np.ones((4, 3))})
    flow = measure(cell.graph, unrolled)
    assert flow.states == () and flow.exponents.shape == (0,)


def test_slopes_are_the_derivatives_of_the_elementwise_functions():
    cell, params, inputs = run_of("lstm", scale=3.0)
    unrolled = cell.unroll(params, inputs)
    flow = measure(cell.graph, unrolled)
    assert set(flow.slopes) == {"i", "f", "g", "q"}
    for name, top in (("f", 0.25), ("g", 1.0)):
        steps = range(1, TAU + 1)
        y = np.array([unrolled.values[unrolled.place(name, t)] for t in steps])
        slope = y * (1 - y) if name == "f" else 1 - y**2
        assert flow.slopes[name] == pytest.approx(slope)
        assert flow.steepest[name] == top
        expected = (slope < 0.1 * top).mean(axis=1)
        assert flow.saturated(name) == pytest.approx(expected)
    assert 0 < flow.saturated("g").mean() < 1
