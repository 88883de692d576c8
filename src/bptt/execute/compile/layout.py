"""Where every value lives: names in the table, buffers, and what stands side by side.

Gradients that meet the same vector after the loop (the four gates of an LSTM, all
multiplied with h) are columns of one buffer, so that one product gives all their
parameters' gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from bptt.execute.codegen.arrays import Array
from bptt.execute.compile.stages import StagedProgram, is_leaf, is_other_step
from bptt.step.graph import Node, name_of, shift_of
from bptt.step.shapes import Dim, number_of

FLOATS_PER_INDEX = {4: 2, 8: 1}


@dataclass(frozen=True)
class BufferPlace:
    """Columns of a buffer: `column` to `column + width` of rows of `stride` reals."""

    buffer: int
    column: int
    width: int


@dataclass(frozen=True)
class Buffer:
    """A buffer of (tau or tau + 2, n_b, stride) reals."""

    stride: int
    is_padded: bool


@dataclass(frozen=True)
class TimeSum:
    """One product over all rows: the gradients of a run of nodes with one operand.

    nodes: side by side in one buffer, in order; totals: per node, what its part is.
    """

    nodes: tuple[Node, ...]
    operand: Node
    totals: tuple[Node, ...]


class Layout:
    """Places of all memory nodes, and the arrays that kernels see."""

    def __init__(
        self,
        plan: StagedProgram,
        sizes: Mapping[str, int],
        real_bytes: int,
        successors: Mapping[Node, Node],
    ) -> None:
        """Group, then give every memory node its columns, or its successor's."""
        self._plan = plan
        self.sizes = sizes
        self._index_stride = FLOATS_PER_INDEX[real_bytes]
        self.places: dict[Node, BufferPlace] = {}
        self.buffers: list[Buffer] = []
        padded = set(plan.padded.values())
        self.sums: list[TimeSum] = []
        outers = [n for s in plan.segments for n in s.totals if n.op == "total_outer"]
        pairs = [(plan.canon(n.inputs[0]), plan.canon(n.inputs[1]), n) for n in outers]
        grouped: set[Node] = set()
        for block in _blocks([(g, x) for g, x, _ in pairs if g in plan.memory]):
            self._allocate(block, any(node in padded for node in block))
            grouped |= set(block)
        for node in plan.memory:
            if node not in grouped and node not in successors:
                self._allocate([node], node in padded)
        self.overwritten = frozenset(successors)
        for node in successors:
            heir = successors[node]
            while heir in successors:
                heir = successors[heir]
            self.places[node] = self.places[heir]
        self._collect_sums(pairs)

    def _allocate(self, nodes: Sequence[Node], is_padded: bool) -> None:
        column = 0
        for node in nodes:
            width = self.width(node)
            self.places[node] = BufferPlace(len(self.buffers), column, width)
            column += width
        self.buffers.append(Buffer(column, is_padded))

    def left_at(self, node: Node) -> BufferPlace | None:
        """Where a canonical node's value still is after all kernels; None: nowhere."""
        return None if node in self.overwritten else self.places.get(node)

    def width(self, node: Node) -> int:
        """Reals per row of a value of any rank."""
        return prod(self.size(dim) for dim in node.axes)

    def size(self, dim: Dim) -> int:
        """A dimension as a number."""
        return number_of(dim, self.sizes)

    def _collect_sums(self, pairs: list[tuple[Node, Node, Node]]) -> None:
        """Runs of neighbours with one operand become one product."""
        by_operand: dict[Node, list[tuple[Node, Node]]] = {}
        for g, x, total in pairs:
            by_operand.setdefault(_same_read(x, by_operand), []).append((g, total))
        for x, members in by_operand.items():
            for run in self._runs(members):
                nodes, totals = zip(*run, strict=True)
                self.sums.append(TimeSum(tuple(nodes), x, tuple(totals)))

    def _runs(
        self, members: list[tuple[Node, Node]]
    ) -> Iterable[list[tuple[Node, Node]]]:
        inside = [m for m in members if m[0] in self.places]
        yield from ([m] for m in members if m[0] not in self.places)
        inside.sort(key=lambda m: (self.places[m[0]].buffer, self.places[m[0]].column))
        run: list[tuple[Node, Node]] = []
        for member in inside:
            if run and not self._follows(run[-1][0], member[0]):
                yield run
                run = []
            run.append(member)
        if run:
            yield run

    def _follows(self, left: Node, right: Node) -> bool:
        a, b = self.places[left], self.places[right]
        return a.buffer == b.buffer and a.column + a.width == b.column

    # ----- what kernels see -----

    def name(self, node: Node) -> str:
        """The table's name of the sequence, or of the buffer, that holds a value."""
        if node.op == "shift":
            name, lag = shift_of(node)
            source = self._plan.padded.get(name)
            base = f"in:{name}" if source is None else self._buffer_name(source)
            return f"{base}@{lag:+d}"
        if node.op in ("input", "seed"):
            return f"{'in' if node.op == 'input' else 'seed'}:{name_of(node)}"
        if node.op == "weight":
            return "weight"
        return self._buffer_name(node)

    def _buffer_name(self, node: Node) -> str:
        return f"m{self.places[node].buffer}"

    def column(self, node: Node) -> int:
        """Where a row of a value begins in the row of its buffer."""
        if node.op == "shift":
            source = self._plan.padded.get(shift_of(node)[0])
            return 0 if source is None else self.places[source].column
        return 0 if is_leaf(node) else self.places[node].column

    def array(self, node: Node, has_time: bool) -> Array:
        """A timed value as kernels see it; rows are flat where has_time is false.

        In a loop another step's value is read from its own array, `step_read` away.
        """
        name = self.name(node)
        if self.step_read(node, has_time):
            name = self._buffer_name(self._plan.padded[shift_of(node)[0]])
        place = (self.width(node), self.stride(node), self.column(node))
        return Array(name, *place, has_time)

    def step_read(self, node: Node, has_time: bool) -> int:
        """How many steps from the current one `array(node, has_time)` is read."""
        is_apart = has_time and is_other_step(node, self._plan)
        return shift_of(node)[1] if is_apart else 0

    def index_array(self, node: Node, has_time: bool) -> Array:
        """An integer input, one 64-bit integer a row."""
        return Array(self.name(node), 1, self._index_stride, 0, has_time)

    def stride(self, node: Node) -> int:
        """Reals from one row to the next."""
        if node.op == "shift":
            source = self._plan.padded.get(shift_of(node)[0])
            if source is None:
                return self.width(node)
            return self.buffers[self.places[source].buffer].stride
        if is_leaf(node):
            return self.width(node)
        return self.buffers[self.places[node].buffer].stride


