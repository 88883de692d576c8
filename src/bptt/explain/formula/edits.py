"""The single changes that could put a wrong formula right, each with its place.

Tried in order, from the mistakes that are made most to a part replaced outright: swap
two factors, transpose one, shift a step, add or drop a term or a factor, change a sign,
replace a part by one of the right formula.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Span
from bptt.explain.notation.plain import to_ascii

Put = Callable[[Expr], Expr]
NAMING = (e.Gradient, e.Jacobian, e.Element, e.Incoming, e.Unit, e.Delta)


@dataclass(frozen=True)
class Edit:
    """A changed formula, the place that is changed, and what to do there.

    kind: "swap", "transpose", "step", "missing term", "extra term", "sign", "missing
    factor", "extra factor" or "replace".
    """

    kind: str
    result: Expr
    span: Span | None
    advice: str


def edits(formula: Expr, right: Iterable[Expr]) -> Iterator[Edit]:
    """Every single change of a formula; right: formulas that are known to be right."""
    places = list(parts(formula))
    known = list(right)
    for make in (_swaps, _transposes):
        for part, put in places:
            yield from make(part, put)
    for part, put in [*places, *_references(places)]:
        yield from _shifts(part, put)
    for part, put in places:
        yield from _signs(part, put)
    yield from _terms(formula, known)
    for part, put in places:
        yield from _factors(part, put, known)
    yield from _replacements(places, known)


def parts(expr: Expr) -> Iterator[tuple[Expr, Put]]:
    """Every part of an expression with a function that puts another in its place.

    What a gradient, a Jacobian or an index is of is no part: a name must stand there.
    """
    yield expr, lambda new: new
    if isinstance(expr, NAMING):
        return
    for item in fields(expr):
        value = getattr(expr, item.name)
        if isinstance(value, Expr):
            yield from _inside(value, _put_field(expr, item.name))
        elif isinstance(value, tuple):
            for i, child in enumerate(value):
                if isinstance(child, Expr):
                    yield from _inside(child, _put_item(expr, item.name, i))


def _references(places: list[tuple[Expr, Put]]) -> Iterator[tuple[Expr, Put]]:
    """The names inside gradients, Jacobians and elements, whose step may be wrong."""
    for part, put in places:
        if isinstance(part, NAMING):
            yield from _named(part, put)


def _named(part: Expr, put: Put) -> Iterator[tuple[Expr, Put]]:
    for item in fields(part):
        value = getattr(part, item.name)
        if isinstance(value, e.Value):
            yield value, _after(_put_field(part, item.name), put)
        elif isinstance(value, NAMING):
            yield from _named(value, _after(_put_field(part, item.name), put))


def _inside(child: Expr, put: Put) -> Iterator[tuple[Expr, Put]]:
    for part, inner in parts(child):
        yield part, _after(inner, put)


def _after(inner: Put, outer: Put) -> Put:
    return lambda new: outer(inner(new))


def _put_field(expr: Expr, name: str) -> Put:
    return lambda new: replace(expr, **{name: new})  # type: ignore[arg-type]


def _put_item(expr: Expr, name: str, i: int) -> Put:
    def put(new: Expr) -> Expr:
        items: list[Any] = list(getattr(expr, name))
        items[i] = new
        return replace(expr, **{name: tuple(items)})

    return put


# ----- one kind each -----


def _swaps(part: Expr, put: Put) -> Iterator[Edit]:
    if not isinstance(part, e.Product):
        return
    factors = part.factors
    for i, j in itertools.combinations(range(len(factors)), 2):
        order = list(factors)
        order[i], order[j] = order[j], order[i]
        first, second = to_ascii(factors[i]), to_ascii(factors[j])
        yield Edit(
            "swap", put(e.Product(tuple(order))), factors[i].span,
            f"swap the factors {first} and {second}",
        )  # fmt: skip


def _transposes(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Transpose):
        inner = to_ascii(part.of)
        yield Edit("transpose", put(part.of), part.span, f"{inner}, not transposed")
    elif isinstance(part, e.Value | e.Gradient | e.Jacobian | e.Product):
        text = to_ascii(e.Transpose(part))
        yield Edit("transpose", put(e.Transpose(part)), part.span,
                   f"the transpose, {text}")  # fmt: skip


def _shifts(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Value) and part.time is not None:
        for by in (1, -1):
            moved = replace(part, time=part.time.moved(by))
            yield Edit("step", put(moved), part.span,
                       f"step {moved.time}: {to_ascii(moved)}")  # fmt: skip


def _signs(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Negative):
        yield Edit("sign", put(part.of), part.span, "a plus sign")
    elif isinstance(part, e.Product | e.Power | e.Gradient | e.Value):
        yield Edit("sign", put(e.Negative(part)), part.span, "a minus sign")


def _open(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, e.Sum) else (expr,)


def _terms(formula: Expr, right: list[Expr]) -> Iterator[Edit]:
    terms = _open(formula)
    for known in right:
        for term in _open(known):
            if len(_open(known)) > len(terms):
                end = None if formula.span is None else formula.span[1]
                span = None if end is None else (end, end + 1)
                yield Edit("missing term", e.Sum((*terms, term)), span,
                           f"the term {to_ascii(term)} is missing")  # fmt: skip
    if len(terms) > 1:
        for i, term in enumerate(terms):
            rest = terms[:i] + terms[i + 1 :]
            yield Edit("extra term", e.total(*rest), term.span,
                       "leave this term out")  # fmt: skip


def _factors(part: Expr, put: Put, right: list[Expr]) -> Iterator[Edit]:
    if isinstance(part, e.Product):
        for i, factor in enumerate(part.factors):
            rest = part.factors[:i] + part.factors[i + 1 :]
            yield Edit("extra factor", put(e.product(*rest)), factor.span,
                       f"leave the factor {to_ascii(factor)} out")  # fmt: skip
    if not isinstance(part, e.Product | e.Gradient | e.Value | e.Transpose):
        return
    factors = part.factors if isinstance(part, e.Product) else (part,)
    known = dict.fromkeys(
        factor
        for formula in right
        for product in e.walk(formula)
        if isinstance(product, e.Product)
        for factor in product.factors
    )
    for factor in known:
        for i in range(len(factors) + 1):
            longer = (*factors[:i], factor, *factors[i:])
            at = factors[min(i, len(factors) - 1)].span
            yield Edit("missing factor", put(e.Product(longer)), at,
                       f"the factor {to_ascii(factor)} is missing here")  # fmt: skip


def _replacements(places: list[tuple[Expr, Put]], right: list[Expr]) -> Iterator[Edit]:
    known = dict.fromkeys(part for formula in right for part in e.walk(formula))
    small_first = sorted(places, key=lambda place: sum(1 for _ in e.walk(place[0])))
    for part, put in small_first:
        if part is places[0][0]:
            continue
        for other in known:
            if other != part:
                advice = f"{to_ascii(other)} in place of {to_ascii(part)}"
                yield Edit("replace", put(other), part.span, advice)
