"""The single changes that could put a wrong formula right, each with its place.

Tried in order, from the mistakes that are made most to a part replaced outright: a sum
over steps forgotten or with other bounds, two factors swapped, one transposed, a vector
where diag belongs, a step shifted, a sign, a term or factor more or less, 1/tau, and at
last a part replaced by one of the right formula.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, TAU, Expr, Span
from bptt.explain.formula.steps import free_steps
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import Text, say

Put = Callable[[Expr], Expr]
Write = Callable[[Expr], str]
CONSTANTS = (e.Number, e.Quotient, e.Weight)
GRADIENTS = (e.Nabla, e.Incoming)
NAMING = (e.Nabla, e.Jacobian, e.Element, e.Incoming, e.UnitVector, e.Delta)


@dataclass(frozen=True)
class Edit:
    """A changed formula, the place that is changed, and what to do there.

    kind: "swap", "transpose", "step", "missing term", "extra term", "sign", "missing
    factor", "extra factor", "diag", "missing sum", "extra sum", "bounds", "order",
    "rows", "product", "replace" or "write"; parts: what its sentence names.
    """

    kind: str
    result: Expr
    span: Span | None
    parts: tuple[Expr, ...] = ()
    words: str = ""

    def text(self, write: Write = to_ascii) -> Text:
        """What to do, as a sentence; write: the notation of its formulas."""
        fields_ = {f"part{i}": write(part) for i, part in enumerate(self.parts)}
        return Text(
            f"formula.edit.{self.words or self.kind.replace(' ', '-')}", fields_
        )

    @property
    def advice(self) -> str:
        """What to do, in English."""
        return say(self.text())


def edits(formula: Expr, right: Iterable[Expr]) -> Iterator[Edit]:
    """Every single change of a formula; right: formulas that are known to be right."""
    places = list(parts(formula))
    known = list(right)
    yield from _sums(formula, known)
    yield from _rows(formula)
    for make in (_swaps, _transposes, _diagonals):
        for part, put in places:
            yield from make(part, put)
    for part, put in [*places, *_references(places)]:
        yield from _shifts(part, put)
    for part, put in places:
        yield from _signs(part, put)
        yield from _bounds(part, put)
        yield from _orders(part, put)
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


def _sums(formula: Expr, right: list[Expr]) -> Iterator[Edit]:
    """One step's term for the sum over all steps, or the sum for one step's term."""
    if isinstance(formula, e.Sigma):
        yield Edit("extra sum", formula.body, formula.span)
    if not any(isinstance(known, e.Sigma) for known in right):
        return
    is_called = isinstance(formula, e.Applied) and formula.function == "sum"
    body = formula.children[0] if is_called else formula
    if not free_steps((body,)):  # the last step's term alone
        body = e.rebuild(body, lambda part: replace(part, time=e.T) if isinstance(
            part, e.Value) and part.time == TAU else part)  # fmt: skip
    if "t" in free_steps((body,)):
        whole = e.Sigma("t", FIRST, TAU, body)
        yield Edit("missing sum", whole, formula.span, (whole,))


def _rows(formula: Expr) -> Iterator[Edit]:
    """A formula that is right for gradients as rows, or as a row."""
    turned = e.transpose(formula)
    yield Edit("transpose", turned, formula.span, (turned,))
    rows = e.rebuild(
        formula,
        lambda part: e.Transpose(part) if isinstance(part, GRADIENTS) else part,
    )
    columns = e.transpose(rows)
    yield Edit("rows", columns, formula.span, (columns,))


def _swaps(part: Expr, put: Put) -> Iterator[Edit]:
    if not isinstance(part, e.Product):
        return
    factors = part.factors
    for i, j in itertools.combinations(range(len(factors)), 2):
        order = list(factors)
        order[i], order[j] = order[j], order[i]
        yield Edit("swap", put(e.Product(tuple(order))), factors[i].span,
                   (factors[i], factors[j]))  # fmt: skip


def _transposes(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Transpose):
        yield Edit("transpose", put(part.of), part.span, (part.of,), "not-transposed")
    elif isinstance(part, e.Value | e.Nabla | e.Jacobian | e.Product):
        turned = e.Transpose(part)
        yield Edit("transpose", put(turned), part.span, (turned,))


def _diagonals(part: Expr, put: Put) -> Iterator[Edit]:
    """A vector where its diagonal matrix belongs, * for @, and the other way round."""
    if isinstance(part, e.Hadamard):
        yield Edit("product", put(e.Product(part.factors)), part.span, (part,))
    if isinstance(part, e.Diag):
        yield Edit("diag", put(part.of), part.span, (part.of,), "no-diag")
    elif isinstance(part, e.Product):
        for i, factor in enumerate(part.factors):
            if isinstance(factor, e.Sum | e.Power | e.Value | e.Applied | e.Hadamard):
                turned = e.Diag(factor)
                longer = (*part.factors[:i], turned, *part.factors[i + 1 :])
                yield Edit("diag", put(e.Product(longer)), factor.span, (turned,))


def _shifts(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Value) and part.time is not None:
        for by in (1, -1):
            moved = replace(part, time=part.time.moved(by))
            yield Edit("step", put(moved), part.span, (moved,))


def _signs(part: Expr, put: Put) -> Iterator[Edit]:
    if isinstance(part, e.Negative):
        yield Edit("sign", put(part.of), part.span, (), "plus")
    elif isinstance(part, e.Sum):
        terms = (e.negative(term) for term in part.terms)
        turned = e.Sum(tuple(sorted(terms, key=lambda x: isinstance(x, e.Negative))))
        yield Edit("sign", put(turned), part.span, (turned,), "signs")
    elif isinstance(part, e.Product | e.Power | e.Nabla | e.Value):
        yield Edit("sign", put(e.Negative(part)), part.span, (), "minus")


def _bounds(part: Expr, put: Put) -> Iterator[Edit]:
    """Other bounds of a sum over steps."""
    if not isinstance(part, e.Sigma) or not isinstance(part.upper, e.Time):
        return
    lowers = [part.lower, *(part.lower.moved(by) for by in (1, -1)), FIRST]
    uppers = [part.upper, *(part.upper.moved(by) for by in (1, -1)), TAU]
    for lower, upper in itertools.product(lowers, uppers):
        moved = replace(part, lower=lower, upper=upper)
        if moved != part:
            yield Edit("bounds", put(moved), part.span, (moved,))


def _orders(part: Expr, put: Put) -> Iterator[Edit]:
    """A product over steps, its factors the other way round."""
    if isinstance(part, e.StepProduct):
        turned = replace(part, lower=part.upper, upper=part.lower,
                         is_descending=not part.is_descending)  # fmt: skip
        yield Edit("order", put(turned), part.span, (turned,))


def _open(expr: Expr) -> tuple[Expr, ...]:
    return expr.terms if isinstance(expr, e.Sum) else (expr,)


def _terms(formula: Expr, right: list[Expr]) -> Iterator[Edit]:
    terms = _open(formula)
    for known in right:
        for term in _open(known):
            if len(_open(known)) > len(terms):
                end = None if formula.span is None else formula.span[1]
                span = None if end is None else (end, end + 1)
                yield Edit("missing term", e.Sum((*terms, term)), span, (term,))
    if len(terms) > 1:
        for i, term in enumerate(terms):
            rest = terms[:i] + terms[i + 1 :]
            yield Edit("extra term", e.total(*rest), term.span)


def _factors(part: Expr, put: Put, right: list[Expr]) -> Iterator[Edit]:
    if isinstance(part, e.Product):
        for i, factor in enumerate(part.factors):
            rest = part.factors[:i] + part.factors[i + 1 :]
            yield Edit("extra factor", put(e.product(*rest)), factor.span, (factor,))
    if isinstance(part, e.Quotient):
        factor = e.Quotient(e.Number(1.0), part.bottom)
        yield Edit("extra factor", put(part.top), part.span, (factor,))
    if not isinstance(part, e.Product | e.Nabla | e.Value | e.Transpose):
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
            yield Edit("missing factor", put(e.Product(longer)), at, (factor,))


def _replacements(places: list[tuple[Expr, Put]], right: list[Expr]) -> Iterator[Edit]:
    known = dict.fromkeys(part for formula in right for part in e.walk(formula))
    calls = {part.function for part in known if isinstance(part, e.Applied)}
    # Where a function is wrong, what it is of is not what was mistaken.
    inside = [
        child
        for part, _ in places
        if isinstance(part, e.Applied) and part.function not in calls
        for argument in part.arguments
        for child in e.walk(argument)
    ]
    places = [
        place for place in places if not any(place[0] is child for child in inside)
    ]
    small_first = sorted(places, key=lambda place: sum(1 for _ in e.walk(place[0])))
    for part, put in small_first:
        is_whole = part is places[0][0]
        if is_whole and not isinstance(part, e.Number):
            continue
        for other in known:
            # Only a constant stands for a constant that is all of a formula: 1 for 2.
            if other != part and (not is_whole or isinstance(other, CONSTANTS)):
                yield Edit("replace", put(other), part.span, (other, part))