def _same_read(node: Node, known: Iterable[Node]) -> Node:
    """One representative per leaf: two leaves may read the same sequence."""
    if not is_leaf(node):
        return node
    for other in known:
        if other.op == node.op and other.data == node.data and is_leaf(other):
            return other
    return node


def _blocks(pairs: list[tuple[Node, Node]]) -> list[list[Node]]:
    """Gradients that share an operand, ordered so that sharers are neighbours.

    With two operands (x and h) the order is: x only, both, h only. With more, what
    cannot be neighbours becomes two products.
    """
    # Dictionaries, not sets: which operand is met first decides between equals.
    operands: dict[Node, dict[Node, None]] = {}
    for g, x in pairs:
        operands.setdefault(g, {})[x] = None
    blocks: list[list[Node]] = []
    left = list(operands)
    while left:
        block = [left.pop(0)]
        reach = dict(operands[block[0]])
        grown = True
        while grown:
            more = [g for g in left if operands[g].keys() & reach.keys()]
            grown = bool(more)
            for g in more:
                left.remove(g)
                block.append(g)
                reach |= operands[g]
        blocks.append(_neighbours(block, operands))
    return blocks


def _neighbours(
    block: list[Node], operands: Mapping[Node, Mapping[Node, None]]
) -> list[Node]:
    counts: dict[Node, int] = {}
    for g in block:
        for x in operands[g]:
            counts[x] = counts.get(x, 0) + 1
    first = max(counts, key=lambda x: counts[x])

    def key(g: Node) -> tuple[int, int]:
        is_in = first in operands[g]
        others = len(operands[g]) - is_in
        return (0 if is_in and not others else 1 if is_in else 2, others)

    return sorted(block, key=key)
