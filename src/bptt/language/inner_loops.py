"""Which equations wait for each other within a step, and along which index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bptt import errors
from bptt.errors import Span
from bptt.language.indexed import Index
from bptt.language.tree import Equation, Piece
from bptt.step.components import components


def places_of(equation: Equation) -> tuple[str | int, ...]:
    """The indices and numbers on the left of an equation of the step."""
    data: Any = equation.expression.data
    is_indexed = equation.expression.op == "put" and equation.when == "t"
    return tuple(data) if is_indexed else ()


def numbers_of_places(equation: Equation) -> Iterator[int]:
    """The single places among them."""
    return (place for place in places_of(equation) if isinstance(place, int))


def reads_now(expr: Piece) -> set[str]:
    """The names that an expression reads at its own step."""
    return {part.name for part in expr.parts() if part.op == "read" and part.lag == 0}


def chain(expr: Piece) -> tuple[Piece, list[Piece]]:
    """What is read, and its places from the first to the last."""
    places: list[Piece] = []
    while expr.op == "at":
        places.insert(0, expr)
        expr = expr.arguments[0]
    return expr, places


@dataclass(frozen=True)
class InnerLoop:
    """Names that wait for each other along an index, in one direction."""

    names: tuple[str, ...]
    index: Index
    way: int


def find_loops(
    equations: Sequence[Equation], indices: Mapping[str, Index]
) -> Iterator[InnerLoop]:
    """The loops inside the step: sets of names that read each other at the step."""
    reads: dict[str, set[str]] = {}
    written: dict[str, list[tuple[int, Equation]]] = {}
    for place, equation in enumerate(equations):
        if equation.when == "t":
            found = reads.setdefault(equation.name, set())
            found |= reads_now(equation.expression)
            written.setdefault(equation.name, []).append((place, equation))
    order = {name: number for number, name in enumerate(reads)}

    def inputs(name: str) -> list[str]:
        found = reads[name] & order.keys()
        return sorted(found, key=lambda x: order[x])  # order-free: each has its number

    for names in components(order, inputs):
        lines = sorted(
            (line for name in names for line in written[name]), key=lambda line: line[0]
        )
        own = [equation for _, equation in lines]
        if len(names) > 1 or names[0] in reads[names[0]]:
            found_loop = _loop_of(own, indices)
            if found_loop is not None:
                yield found_loop


def _loop_of(own: list[Equation], indices: Mapping[str, Index]) -> InnerLoop | None:
    """The index along which equations wait for each other; None if there is none."""
    firsts = dict.fromkeys(places_of(e)[0] if places_of(e) else "" for e in own)
    names = [place for place in firsts if isinstance(place, str)]
    members = {e.name for e in own}
    ways: dict[int, Span] = {}
    for equation in own:
        for part in equation.expression.parts():
            base, places = chain(part)
            if base.op != "read" or base.lag != 0 or base.name not in members:
                continue
            text: Any = places[0].data if places else None
            if text is not None and text.terms and text.offset:
                ways.setdefault(1 if text.offset < 0 else -1, part.span)
    if not ways or "" in names:
        return None
    if len(names) != 1:
        raise errors.InnerStepError(
            own[0].span,
            f"{', '.join(sorted(members))} wait for each other along more than one "
            "index",
            fix="the index of the inner steps stands first in each: `s[t, l, j]`",
        )
    index = indices[names[0]]
    if len(ways) > 1:
        raise errors.InnerStepError(
            ways[-1],
            f"{index.name} would have to run up and down: its places wait for earlier "
            "and for later ones",
            fix="two sets of equations, one that reads "
            f"{index.name}-1 and one that reads {index.name}+1",
        )
    if not isinstance(index.size, int) or index.first != 1:
        raise errors.InnerStepError(
            next(iter(ways.values())),
            f"{index.name} counts inner steps here, and the cell says how many",
            fix=f"`{index.name} = 1, ..., 6`, with a whole number",
        )
    last_first = dict.fromkeys(e.name for e in reversed(own))
    return InnerLoop(tuple(last_first)[::-1], index, next(iter(ways)))
