"""One nest as loops: scalar ones, one over lanes, and the sums carried through them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from bptt.execute.codegen import elements, vmath
from bptt.execute.codegen.elements import Coord
from bptt.execute.codegen.emit import Emitter
from bptt.execute.compile.lowerings import COSTLY
from bptt.execute.compile.nests import Member, Nest
from bptt.execute.compile.parts import At, Part
from bptt.step.graph import Node, walk

Value = Any
# Vectors of a sum that are added up side by side: the latency of a multiply-add.
SIDE_BY_SIDE = 4
Sums = dict[tuple[Member, int], Value]


class NestValues(Protocol):
    """The elements of a stage's values, as code that is written now."""

    e: Emitter

    def computes(self, node: Node) -> bool:
        """Whether a value is computed in this stage."""

    def value(self, node: Node, at: At) -> Value:
        """An element of a node, one a lane."""

    def compute(self, node: Node, at: At) -> Value:
        """An element of an operation from elements of its inputs."""

    def know(self, node: Node, at: At, value: Value) -> None:
        """Keep the value of an element for what is computed in this scope."""

    def hoist(self, node: Node, at: At, seen: set[Part]) -> None:
        """Compute now what depends on no loop that is not open yet."""

    def scope(self) -> AbstractContextManager[None]:
        """Values computed inside hold inside alone: the body of a loop."""

    def store(self, node: Node, at: At, value: Value) -> None:
        """Write an element of a made value."""

    def finish(self, node: Node) -> None:
        """From now on a made value is read from where it is."""


