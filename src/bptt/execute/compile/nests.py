"""The loops of one row: which values are made, in which order, by which loops.

A nest is a few loops, one of them over lanes, with values that are made in it: values
of all its coordinates, and sums over its inner ones. What only sums or is used once is
computed where it is read and has no loop of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bptt.execute.codegen.elements import Coord, stride_of_lanes
from bptt.execute.compile.lowerings import COSTLY
from bptt.execute.compile.parts import (
    At,
    Part,
    element_parts,
    is_reduction,
    reduced,
    terms,
)
from bptt.execute.compile.stages import Canon, is_leaf
from bptt.step.graph import Node, walk
from bptt.step.shapes import Dim

# Computing a value again costs less than a loop of its own below this many operations.
CHEAP = 6
COSTLY_OPERATION = 8

Size = Callable[[Dim], int]


@dataclass(frozen=True)
class Member:
    """A value made in a nest: which loops its own coordinates and its sum run over."""

    node: Node
    own: tuple[int, ...]
    over: tuple[int, ...]

    def at(self, coords: Sequence[Coord]) -> At:
        """Where its element lies, given the coordinates of the loops."""
        own = [coords[number] for number in self.own]
        names = [name for name, _ in self.node.indices]
        n = len(names)
        return At(tuple(zip(names, own[:n], strict=True)), tuple(own[n:]))

    def parts(self, coords: Sequence[Coord]) -> tuple[Part, ...]:
        """What its element, or a term of its sum, is made of."""
        if not self.over:
            parts = element_parts(self.node, self.at(coords))
            if _reads_table(self.node):
                return tuple(part for part in parts if part[0].timed)
            return parts
        over = tuple(coords[number] for number in self.over)
        return terms(self.node, self.at(coords), over)


@dataclass
class Nest:
    """Loops from the outside to the inside; `lane` is the one whose steps are lanes."""

    sizes: tuple[int, ...]
    lane: int
    members: list[Member] = field(default_factory=list)


def has_elements(matrix: Node) -> bool:
    """Whether a look-up reads elements of a matrix, not rows of a table."""
    return matrix.timed or bool(matrix.indices)


def _reads_table(node: Node) -> bool:
    """A look-up in a static matrix: its transposed table is found where it is read."""
    return node.op == "lookup" and not has_elements(node.inputs[0])


class Planner:
    """Cuts the values of a stage into nests."""

    def __init__(
        self, stored: Iterable[Node], needed: Iterable[Node], size: Size,
        canon: Canon, is_placed: Callable[[Node], bool],
    ) -> None:  # fmt: skip
        """needed: everything the stage computes, inputs first; stored: what it leaves.

        is_placed: whether a value is in memory before the stage.
        """
        self._size, self.canon, self._is_placed = size, canon, is_placed
        self._needed = list(needed)
        self.made = self._find_made(dict.fromkeys(stored))

    def _find_made(self, stored: Mapping[Node, None]) -> dict[Node, None]:
        """Sums, what is stored, and what is dear and read more than once."""
        readers: dict[Node, list[Node]] = {}
        for node in self._needed:
            for child in self.canon.inputs(node):
                readers.setdefault(child, []).append(node)
        made: dict[Node, None] = {}
        cost: dict[Node, int] = {}
        for node in self._needed:
            own = COSTLY_OPERATION if node.op in COSTLY else 1
            cost[node] = own + sum(cost.get(c, 0) for c in self.canon.inputs(node))
            is_again = len(readers.get(node, ())) > 1 or any(
                len(_space(reader)) > len(node.axes) for reader in readers.get(node, ())
            )
            is_dear = cost[node] >= CHEAP and is_again and node.axes
            if node in stored or is_reduction(node) or is_dear:
                made[node] = None
                cost[node] = 0
        return made

    def nests(self) -> list[Nest]:
        """All nests, in order."""
        found: list[Nest] = []
        for node in self.made:
            self._place(node, found)
        return found

    def _place(self, node: Node, nests: list[Nest]) -> None:
        """Into the last nest that has its loops, if nothing later is in the way."""
        own = self._own(node)
        for nest in reversed(nests):
            member = _fit(node, own, nest)
            if member is not None and self._may_join(member, nest):
                nest.members.append(member)
                return
            if self._reads(node) & {m.node for m in nest.members}:
                break
        nests.append(own)

    def _own(self, node: Node) -> Nest:
        """The nest of a value alone, its lanes where most loads are of neighbours."""
        axes = [self._size(dim) for dim in node.axes]
        if not is_reduction(node):
            everything = tuple(range(len(axes)))
            return Nest(tuple(axes), len(axes) - 1, [Member(node, everything, ())])
        over = [self._size(dim) for dim in reduced(node)]
        n = len(axes)
        inner = Nest(
            (*axes, *over), n + len(over) - 1,
            [Member(node, tuple(range(n)), tuple(range(n, n + len(over))))],
        )  # fmt: skip
        if not axes:
            return inner
        outer = Nest((*axes, *over), n - 1, list(inner.members))
        # Lanes along a sum cost a fold at its end, so they must save something.
        return outer if self._strided(outer) <= self._strided(inner) else inner

    def _strided(self, nest: Nest) -> int:
        """Loads that would have to collect their lanes one by one."""
        coords = [Coord(is_lane=n == nest.lane) for n in range(len(nest.sizes))]
        loads = self.loads(nest.members[0].parts(coords))
        return sum(self.distance(node, at) > 1 for node, at in loads)

    def distance(self, node: Node, at: At) -> int:
        """How far the elements of two neighbouring lanes lie apart in memory."""
        return stride_of_lanes(at.coords, [self._size(dim) for dim in node.axes])

    def is_load(self, node: Node) -> bool:
        """Whether a value's elements are read from memory."""
        if not node.timed:
            return node.op not in ("transpose", "constant", "size")
        return node in self.made or is_leaf(node) or self._is_placed(node)

    def loads(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The elements in memory that elements are made of."""
        seen: set[Part] = set()
        stack = list(parts)
        while stack:
            node, at = stack.pop()
            node = self.canon(node) if node.timed else node
            if (node, at) in seen or node.op in ("constant", "size"):
                continue
            seen.add((node, at))
            if self.is_load(node):
                yield node, at
            elif not _reads_table(node):
                stack.extend(element_parts(node, at))

    def _reads(self, node: Node) -> set[Node]:
        """The made values that a value is computed from."""
        found: set[Node] = set()
        stack = list(self.canon.inputs(node))
        while stack:
            child = stack.pop()
            if child in found:
                continue
            if child in self.made:
                found.add(child)
            elif not self.is_load(child):
                stack.extend(self.canon.inputs(child))
        return found

    def _may_join(self, member: Member, nest: Nest) -> bool:
        """What it reads of the nest's values are elements at the same coordinates."""
        coords = [Coord() for _ in nest.sizes]
        own = {m.node: m.at(coords) for m in nest.members if not m.over}
        inside = {m.node for m in nest.members}
        if any(n.op in ("lookup", "pick") for n in walk([member.node])):
            return not self._reads(member.node) & inside
        return all(
            node not in inside or own.get(node) == at
            for node, at in self.loads(member.parts(coords))
        )


def _space(node: Node) -> tuple[Dim, ...]:
    """All dimensions that an element of a node is computed along."""
    return node.axes + (reduced(node) if is_reduction(node) else ())


def _fit(node: Node, own: Nest, nest: Nest) -> Member | None:
    """The node as a member of a nest with the same loops; None where it has others."""
    if own.sizes == nest.sizes and own.lane == nest.lane and nest.sizes:
        return own.members[0]
    return None
