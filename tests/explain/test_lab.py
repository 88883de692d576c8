"""The page's box against `check_equation`: the same numbers, the same notations."""

import pytest

import bptt
from bptt.explain.formula.equation import backward_pass
from bptt.explain.notation.unread import UNREAD
from tests.explain import handwritten_passes as by_hand
from tests.explain.conftest import Opened
from tests.explain.documents import CELLS, explained
from tests.explain.formula_table import CELLS as TABLED
from tests.explain.formula_table import table
from tests.explain.test_backward_pass import CELLS as PASSED
from tests.explain.test_backward_pass import COUNT
from tests.explain.test_browser import judged
from tests.explain.test_notations import AS_COPIED, PRINTED, PRINTED_10_21


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """A tab with the page of a cell, by name."""
    folder, opened = tmp_path_factory.mktemp("labs"), {}

    def open_one(name):
        if name not in opened:
            cell = PASSED.get(name) or TABLED.get(name) or bptt.cells.get(name)
            found = cell.explain(name=name)
            file = folder / f"{name}.html"
            file.write_text(found.html(), encoding="utf-8")
            opened[name] = Opened(browser, file).ready()
        return opened[name]

    yield open_one
    for page in opened.values():
        page.context.close()


@pytest.mark.parametrize("name", PASSED)
def test_the_box_gives_the_numbers_of_check_equation(lab, name):
    page, ran = lab(name), 0
    lines = by_hand.wrong_lines(name, COUNT)
    if name == "book":
        lines += [("h", text) for text in MISTAKES]
    for target, text in lines:
        equation = by_hand.in_notation(name, target, text)
        trap = backward_pass(PASSED[name], equation)
        columns, flat = judged(page, equation)
        if trap.problem is not None:
            assert isinstance(columns, str), equation
            continue
        found = flat if trap.is_misshapen else columns
        assert isinstance(found, dict), (equation, found)
        assert found.keys() == {cost.name for cost in trap.costs}, equation
        for cost in trap.costs:
            error, cosine = found[cost.name]
            assert error == pytest.approx(cost.error, rel=1e-8, abs=1e-10), equation
            assert cosine == pytest.approx(cost.cosine, rel=1e-8, abs=1e-8), equation
        ran += 1
    assert ran > COUNT // 2


MISTAKES = (
    "W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]",
    "W.T @ grad_h[t+1] + V.T @ grad_o[t]",
    "W.T @ diag(1 - h[t]**2) @ grad_h[t+1] + V.T @ grad_o[t]",
    "W.T @ diag((1 - h[t+1])**2) @ grad_h[t+1] + V.T @ grad_o[t]",
    "W @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]",
    "V.T @ grad_o[t]",
    "grad_a[t+1] @ W + V.T @ grad_o[t]",
)


@pytest.mark.parametrize("number", PRINTED)
def test_the_box_reads_the_chapter_as_printed(lab, number):
    columns, _ = judged(lab("book"), PRINTED[number])
    assert isinstance(columns, dict), columns
    assert max(error for error, _ in columns.values()) < 1e-12


def test_the_box_refuses_10_21_as_printed(lab):
    columns, flat = judged(lab("book"), PRINTED_10_21)
    assert columns == "lab-product"
    assert flat["W"][0] > 0.1


@pytest.mark.parametrize("text", [
    "∂L/∂h[t] = Wᵀ diag(1 − h[t+1]²) ∂L/∂h[t+1] + V' ∇o[t]",
    "dL/dh[t] = np.dot(W.T, (1 - h[t+1]**2) * dL/dh[t+1]) + V.T.dot(∇o[t])",
    "∇_{h^(t)} L = Wᵀ ∇_{a^(t+1)} L ＋ Vᵀ（∇_{o^(t)} L）",
    "∇_h⁽ᵗ⁾ L = Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_h⁽ᵗ⁺¹⁾ L + Vᵀ ∇_o⁽ᵗ⁾ L",
    "∇_{h_t} L = V^T ∇_{o_t} L + W^T ∇_{a_{t+1}} L",
    "∇W = Σ_{t=1..τ} ∇a[t] h[t-1]ᵀ",
    "∇W_ij = sum(t, 1, tau, ∇a[t,i] h[t-1,j])",
    "dh[tau]/dh[t] = prod(s, tau, t+1, ∂h[s]/∂h[s-1])",
    "∇h[t] = sum(s, t, tau, prod(k, s, t+1, ∂h[k]/∂h[k-1]).T @ V.T @ ∇o[s])",
    "partial(h[t], b) = diag(1 - h[t]**2)",
    "h^(t) = tanh(a^(t))",
    *AS_COPIED,
])  # fmt: skip
def test_the_box_reads_what_check_equation_reads(lab, text):
    columns, _ = judged(lab("book"), text)
    assert isinstance(columns, dict), columns
    assert max(error for error, _ in columns.values()) < 1e-12


