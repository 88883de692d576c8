"""No message suggests what is itself refused: every suggestion is fed back in."""

import re

import pytest

import bptt
from bptt.explain.algebra.point import Scope
from bptt.explain.notation.formula_tokens import FormulaSyntaxError
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.parse import parse_formula
from bptt.explain.notation.unread import UNREAD
from tests.explain.formula_table import table
from tests.explain.handwritten_passes import (
    PASSES,
    USERS_TEXT,
    in_notation,
    wrong_lines,
)

CELLS = {
    "book": bptt.cells.book,
    "lstm": bptt.cells.lstm,
    "gru": bptt.cells.gru,
    "users": bptt.Cell(USERS_TEXT),
    "no state": bptt.Cell("o[t] = V @ x[t]\nL[t] = mse(o[t], y[t])"),
}
REFUSED = (
    "", "   ", "{name}", "∇{name}[t] = ∇{name}[t]", "∇{name}[t]", "x[t]",
    "∇{name}[t] = ∇{name}[t] + 0 * ∇{name}[t]", "∇{name} = x[t]", "a" * 3000,
    r"\nabla_{{{name}^{{(t)}}}} L", "∇{name}[t] = {name}",
)  # fmt: skip
WRONG = {
    "book": (
        "∂h^(t+1)/∂h^(t) = W^T", "(∂h[t+1]/∂h[t]).T = W.T", "∂o[t]/∂h[t] = V.T",
        "∂h[t]/∂a[t] = 1 - h[t]**2", "∇W = ∇a[t] h[t-1].T", "∇b = ∇a[t]",
        "∇W[t] = sum(t, 1, tau, ∇a[t] h[t-1].T)", "∇b = sum(t, 2, tau, ∇a[t])",
        "∇b = sum(t, 1, tau-1, ∇a[t])", "∇c = sum(t, 1, tau, ∇o[t]) / tau",
        "∇c = 1/tau * sum(t, 1, tau, ∇o[t])", "∇o[t] = one_hot(y[t], n_o) - ŷ[t]",
        "∇o[t] = ŷ[t] - one_hot(y[t], n_o) / tau",
        "∇h[t] = W.T (1 - h[t+1]**2) ∇h[t+1] + V.T ∇o[t]",
        r"\nabla_{h^{(t)}} L = W^\top \nabla_{h^{(t+1)}} L + V^\top \nabla_{o^{(t)}} L",
        r"\nabla_{o^{(t)}} L = \mathbf{e}_{y^{(t)}} - \hat{y}^{(t)}",
        "∂h[tau]/∂h[1] = W", "∇L[t] = 2", "∇h[tau] = V ∇o[tau]",
    ),
    "lstm": ("∇h[t] = 0 * h[t]", "∇h[t] = W_i.T ∇i[t+1]", "∇s[t] = f[t] ∇s[t+1]"),
    "gru": ("∇h[t] = incoming(h[t])", "∇z[t] = h[t-1] * ∇h[t]"),
    "users": ("∇u[t] = relu(u[t]) * ∇v[t]",),
}  # fmt: skip


def state_of(cell):
    graph = cell.graph
    return next(iter([*graph.states, *graph.definitions]))


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("name", CELLS)
def test_what_a_refusal_suggests_is_right(name, text):
    cell = CELLS[name]
    with pytest.raises(bptt.BpttError) as caught:
        cell.check_equation(text.format(name=state_of(cell)))
    error = caught.value
    for said in (str(error), error.say("zh")):
        for example in re.findall(r"(?:for example|例如) '(.*)'", said):
            assert cell.check_equation(example).passed, example
    if isinstance(error, FormulaSyntaxError) and error.fix:
        assert parse_formula(error.fix, Scope(cell.graph))


@pytest.mark.parametrize("name", WRONG)
def test_what_a_wrong_equation_is_told_is_right(name):
    for text in WRONG[name]:
        report = CELLS[name].check_equation(text)
        assert not report.passed
        known = re.findall(r"^Right: (.*)$", str(report), re.MULTILINE)
        if "tau]/∂h[1]" not in text:
            assert known == [report.suggestion], text
        for equation in known:
            assert CELLS[name].check_equation(equation).passed, equation
        if report.edit is not None:
            scope = Scope(CELLS[name].graph)
            for part in report.edit.parts:
                assert parse_formula(report.write(part), scope)


@pytest.mark.parametrize("name", PASSES)
def test_what_random_wrong_equations_are_told_is_right(name):
    for target, line in wrong_lines(name, 8, seed=1):
        text = in_notation(name, target, line)
        try:
            report = CELLS[name].check_equation(text)
        except bptt.BpttError:  # a sum to tau has no step tau + 1
            continue
        if report.suggestion:
            assert CELLS[name].check_equation(report.suggestion).passed, text


LIKELY = {
    "∂h^(t+1)/∂h^(t) = W^T": "write", "∇W = ∇a[t] h[t-1].T": "missing sum",
    "∇b = sum(t, 2, tau, ∇a[t])": "bounds",
    "∇c = sum(t, 1, tau, ∇o[t]) / tau": "extra factor",
    "∇o[t] = one_hot(y[t], n_o) - ŷ[t]": "sign",
    "∇h[t] = W.T (1 - h[t+1]**2) ∇h[t+1] + V.T ∇o[t]": "diag",
    "∇L[t] = 2": "replace", "∇L[t] = 0": "replace", "∇L[t] = 1/tau": "extra factor",
}  # fmt: skip


