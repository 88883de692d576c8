"""Goodfellow et al., 10.2.2, by requirement (tests/chapter/test_requirements.py).

The book's cell with tau = 6 and sizes 3, 4, 5, one batch row; index 0 is t = 1.
"""

from __future__ import annotations

import numpy as np
import pytest

import bptt
from bptt.unrolled import Place
from tests.chapter import handwritten
from tests.execute.library import IN_ALL_VARIANTS

TAU = 6
BOOK = bptt.cells.book
PARAMS, INPUTS, INITIAL = handwritten.problem(3, tau=TAU)
U = BOOK.unroll(PARAMS, INPUTS, initial=INITIAL)
GRAD = BOOK.gradient(
    PARAMS,
    INPUTS,
    initial=INITIAL,
    nodes=tuple(BOOK.nodes),
    input_gradient=True,
    initial_gradient=True,
)
RUN = GRAD.run
H = np.concatenate([INITIAL["h"][None], RUN["h"]])  # H[t] is h^(t)
STEPS = range(1, TAU + 1)


def edge(source, target, t, s=None):
    """The edge from `source` at t to `target` at s (t by default)."""
    s = t if s is None else s
    found = [
        e
        for e in U.predecessors(U.place(target, s))
        if (e.source.name, e.source.t) == (source, t)
    ]
    assert len(found) == 1
    return found[0]


def close(found, expected, tolerance=1e-12):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1)


# ----- the road (1-8) -----


def test_one_call_goes_from_equations_to_every_gradient():
    cell = bptt.Cell(BOOK.text)
    grad = cell.gradient(PARAMS, INPUTS)
    assert set(grad) == {"U", "V", "W", "b", "c"}
    assert all(grad[name].shape == PARAMS[name].shape for name in grad)


@pytest.mark.parametrize("name", IN_ALL_VARIANTS)
def test_the_fast_gradient_equals_generic_reverse_mode(name):
    cell = bptt.cells.get(name).with_readout()
    rng = np.random.default_rng(0)
    params = cell.init(n_x=3, n_h=4, n_o=5)
    params = {k: v + 0.1 * rng.normal(size=v.shape) for k, v in params.items()}
    graph = cell.unroll(params, INPUTS)
    fast = cell.gradient(params, INPUTS, nodes=tuple(cell.nodes))
    for parameter in params:
        close(fast[parameter], graph.grad(graph.place(parameter)))
    for node in cell.nodes:
        for t in STEPS:
            close(fast.nodes[node][t - 1], graph.grad(graph.place(node, t)))


def test_an_invented_cell_takes_the_same_road():
    cell = bptt.Cell(
        "z[t] = sigmoid(W_z @ h[t-1] + U_z @ x[t])\n"
        "h[t] = z[t] * sin(W @ (h[t-1] * z[t])) + (1 - z[t]) * exp(-h[t-1] * h[t-1])\n"
        "L[t] = log(1 + sum(h[t] ** 2))"
    )
    assert cell.check(instances=1).passed


def test_the_book_preset_is_10_8_to_10_14_with_its_references():
    assert "10.8" in BOOK.text and "10.12" in BOOK.text
    for t in STEPS:
        a = PARAMS["b"] + PARAMS["W"] @ H[t - 1] + PARAMS["U"] @ INPUTS["x"][t - 1]
        close(RUN["a"][t - 1], a)
        close(RUN["h"][t - 1], np.tanh(a))
        close(RUN["o"][t - 1], PARAMS["c"] + PARAMS["V"] @ np.tanh(a))
    loss = -sum(np.log(RUN["y_hat"][t][INPUTS["y"][t]]) for t in range(TAU))
    close(GRAD.loss, loss)


def test_the_node_set_is_the_books_with_a_y_hat_y_and_h_0():
    labels = [place.label for place in U.places]
    assert len(labels) == len({(p.kind, p.label) for p in U.places})
    count = {kind: sum(p.kind == kind for p in U.places) for kind in (
        "parameter", "copy", "initial", "input", "node", "total")}  # fmt: skip
    assert count == {"parameter": 5, "copy": 5 * TAU, "initial": 1,
                     "input": 2 * TAU, "node": 5 * TAU, "total": 1}  # fmt: skip
    assert {p.name for p in U.places if p.kind == "node"} == {
        "a", "h", "o", "y_hat", "L"}  # fmt: skip
    assert "h^(0)" in labels and "y^(3)" in labels and "W^(6)" in labels


