"""The likely fix that the page's box names is that of `check_equation`."""

import pytest

import bptt
from bptt.explain.sentences import say
from tests.explain import handwritten_passes as by_hand
from tests.explain.formula_table import CELLS as TABLED
from tests.explain.formula_table import table
from tests.explain.test_backward_pass import CELLS as PASSED
from tests.explain.test_lab import lab  # noqa: F401
from tests.explain.test_suggestions import AGAINST_TIME, LIKELY, WRONG

NAMES = tuple(dict.fromkeys([*TABLED, *PASSED]))
DIAGNOSED = """formula => {
  const found = B.diagnosisOf(formula, B.judge(formula));
  for (let step = found?.next(); step; step = found.next()) {
    if (step.done) return step.value;
  }
  return null;
}"""


def wrong_ones(name):
    found = [text for kind, text in (table(name) if name in TABLED else ())
             if kind in ("wrong", "misshapen")]  # fmt: skip
    found += [*WRONG.get(name, ()), *(LIKELY if name == "book" else ())]
    if name in PASSED:
        found += [by_hand.in_notation(name, target, line)
                  for target, line in by_hand.wrong_lines(name, 4, seed=2)]  # fmt: skip
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_box_names_the_fix_that_check_equation_names(lab, name):  # noqa: F811
    page, cell = lab(name), TABLED.get(name) or PASSED[name]
    for text in wrong_ones(name)[::2]:
        report = cell.check_equation(text)
        found = page.run(DIAGNOSED, text)
        advice = None if report.edit is None else vars(report.edit.text())
        assert found["advice"] == advice, text
        assert [hint["id"] for hint in found["hints"]] == [h.id for h in report.hints]
        if not report.is_latex:
            assert found["suggestion"] == report.suggestion, text
            fields = [hint["fields"] for hint in found["hints"]]
            assert fields == [hint.fields for hint in report.hints], text
        elif found["suggestion"]:  # the box writes in the notation of the cell
            assert cell.check_equation(found["suggestion"]).passed, text


def shown(page, text):
    """What stands below the box, in English and in Chinese, once the search is over."""
    page.tab.fill("#formula", text)
    found = []
    for language in ("zh", "en"):
        page.press(f"#lang-{language}")
        page.run("() => B.sought")
        found.append(page.text(".lab .result"))
    return found[::-1]


@pytest.mark.parametrize("text", [
    *LIKELY, "∂h[tau]/∂h[1] = W", "∇h[t] = W.T @ ∇h[t+1] @ diag(1 - h[t+1]**2)",
    *AGAINST_TIME, "∇a[t] = (1 - h[t]**2) @ ∇h[t]",
])  # fmt: skip
def test_both_languages_say_the_same_of_it(lab, text):  # noqa: F811
    page, report = lab("book"), bptt.check_equation(text)
    for language, said in zip(("en", "zh"), shown(page, text), strict=True):
        assert "NaN" not in said
        if report.edit is not None:
            assert say(report.edit.text(), language) in said
        if report.suggestion:
            assert report.suggestion in said
        for hint in report.hints:
            assert say(hint, language) in said
        trap = report.trap
        if trap is not None and trap.problem is not None and trap.is_misshapen:
            assert trap.say(language) in said


def test_what_is_right_or_not_read_is_given_no_fix(lab):  # noqa: F811
    page = lab("book")
    for text in ("grad_h[tau] = V.T @ grad_o[tau]", "grad_h[t] = ", "grad_h[t] = q"):
        assert page.run(DIAGNOSED, text) is None or "q" in text
        english, chinese = shown(page, text)
        assert "Likely fix" not in english
        assert "可能" not in chinese


def test_a_search_ends_where_the_reader_types_on(lab):  # noqa: F811
    page = lab("book")
    page.tab.fill("#formula", "grad_h[t] = W @ grad_h[t+1] - V.T @ grad_o[t]")
    page.tab.fill("#formula", "grad_L[t] = 2")
    page.run("() => B.sought")
    assert page.text(".lab .result").count("Likely fix") == 1
    assert page.complaints == []
