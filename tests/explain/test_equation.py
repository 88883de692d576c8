"""Checking a person's own formula: what it says of right, wrong and misshapen ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt
from bptt.explain.algebra.point import Scope, UnknownSymbolError
from bptt.explain.algebra.shape import FormulaShapeError, shape_of
from bptt.explain.formula.equation import NoPointError, NotAnEquationError
from bptt.explain.notation.formula_tokens import FormulaSyntaxError
from bptt.explain.notation.parse import parse_formula

RIGHT = "grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]"


@pytest.mark.parametrize("text", [
    RIGHT,
    "∇h[t] = Wᵀ @ diag(1 - h[t+1]²) @ ∇h[t+1] + Vᵀ @ ∇o[t]",
    "∇_h[t] L = W^T @ diag(1 - h[t+1]^2) @ ∇_h[t+1] L + V^T @ ∇_o[t] L",
    "∇h[t] = W.T @ (∇h[t+1] ⊙ (1 - h[t+1]**2)) + V.T @ ∇o[t]",
    "∇h[t] = V.T @ ∇o[t] + W.T @ ∇a[t+1]",
    "∇h[tau] = V.T @ ∇o[tau]",
    "∇o[t] = ŷ[t] - one_hot(y[t], n_o)",
    "∇o[t,i] = y_hat[t,i] - delta(i, y[t])",
    "∇W = sum(t, 1, tau, ∇W[t]) = sum(t, 1, tau, ∇a[t] @ h[t-1].T)",
    "∂h[t+1]/∂h[t] = diag(1 - h[t+1]**2) @ W",
    "∂h[t,i]/∂a[t,j] = delta(i, j) * (1 - h[t,i]**2)",
    "∇h[0] = W.T @ ∇a[1]",
    "∇b = sum(t, 1, tau, diag(1 - h[t]**2) @ ∇h[t])",
])  # fmt: skip
def test_a_right_formula_is_right_however_it_is_spelt(text):
    report = bptt.check_equation(text)
    assert report.passed, str(report)
    assert report.error <= 1e-12
    assert report.instances == 3
    assert str(report).startswith("right ")


def test_the_printed_order_of_10_21_is_refused_with_its_shapes_and_what_it_costs():
    report = bptt.check_equation(
        "grad_h[t] = W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]"
    )
    assert report.status == "shapes do not fit"
    assert report.edit.kind == "swap"
    assert report.trap.is_silent
    by_name = {cost.parameter: cost for cost in report.trap.costs}
    assert by_name["V"].error < 1e-14
    assert by_name["c"].error < 1e-14
    assert by_name["W"].error == pytest.approx(0.14, abs=0.01)
    assert by_name["W"].cosine == pytest.approx(0.991, abs=0.001)
    assert (
        str(report)
        == """\
shapes do not fit:
    grad_h[t] = W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]
                                    ^^^^^^^^^^^^^^^^^^^