def test_the_successors_of_every_node_are_listed():
    def after(name, t=None):
        return sorted(e.target.label for e in U.successors(U.place(name, t)))

    assert after("h", 2) == ["a^(3)", "o^(2)"]
    assert after("h", TAU) == [f"o^({TAU})"]
    assert after("a", 2) == ["h^(2)"] and after("o", 2) == ["y_hat^(2)"]
    assert after("L", 2) == ["L"] and after("x", 2) == ["a^(2)"]
    assert after("W") == [f"W^({t})" for t in STEPS] and after("W", 4) == ["a^(4)"]


def test_every_node_gradient_is_the_answer_to_moving_that_node():
    ledger = BOOK.check(executor="reference")
    moved = [row for row in ledger.rows if row.how == "complex step, each node moved"]
    assert {row.what for row in moved} == {
        f"∇_{name}^(t)" for name in ("a", "h", "o", "y_hat", "L")
    }
    assert all(row.status == "passed" for row in moved)


def test_the_visit_order_starts_just_before_the_loss_and_follows_the_recursion():
    order = U.visit_order()
    number = {place: i for i, place in enumerate(order)}
    assert order[0] == U.total and order[1] == U.place("L", TAU)
    for e in U.edges:
        assert number[e.target] < number[e.source]


# ----- the loss (9-15) -----


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, np.ones(TAU)),
        ({"reduction": "mean"}, np.full(TAU, 1 / TAU)),
        ({"weights": np.arange(6.0)}, np.arange(6.0)),
        ({"weights": np.arange(6.0), "reduction": "mean"}, np.arange(6.0) / 15),
        ({"weights": np.eye(TAU)[-1]}, np.eye(TAU)[-1]),
    ],
    ids=["sum", "mean", "weights", "weighted mean", "last step"],
)
def test_the_derivative_of_the_total_loss_by_each_step_loss_is_its_weight(
    options, expected
):
    grad = BOOK.gradient(PARAMS, INPUTS, nodes=("L",), **options)
    assert np.array_equal(grad.nodes["L"], expected)
    graph = BOOK.unroll(PARAMS, INPUTS, **options)
    found = [graph.grad(graph.place("L", t)) for t in STEPS]
    assert np.array_equal(found, expected)


def test_softmax_is_stable_sums_to_1_and_its_gradient_sums_to_0():
    close(RUN["y_hat"].sum(axis=1), np.ones(TAU), 1e-15)
    assert np.abs(GRAD.nodes["o"].sum(axis=1)).max() < 1e-15
    large = {**PARAMS, "c": PARAMS["c"] + np.array([800.0, 0, 0, 0, -800])}
    grad = BOOK.gradient(large, INPUTS, nodes=("o",))
    assert np.isfinite(grad.loss) and np.isfinite(grad.nodes["o"]).all()


def test_the_loss_is_the_negative_log_likelihood_of_the_class():
    for t in range(TAU):
        close(RUN["L"][t], -np.log(RUN["y_hat"][t][INPUTS["y"][t]]))


@pytest.mark.parametrize("t", STEPS)
def test_a_later_input_has_exactly_no_influence_on_the_loss_of_step_t(t):
    weights = np.eye(TAU)[t - 1]
    x = BOOK.gradient(PARAMS, INPUTS, weights=weights, input_gradient=True).inputs["x"]
    assert not x[t:].any()
    assert x[:t].all()


