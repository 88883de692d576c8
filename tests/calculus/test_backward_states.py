"""States read at t+1: a loop from tau to 1, its values, gradients and boundaries.

The oracle of the values is the same recurrence in NumPy; of the gradients, the same
equations read at t-1 on a sequence turned round, which no new code takes part in.
"""

import numpy as np
import pytest

import bptt
from bptt.explain.algebra.expr import Time
from bptt.explain.cards import step_ranges

TAU, N_B, N_X, N_H, N_G, N_O = 5, 3, 2, 4, 6, 7
BOTH = bptt.Cell("""
h[t] = tanh(b_h + W_h @ h[t-1] + U_h @ x[t])
g[t] = tanh(b_g + W_g @ g[t+1] + U_g @ x[t])
o[t] = c + V_h @ h[t] + V_g @ g[t]
L[t] = nll(softmax(o[t]), y[t])
""")
AHEAD = bptt.Cell("g[t] = tanh(W @ g[t+1] + U @ x[t])")
BEHIND = bptt.Cell("g[t] = tanh(W @ g[t-1] + U @ x[t])")
LINEAR = bptt.Cell("g[t] = W @ g[t+1] + U @ x[t]")
EVERYTHING = {"input_gradient": True, "initial_gradient": True}


def arrays(cell, seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"n_x": N_X, "n_h": N_H, "n_g": N_G, "n_o": N_O}
    params = {
        name: 0.5 * rng.standard_normal([sizes[dim] for dim in shape])
        for name, shape in cell.parameters.items()
    }
    x = rng.standard_normal((TAU, N_B, N_X))
    initial = {
        name: rng.standard_normal((N_B, sizes[cell.nodes[name][0]]))
        for name in cell.states
        if name in cell.nodes
    }
    return params, x, initial


def test_a_state_read_at_t_plus_1_runs_from_the_last_step_to_the_first():
    params, x, initial = arrays(BOTH)
    y = np.zeros((TAU, N_B), int)
    assert BOTH.graph.backward == {"g"}
    for executor in ("reference", "llvm"):
        run = BOTH.forward(params, {"x": x, "y": y}, initial=initial, executor=executor)
        h, g = initial["h"], initial["g"]
        for t in range(TAU):
            h = np.tanh(params["b_h"] + h @ params["W_h"].T + x[t] @ params["U_h"].T)
            np.testing.assert_allclose(run["h"][t], h, rtol=1e-13)
        for t in reversed(range(TAU)):
            g = np.tanh(params["b_g"] + g @ params["W_g"].T + x[t] @ params["U_g"].T)
            np.testing.assert_allclose(run["g"][t], g, rtol=1e-13)
        np.testing.assert_array_equal(run.final["h"], run["h"][-1])
        np.testing.assert_array_equal(run.final["g"], run["g"][0])


@pytest.mark.parametrize("executor", ["reference", "llvm"])
def test_reading_ahead_is_reading_behind_on_the_reversed_sequence(executor):
    params, x, initial = arrays(AHEAD)
    seed = np.random.default_rng(1).standard_normal((TAU, N_B, N_G))
    options = {"initial": initial, "executor": executor, "nodes": ("g",), **EVERYTHING}
    ahead = AHEAD.gradient(params, {"x": x}, seeds={"g": seed}, **options)
    behind = BEHIND.gradient(params, {"x": x[::-1]}, seeds={"g": seed[::-1]}, **options)
    for name in params:
        np.testing.assert_allclose(ahead[name], behind[name], rtol=1e-12)
        for t in range(TAU):
            mirrored = behind.copies[name][TAU - 1 - t]
            np.testing.assert_allclose(ahead.copies[name][t], mirrored, rtol=1e-12)
    np.testing.assert_allclose(ahead.inputs["x"], behind.inputs["x"][::-1], rtol=1e-12)
    np.testing.assert_allclose(ahead.nodes["g"], behind.nodes["g"][::-1], rtol=1e-12)
    np.testing.assert_allclose(ahead.initial["g"], behind.initial["g"], rtol=1e-12)