@pytest.mark.parametrize("text", LIKELY)
def test_the_likely_fix_is_there_where_it_is_needed_most(text):
    assert bptt.check_equation(text).edit.kind == LIKELY[text]


@pytest.mark.parametrize(("name", "text"), [
    *(("book", text) for text in (*LIKELY, *WRONG["book"])),
    *((name, text) for name in ("lstm", "gru") for text in WRONG[name]),
    *((name, text) for name in ("book", "gru") for kind, text in table(name)[::3]
      if kind in ("wrong", "misshapen")),
])  # fmt: skip
def test_in_latex_a_wrong_formula_is_told_the_same(name, text):
    cell = CELLS[name]
    sides = parse_formula(text, Scope(cell.graph))
    plain = cell.check_equation(text)
    typeset = cell.check_equation(" = ".join(map(to_latex, sides)))
    for report in (plain, typeset):
        if report.suggestion:
            assert cell.check_equation(report.suggestion).passed
    kinds = [report.edit and report.edit.kind for report in (plain, typeset)]
    assert kinds[0] == kinds[1]
    assert [hint.id for hint in plain.hints] == [hint.id for hint in typeset.hints]


def test_from_outside_is_explained_to_who_forgot_it():
    report = bptt.cells.lstm.check_equation("∇h[t] = W_i.T ∇i[t+1]")
    assert "incoming(h[t]) is what arrives at h[t] from outside" in str(report)
    assert "从外部传到 h[t] 的梯度" in report.say("zh")


OPERATORS = ("*", r"\odot", "=")  # what to write, where it stands between two values


@pytest.mark.parametrize("sign", UNREAD)
def test_what_is_to_be_written_for_a_sign_that_is_not_read_is_read(sign):
    _, way = UNREAD[sign]
    named = re.sub(r"\b[uv]\b", "h_t", way).replace("A", "W")
    text = f"h_t {way} a_t" if way in OPERATORS else named
    assert parse_formula(text, Scope(bptt.cells.book.graph))
    left = r"\nabla_b L" if sign.startswith("\\") else "∇b"
    with pytest.raises(FormulaSyntaxError, match="is not read: "):
        bptt.check_equation(f"{left} = b {sign} c")


def test_where_a_function_is_wrong_all_of_it_is_replaced():
    (text,) = WRONG["users"]
    advice = CELLS["users"].check_equation(text).edit.advice
    assert advice == "1 - tanh(u[t])**2 in place of relu(u[t])"


AGAINST_TIME = {
    "∂h[t]/∂h[t+1] = W": "partial(h[t+1], h[t])",
    "∂a[t]/∂h[t] = diag(1 - h[t]**2)": "partial(h[t], a[t])",
    "dh[t-1]/dh[t] = W.T": "total(h[t], h[t-1])",
    "∂h[t]/∂h[t+2] = W": "total(h[t+2], h[t])",
    "dh[t]/dh[t+3] = W": "total(h[t+3], h[t])",
    "∂h[t]/∂h[tau] = W": "total(h[tau], h[t])",
    "∂h[t]/∂L = h[t]": "partial(L, h[t])", "∂L[t]/∂L = 1": "partial(L, L[t])",
}  # fmt: skip


@pytest.mark.parametrize(("text", "turned"), AGAINST_TIME.items())
def test_of_a_derivative_against_time_it_is_said_which_one_is_meant(text, turned):
    report = bptt.check_equation(text)
    assert not report.suggestion
    for lang, end in (("en", f"in the other direction is {turned}."),
                      ("zh", f"反方向的导数是 {turned}。")):  # fmt: skip
        assert report.say(lang).endswith(end)
    assert "Along all paths" not in str(report)
    assert parse_formula(turned, Scope(bptt.cells.book.graph))


def test_where_both_directions_are_0_none_is_named():
    report = bptt.check_equation("∂o[t+2]/∂o[t] = 0 * o[t] o[t].T + 1")
    assert not report.hints


def test_where_an_edge_leads_over_two_steps_no_sentence_denies_it():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-2] + U @ x[t])")
    forth = cell.check_equation("∂h[t+2]/∂h[t] = W")
    assert [hint.id for hint in forth.hints] == []
    assert cell.check_equation(forth.suggestion).passed
    (back,) = cell.check_equation("∂h[t]/∂h[t+2] = W").hints
    assert back.fields["meant"] == "partial(h[t+2], h[t])"


def test_a_name_that_a_cell_has_not_is_answered_in_the_language_asked_for():
    with pytest.raises(bptt.BpttError) as caught:
        bptt.cells.lstm.check_equation("∇hh[t] = V.T @ ∇o[t]")
    assert str(caught.value).endswith(
        "q, s, h. This cell has no loss of its own: what arrives at h[t] from outside"
        " is incoming(h[t]); did you mean h?"
    )
    chinese = caught.value.say("zh")
    assert chinese.endswith("从外部传到 h[t] 的梯度写成 incoming(h[t])；是不是 h？")
    assert "、q、s、h。" in chinese


def test_an_inner_product_of_one_dimensional_arrays_runs():
    said = str(bptt.check_equation("∇a[t] = (1 - h[t]**2) @ ∇h[t]"))
    assert said.endswith(
        "it runs without an error, but the result has not the shape of ∇_a."
    )
