"""A start that the cell writes, `h[0] = ...`: told in words, used in the numbers."""

import numpy as np
import pytest

import bptt
from bptt.explain.context import Subject
from bptt.explain.instances import Options

DELAYED = """
    h[0] = tanh(p)
    h[t] = tanh(W @ h[t-1] + R @ h[t-2] + U @ x[t])
    L[t] = mse(h[t], y[t])
    """
CELLS = {
    "alone": DELAYED.replace(" + R @ h[t-2]", ""),
    "beside a delay": DELAYED,
    "beside a long delay": DELAYED.replace("t-2", "t-4"),
    "ahead": "h[tau+1] = tanh(p)\nh[t] = tanh(W @ h[t+1] + R @ h[t+2] + U @ x[t])\n"
    "L[t] = mse(h[t], y[t])",
}


@pytest.mark.parametrize("name", CELLS)
def test_no_name_is_shown_that_carries_a_start_over_steps(name):
    found = bptt.Cell(CELLS[name]).explain()
    assert found.passed
    assert found.document.badge.checked == found.document.badge.equations > 30
    for text in (found.text(), found.markdown(), found.html()):
        assert "_lag" not in text
        assert "_ahead" not in text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_the_names_of_a_start_stand_for_is_said(lang):
    said = " ".join(bptt.Cell(DELAYED).explain(lang=lang).text(width=400).split())
    words = {"en": "h_before⁽ᵗ⁾, which is h_start⁽ᵗ⁾ at the first step and h⁽ᵗ⁻¹⁾",
             "zh": "第一步取 h_start⁽ᵗ⁾，以后各步取 h⁽ᵗ⁻¹⁾"}  # fmt: skip
    assert words[lang] in said
    plain = "h[t] = tanh(W @ h[t-1] + U @ x[t])"
    assert "which is" not in bptt.Cell(plain).explain().text()


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_begin_with_the_start_and_its_gradient_is_not_nothing(name):
    subject = Subject(bptt.Cell(CELLS[name])._open_loss(), name, Options())
    for point in (subject.shown, *subject.points):
        graph = point.graph
        is_ahead = name == "ahead"
        place = graph.place(
            "h_after" if is_ahead else "h_before", graph.tau if is_ahead else 1
        )
        written = np.tanh(graph.values[graph.place("p")])
        np.testing.assert_array_equal(graph.values[place], written)
        assert np.abs(graph.grad(graph.place("p"))).max() > 1e-6


def test_a_formula_that_forgets_the_start_is_wrong():
    cell = bptt.Cell(CELLS["alone"])
    assert not cell.check_equation("grad_p = 0 * p").passed
    right = "grad_h_start[t] = (1 - begun[t-1]) * grad_h_before[t]"
    assert cell.check_equation(right).passed


def test_a_mean_over_the_steps_is_the_mean_of_the_numbers_shown():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + V @ x[t])\n"
                     "m = mean(t, h[t])\nL = mse(A @ m, y)")  # fmt: skip
    point = cell.explain().document.shown
    states = np.array([point.value("h", t) for t in range(1, 5)])
    np.testing.assert_allclose(point.value("m", 4), states.mean(0), rtol=1e-14)


TOTALS = {
    "sums at places": """
        j = 1, ..., n_j
        A: (n_j, n_x)
        S: n_j
        S[t, j] = tanh(0.5 * S[t-1, j] + dot(A[j], x[t]))
        m[j] = sum(t, S[t, j])
        L = mse(m, y)
    """,
    "a taken name": """
        sum_t1: n_h
        h[t] = tanh(W @ h[t-1] + V @ x[t] + sum_t1)
        m = sum(t, h[t])
        L = mse(A @ m, y)
    """,
}


@pytest.mark.parametrize("case", TOTALS)
def test_what_is_summed_over_the_steps_begins_at_0(case):
    cell = bptt.Cell(TOTALS[case])._open_loss()
    values = Subject(cell, "", Options(tau=3)).shown.graph.values
    found = {(p.name, p.t): value for p, value in values.items()}
    state = "S" if case == "sums at places" else "h"
    total = sum(found[state, t] for t in (1, 2, 3))
    np.testing.assert_allclose(found["m", 3], total, atol=1e-14)


OWN = "c[t] = c[t-1] + 1; c: ()\nh[t] = tanh(U @ x[t] * c[t])\nL[t] = mse(h[t], y[t])"
SUM = "sum_t1[t] = sum_t1[t-1] + V @ x[t]\nL[t] = mse(sum_t1[t], y[t])"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(OWN, "c[1] = 1"), (OWN, "c[0] = 0"), (SUM, "sum_t1[1] = V @ x[1]")],
)
def test_a_state_of_the_cells_own_begins_anywhere(text, wrong):
    assert not bptt.Cell(text).check_equation(wrong).passed


TAKEN = {
    "a node begun": "begun[t] = sigmoid(V @ x[t])\n"
    "h[0] = tanh(p)\nh[t] = tanh(W @ h[t-1] + R @ h[t-3] + begun[t])\nL[t] = sum(h[t])",
    "a parameter h_start": "h_start: n_h\nh[0] = tanh(p)\n"
    "h[t] = tanh(W @ h[t-1] + R @ h[t-3] + x[t]) + h_start\nL[t] = sum(h[t])",
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_start_is_told_whatever_names_are_taken(case):
    text = str(bptt.Cell(TAKEN[case]).explain(tau=3))
    assert "The cell writes the start of h" in text
    assert "h_lag" not in text


def test_what_a_cell_writes_itself_is_no_start():
    cell = bptt.Cell(
        "h: n_h; begun: ()\nbegun[t] = sum(x[t])\nh_start[t] = x[t]\n"
        "h_before[t] = where(begun[t-1], h[t-1], h_start[t])\n"
        "h[t] = tanh(W @ h_before[t])\nL[t] = sum(h[t])"
    )
    assert "writes the start" not in str(cell.explain(tau=3))