@pytest.mark.parametrize("t", STEPS)
def test_10_18_every_link_of_the_chain_has_the_same_value(t):
    y_hat, o, y = RUN["y_hat"][t - 1], RUN["o"][t - 1], INPUTS["y"][t - 1]
    exact = y_hat - (np.arange(5) == y)
    softmax_jacobian = np.diag(y_hat) - np.outer(y_hat, y_hat)
    log_derivative = np.where(np.arange(5) == y, -1 / y_hat, 0.0)
    links = {
        "∂L/∂L^(t) times ∂L^(t)/∂o": 1.0 * (softmax_jacobian.T @ log_derivative),
        "log-sum-exp form": np.exp(o) / np.exp(o).sum() - (np.arange(5) == y),
        "edges of the unrolled graph": edge("o", "y_hat", t).pull(
            edge("y_hat", "L", t).pull(np.ones(()))
        ),
        "reverse mode": U.grad(U.place("o", t)),
        "fast": GRAD.nodes["o"][t - 1],
    }
    for link in links.values():
        close(link, exact)
    close(edge("o", "y_hat", t).jacobian, softmax_jacobian)
    close(edge("y_hat", "L", t).jacobian, log_derivative)


def test_nodes_are_visited_from_the_end_of_the_sequence():
    steps = [place.t for place in U.visit_order() if place.kind == "node"]
    assert steps == sorted(steps, reverse=True) and steps[0] == TAU and steps[-1] == 1


# ----- hidden nodes (16-23) -----


def test_at_tau_there_is_one_successor():
    terms = U.contributions(U.place("h", TAU))
    assert len(terms) == 1
    close(GRAD.nodes["h"][-1], PARAMS["V"].T @ GRAD.nodes["o"][-1])


def test_10_20_holds_for_t_below_tau_and_for_h_0():
    for t in range(TAU - 1, -1, -1):
        future = PARAMS["W"].T @ np.diag(1 - H[t + 1] ** 2) @ GRAD.nodes["h"][t]
        if t:
            now = PARAMS["V"].T @ GRAD.nodes["o"][t - 1]
            close(GRAD.nodes["h"][t - 1], future + now)
        else:
            close(GRAD.initial["h"], future)


def test_two_successors_give_two_terms_with_their_norms():
    for t in range(1, TAU):
        terms = {e.target.name: term for e, term in U.contributions(U.place("h", t))}
        assert set(terms) == {"o", "a"}
        now = PARAMS["V"].T @ GRAD.nodes["o"][t - 1]
        close(np.linalg.norm(terms["o"]), np.linalg.norm(now))
        assert np.linalg.norm(terms["a"]) > 0
        close(terms["o"] + terms["a"], GRAD.nodes["h"][t - 1])


def test_edge_jacobians_are_objects_and_equal_finite_differences():
    def step(h):
        return np.tanh(PARAMS["b"] + PARAMS["W"] @ h + PARAMS["U"] @ INPUTS["x"][3])

    jacobian = edge("a", "h", 4).jacobian @ edge("h", "a", 3, 4).jacobian
    moved = 1e-6 * np.eye(4)
    columns = [(step(H[3] + e) - step(H[3] - e)) / 2e-6 for e in moved]
    close(jacobian, np.transpose(columns), 1e-8)
    close(edge("h", "o", 3).jacobian, PARAMS["V"])
    rows = [
        row
        for row in BOOK.check(instances=1, executor="reference").rows
        if "edge" in row.how
    ]
    assert {"∂a/∂h[t-1]", "∂h/∂a[t]", "∂o/∂h[t]", "∂a/∂W"} <= {r.what for r in rows}
    assert all(row.status == "passed" for row in rows)


def test_10_21_as_printed_is_refused_by_shapes_and_wrong_in_one_dimension():
    w, d, grad = PARAMS["W"], 1 - H[4] ** 2, GRAD.nodes["h"][3]
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        w.T @ grad[:, None] @ np.diag(d)
    right, printed = w.T @ np.diag(d) @ grad, w.T @ grad @ np.diag(d)
    now = PARAMS["V"].T @ GRAD.nodes["o"][2]
    close(GRAD.nodes["h"][2], right + now)
    assert np.linalg.norm(printed - right) > 0.05 * np.linalg.norm(right)


def test_10_21_as_printed_is_refused_by_the_language():
    with pytest.raises(bptt.BpttError, match="vectors are columns"):
        bptt.Cell("g[t] = W.T @ e[t] @ W")


