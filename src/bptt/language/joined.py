"""Vectors put together, parts of vectors, and vectors turned round their ends.

    [u; v]            an element of u, then of v: places of one dimension n_u+n_v
    u[2, ..., 4]      the elements 2 to 4
    roll(u, k)        element i is u_{i-k}, around the ends

All three are reads at places of an index that has no name in the text, and so have the
gradient and the kernels of such reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bptt import errors
from bptt.errors import Span
from bptt.language.dimensions import Names
from bptt.language.tree import Piece
from bptt.step import ops, shapes
from bptt.step.graph import Node
from bptt.step.ops import infer
from bptt.step.places import UNNAMED, IndexPlace, PlaceTerm
from bptt.step.shapes import Dim, DimVar, ShapeRuleError, unify_inferring

READ = re.compile(r"\w+(\[[^\[\];:.]*\])?")  # `b`, `h[t-1]`, `h[t, j]`
JOINED = ("concat", "slice", "roll")
# `2 * n_h + 1`: how often each dimension counts, and a whole number.
Counted = tuple[tuple[tuple[str, int], ...], int]


@dataclass
class SizeSums:
    """Dimensions that are sums of others, `n_h+n_x`, while a cell is read."""

    found: list[tuple[DimVar, tuple[Dim, ...], Span | None]] = field(
        default_factory=list
    )

    def add(self, parts: Sequence[Dim], span: Span | None) -> Dim:
        """The dimension of a sum; a number where all parts are numbers."""
        if all(isinstance(part, int) for part in parts):
            return sum(parts)  # type: ignore[arg-type]
        dim = DimVar()
        self.found.append((dim, tuple(parts), span))
        return dim

    def roots(self) -> dict[DimVar, tuple[Dim, ...]]:
        """The sums by the class of equal dimensions that each belongs to."""
        return {dim.find(): parts for dim, parts, _ in self.found}

    def add_sized(self, sized: set[DimVar]) -> None:
        """Add what follows: a sum of known parts, the one unknown part of a sum."""
        for _ in self.found:
            for root, parts in self.roots().items():
                roots = {part.find() for part in parts if isinstance(part, DimVar)}
                left = roots - sized
                if not left:
                    sized.add(root)
                elif len(left) == 1 and root in sized:
                    sized |= left

    def name(self, names: Names, known: Callable[[], str] | None) -> None:
        """Give every sum the name of its parts, `n_h+n_x`.

        known: what a message says of shapes; None: nothing is refused yet.
        Raises: DimensionClashError for one dimension with two such names.
        """
        done: dict[DimVar, str | int] = {}
        for dim, parts, span in self.found:
            text = _sum_text([_name_of(part, names) for part in parts])
            root = dim.find()
            before = done.get(root, root.value)
            if before is None or _sorted(before) == _sorted(text):
                names[root] = done[root] = text if before is None else before
            elif known is not None:
                raise errors.DimensionClashError(
                    span,
                    f"one dimension would need two sizes, {before} and {text}",
                    fix=f"declare it as the sum, `W: (n_h, {text})`",
                    shapes=known(),
                )


def _name_of(part: Dim, names: Names) -> str:
    if not isinstance(part, DimVar):
        return str(part)
    value = part.find().value
    return str(names.get(part.find(), "?") if value is None else value)


def _sum_text(parts: Sequence[str]) -> str | int:
    """`n_h+n_x+2` from its parts; numbers are added up and stand last."""
    terms = [term for part in parts for term in part.split("+")]
    numbers = [int(term) for term in terms if term.isdigit()]
    letters = [term for term in terms if not term.isdigit()]
    if not letters:
        return sum(numbers)
    return "+".join([*letters, *([str(sum(numbers))] if sum(numbers) else [])])


def _sorted(dim: str | int) -> list[str]:
    return sorted(str(dim).split("+"))


class JoinedNodes:
    """Makes nodes of `JOINED`; the base of what makes nodes of indices."""

    sums: SizeSums

    def _joined_setup(
        self, node: Callable[[Piece], Node], known: Callable[[], str]
    ) -> None:
        self.sums = SizeSums()
        self._part_node, self._part_known = node, known

    def _dimension(self, name: str) -> Dim:
        raise NotImplementedError

    def sum_dim(self, text: str, dim_of: Callable[[str], Dim]) -> Dim:
        """The dimension `n_h+n_x` of a declaration."""
        parts = [int(t) if t.isdigit() else dim_of(t) for t in text.split("+")]
        return self.sums.add(parts, None)

    def _refuse_part(self, expr: Piece, problem: str, fix: str) -> errors.CellError:
        known = self._part_known()
        return errors.RankError(expr.span, problem, fix=fix, shapes=known)

    def _whole_dim(self, part: Node, dim: Dim) -> Node:
        place = IndexPlace(dim, (PlaceTerm(UNNAMED, dim),))
        return ops.put(part, place)

    def _concat(self, expr: Piece) -> Node:
        nodes = [_as_vector(self._part_node(part)) for part in expr.arguments]
        first = nodes[0]
        if expr.data == "," and all(node.rank > 1 for node in nodes):
            shown = [part.text for part in expr.arguments]
            raise self._refuse_part(
                expr, "a comma would set matrices side by side, and they are put "
                "together one below the other",
                f"`[{'; '.join(shown)}]` for that; side by side they multiply vectors "
                f"put together, and that is a sum: {shown[0]} times the first and "
                f"{shown[1]} times the second",
            )  # fmt: skip
        for node, piece in zip(nodes, expr.arguments, strict=True):
            try:
                shapes.unify_shapes(unify_inferring, first.shape[1:], node.shape[1:])
            except ShapeRuleError:
                raise self._refuse_part(
                    expr,
                    f"{piece.text} is {shapes.RANK_NAMES[node.rank]} and "
                    f"{expr.arguments[0].text} {shapes.RANK_NAMES[first.rank]}: what "
                    "is put together differs in its first dimension alone",
                    "vectors, or matrices with as many columns",
                ) from None
        dims = [node.shape[0] for node in nodes]
        dim = self.sums.add(dims, expr.span)
        parts: list[Node] = []
        for number, node in enumerate(nodes):
            before = tuple((d, -1) for d in dims[:number])
            place = IndexPlace(
                dims[number], (PlaceTerm(UNNAMED, dim),), dims=before, part="joined"
            )
            parts.append(Node("at", (node,), node.shape[1:], place))
        found = parts[0]
        for part in parts[1:]:
            found = Node("add", (found, part), found.shape)
        return self._whole_dim(found, dim)

    def _slice(self, expr: Piece) -> Node:
        x = self._part_node(expr.arguments[0])
        data: Any = expr.data
        first, last = data
        if not x.rank:
            raise self._refuse_part(
                expr, f"{_name_text(expr)} is a number, and has no elements",
                "a vector, or the rows of a matrix",
            )  # fmt: skip
        counts = dict(last[0])
        for name, count in first[0]:
            counts[name] = counts.get(name, 0) - count
        number = last[1] - first[1] + 1
        names = [n for n, count in counts.items() for _ in range(count)]
        if min(counts.values(), default=0) < 0 or number < 0 or not (names or number):
            raise self._refuse_part(
                expr, "a part runs from an element to a later one",
                "`u[2, ..., 4]`, `u[1, ..., n_h]` or `u[n_h+1, ..., n_h+n_x]`",
            )  # fmt: skip
        parts: list[Dim] = [self._dimension(name) for name in names]
        dim = parts[0] if len(parts) == 1 and not number else self.sums.add(
            [*parts, *([number] if number else [])], expr.span
        )  # fmt: skip
        before = tuple((self._dimension(name), count) for name, count in first[0])
        place = IndexPlace(
            x.shape[0], (PlaceTerm(UNNAMED, dim),), first[1] - 1, dims=before,
            part="slice",
        )  # fmt: skip
        self._check_end(expr, x, last)
        return self._whole_dim(Node("at", (x,), x.shape[1:], place), dim)

    def _check_end(self, expr: Piece, x: Node, last: Counted) -> None:
        dim = x.shape[0]
        size = dim.find().value if isinstance(dim, DimVar) else dim
        is_known = isinstance(size, int) and not last[0]
        if is_known and last[1] > int(size or 0):
            raise errors.DimensionClashError(
                expr.span,
                f"{_name_text(expr)} has {size} elements, and {expr.text} "
                f"reads element {last[1]}",
                fix=f"{size} at most",
                shapes=self._part_known(),
            )

    def _roll(self, expr: Piece) -> Node:
        x = self._part_node(expr.arguments[0])
        data: Any = expr.data
        if not x.rank:
            raise self._refuse_part(
                expr, f"{expr.arguments[0].text} is a scalar (): roll takes a vector, "
                "or a matrix whose rows go round", "roll(u, 1)",
            )  # fmt: skip
        dim = x.shape[0]
        place = IndexPlace(dim, (PlaceTerm(UNNAMED, dim),), -int(data), is_wrapped=True)
        infer("at", (x,), place, unify_inferring)
        return self._whole_dim(Node("at", (x,), x.shape[1:], place), dim)


def _as_vector(x: Node) -> Node:
    """A number as a vector of one element."""
    return x if x.rank else Node("fill", (x,), (1,), (1,))


def _name_text(expr: Piece) -> str:
    """What a part is taken of: the text before the last bracket."""
    return expr.text.rpartition("[")[0] or expr.text


# ----- text -----


def joined_text(node: Node, text: Callable[[Node], str]) -> str | None:
    """The text of a node that one of `JOINED` made; None for any other."""
    data: Any = node.data
    if node.op != "put" or data[0].names != (UNNAMED,):
        return None
    body = node.inputs[0]
    parts: list[Node] = []
    while body.op == "add" and _is_joined(body.inputs[1]):
        parts.insert(0, body.inputs[1])
        body = body.inputs[0]
    if parts and _is_joined(body):
        inner = [_unfilled(part.inputs[0]) for part in (body, *parts)]
        return "[" + "; ".join(map(text, inner)) + "]"
    if body.op != "at":
        return None
    place: Any = body.data
    if place.is_wrapped:
        return f"roll({text(body.inputs[0])}, {-place.offset})"
    if place.part != "slice":
        return None
    return _slice_text(place, data[0].dim, text(body.inputs[0]))


def _is_joined(node: Node) -> bool:
    return node.op == "at" and getattr(node.data, "part", "") == "joined"


def _unfilled(node: Node) -> Node:
    return node.inputs[0] if node.op == "fill" and node.shape == (1,) else node


def _slice_text(place: IndexPlace, dim: Dim, base: str) -> str:
    counts = {str(name): count for name, count in place.dims}
    first = _counted_text(counts, place.offset + 1)
    number = place.offset
    for term in str(dim).split("+"):
        if term.isdigit():
            number += int(term)
        else:
            counts[term] = counts.get(term, 0) + 1
    inside = f"{first}, ..., {_counted_text(counts, number)}"
    if not READ.fullmatch(base):
        return f"({base})[{inside}]"
    return f"{base[:-1]}, {inside}]" if base.endswith("]") else f"{base}[{inside}]"


def _counted_text(counts: dict[str, int], number: int) -> str:
    parts = [f"{n} * {d}" if n != 1 else d for d, n in counts.items() if n]
    if number or not parts:
        parts.append(str(number))
    return " + ".join(parts).replace("+ -", "- ")
