"""Panel 10: try to break it. The cell's formulas, and mistakes made from them.

The script runs one backward pass by the formulas below, with one of them replaced by
what the reader chose or wrote, and compares the gradients that come out.
"""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, TAU, Expr, Gradient, T, Time, Value
from bptt.explain.cards import Term
from bptt.explain.html.panels.mistakes import Mistake, find_mistakes
from bptt.explain.html.panels.page_context import Context
from bptt.explain.html.words import word
from bptt.explain.notation.plain import to_ascii
from bptt.page.tags import Markup, join, tag

BEFORE_LAST = TAU.moved(-1)


def lab_panel(page: Context) -> Markup:
    """The choices, the formula, the place for the result."""
    choices = [
        tag("button", _title(page, mistake), type="button", class_="plain",
            aria_pressed="true" if mistake.id == "none" else "false",
            data_formula=mistake.formula)
        for mistake in find_mistakes(page.graph, recursion_of(page))
    ]  # fmt: skip
    label = tag("label", word("lab-formula"), for_="formula")
    area = tag(
        "textarea",
        "",
        id="formula",
        rows=2,
        spellcheck="false",
        autocomplete="off",
        autocapitalize="off",
        aria_describedby="notation",
    )
    body = tag(
        "div", tag("div", *choices, class_="choices"), label, area,
        tag("p", word("lab-notation"), id="notation", class_="note"),
        tag("div", class_="result", role="status", aria_live="polite"),
        class_="lab needs-script",
    )  # fmt: skip
    return join(
        tag("p", word("lab-intro")), body,
        tag("p", word("lab-no-script"), class_="note without-script"),
    )  # fmt: skip


def _title(page: Context, mistake: Mistake) -> Markup:
    """The explanation's own words where it has them."""
    if mistake.text is not None:
        return page.writer.text(mistake.text)
    return word(f"mistake-{mistake.id}")


def recursion_of(page: Context) -> dict[str, list[Term]]:
    """The terms of every node's gradient, from the loss backwards."""
    return {
        name: page.maker.terms(name) for name in reversed(tuple(page.graph.definitions))
    }


def lab_data(page: Context) -> dict[str, Any]:
    """What the script runs: cases of every node by bounds of t, and the parameters."""
    terms = recursion_of(page)
    found = find_mistakes(page.graph, terms)
    right = next((m for m in found if m.id == "none"), Mistake("none", "", ""))
    nodes = [{"name": name, "cases": _cases(page, name, parts)}
             for name, parts in terms.items()]  # fmt: skip
    parameters = [{"name": name, "formula": _parameter(page, name)}
                  for name in page.graph.parameters]  # fmt: skip
    return {"nodes": nodes, "parameters": parameters, "target": right.target,
            "right": right.formula}  # fmt: skip


def _cases(page: Context, name: str, terms: list[Term]) -> list[dict[str, Any]]:
    """One formula for all t, or one for t = tau and one for t < tau."""
    now = [term for term in terms if not term.is_future]
    if len(now) == len(terms):
        return [_case(page, name, now, FIRST, TAU)]
    return [
        _case(page, name, terms, FIRST, BEFORE_LAST),
        _case(page, name, now, TAU, TAU),
    ]


def _case(
    page: Context, name: str, terms: list[Term], first: Time, last: Time
) -> dict[str, Any]:
    if terms:
        formula: Expr = e.total(*(term.filled for term in terms))
    else:
        formula = e.Zeros(*page.document.scope.shape(Value(name, T)))
    bounds = [{"base": time.base, "offset": time.offset} for time in (first, last)]
    return {"first": bounds[0], "last": bounds[1], "formula": to_ascii(formula)}


def _parameter(page: Context, name: str) -> str:
    derivation = page.labels.derivation
    parts = []
    for user in derivation.successors(name):
        grad = Gradient(Value(user.name, T))
        part = derivation.pulled(user.name, grad)[user.reading]
        if part is not None:
            parts.append(part)
    if not parts:
        return to_ascii(e.Zeros(*page.document.scope.shape(Value(name))))
    return to_ascii(e.Sigma("t", FIRST, TAU, e.total(*parts)))
