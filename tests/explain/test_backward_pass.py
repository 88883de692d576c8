"""A wrong formula in a whole backward pass, against passes that are written by hand."""

import numpy as np
import pytest

import bptt
from bptt.explain.context import Subject
from bptt.explain.formula.backward import Rules, backward_at
from bptt.explain.formula.equation import backward_pass
from bptt.explain.instances import Options
from tests.explain import handwritten_passes as by_hand

COUNT = 50  # of each cell: 200 in all
CELLS = {
    "book": bptt.cells.book,
    "lstm": bptt.cells.lstm,
    "gru": bptt.cells.gru,
    "users": bptt.Cell(by_hand.USERS_TEXT),
}


def shown(name):
    return Subject(CELLS[name], "", Options()).shown


def costs_by_hand(name, point, target, text):
    found, right = (by_hand.run(name, point, *line) for line in ((target, text), ()))
    if target in by_hand.PASSES[name][0]:
        steps = [point.gradient(target, t) for t in range(1, point.tau + 1)]
        right[target] = np.concatenate(steps)
    costs = {}
    for key, value in found.items():
        size = np.linalg.norm(right[key])
        gap = np.linalg.norm(value - right[key]) / (size or 1)
        scale = np.linalg.norm(value) * size
        costs[key] = gap, np.sum(value * right[key]) / scale if scale else 0.0
    return costs


@pytest.mark.parametrize("name", CELLS)
def test_the_right_pass_by_hand_is_the_exact_gradient(name):
    point = shown(name)
    for key, value in by_hand.run(name, point).items():
        right = point.gradient(key, None)
        np.testing.assert_allclose(value, right, rtol=1e-12, atol=1e-14, err_msg=key)


@pytest.mark.parametrize("name", CELLS)
def test_what_a_wrong_formula_costs_is_what_a_pass_by_hand_gives(name):
    point, wrong = shown(name), 0
    for target, text in by_hand.wrong_lines(name, COUNT):
        equation = by_hand.in_notation(name, target, text)
        trap = backward_pass(CELLS[name], equation)
        if "[t+1]" in text and target in by_hand.PASSES[name][1]:
            assert trap.problem is not None  # a sum to tau has no step tau + 1
            continue
        assert trap.problem is None, (equation, str(trap))
        expected = costs_by_hand(name, point, target, text)
        assert {cost.name for cost in trap.costs} == expected.keys(), equation
        for cost in trap.costs:
            error, cosine = expected[cost.name]
            assert cost.error == pytest.approx(error, rel=1e-9, abs=1e-12), equation
            assert cost.cosine == pytest.approx(cosine, rel=1e-9, abs=1e-9), equation
        wrong += not all(cost.is_right for cost in trap.costs)
    assert wrong > COUNT // 2


def test_the_falsehoods_of_before_are_gone():
    def errors(text, cell=bptt.cells.book):
        return {c.name: c.error for c in backward_pass(cell, text).costs}

    all_classes = errors("grad_o[t] = y_hat[t] - 1")
    assert all_classes["W"] == pytest.approx(1.77, abs=0.005)
    doubled = errors("grad_L[t] = 2")
    assert all(doubled[name] == pytest.approx(1) for name in "bWUcV")
    assert errors("grad_a[t] = grad_h[t]")["W"] > 0.1
    lstm = bptt.Cell(bptt.cells.lstm.text + "\no[t] = V @ h[t]\nL[t] = mse(o[t], y[t])")
    found = errors("grad_h[t] = V.T @ grad_o[t]", lstm)
    gates = [name for name in found if name[:2] in ("W_", "U_", "b_")]
    assert len(gates) == 12
    assert all(found[name] > 0.001 for name in gates)
    assert found["V"] < 1e-12


def test_a_pass_that_cannot_be_made_says_why():
    circular = backward_pass(bptt.cells.book, "grad_h[t] = grad_h[t] + h[t]")
    assert "has not computed yet" in str(circular)
    early = backward_pass(bptt.cells.book, "grad_h[t] = grad_h[t-1]")
    assert early.problem is not None
    assert early.costs == ()


def test_one_dimensional_arrays_are_wrong_only_where_they_are():
    right = backward_pass(
        bptt.cells.book, "grad_h[t] = grad_a[t+1] @ W + V.T @ grad_o[t]"
    )
    assert right.is_misshapen and not right.is_silent
    assert "it runs and is right" in str(right)
    refused = backward_pass(bptt.cells.book, "grad_h[t] = W @ V @ grad_h[t+1]")
    assert "does not run" in str(refused)


BACKWARD = "h[t] = tanh(W @ h[t+1] + U @ x[t])\nL[t] = sum(h[t] * h[t])"


@pytest.mark.parametrize("text", [BACKWARD, by_hand.USERS_TEXT])
def test_the_pass_without_a_replacement_is_exact_in_either_direction(text):
    context = Subject(bptt.Cell(text), "", Options())
    run = backward_at(context.shown, Rules(context.derivation))
    run.run()
    for place in context.shown.graph.places:
        if place == context.shown.graph.total:
            continue
        found = run.gradient(place.name, place.t)
        right = context.shown.gradient(place.name, place.t)
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-14)


def test_a_formula_of_a_loop_that_runs_from_tau_to_1():
    cell = bptt.Cell(BACKWARD)
    right = "grad_h[t] = W.T @ diag(1 - h[t-1]**2) @ grad_h[t-1] + 2 * h[t] * grad_L[t]"
    assert cell.check_equation(right).passed
    assert all(cost.is_right for cost in backward_pass(cell, right).costs)
    wrong = backward_pass(cell, right.replace("W.T", "W"))
    assert {c.name for c in wrong.costs if not c.is_right} == {"W", "U", "h"}
