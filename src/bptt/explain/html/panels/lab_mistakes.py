"""Plausible mistakes in a cell's recursion, as formulas that can be run.

For the book's network those of `explain.mistakes`; for any other cell the same kinds of
change, made in its own formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.expr import Expr, T, Time
from bptt.explain.book import is_book
from bptt.explain.cards import Term
from bptt.explain.formula.mistakes import VARIANTS, Variant
from bptt.explain.model import Text
from bptt.explain.notation.plain import to_ascii
from bptt.step.graph import Graph


@dataclass(frozen=True)
class Mistake:
    """id: "none" for what is right; target: the gradient that the formula defines.

    text: what it is called in the explanation, None where the page's words say it.
    """

    id: str
    target: str
    formula: str
    text: Text | None = None


def find_mistakes(graph: Graph, terms: Mapping[str, list[Term]]) -> tuple[Mistake, ...]:
    """The right formula first, id "none", then the mistakes.

    terms: of every node's gradient, see `CardMaker.terms`. Empty for a cell in which no
    node's gradient comes from a later step.
    """
    if is_book(Derivation(graph)):
        return tuple(_of_book(variant) for variant in VARIANTS)
    name = _recurrent(graph, terms)
    if name is None:
        return ()
    parts = terms[name]
    right = e.total(*(term.filled for term in parts))
    found = [_mistake("none", name, right)]
    for id_, change in _CHANGES.items():
        wrong = change(parts)
        if wrong is not None and wrong != right:
            found.append(_mistake(id_, name, wrong))
    return tuple(found)


def _of_book(variant: Variant) -> Mistake:
    target = "h[t]"
    if variant.output:
        target = "o[t]"
    elif variant.formula == variant.gradient:
        target = "W"
    id_ = "none" if variant.id == "right" else variant.id
    formula = f"grad_{target} = {variant.formula}"
    return Mistake(id_, target.partition("[")[0], formula, Text(f"break.{variant.id}"))


def _mistake(id_: str, name: str, expr: Expr) -> Mistake:
    return Mistake(id_, name, f"grad_{name}[t] = {to_ascii(expr)}")


def _recurrent(graph: Graph, terms: Mapping[str, list[Term]]) -> str | None:
    """The first state whose gradient has a term from step t + 1, and one from now."""
    names = [
        n for n in graph.states if any(term.is_future for term in terms.get(n, ()))
    ]
    both = [n for n in names if any(not term.is_future for term in terms[n])]
    return next(iter(both or names), None)


# ----- changes of a displayed tree -----


def _without_future(terms: list[Term]) -> Expr | None:
    now = [term.filled for term in terms if not term.is_future]
    return e.total(*now) if now else None


def _changed(rule: Callable[[Expr], Expr]) -> Callable[[list[Term]], Expr]:
    def change(terms: list[Term]) -> Expr:
        return e.total(*(
            e.rebuild(term.filled, rule) if term.is_future else term.filled
            for term in terms
        ))  # fmt: skip

    return change


def _turned_back(expr: Expr) -> Expr:
    """W for W^T."""
    is_matrix = isinstance(expr, e.Transpose) and isinstance(expr.of, e.Value)
    return expr.of if isinstance(expr, e.Transpose) and is_matrix else expr


def _swapped(expr: Expr) -> Expr:
    """... A g -> ... g A."""
    if not isinstance(expr, e.Product) or len(expr.factors) < 3:
        return expr
    *rest, a, g = expr.factors
    return e.Product((*rest, g, a))


def _earlier(expr: Expr) -> Expr:
    """diag(1 - h[t+1]**2) -> diag(1 - h[t]**2)."""
    if not isinstance(expr, e.Diag):
        return expr
    return e.at_step(expr, Time("t", -1)) if _reads(expr, T.moved(1)) else expr


def _reads(expr: Expr, time: Time) -> bool:
    return any(isinstance(x, e.Value) and x.time == time for x in e.walk(expr))


def _no_slope(expr: Expr) -> Expr:
    """W^T diag(...) g -> W^T g."""
    if not isinstance(expr, e.Product):
        return expr
    kept = tuple(x for x in expr.factors if not isinstance(x, e.Diag))
    return e.product(*kept) if kept else expr


_CHANGES: dict[str, Callable[[list[Term]], Expr | None]] = {
    "order": _changed(_swapped),
    "no-slope": _changed(_no_slope),
    "index": _changed(_earlier),
    "transpose": _changed(_turned_back),
    "future": _without_future,
}
