"""Indices: `j = 1, ..., n_head`, brackets with places, and what runs along an index.

The grammar is Python's; this module reads the statements, brackets and calls that hold
an index, and leaves all others to the reader it is the base of.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bptt import errors
from bptt.errors import Span
from bptt.language.calls import CallReader
from bptt.language.functions import Function
from bptt.language.numbers import step_number, whole
from bptt.language.source import FunctionText, Source
from bptt.language.tree import RESERVED, Equation, Piece

# `sum(j, u)` leaves the index out, `softmax(j, u)` keeps it.
REDUCING = ("sum", "mean", "max", "min", "prod", "argmax", "argmin", "logsumexp")
KEEPING = ("softmax", "log_softmax", "cumsum")
LEAST = {"min": "max", "argmin": "argmax"}  # of -u


@dataclass(frozen=True)
class Index:
    """`name = first, ..., last`: last is a dimension, or it is a fixed size."""

    name: str
    first: int
    size: str | int
    span: Span


@dataclass(frozen=True)
class PlaceText:
    """A place as it is written: indices with signs, and a whole number.

    index: the index that an inner step has put its number in place of, where it stood
    alone.
    """

    terms: tuple[tuple[str, int], ...]
    offset: int = 0
    is_wrapped: bool = False
    index: str = ""


def read_indices(text: str) -> dict[str, Index]:
    """The index declarations of a cell's text, by name."""
    source = Source(text)
    return collect_indices(source.statements(), source)


def collect_indices(
    statements: Iterable[ast.stmt | FunctionText], source: Source
) -> dict[str, Index]:
    """Every index by name.

    Raises: IndexDeclarationError, DuplicateDefinitionError.
    """
    found: dict[str, Index] = {}
    for statement in statements:
        if not is_index_line(statement):
            continue
        assert isinstance(statement, ast.Assign)
        for index in _read_line(statement, source):
            if index.name in found:
                raise errors.DuplicateDefinitionError(
                    index.span,
                    f"the index {index.name} is declared twice",
                    fix=f"give one of the two another name, such as {index.name}_2",
                )
            found[index.name] = index
    return found


def is_index_line(statement: ast.stmt | FunctionText) -> bool:
    """Whether a line is `j = 1, ..., n`."""
    return isinstance(statement, ast.Assign) and (
        isinstance(statement.value, ast.Tuple)
        and any(_is_dots(part) for part in statement.value.elts)
    )


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _read_line(statement: ast.Assign, source: Source) -> list[Index]:
    span = source.span(statement)
    target = statement.targets[0]
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    value = statement.value
    assert isinstance(value, ast.Tuple)
    ends = value.elts
    is_form = len(statement.targets) == 1 and len(ends) == 3 and _is_dots(ends[1])
    if not is_form or not all(isinstance(name, ast.Name) for name in names):
        raise errors.IndexDeclarationError(
            span,
            "an index is written with its first and its last number",
            fix="`j = 1, ..., n_head`, `i, j = 1, ..., n_loc` or `k = -1, ..., 1`",
        )
    first, last = whole(ends[0]), whole(ends[2])
    size: str | int
    if isinstance(ends[2], ast.Name):
        size = ends[2].id
        if first != 1:
            raise errors.IndexDeclarationError(
                span,
                f"an index up to {size} begins at 1",
                fix=f"`{source.show(target)[1:-1]} = 1, ..., {size}`",
            )
    elif first is None or last is None or last < first:
        raise errors.IndexDeclarationError(
            span,
            "an index runs from a whole number to a larger one, or to a dimension",
            fix="`j = 1, ..., n_head` or `k = -1, ..., 1`",
        )
    else:
        size = last - first + 1
    assert first is not None
    return [_index(name, first, size, source) for name in names]