class Loops:
    """Emits one nest."""

    def __init__(self, body: NestValues, nest: Nest) -> None:
        self._body, self._nest, self.e = body, nest, body.e
        self._coords = [
            Coord(is_lane=number == nest.lane) for number in range(len(nest.sizes))
        ]
        order = list(range(len(nest.sizes)))
        self._order = order

    def emit(self) -> None:
        """The loops, and then the values are made."""
        nest = self._nest
        if not nest.sizes:
            (member,) = nest.members
            value = self._body.compute(member.node, At())
            self._store(member, value, self._coords)
            self._body.know(member.node, At(), value)
        else:
            with self._body.scope():
                self._loop(0, {}, [])
        for member in nest.members:
            self._body.finish(member.node)

    # ----- loops -----

    def _loop(self, depth: int, sums: Sums, lanes: Sequence[Coord]) -> Sums:
        """The loop at a depth and everything in it; returns the sums it carried on."""
        if depth == len(self._nest.sizes):
            return self._inside(sums, lanes)
        begun = [m for m in self._nest.members if m.over and m.over[0] == depth]
        self._hoist(lanes)
        sums = dict(sums)
        n = len(lanes) or self._width()
        for member in begun:
            for number in range(n):
                sums[member, number] = self.e.constant(self._neutral(member))
        if depth == self._nest.lane:
            sums = self._over_lanes(depth, sums)
        else:
            sums = self._over_scalars(depth, sums, lanes)
        for member in begun:
            self._end_sum(member, [sums.pop((member, k)) for k in range(n)], lanes)
        return sums

    def _over_scalars(self, depth: int, sums: Sums, lanes: Sequence[Coord]) -> Sums:
        keys = list(sums)

        def body(number: Value, *carried: Value) -> list[Value]:
            self._coords[depth].value = number
            with self._body.scope():
                found = self._loop(
                    depth + 1, dict(zip(keys, carried, strict=True)), lanes
                )
            self._coords[depth].value = None
            return [found[key] for key in keys]

        e, size = self.e, self._nest.sizes[depth]
        after = e.fold(e.index(0), e.index(size), 1, body, list(sums.values()))
        return dict(zip(keys, after, strict=True))

    def _width(self) -> int:
        """Vectors of lanes that are computed side by side."""
        n_whole = self._nest.sizes[self._nest.lane] // self.e.lanes
        nodes = walk([m.node for m in self._nest.members])
        is_dear = all(not m.over for m in self._nest.members) and any(
            n.op in COSTLY and self._body.computes(n) for n in nodes
        )
        return 1 if is_dear else max(1, min(SIDE_BY_SIDE, n_whole))

    def _over_lanes(self, depth: int, sums: Sums) -> Sums:
        """Whole blocks of vectors in a loop, then single vectors, the last masked."""
        e, size, width = self.e, self._nest.sizes[depth], self._width()
        step = width * e.lanes
        whole = size // step * step
        if whole > step:
            keys = list(sums)

            def body(first: Value, *carried: Value) -> list[Value]:
                found = dict(zip(keys, carried, strict=True))
                found = self._block(depth, found, first, [None] * width)
                return [found[key] for key in keys]

            end = e.index(whole)
            after = e.fold(e.index(0), end, step, body, list(sums.values()))
            sums = dict(zip(keys, after, strict=True))
        elif whole:
            sums = self._block(depth, sums, e.index(0), [None] * width)
        for first in range(whole, size, e.lanes):
            count = size - first if size - first < e.lanes else None
            sums = self._block(depth, sums, e.index(first), [count])
        return sums

    def _block(
        self, depth: int, sums: Sums, first: Value, counts: Sequence[int | None]
    ) -> Sums:
        e = self.e
        with self._body.scope():
            lanes = [
                Coord(e.builder.add(first, e.index(k * e.lanes)), True, count)
                for k, count in enumerate(counts)
            ]
            return self._loop(depth + 1, sums, lanes)

    # ----- inside -----

    def _at(self, lane: Coord | None) -> list[Coord]:
        coords = list(self._coords)
        if lane is not None:
            coords[self._nest.lane] = lane
        return coords

    def _hoist(self, lanes: Sequence[Coord]) -> None:
        seen: set[Part] = set()
        for lane in lanes or (None,):
            coords = self._at(lane)
            for member in self._nest.members:
                for node, at in member.parts(coords):
                    self._body.hoist(node, at, seen)

    def _inside(self, sums: Sums, lanes: Sequence[Coord]) -> Sums:
        sums = dict(sums)
        for number, lane in enumerate(lanes):
            coords = self._at(lane)
            for member in self._nest.members:
                if member.over:
                    key = (member, number)
                    sums[key] = self._add(member, sums[key], coords)
                else:
                    at = member.at(coords)
                    value = self._body.compute(member.node, at)
                    self._body.know(member.node, at, value)
                    self._store(member, value, coords)
        return sums

    def _neutral(self, member: Member) -> float:
        return float("-inf") if member.node.op == "row_max" else 0.0

    def _add(self, member: Member, total: Value, coords: Sequence[Coord]) -> Value:
        """One more term of a sum, or of a maximum."""
        e = self.e
        values = [self._body.value(node, at) for node, at in member.parts(coords)]
        lane = coords[self._nest.lane]
        if self._nest.lane in member.over:
            values[0] = elements.keep_inside(e, values[0], lane, self._neutral(member))
            if len(values) > 1:
                values[1] = elements.keep_inside(e, values[1], lane, 0.0)
        if member.node.op == "row_max":
            return vmath.maximum(e, total, values[0])
        if len(values) > 1:
            return e.multiply_add(values[0], values[1], total)
        return e.builder.fadd(total, values[0])

    def _end_sum(
        self, member: Member, parts: list[Value], lanes: Sequence[Coord]
    ) -> None:
        """A finished sum goes to its place: one a lane, or all lanes in one."""
        e = self.e
        if self._nest.lane not in member.over:
            for part, lane in zip(parts, lanes, strict=True):
                self._store(member, part, self._at(lane))
            return
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            rest = parts[len(parts) // 2 * 2 :]
            parts = [self._join(member, a, b) for a, b in pairs] + rest
        total = elements.horizontal(e, parts[0], lambda a, b: self._join(member, a, b))
        self._store(member, total, self._coords)

    def _join(self, member: Member, a: Value, b: Value) -> Value:
        if member.node.op == "row_max":
            return vmath.maximum(self.e, a, b)
        return self.e.builder.fadd(a, b)

    def _store(self, member: Member, value: Value, coords: Sequence[Coord]) -> None:
        self._body.store(member.node, member.at(coords), value)
