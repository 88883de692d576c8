"""Equations without a step at places: `A[j] = ...`, `e[l] = tanh(W @ e[l-1])`.

They hold once, of parameters, for a row, or after the last step, for every value of
their indices. While inner steps are looked for they stand as equations of a step, so
that an index counts an encoder's steps as it counts a highway's layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from bptt import errors
from bptt.language.tree import Declaration, Equation, Piece, read


def open_places(equations: list[Equation]) -> tuple[list[Equation], frozenset[str]]:
    """The equations with a step for every name that has places and none; those names.

    Raises: DuplicateDefinitionError for a name that has both.
    """
    names = frozenset(
        e.name for e in equations if e.when == "" and e.expression.op == "put"
    )
    if not names:
        return equations, names
    reads = _Exchange(lambda piece: _as_read(piece, names))
    result = []
    for equation in equations:
        own = equation.name in names
        if own and equation.when not in ("", "0"):
            raise errors.DuplicateDefinitionError(
                equation.span,
                f"{equation.name} has a step here, and none on another line",
                fix=f"give one of the two another name, such as {equation.name}_2",
            )
        body = reads.of(equation.expression)
        if own and equation.when == "0":  # a place, and no time
            data = body.data if body.op == "put" else ()
            inner = body.arguments[0] if body.op == "put" else body
            assert isinstance(data, tuple)
            body = Piece("put", (inner,), equation.span, (0, *data))
        when = "t" if own else equation.when
        result.append(replace(equation, expression=body, when=when))
    return result, names


def close_places(
    equations: list[Equation],
    names: frozenset[str],
    hidden: Mapping[str, tuple[str, ...]],
) -> list[Equation]:
    """The equations as they were written: without a step.

    hidden: what a definition of a single place stands for.
    """
    if not names:
        return equations
    own = names | {name for name, (_, of, *_rest) in hidden.items() if of in names}
    reads = _Exchange(lambda piece: _as_bare(piece, own))
    return [
        replace(
            equation,
            expression=reads.of(equation.expression),
            when="" if equation.name in own else equation.when,
        )
        for equation in equations
    ]


def without_step(error: errors.CellError, names: Collection[str]) -> errors.CellError:
    """A message about inner steps, of names that have places and no step."""

    def written(text: str) -> str:
        for name in sorted(names):
            text = text.replace(f"{name}[t, ", f"{name}[")
            text = re.sub(rf"{name}\[0\] = {name}\[t-1, \d+\], or ", "", text)
            text = re.sub(rf", or [^,]*{name}\[t-1, \.\.\.\]$", "", text)
        return text

    return type(error)(error.span, written(error.problem), fix=written(error.fix))


def row_inputs(
    lines: Sequence[Equation], declarations: Sequence[Declaration]
) -> set[str]:
    """Inputs without time: declared, or a bare target of nll."""
    known = {d.name for d in declarations if d.is_input}
    for equation in lines:
        for part in equation.expression.parts() if equation.when == "" else ():
            target = part.arguments[1] if part.op == "nll" else None
            if target is not None and target.op == "parameter":
                known.add(target.name)
    defined = {e.name for e in lines}
    given = {d.name for d in declarations if not d.is_input}
    return known - defined - given


class _Exchange:
    """Puts a piece in another's place; what an expression shares stays shared."""

    def __init__(self, rule: Callable[[Piece], Piece | None]) -> None:
        self._rule = rule
        # By identity: each holds its key's piece, so that no other can take its place.
        self._done: dict[int, tuple[Piece, Piece]] = {}

    def of(self, piece: Piece) -> Piece:
        key = id(piece)  # order-free: an address finds what was made of a piece
        if key not in self._done:
            self._done[key] = piece, self._new(piece)
        return self._done[key][1]

    def _new(self, piece: Piece) -> Piece:
        found = self._rule(piece)
        if found is not None:
            return found
        parts = tuple(map(self.of, piece.arguments))
        if all(a is b for a, b in zip(parts, piece.arguments, strict=True)):
            return piece
        return replace(piece, arguments=parts)


def _as_read(piece: Piece, names: Collection[str]) -> Piece | None:
    if piece.op == "parameter" and piece.name in names:
        return read(piece.name, 0, piece.span)
    return None


def _as_bare(piece: Piece, names: Collection[str]) -> Piece | None:
    if piece.op == "read" and piece.lag == 0 and piece.name in names:
        return Piece("parameter", (), piece.span, piece.name)
    return None