def _index(node: ast.expr, first: int, size: str | int, source: Source) -> Index:
    assert isinstance(node, ast.Name)
    if node.id in RESERVED:
        raise errors.ReservedNameError(
            source.span(node),
            f"{node.id} is the language's own name and cannot name an index",
            fix="j = 1, ..., n_head",
        )
    return Index(node.id, first, size, source.span(node))


class IndexReader(CallReader):
    """Reads what holds an index; the base of the reader of equations."""

    def __init__(
        self,
        source: Source,
        functions: Mapping[str, Function],
        indices: Mapping[str, Index],
    ) -> None:
        """Read in a cell's text, with its functions and indices."""
        super().__init__(source, functions)
        self.indices = indices

    def equation(self, statement: ast.stmt) -> Equation:
        """One equation without places on its left."""
        raise NotImplementedError

    def indexed_equation(self, statement: ast.stmt) -> Equation:
        """An equation, for every value of the indices on its left."""
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not (
            self.indices
            and isinstance(statement, ast.Assign)
            and isinstance(target, ast.Subscript)
        ):
            return self.equation(statement)
        time, *places = self._parts(target)
        plain: ast.expr = ast.Subscript(target.value, time, target.ctx)
        if self._is_place(time):
            plain, places = target.value, [time, *places]
        elif not places:
            return self.equation(statement)
        names = [self._target_place(place) for place in places]
        letters = [name for name in names if isinstance(name, str)]
        if len({*letters}) < len(letters):
            raise errors.IndexUseError(
                self.span(target),
                f"one index stands twice on the left: {self._show(target)}",
                fix="`i, j = 1, ..., n` declares two of one range: `A[t, i, j] = ...`",
            )
        line = ast.Assign([ast.copy_location(plain, target)], statement.value)
        equation = self.equation(ast.copy_location(line, statement))
        body = Piece("put", (equation.expression,), equation.span, tuple(names))
        return replace(equation, expression=body)

    def _is_place(self, node: ast.expr) -> bool:
        """Whether a bracket begins with a place: an index, or a number but 0."""
        is_index = isinstance(node, ast.Name) and node.id in self.indices
        return is_index or bool(whole(node))

    def _target_place(self, node: ast.expr) -> str | int:
        """An index, or a whole number: one place."""
        if isinstance(node, ast.Name) and node.id in self.indices:
            return node.id
        number = whole(node)
        if number is not None:
            return number
        raise errors.IndexUseError(
            self.span(node),
            f"{self._show(node)} on the left is not an index",
            fix="an index alone, such as `C[t, j] = ...`, or one place, `C[t, 1] = "
            "...`; the indices are: " + (", ".join(self.indices) or "none"),
        )

    # ----- brackets -----

    def has_places(self, node: ast.Subscript) -> bool:
        """Whether a bracket holds more than a step."""
        parts = self._parts(node)
        if isinstance(parts[0], ast.Slice):
            return False
        return len(parts) > 1 or (bool(self.indices) and not _is_time(parts[0]))

    @staticmethod
    def _parts(node: ast.Subscript) -> list[ast.expr]:
        return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]

    def with_places(self, node: ast.Subscript, span: Span) -> Piece:
        """`C[t, j]`, `W[j]`, `log_b[j, y[t]]`: a read, then a place at a time."""
        parts = self._parts(node)
        if _is_time(parts[0]):
            time = ast.copy_location(
                ast.Subscript(node.value, parts[0], node.ctx), node
            )
            base, parts = self.expression(time), parts[1:]
        else:
            base = self.expression(node.value)
        by_input = [
            n for n, part in enumerate(parts) if isinstance(part, ast.Subscript)
        ]
        if by_input:
            base, parts = self._looked_up(base, parts, by_input, span)
        for part in parts:
            base = Piece("at", (base,), span, self._place_text(part))
        return base

    def lags_of(self, node: ast.expr) -> tuple[str, list[int]] | None:
        """The index of `t-k` or `t - 2**k`, and the step that each value of it says."""
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        found = dict.fromkeys(name for name in names if name in self.indices)
        if not _is_time(node) or len(found) != 1:
            return None
        index = self.indices[next(iter(found))]
        if not isinstance(index.size, int):
            raise errors.IndexUseError(
                self.span(node),
                f"{self._show(node)} reads as many steps as {index.name} has values, "
                "and the cell says how many",
                fix=f"`{index.name} = {index.first}, ..., 4`, with a whole number",
            )
        numbers = range(index.first, index.first + index.size)
        lags = [step_number(node, {"t": 0, index.name: k}) for k in numbers]
        later = [step_number(node, {"t": 9, index.name: k}) for k in numbers]
        pairs = [(a, b) for a, b in zip(lags, later, strict=True) if a is not None]
        if len(pairs) < len(lags) or any(b != a + 9 for a, b in pairs):
            return None
        return index.name, [a for a, _ in pairs]

    def at_lags(self, name: str, index: str, lags: list[int], span: Span) -> Piece:
        """`h[t-k]`: the value of another step for every k."""
        reads = tuple(Piece("read", (), span, (name, lag)) for lag in lags)
        whole = Piece("whole", reads, span, 0)
        return Piece("at", (whole,), span, PlaceText(((index, 1),)))

    def _looked_up(
        self, base: Piece, parts: list[ast.expr], by_input: list[int], span: Span
    ) -> tuple[Piece, list[ast.expr]]:
        if len(parts) != 2 or len(by_input) != 1:
            raise errors.IndexUseError(
                span,
                "an integer input picks a place of a matrix",
                fix="`B[j, y[t]]` or `B[y[t], j]`",
            )
        (number,) = by_input
        if number == 0:
            base = Piece("transpose", (base,), span)
        index = self.expression(parts[number])
        return Piece("lookup", (base, index), span), [parts[1 - number]]

    def _place_text(self, node: ast.expr) -> PlaceText:
        is_wrapped = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "wrap"
            and len(node.args) == 1
            and not node.keywords
        )
        inner = node.args[0] if is_wrapped else node  # type: ignore[attr-defined]
        terms: list[tuple[str, int]] = []
        offset = self._add_place(inner, 1, terms)
        names = [name for name, _ in terms]
        if offset is None or len({*names}) < len(names):
            raise errors.IndexUseError(
                self.span(node),
                f"{self._show(node)} is not a place",
                fix="an index, an index and a whole number or another index, "
                "`l+k`, around the ends, `wrap(i-k)`, or a whole number; the indices "
                "are: " + (", ".join(self.indices) or "none"),
            )
        return PlaceText(tuple(terms), offset, is_wrapped)

    def _add_place(
        self, node: ast.expr, sign: int, terms: list[tuple[str, int]]
    ) -> int | None:
        """Collect the indices of a sum; returns its whole number, None if it is not."""
        number = whole(node)
        if number is not None:
            return sign * number
        if isinstance(node, ast.Name) and node.id in self.indices:
            terms.append((node.id, sign))
            return 0
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._add_place(node.operand, -sign, terms)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            left = self._add_place(node.left, sign, terms)
            other = sign if isinstance(node.op, ast.Add) else -sign
            right = self._add_place(node.right, other, terms)
            return None if left is None or right is None else left + right
        return None

    # ----- calls -----

    def _call(self, node: ast.Call, span: Span) -> Piece:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        first = node.args[0] if node.args else None
        is_own = name in self._place.functions
        if is_own or node.keywords or first is None:
            return super()._call(node, span)
        along = first.id if isinstance(first, ast.Name) else ""
        is_along = name in (*REDUCING, *KEEPING) and len(node.args) == 2
        if is_along and along in self.indices:
            body = self.expression(node.args[1])
            return Piece("over", (body,), span, (name, along))
        size = whole(first)
        if name == "eye" and (along or size) and len(node.args) == 1:
            return Piece("eye", (), span, along or size)
        if name == "diag" and len(node.args) == 1:
            return Piece("diag", (self.expression(first),), span)
        if name == "roll" and len(node.args) == 2:
            return self._rolled(node, span)
        if name == "stack":
            return Piece("whole", tuple(map(self.expression, node.args)), span, 0)
        if name == "fill" and len(node.args) > 1:
            return Piece("fill", (self.expression(first),), span, self._dims(node))
        return super()._call(node, span)

    def _rolled(self, node: ast.Call, span: Span) -> Piece:
        number = whole(node.args[1])
        if number is None:
            raise errors.ArgumentCountError(
                self.span(node.args[1]),
                f"roll goes round by a whole number, not {self._show(node.args[1])}",
                fix="roll(u, 1); by a weight for each place, `sum(k, s[t, k] * "
                "u[t, wrap(i-k)])`",
            )
        return Piece("roll", (self.expression(node.args[0]),), span, number)

    def part(self, node: ast.Subscript, span: Span) -> Piece:
        """`u[2, ..., 4]`, `h[t, 1, ..., n_h]`: the elements from one to another."""
        parts = self._parts(node)
        n = len(parts) - 3
        ends = counted_dims(parts[n]), counted_dims(parts[n + 2])
        if None in ends or n > 1 or (n == 1 and not _is_time(parts[0])):
            raise errors.IndexUseError(
                span,
                f"{self._show(node)} is no part of a vector",
                fix="`u[2, ..., 4]`, `h[t, 1, ..., n_h]`, "
                "`a[t, n_h+1, ..., 2*n_h]`: whole numbers and dimensions",
            )
        base = node.value
        if n:
            base = ast.copy_location(ast.Subscript(base, parts[0], node.ctx), node)
        return Piece("slice", (self.expression(base),), span, ends)

    def _dims(self, node: ast.Call) -> tuple[str | int, ...]:
        """The dimensions that `fill(value, n, m)` names."""
        found: list[str | int] = []
        for part in node.args[1:]:
            number = whole(part)
            if isinstance(part, ast.Name):
                found.append(part.id)
            elif number is not None and number > 0:
                found.append(number)
            else:
                raise errors.ArgumentCountError(
                    self.span(part),
                    f"{self._show(part)} is not a dimension",
                    fix="`fill(value, n_h)` or `fill(value, 3, n_h)`: names of "
                    "dimensions, or whole numbers",
                )
        return tuple(found)