def test_the_jacobian_of_two_steps_is_diagonal_times_w_and_not_w():
    for t in range(1, TAU):
        jacobian = edge("a", "h", t + 1).jacobian @ edge("h", "a", t, t + 1).jacobian
        close(jacobian, np.diag(1 - H[t + 1] ** 2) @ PARAMS["W"])
        close(jacobian.T, PARAMS["W"].T @ np.diag(1 - H[t + 1] ** 2))
        assert np.abs(jacobian - PARAMS["W"]).max() > 0.05


def test_the_diagonal_has_the_index_t_plus_1():
    for t in range(1, TAU):
        terms = {e.target.name: term for e, term in U.contributions(U.place("h", t))}
        grad = GRAD.nodes["h"][t]
        close(terms["a"], PARAMS["W"].T @ ((1 - H[t + 1] ** 2) * grad))
        late = PARAMS["W"].T @ ((1 - H[t] ** 2) * grad)
        assert np.abs(terms["a"] - late).max() > 1e-3 * np.abs(late).max()


def test_the_jacobian_of_tanh_is_diagonal_and_that_of_a_step_is_not():
    for t in range(2, TAU + 1):
        tanh = edge("a", "h", t).jacobian
        close(tanh, np.diag(1 - H[t] ** 2))
        assert not tanh[~np.eye(4, dtype=bool)].any()
        step = tanh @ edge("h", "a", t - 1, t).jacobian
        assert np.abs(step[~np.eye(4, dtype=bool)]).min() > 0


# ----- parameters (24-36) -----


def test_node_gradients_come_first_and_parameter_gradients_second():
    kinds = [place.kind for place in U.visit_order()]
    last_node = max(i for i, kind in enumerate(kinds) if kind == "node")
    assert last_node < kinds.index("copy") < kinds.index("parameter")


def test_the_immediate_derivative_is_one_edge_and_the_total_the_sum_of_paths():
    seed = np.zeros((TAU, 4))
    seed[2, 1] = 1
    cell = bptt.cells.elman
    params = {name: PARAMS[name] for name in cell.parameters}
    graph = cell.unroll(params, {"x": INPUTS["x"]}, initial=INITIAL, seeds={"h": seed})
    total = graph.grad(graph.place("W"))
    immediate = graph.grad(graph.place("W", 3))
    close(immediate[1], (1 - H[3][1] ** 2) * H[2])
    assert not immediate[[0, 2, 3]].any()
    close(total, sum(graph.grad(graph.place("W", s)) for s in (1, 2, 3)))
    assert np.abs(total - immediate).max() > 0.01 * np.abs(total).max()
    close(cell.gradient(params, {"x": INPUTS["x"]}, initial=INITIAL,
                        seeds={"h": seed})["W"], total)  # fmt: skip


def test_the_contribution_of_a_single_edge_is_available():
    for t in STEPS:
        ((e, term),) = U.contributions(U.place("W", t))
        assert e.target == Place("node", "a", t)
        close(term, np.outer((1 - H[t] ** 2) * GRAD.nodes["h"][t - 1], H[t - 1]))


@pytest.mark.parametrize("name", PARAMS)
def test_a_parameter_gradient_is_the_sum_over_all_its_edges(name):
    terms = U.contributions(U.place(name))
    assert [e.target.t for e, _ in terms] == list(STEPS)
    close(GRAD[name], sum(term for _, term in terms))


@pytest.mark.parametrize("name", PARAMS)
def test_copies_are_objects_used_at_one_step_alone(name):
    for t in STEPS:
        copy = U.place(name, t)
        assert [e.target.t for e in U.successors(copy)] == [t]
        close(U.grad(copy), GRAD.copies[name][t - 1])


def test_each_copy_equals_finite_differences_of_that_copy_alone():
    def loss(t, place, delta):
        h, total = INITIAL["h"], 0.0
        for s in range(TAU):
            w = PARAMS["W"].copy()
            if s == t:
                w[place] += delta
            h = np.tanh(PARAMS["b"] + w @ h + PARAMS["U"] @ INPUTS["x"][s])
            o = PARAMS["c"] + PARAMS["V"] @ h
            total += np.log(np.exp(o).sum()) - o[INPUTS["y"][s]]
        return total

    for t in range(TAU):
        for place in [(0, 1), (3, 2)]:
            slope = (loss(t, place, 1e-5) - loss(t, place, -1e-5)) / 2e-5
            assert abs(slope - GRAD.copies["W"][t][place]) < 2e-8


