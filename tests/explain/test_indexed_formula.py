"""Formulas of one's own for a cell with indices: right, wrong, and no formulas."""

import pytest
from typer.testing import CliRunner

from bptt import Cell
from bptt.cli.app import app
from bptt.explain.formula.indexed import IndexedFormulaError
from bptt.explain.formula.indexed_edits import changes
from bptt.explain.indices.lines import Lines
from bptt.explain.indices.typeset import Typesetter
from bptt.explain.notation.latex import to_latex
from bptt.explain.sentences import SentenceError
from tests.explain.test_indexed import CELLS, MEMORY, subject

CELL = Cell(MEMORY)
S = "outer(V[j].T @ grad_o[t], k[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T"
RIGHT = [
    f"grad_S[t, j] = {S}",
    "∇S[t, j] = outer(V[j]ᵀ @ ∇o[t], k[t, j]) + ∇S[t+1, j] @ diag(g[t+1, j])",
    "∂L/∂S[t,j] = outer(V[j].T @ dL/do[t], k[t,j]) + grad_S[t+1,j] @ diag(g[t+1,j])",
    "grad_S[tau, j] = outer(V[j].T @ grad_o[tau], k[tau, j])",
    "grad_k[t, j] = grad_S[t, j].T @ v[t, j] + S[t, j].T @ (V[j].T @ grad_o[t])",
    "grad_W_k[j] = sum(t, 1, tau, outer(grad_k[t, j], x[t]))",
    "grad_W_k[t, j] = outer(grad_k[t, j], x[t])",
    "grad_o[t] = 2 * w[t] * (o[t] - y[t]) / n_o",
    "S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])",
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_formula_is_right(text):
    report = CELL.check_equation(text)
    assert report.passed, str(report)
    assert report.error < 1e-12


LATEX = [
    r"""\nabla_{S_j^{(t)}} L = (V_j^\top \nabla_{o^{(t)}} L) {k_j^{(t)}}^\top
      + \nabla_{S_j^{(t+1)}} L \, \mathrm{diag}(g_j^{(t+1)})""",
    r"\nabla_{W_{\mathrm{k},j}} L = \sum_{t=1}^{\tau} \nabla_{k_j^{(t)}} L x^{(t)\top}",
    r"\nabla_{W_{k,j}} L = \sum_t \nabla_{k^{(t)}_j} L\; {x^{(t)}}^T",
    r"\nabla_{o^{(t)}} L = \frac{2}{n_o} w_t (o^{(t)} - y^{(t)})",
    r"""\frac{\partial L}{\partial v_j^{(t)}} = \left(1 - {v_j^{(t)}}^2\right)^0 \odot
      \frac{\partial L}{\partial S_j^{(t)}} k_j^{(t)}""",
    r"o^{(t)} = \sum_{j=1}^{n_{head}} V_j S_j^{(t)} k_j^{(t)}",
    r"\nabla_{S_j^{(\tau)}} L = V_j^\top \nabla_{o^{(\tau)}} L\, {k_j^{(\tau)}}^\top",
]


@pytest.mark.parametrize("text", LATEX)
def test_latex_is_read(text):
    report = CELL.check_equation(text)
    assert report.passed, str(report)


def test_a_wrong_formula_in_latex_gets_the_same_advice():
    wrong = LATEX[0].replace(r"g_j^{(t+1)}", "g_j^{(t)}")
    assert CELL.check_equation(wrong).edit.advice == "another step: g[t+1, j]"
    turned = LATEX[1].replace(r"x^{(t)\top}", "x^{(t)}")
    assert not CELL.check_equation(turned).passed


WRONG = {
    f"grad_S[t, j] = {S.replace('g[t+1', 'g[t')}": "another step: g[t+1, j]",
    "grad_S[t, j] = outer(V[j].T @ grad_o[t], k[t, j])":
        "the term grad_S[t+1, j] @ diag(g[t+1, j]).T is missing",
    "grad_W_k[j] = outer(grad_k[t, j], x[t])":
        "the sum over all steps is missing: sum(t, outer(grad_k[t, j], x[t]))",
    "grad_W_k[j] = sum(t, outer(x[t], grad_k[t, j]))":
        "swap the factors x[t] and grad_k[t, j]",
    f"grad_S[t, j] = {S.replace('V[j].T', 'V[j]')}": "the transpose, V[j].T",
    f"grad_S[t, j] = {S.replace(' + ', ' - ')}": "a plus sign",
    f"grad_S[t, j] = {S} + S[t, j]": "leave this term out",
    "grad_o[t] = 2 * w[t] * (y[t] - o[t]) / n_o": "a minus sign",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_formula_is_refused_with_its_fix(text):
    report = CELL.check_equation(text)
    assert not report.passed
    assert report.edit.advice == WRONG[text]
    assert CELL.check_equation(report.suggestion).passed
    assert report.say("zh") != report.say("en")


def test_a_wrong_formula_says_where_and_how_far():
    report = CELL.check_equation("grad_S[t, j] = outer(V[j].T @ grad_o[t], k[t, j])")
    assert "It fails for t = 1 ... tau-1." in str(report)
    assert report.status == "wrong" and report.error > 1e-3


NONE = {
    "": "1 to 20000 characters, for example 'grad_S[t, j] = outer(",
    "grad_S[t, j]": "a formula of a cell with indices is an equation",
    r"\nabla_{S} = 3": "S has a value at every step",
    r"\nabla_{S_j^{(t)}} L": "in the language of cells",
    r"\nabla_{S_j^{(t)}} L = \sum_{j=1}^{3} V_j": 'expected "n_head", not "3"',
    r"\nabla_{S_j^{(t)}} L = \wp": "is not read",
    r"\nabla_{S_j^{(t)}} L = (V_j": 'expected ")", not the end',
    "grad_Z[t, j] = 0": "Z is not a name of this cell",
    "grad_S[t, j] = Q[j] @ k[t, j]": "Q is not a name of this cell",
    "grad_S[t, j] = grad_S[t, j]": "has its left side on the right",
    "grad_S = 0": "S has a value at every step",
    "grad_S[t, j] = grad_S[t+1, i]": "`i` is not a place",
    "grad_S[t, j] = S[t, j] @@ 3": "is not an expression",
    "2 * grad_S[t, j] = 0": "is no left side",
}


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_formula_says_why(text):
    with pytest.raises(SentenceError) as found:
        CELL.check_equation(text)
    assert NONE[text] in str(found.value)
    assert found.value.say("zh") != str(found.value)


@pytest.mark.parametrize("name", CELLS)
def test_what_is_shown_is_accepted_and_a_change_of_it_is_not(name):
    cell = Cell(CELLS[name])
    graph = subject(CELLS[name]).scope.graph
    lines = Lines(graph)
    state = next(n for n in [*graph.states, *graph.definitions] if lines.terms.of(n))
    line = lines.whole(state)[0]
    assert cell.check_equation(line.text).passed
    shown = Typesetter(graph)
    sides = (to_latex(shown.formula(t, line.letters)) for t in (line.left, line.right))
    assert cell.check_equation(r"{} = {}\,".format(*sides)).passed
    for change in list(changes(line.right, graph, ()))[1:4]:
        try:
            report = cell.check_equation(f"{line.left} = {change.result}")
        except SentenceError:
            continue
        # `begun` is 1 at every step but the first.
        assert not report.passed or "begun[" in change.result, change.result


def test_the_command_checks_a_formula_of_such_a_cell(tmp_path):
    file = tmp_path / "memory.cell"
    file.write_text(MEMORY)
    run = CliRunner().invoke(app, ["check", str(file), "--equation", RIGHT[0]])
    assert run.exit_code == 0 and "right for t = 1 ... tau" in run.output
    run = CliRunner().invoke(
        app, ["check", str(file), "--equation", next(iter(WRONG)), "--lang", "zh"]
    )
    assert run.exit_code == 1 and "g[t+1, j]" in run.output


def test_a_formula_without_an_equals_sign_is_a_mistake_of_its_own():
    with pytest.raises(IndexedFormulaError, match="is an equation in the language"):
        CELL.check_equation("outer(V[j].T @ grad_o[t], k[t, j])")