@pytest.mark.parametrize(("text", "problem"), [
    ("grad_W = grad_a[t] @ h[t-1].T", "lab-free-step"),
    ("grad_h[t] = h[s]", "lab-free-step"),
    ("grad_h[t] = grad_h[t] + h[t]", "lab-not-yet"),
    ("grad_h[t] = sum(s, 1, tau+9, b)", "lab-leaves"),
    (r"\nabla_{h^{(t)}} L = \foo", "formula.macro"),
    ("grad_h[t,i] = h[t][i][i]", "lab-element"),
])  # fmt: skip
def test_the_box_says_what_is_wrong_alike_in_both_languages(lab, text, problem):
    page = lab("book")
    assert judged(page, text)[0] == problem
    page.tab.fill("#formula", text)
    found = {}
    for language in ("zh", "en"):
        page.press(f"#lang-{language}")
        page.run("() => B.sought")
        assert "NaN" not in page.text(".lab .result")
        found[language] = [page.text(f".lab .result {part}") for part in ("p", "pre")]
    english, chinese = found["en"], found["zh"]
    assert english[0] != chinese[0]
    assert english[1] == chinese[1]


def test_the_box_says_of_a_sign_that_is_not_read_what_check_equation_says(lab):
    page = lab("book")
    texts = [f"∇h[t] = W {sign} b" for sign in (*UNREAD, "±", "∈", "%", "𝄞")]
    for text in texts:
        with pytest.raises(bptt.BpttError) as caught:
            bptt.check_equation(text)
        page.tab.fill("#formula", text)
        for language in ("zh", "en"):
            page.press(f"#lang-{language}")
            said = page.run(
                "() => document.querySelector('.lab .result p').textContent"
            )
            assert said == caught.value.say(language).splitlines()[-1], text


@pytest.mark.parametrize("name", TABLED)
def test_the_box_says_of_every_formula_what_check_equation_says(lab, name):
    page = lab(name)
    for kind, text in table(name):
        columns, flat = judged(page, text)
        is_run = isinstance(columns, dict)
        is_right = is_run and max(error for error, _ in columns.values()) < 1e-9
        assert is_right == (kind == "right"), (text, columns)
        assert not is_run or kind in ("right", "wrong"), (text, columns)
        if kind not in ("wrong", "misshapen"):
            continue
        trap = TABLED[name].check_equation(text).trap
        if trap is None or trap.problem is not None:
            continue
        found = flat if trap.is_misshapen else columns
        for cost in trap.costs:
            error, _ = found[cost.name]
            expected = pytest.approx(cost.error, rel=1e-7, nan_ok=True)
            assert error is None or error == expected, text


BOTH = bptt.Cell("""
    h[t] = tanh(W @ h[t-1] + U @ x[t])
    g[t] = tanh(R @ g[t+1] + P @ x[t])
    o[t] = V @ h[t] + Q @ g[t]
    L[t] = nll(softmax(o[t]), y[t])
""")


def test_a_loop_that_reads_the_next_step_is_run_and_walked(browser, tmp_path):
    file = BOTH.explain(name="both").save(tmp_path / "both.html")
    page = Opened(browser, file).ready()
    wrong = "grad_g[t] = R @ diag(1 - g[t-1]**2) @ grad_g[t-1] + Q.T @ grad_o[t]"
    assert BOTH.check_equation(wrong.replace("R @", "R.T @")).passed
    columns, _ = judged(page, wrong)
    for cost in backward_pass(BOTH, wrong).costs:
        assert columns[cost.name][0] == pytest.approx(cost.error, rel=1e-8, abs=1e-10)
    for text in (page.run("B.data.lab.right"), wrong.replace("R @", "R.T @")):
        columns, _ = judged(page, text)
        assert max(error for error, _ in columns.values()) < 1e-12
    page.run("document.querySelectorAll('[data-walk]').forEach(b => b.click())")
    page.run("B.stepWalk('all')")
    assert "the box holds the gradient" in page.text(".walk-note")
    assert page.complaints == []
    page.context.close()


def test_what_is_not_finite_is_called_so(lab):
    page = lab("book")
    page.tab.fill("#formula", "grad_h[t] = h[t] / 0")
    said = page.text(".lab .result")
    assert "not finite" in said
    assert "NaN" not in said


def test_one_dimensional_arrays_are_wrong_only_where_they_are(lab):
    page = lab("book")
    page.tab.fill("#formula", "grad_h[t] = grad_a[t+1] @ W + V.T @ grad_o[t]")
    assert "runs and is right" in page.text(".lab .result")


@pytest.mark.parametrize("name", ["book", "gru", "slstm", "lstm"])
def test_the_box_takes_what_copy_latex_gives(lab, name):
    assert name in CELLS or explained(name)
    page = lab(name)
    bad = page.run(
        "() => Array.from(document.querySelectorAll('.chain'), (chain) => {"
        " const text = B.latexOf(chain);"
        " try { B.parseFormula(text); return null; }"
        " catch (e) { return `${e} ${JSON.stringify(e.fields)} ${text}`; }"
        "}).filter(Boolean)"
    )
    assert bad == []
