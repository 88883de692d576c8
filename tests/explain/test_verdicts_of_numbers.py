"""What a displayed equality is compared with: measured rounding and finite numbers."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import bptt
from bptt.check.rounding import NO_DIGITS
from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.context import Subject
from bptt.explain.formula.report import WRONG
from bptt.explain.indices.lines import gradient_lines
from bptt.explain.instances import Options
from bptt.explain.verdict import Judged, error_of, verdict
from bptt.explain.verify import Verifier

SATURATED = "p[t] = sigmoid(50 + W @ x[t]); L[t] = bce(p[t], y[t])"
NO_DEVIATION = """
    h[t] = where(alpha <= 5, alpha, W @ x[t])
    L[t] = sqrt(mean((h[t] - mean(h[t])) ** 2))
    alpha: ()
"""


@cache
def subject(text):
    return Subject(bptt.Cell(text), "", Options(tau=3))


@cache
def explained(text):
    return bptt.Cell(text).explain(tau=2)


@pytest.mark.parametrize("relative", [1e-10, 1e-8, 1e-3, -2.0])
def test_a_formula_that_is_wrong_by_more_than_rounding_fails(relative):
    found = subject("h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = mse(h[t], y[t])")
    right = e.Nabla(e.Value("h", e.T))
    wrong = e.product(e.Number(1 + relative), right)
    chain = m.Chain((m.Link(right), m.Link(wrong)))
    checked = Verifier(found.points).chain(chain)
    assert checked.links[1].tree.status == m.FAILED
    assert checked.links[1].printed.status == m.FAILED
    same = replace(chain, links=(m.Link(right), m.Link(right)))
    assert Verifier(found.points).chain(same).status == m.PASSED


def test_the_same_numbers_are_rounded_otherwise_every_time():
    (point, *_) = subject("h[t] = tanh(W @ h[t-1] + U @ x[t])").points
    values = [p.value("h", 2) for p in (point, *point.otherwise)]
    assert len({value.tobytes() for value in values}) == len(values)
    for value in values[1:]:
        np.testing.assert_allclose(value, values[0], rtol=1e-14)
    for other in point.otherwise:
        np.testing.assert_array_equal(other.value("W", None), point.value("W", None))


def test_a_gap_that_rounding_makes_is_none_and_one_that_it_does_not_is():
    (point, *_) = subject("h[t] = tanh(W @ h[t-1] + U @ x[t])").points

    def noisy(other):
        return np.array([1e-9 if other is point else -1e-9])

    def still(other):
        return np.array([1e-9])

    found, right = np.array([1 + 1e-9]), np.ones(1)
    assert error_of(found, right, 1.0, point, noisy) <= 1e-12
    assert error_of(found, right, 1.0, point, still) == pytest.approx(1e-9)

    def wild(other):
        return np.array([1e-3 if other is point else -1e-3])

    assert error_of(found + 1e-3, right, 1.0, point, wild) == NO_DIGITS


def test_an_instance_at_which_nothing_can_be_told_does_not_count():
    assert verdict([Judged(0, 0.0), Judged(1, NO_DIGITS)]).instances == 1
    assert verdict([Judged(0, 0.0), Judged(1, NO_DIGITS)]).status == m.PASSED
    assert verdict([Judged(0, NO_DIGITS), Judged(0, 0.0)]).status == m.NOT_CHECKED
    assert verdict([Judged(0, NO_DIGITS), Judged(0, 0.5)]).status == m.FAILED
    assert verdict([Judged(0, float("nan"))]).status == m.FAILED


def test_what_is_not_finite_is_not_checked_and_says_so():
    found = explained(SATURATED)
    assert found.passed
    assert not found.document.badge.failed
    card = next(card for card in found.document.cards if card.id == "node:p")
    assert card.status == m.NOT_CHECKED
    assert card.open_note == m.Text("check.not-finite")
    said = "a value or a gradient is no finite number"
    for text in (found.text(), found.markdown(), found.html()):
        assert said in text
    assert "某个数值或梯度不是有限数" in replace(found, lang="zh").text()


@pytest.mark.parametrize("text", [SATURATED, NO_DEVIATION])
@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_are_shown_in_every_format(text):
    found = explained(text)
    for show in (found.text, found.markdown, found.latex, found.html, found.slides):
        assert show()


def test_smaller_numbers_are_taken_where_a_gradient_is_not_finite():
    cell = "p[t] = sigmoid(70 * (W @ x[t])); L[t] = bce(p[t], y[t])"
    assert all(point.is_finite for point in subject(cell).points)


def test_an_element_of_a_product_keeps_its_brackets():
    graph = subject("""
        v[t] = tanh(x[t])
        h[t] = ((A @ B) @ C) @ glu(E @ v[t], prod(v[t]))
        L[t] = mse(roll(h[t], 1), y[t])
    """).scope.graph
    (line,) = (k for k in gradient_lines(graph) if k.startswith("grad_v"))
    assert "sum(s, (A @ B @ C)[s, r] * grad_h[t, s])" in line


@pytest.mark.parametrize("function", ["sqrt", "log"])
def test_a_displayed_formula_without_numbers_where_the_cell_has_them_fails(function):
    found = subject("h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = mse(h[t], y[t])")
    right = e.Nabla(e.Value("h", e.T))
    wrong = e.Applied(function, (e.Value("h", e.T),))
    chain = m.Chain((m.Link(right), m.Link(wrong)))
    checked = Verifier(found.points).chain(chain)
    assert all(point.is_finite for point in found.points)
    assert checked.links[1].tree.status == m.FAILED
    assert checked.links[1].printed.status == m.FAILED


INDEXED = """
    i = 1, ..., n
    w: n; S: n; u: (n, n_x); y: n
    S[t, i] = tanh(w[i] * S[t-1, i] + dot(u[i], x[t]))
    L[t] = sum(i, (S[t, i] - y[t, i]) ** 2)
"""


@pytest.mark.parametrize(
    "right",
    [
        "2 * (S[t, i] - y[t, i]) + 0 * log(sum(x[t]))",
        "log(-1 - S[t, i] ** 2)",
        "sqrt(S[t, i] ** 2 - 5)",
    ],
)
def test_a_formula_of_an_indexed_cell_that_has_no_numbers_is_wrong(right):
    report = bptt.Cell(INDEXED).check_equation(f"grad_S[t, i] = {right}")
    assert report.status == WRONG
    assert "its shape is not" not in str(report)


@pytest.mark.parametrize(
    "text",
    [
        "L[t] = nll(softmax(x[t]), y[t])",
        "s: n_s = input\nL[t] = nll(softmax(s), y[t])",
        "s: n_s = input\nL = nll(softmax(s), y)",
    ],
)
def test_a_loss_that_an_input_alone_enters_is_explained(text):
    found = bptt.Cell(text).explain(tau=3)
    assert found.passed
    assert "11 checked" in str(found)