the factors have shapes (n_h×n_h) (n_h×1) (n_h×n_h): 1 columns meet n_h rows
Likely fix: swap the factors grad_h[t+1] and diag(1 - h[t+1]**2)
Right: grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]
As one-dimensional NumPy arrays it runs without an error and is wrong. A backward pass \
with it gives, for tau = 4, n_x = 2, n_o = 3, n_h = 4:
  ∇_b: relative error 0.28, cosine 0.962
  ∇_W: relative error 0.14, cosine 0.991
  ∇_U: relative error 0.13, cosine 0.993
  ∇_h[t]: relative error 0.13, cosine 0.992
  ∇_c, ∇_V: right in this pass, so checking them alone shows nothing"""
    )


@pytest.mark.parametrize(("text", "kind", "pointed"), [
    ("∇h[t] = W.T @ ∇h[t+1] + V.T @ ∇o[t]", "missing factor", "∇h[t+1]"),
    ("∇h[t] = W @ diag(1 - h[t+1]**2) @ ∇h[t+1] + V.T @ ∇o[t]", "transpose", "W"),
    ("∇h[t] = W.T @ diag(1 - h[t]**2) @ ∇h[t+1] + V.T @ ∇o[t]", "step", "h[t]"),
    ("∇h[t] = W.T @ diag((1 - h[t+1])**2) @ ∇h[t+1] + V.T @ ∇o[t]", "replace",
     "(1 - h[t+1])**2"),
    ("∇h[t] = W.T @ diag(1 - h[t+1]**2) @ ∇h[t] + V.T @ ∇o[t]", "step", "h[t]"),
    ("∇h[t] = W.T @ diag(1 - h[t+1]**2) @ ∇h[t+1] - V.T @ ∇o[t]", "sign",
     "- V.T @ ∇o[t]"),
    ("∇W = sum(t, 1, tau, diag(1 - h[t]**2) @ ∇h[t] @ h[t].T)", "step", "h[t]"),
    ("∇o[t,i] = y_hat[t,i] - 1", "replace", "1"),
    ("∂h[t+1]/∂h[t] = W @ diag(1 - h[t+1]**2)", "swap", "W"),
    ("∇c = sum(t, 1, tau, V.T @ ∇o[t])", "extra factor", "V.T"),
    ("∇h[tau] = V @ ∇o[tau]", "transpose", "V"),
    ("∇x[t] = U.T @ ∇a[t] + ∇x[t]", "extra term", "∇x[t]"),
])  # fmt: skip
def test_the_first_part_that_differs_is_pointed_at_with_its_fix(text, kind, pointed):
    report = bptt.check_equation(text)
    assert not report.passed
    assert report.edit is not None
    assert report.edit.kind == kind
    start, end = report.edit.span
    assert text[start:end].strip("() ") in (pointed, pointed.strip("()"))
    assert "Likely fix" in str(report)
    assert "^" in report.problem


def test_a_missing_term_is_named_and_pointed_at_behind_the_formula():
    report = bptt.check_equation("∇h[t] = V.T @ ∇o[t]")
    assert report.edit.kind == "missing term"
    assert report.edit.advice == (
        "the term W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] is missing"
    )
    assert report.trap.costs[1].cosine < 1


def test_every_fix_that_is_advised_is_right_itself():
    for future in ("W.T @ ∇h[t+1]", "W @ diag(1 - h[t+1]**2) @ ∇h[t+1]"):
        report = bptt.check_equation(f"∇h[t] = {future} + V.T @ ∇o[t]")
        from_scratch = bptt.explain.notation.plain.to_ascii(report.edit.result)
        assert bptt.check_equation(f"grad_h[t] = {from_scratch}").passed


def test_two_mistakes_at_once_are_not_explained_by_one_fix():
    report = bptt.check_equation("∇h[t] = W @ ∇h[t+1] - V.T @ ∇o[t]")
    assert report.edit is None
    assert "Likely fix" not in str(report)
    assert "Right: grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1]" in str(report)


def test_any_cell_can_be_asked():
    right = (
        "∇s[t] = diag(f[t+1]) @ ∇s[t+1] + diag(1 - tanh(s[t])**2) @ diag(q[t]) @ ∇h[t]"
    )
    assert bptt.check_equation(right, bptt.cells.lstm).passed
    wrong = bptt.check_equation(right.replace("f[t+1]", "f[t]"), bptt.cells.lstm)
    assert wrong.edit.advice == "another step: f[t+1]"


def test_a_wrong_formula_has_a_large_error_and_an_infinite_one_is_said():
    report = bptt.check_equation("∇h[t] = h[t] / (b - b)")
    assert report.error == np.inf
    assert not report.passed


@pytest.mark.parametrize(("text", "error", "message"), [
    ("V.T @ grad_o[t]", NotAnEquationError, "write what it equals, for example"),
    ("grad_h[t] = grad_h[t]", NotAnEquationError, "so it says nothing"),
    ("grad_h[t] = V.T ! grad_o[t]", FormulaSyntaxError, "! is not read; read are"),
    ("grad_h[t] = V.T ] grad_o[t]", FormulaSyntaxError, "] cannot stand here"),
    ("grad_h[t] = V.T @", FormulaSyntaxError, "a value is missing here"),
    ("grad_h[t] = Z @ h[t]", UnknownSymbolError, "Z is not a name of this cell"),
    ("grad_h = h[t]", FormulaSyntaxError, "h has a value at every step"),
    ("grad_h[q] = h[t]", FormulaSyntaxError, "a step is t, s, tau or a number"),
    ("grad_h[t] = frob(h[t])", FormulaSyntaxError, "frob is not an operation"),
    ("grad_h[t] = tanh(h[t], h[t])", FormulaSyntaxError, "tanh takes 1 values, not 2"),
    ("grad_h[t] = h[t", FormulaSyntaxError, 'expected "]"'),
    ("grad_h[t] = $h[t]", FormulaSyntaxError, "$ is not read; read are"),
    ("grad_h[t] = i + h[t]", FormulaSyntaxError, "i is an index"),
    ("grad_h[t] = sum(i, n_q, h[t,i])", FormulaSyntaxError, "n_q is not a dimension"),
    ("grad_h[t] = " + "(" * 80 + "h[t]" + ")" * 80, FormulaSyntaxError, "too many"),
    ("grad_h[t] = " + "-" * 900 + "h[t]", FormulaSyntaxError, "too many nested"),
    ("grad_h[t] = b" + "/b" * 900, FormulaSyntaxError, "too many nested operations"),
    ("grad_b = " + "sum(t, 1, tau, " * 4 + "b" + ")" * 4, FormulaSyntaxError,
     "too many sums inside sums"),
    ("", bptt.BpttError, "a formula is a text of 1 to 20000 characters"),
    ("grad_h[t+99] = h[t]", UnknownSymbolError, "are defined together at no step"),
])  # fmt: skip
def test_each_mistake_in_writing_a_formula_is_said(text, error, message):
    with pytest.raises(error) as caught:
        bptt.check_equation(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message", "suggestion"), [
    ("grad_b = sum(t, 1, tau+999999999, b)", "leaves the sequence of 5 steps",
     "grad_b = sum(t, 1, tau, grad_a[t])"),
    ("grad_h[0] = W.T @ grad_a[0]", "there is no a^(0)", "grad_h[0] = W.T @ grad_a[1]"),
])  # fmt: skip
def test_what_is_defined_at_no_step_is_wrong_and_mended(text, message, suggestion):
    report = bptt.check_equation(text)
    assert report.status == "wrong"
    assert message in report.problem
    assert report.suggestion == suggestion


def test_a_product_that_does_not_fit_names_all_its_shapes_and_where():
    scope = Scope(bptt.cells.book.graph)
    (product,) = parse_formula("V.T @ W", scope)
    with pytest.raises(FormulaShapeError, match="n_o columns meet n_h rows") as caught:
        shape_of(product, scope)
    assert caught.value.expr.name == "W"


def test_a_cell_that_is_finite_nowhere_is_not_compared():
    cell = bptt.Cell("h[t] = sqrt(0 - 1 - x[t] ** 2) + b\nL[t] = sum(h[t])")
    with pytest.raises(NoPointError, match="no random point was found where every"):
        cell.check_equation("∇b = sum(t, 1, tau, ∇h[t])")


def test_the_caret_stands_under_the_place_whatever_its_characters():
    with pytest.raises(FormulaSyntaxError) as caught:
        bptt.check_equation("∇h[t] = Vᵀ @ ∇o[t] ? h[t]")
    shown, caret = str(caught.value).splitlines()[:2]
    assert shown[caret.index("^")] == "?"


PIECES = st.sampled_from([
    "h[t]", "W", "grad_h[t+1]", "∇", "∂", "(", ")", "[", "]", ",", "@", "*", "/", "**",
    ".T", "+", "-", "=", "sum(", "diag(", "delta(", "t", "tau", "i", "2", "1e9", "_",
    "partial(", "one_hot(", "n_h", "y[t]", "²", "ᵀ", "w[t]", "lookup(", "eye(",
    "__class__",
])  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_message(text):
    try:
        sides = parse_formula(text, Scope(bptt.cells.book.graph))
    except bptt.BpttError:
        sides = (None,)
    assert sides


@pytest.mark.parametrize(("text", "found"), [
    ("grad_o[t,i] = y_hat[t,i] - 1[y[t]]", "Likely fix: delta(i, y[t]) in place"),
    ("grad_h[t,i] = h[t][i][i]", "an array of shape 1×1 takes 0"),
    ("grad_o[t] = y_hat[t] - W[t,i]", "an array of shape n_h×n_h takes 2"),
    ("grad_h[t] = h[t,y[t]]", "the values differ"),
    ("grad_h[t] = h[t] / 0", "its values are not finite"),
])  # fmt: skip
def test_an_index_too_many_or_out_of_range_is_said(text, found):
    assert found in str(bptt.check_equation(text))


def test_an_index_that_nothing_runs_over_is_said():
    with pytest.raises(UnknownSymbolError, match="the left side has no index i"):
        bptt.check_equation("∂a[t,j]/∂h[t-1,k] = W[j,i]")
