"""What is right in a cell, for the search for a fix in the box: static/fix.js.

The formulas are those that `check_equation` compares with, as text.
"""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra.element import elements
from bptt.explain.algebra.expr import START, TAU, Expr, Nabla, T, Time, Value
from bptt.explain.formula.reference import Reference
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import LANGUAGES, table

LETTERS = ("i", "j")
SAID = ("formula.edit.", "formula.hint.", "formula.fix", "formula.known",
        "formula.sign.", "formula.character", "formula.macro",
        "formula.flat-shape")  # fmt: skip


def known_data(page: PageContext) -> dict[str, Any]:
    """By name: right formulas of gradients, and the derivatives of edges.

    right: of ∇ at step t, of a parameter the whole one; ends: at tau and at 0 where
    that differs; elements: `right` by letters; jacobians: what an equation reads, its
    lag (None for a parameter), and the derivative along that edge.
    """
    graph = page.graph
    reference = Reference(page.maker)
    right = {name: reference.formulas(Nabla(Value(name, T)))
             for name in (*graph.definitions, *graph.inputs)}  # fmt: skip
    right |= {name: reference.formulas(Nabla(Value(name))) for name in graph.parameters}
    return {
        "right": {name: _written(found) for name, found in right.items()},
        "ends": {name: _ends(page, reference, name)
                 for name in graph.definitions if _has_future(page, name)},
        "elements": {name: _in_elements(page, name, right[name]) for name in right},
        "jacobians": {name: _edges(page, name) for name in graph.definitions},
    }  # fmt: skip


def known_words() -> dict[str, dict[str, str]]:
    """What is said of a fix, by language."""
    return {key: {lang: table(lang)[key] for lang in LANGUAGES}
            for key in table("en") if key.startswith(SAID)}  # fmt: skip


def _written(formulas: list[Expr]) -> list[str]:
    return [to_ascii(formula) for formula in formulas]


def _has_future(page: PageContext, name: str) -> bool:
    return any(term.is_future for term in page.maker.terms(name))


def _ends(page: PageContext, reference: Reference, name: str) -> dict[str, list[str]]:
    def at(time: Time) -> list[str]:
        return _written(reference.formulas(Nabla(Value(name, time))))

    found = {"tau": at(TAU)}
    return found | {"0": at(START)} if name in page.graph.states else found


def _in_elements(page: PageContext, name: str, formulas: list[Expr]) -> list[str]:
    scope = page.document.scope
    letters = LETTERS[: len(scope.core(name))]
    if not letters:
        return []
    forms = (elements(formula, letters, scope) for formula in formulas)
    return [to_ascii(form) for form in forms if form is not None]


def _edges(page: PageContext, name: str) -> list[tuple[str, int | None, str | None]]:
    derivation = page.labels.derivation
    found = []
    for reading in derivation.readings(name):
        lag = None if reading.is_parameter else reading.lag
        edge = derivation.jacobian(name, reading)
        found.append((reading.name, lag, None if edge is None else to_ascii(edge)))
    return found
