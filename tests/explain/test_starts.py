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