def test_a_linear_backward_loop_keeps_its_boundary_value_in_kernels():
    """A carried product of the cell itself must not be rotated like a gradient's."""
    params, x, initial = arrays(LINEAR)
    seeds = {"g": np.ones((TAU, N_B, N_G))}
    found, expected = (
        LINEAR.gradient(
            params, {"x": x}, seeds=seeds, initial=initial, executor=kind, **EVERYTHING
        )
        for kind in ("llvm", "reference")
    )
    np.testing.assert_allclose(found.run["g"], expected.run["g"], rtol=1e-12)
    np.testing.assert_allclose(found["W"], expected["W"], rtol=1e-12)
    np.testing.assert_allclose(found.initial["g"], expected.initial["g"], rtol=1e-12)


@pytest.mark.parametrize("executor", ["reference", "llvm"])
def test_an_input_may_be_read_one_step_early(executor):
    cell = bptt.Cell("h[t] = tanh(U @ x[t] + A @ x[t+1] + W @ h[t-1])")
    params, x, _ = arrays(cell)
    last = np.full((N_B, N_X), 0.25)
    run = cell.forward(params, {"x": x}, initial={"x": last}, executor=executor)
    h = np.zeros((N_B, N_H))
    for t, after in enumerate([*x[1:], last]):
        h = np.tanh(x[t] @ params["U"].T + after @ params["A"].T + h @ params["W"].T)
        np.testing.assert_allclose(run["h"][t], h, rtol=1e-12)
    np.testing.assert_array_equal(run.final["x"], x[0])


@pytest.mark.parametrize("cell", [BOTH, AHEAD], ids=["both ways", "backward alone"])
def test_every_gradient_of_a_backward_loop_passes_the_check(cell):
    ledger = cell.check(instances=1)
    assert ledger.passed
    assert not [row for row in ledger.rows if "causality" in row.how]


def test_the_unrolled_graph_holds_the_value_beyond_the_last_step():
    params, x, initial = arrays(AHEAD)
    seeds = {"g": np.ones((TAU, N_G))}
    graph = AHEAD.unroll(
        params, {"x": x[:, 0]}, initial={"g": initial["g"][0]}, seeds=seeds
    )
    place = graph.place("g", TAU + 1)
    assert str(place) == f"g^({TAU + 1})"
    np.testing.assert_array_equal(graph.values[place], initial["g"][0])
    order = {place: number for number, place in enumerate(graph.visit_order())}
    assert all(order[edge.target] < order[edge.source] for edge in graph.edges)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_backward_loop_is_explained(lang):
    explanation = BOTH.explain(lang=lang)
    assert explanation.passed
    assert "∇_g^(τ+1) L = (∂g^(τ)/∂g^(τ+1))ᵀ ∇_g^(τ) L" in explanation.text()
    assert r"\nabla" in explanation.latex()


def test_the_gradient_of_a_backward_state_has_its_boundary_at_the_first_step():
    text = BOTH.explain(step="node:g").text()
    assert "Wᵀ" not in text
    assert "2 ≤ t ≤ τ" in text
    assert "It is read by g⁽ᵗ⁻¹⁾" in text


@pytest.mark.parametrize("cell", [BOTH, AHEAD])
def test_the_page_of_a_backward_loop_draws_it_and_says_what_it_leaves_out(cell):
    found = cell.explain(tau=3)
    page = found.html()
    assert found.passed
    assert page.count('data-k="g[t+1]>g"') == 3
    assert "in a loop that reads t + 1 from t = 1 to τ" in page
    assert "it is not measured here" in page
    assert "这里不作测量" in page


def test_the_steps_that_have_a_successor():
    one, tau = Time("", 1), Time("tau")
    assert step_ranges([0]) == [(0, (one, tau))]
    assert step_ranges([1, 0]) == [(0, (tau, tau)), (1, (one, tau.moved(-1)))]
    assert step_ranges([-1]) == [(0, (one, one)), (1, (one.moved(1), tau))]
    assert step_ranges([1, 3]) == [
        (0, (tau, tau)), (1, (tau.moved(-2), tau.moved(-1))), (3, (one, tau.moved(-3)))
    ]  # fmt: skip