def is_part(node: ast.Subscript) -> bool:
    """Whether a bracket ends in `first, ..., last`."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    return len(parts) > 2 and _is_dots(parts[-2])


def counted_dims(node: ast.expr) -> tuple[tuple[tuple[str, int], ...], int] | None:
    """`2 * n_h + n_x + 1` as how often each dimension counts and a whole number."""
    counts: dict[str, int] = {}

    def add(node: ast.expr, sign: int) -> int | None:
        """Count a part's dimensions; its whole number, None if it is no such sum."""
        number = whole(node)
        if number is not None:
            return sign * number
        if isinstance(node, ast.Name):
            counts[node.id] = counts.get(node.id, 0) + sign
            return 0
        if not isinstance(node, ast.BinOp):
            return None
        if isinstance(node.op, ast.Mult):
            factor = whole(node.left)
            return None if factor is None else add(node.right, sign * factor)
        if not isinstance(node.op, ast.Add | ast.Sub):
            return None
        left = add(node.left, sign)
        right = add(node.right, sign if isinstance(node.op, ast.Add) else -sign)
        return None if left is None or right is None else left + right

    total = add(node, 1)
    return None if total is None else (tuple(counts.items()), total)


def _is_time(node: ast.expr) -> bool:
    """`t`, `t-1`, `tau`: what begins with the name of a step."""
    while isinstance(node, ast.BinOp):
        node = node.left
    return isinstance(node, ast.Name) and node.id in ("t", "tau")