@pytest.mark.parametrize("name", PARAMS)
def test_the_copies_of_every_parameter_sum_to_its_gradient(name):
    copies = GRAD.copies[name]
    assert len(copies) == TAU
    norms = copies.norms()
    close(norms, [np.linalg.norm(copy) for copy in copies])
    assert np.abs(copies.total() - GRAD[name]).max() <= 1e-15 * norms.sum()


def grad_a(t):
    return (1 - H[t] ** 2) * GRAD.nodes["h"][t - 1]


def test_10_22_both_forms_of_the_gradient_of_c():
    first = sum(np.eye(5).T @ GRAD.nodes["o"][t - 1] for t in STEPS)
    close(first, sum(GRAD.nodes["o"]))
    close(GRAD["c"], first)
    close(edge("c", "o", 2).jacobian, np.eye(5))


def test_10_23_both_forms_of_the_gradient_of_b():
    first = sum(np.diag(1 - H[t] ** 2).T @ GRAD.nodes["h"][t - 1] for t in STEPS)
    second = sum(np.diag(1 - H[t] ** 2) @ GRAD.nodes["h"][t - 1] for t in STEPS)
    close(first, second)
    close(GRAD["b"], first)
    jacobian = edge("a", "h", 2).jacobian @ edge("b", "a", 2).jacobian
    close(jacobian, np.diag(1 - H[2] ** 2))


def test_10_24_both_forms_of_the_gradient_of_v():
    double = np.zeros((5, 4))
    for t in STEPS:
        derivative = edge("V", "o", t).jacobian
        for i in range(5):
            expected = np.zeros((5, 4))
            expected[i] = H[t]
            close(derivative[i], expected)
            double += GRAD.nodes["o"][t - 1][i] * derivative[i]
    close(double, sum(np.outer(GRAD.nodes["o"][t - 1], H[t]) for t in STEPS))
    close(GRAD["V"], double)


@pytest.mark.parametrize("name", ["W", "U"])
def test_10_26_and_10_28_both_forms_of_the_gradients_of_w_and_u(name):
    double = np.zeros(PARAMS[name].shape)
    closed = np.zeros(PARAMS[name].shape)
    for t in STEPS:
        # W reads h^(t-1), h^(0) at t = 1; U reads x^(t).
        read = H[t - 1] if name == "W" else INPUTS["x"][t - 1]
        derivative = np.tensordot(
            edge("a", "h", t).jacobian, edge(name, "a", t).jacobian, axes=1
        )
        for i in range(4):
            expected = np.zeros(PARAMS[name].shape)
            expected[i] = (1 - H[t][i] ** 2) * read
            close(derivative[i], expected)
            double += GRAD.nodes["h"][t - 1][i] * derivative[i]
        closed += np.diag(1 - H[t] ** 2) @ np.outer(GRAD.nodes["h"][t - 1], read)
    close(double, closed)
    close(GRAD[name], double)


def test_the_initial_state_enters_the_gradient_of_w_at_t_1():
    close(GRAD.copies["W"][0], np.outer(grad_a(1), INITIAL["h"]))
    zero = BOOK.gradient(PARAMS, INPUTS)
    assert not zero.copies["W"][0].any()


def test_outer_products_have_the_shapes_of_their_parameters():
    n_x, n_h, n_o = 3, 4, 5
    for t in range(TAU):
        assert GRAD.copies["W"][t].shape == (n_h, n_h)
        assert GRAD.copies["U"][t].shape == (n_h, n_x)
        assert GRAD.copies["V"][t].shape == (n_o, n_h)
    assert edge("W", "a", 1).jacobian.shape == (n_h, n_h, n_h)
    assert edge("U", "a", 1).jacobian.shape == (n_h, n_h, n_x)
    assert edge("V", "o", 1).jacobian.shape == (n_o, n_o, n_h)
    assert edge("V", "o", 1).in_dims == ("n_o", "n_h")


def test_x_is_skipped_for_want_of_parameter_ancestors_and_offered_on_request():
    reasons = {item.place.label: item.reason for item in U.skipped()}
    assert reasons["x^(3)"] == "x^(3) has no parameter among its ancestors"
    assert reasons["h^(0)"] == "h^(0) has no parameter among its ancestors"
    assert reasons["y^(3)"] == "y^(3) holds a whole number, which has no derivative"
    assert not any(name in reasons for name in ("h^(3)", "o^(3)", "W", "W^(3)"))
    for t in STEPS:
        close(GRAD.inputs["x"][t - 1], PARAMS["U"].T @ grad_a(t))
    plain = BOOK.gradient(PARAMS, INPUTS)
    with pytest.raises(bptt.BpttError):
        plain.inputs["x"]


def test_the_ancestor_test_looks_further_than_the_parents():
    cell = bptt.Cell("e[t] = E @ x[t]\nh[t] = tanh(e[t] + h[t-1])\nL[t] = sum(h[t])")
    graph = cell.unroll({"E": np.ones((4, 3))}, {"x": INPUTS["x"]})
    skipped = {item.place.label for item in graph.skipped()}
    assert "x^(2)" in skipped and "e^(2)" not in skipped and "h^(2)" not in skipped


# ----- the figure and its three steps (38-42) -----


def test_all_five_parameters_enter_every_step():
    for t in STEPS:
        for name, target in zip("UWbVc", "aaaoo", strict=True):
            assert edge(name, target, t).jacobian.any() or name == "W"
        assert all(U.predecessors(U.place(name, t)) for name in PARAMS)


def test_every_edge_has_its_gradient():
    for e in U.edges:
        if e.is_cut:
            assert e.source.name == "y"
            continue
        assert e.jacobian.shape == (*_shape(e.target), *_shape(e.source))
    assert edge("h", "a", 2, 3).jacobian.shape == (4, 4)
    close(edge("x", "a", 3).jacobian, PARAMS["U"])


def _shape(place):
    return () if place == U.total else np.shape(U.values[place])


def test_the_seed_of_the_recursion_is_1():
    assert U.grad(U.total) == 1
    assert all(U.grad(U.place("L", t)) == 1 for t in STEPS)
    close(U.loss, GRAD.loss)


@pytest.mark.parametrize(
    ("name", "count"), [("W", 21), ("U", 21), ("b", 21), ("V", 6), ("c", 6)]
)
def test_multiply_in_series_and_add_in_parallel(name, count):
    paths = U.paths(U.place(name))
    assert len(paths) == U.count_paths(U.place(name)) == count
    assert len({path.places for path in paths}) == count
    total = sum(path.product for path in paths)
    close(total, GRAD[name], 1e-14)
    by_hand = [p for p in paths if p.lag == 2]
    assert len(by_hand) == (TAU - 2 if count == 21 else 0)
    for path in by_hand[:1]:
        product = np.ones(())
        for target, source in zip(path.places[:0:-1], path.places[-2::-1], strict=True):
            (found,) = [e for e in U.predecessors(target) if e.source == source]
            product = np.tensordot(product, found.jacobian, axes=product.ndim)
        close(path.product, product)


def test_everything_equals_10_17_to_10_28_written_out_by_hand():
    by_hand = handwritten.gradient(PARAMS, INPUTS, initial=INITIAL)
    close(GRAD.loss, by_hand.loss)
    for name in PARAMS:
        close(GRAD[name], by_hand[name])
        close(GRAD.copies[name].stack(), by_hand.copies[name])
    for name in handwritten.NODES:
        close(GRAD.nodes[name], by_hand.nodes[name])
    close(GRAD.inputs["x"], by_hand.inputs["x"])
    close(GRAD.initial["h"], by_hand.initial["h"])


def test_the_one_disagreement_with_the_book_is_the_order_of_10_21():
    printed = handwritten.gradient(
        PARAMS, INPUTS, initial=INITIAL, mistake="printed order"
    )
    for name in ("c", "V"):
        close(GRAD[name], printed[name])
    for name in ("W", "U", "b"):
        gap = np.linalg.norm(GRAD[name] - printed[name])
        assert gap > 0.01 * np.linalg.norm(GRAD[name])
