"""Stages of matrices and indexed values: nests to loops, one row at a time.

Code that does not depend on a loop stands before it: LLVM is not asked to move it, and
could not, because it knows nothing of which arrays overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bptt.execute.codegen import elements
from bptt.execute.codegen.arrays import Array
from bptt.execute.codegen.elements import Coord, PlaceCoord
from bptt.execute.codegen.emit import INDEX
from bptt.execute.codegen.rows import RowPass
from bptt.execute.compile.expand import NotCompilableError
from bptt.execute.compile.layout import Layout
from bptt.execute.compile.loops import Loops
from bptt.execute.compile.lowerings import LOWERINGS, lower
from bptt.execute.compile.nests import Nest, Planner, has_elements
from bptt.execute.compile.parts import At, Part, element_parts, place_coord
from bptt.execute.compile.stages import ALIASES, Canon, StagedProgram, StagePlan
from bptt.step.graph import Node, walk

Value = Any
SAME_ELEMENT = ("fill", "index_fill", "transpose", "diagonal")


class TensorNames(Protocol):
    """Names of static arrays in the kernels' table."""

    def name(self, node: Node) -> str:
        """Of an array as it is."""

    def table(self, node: Node) -> str:
        """Of a matrix, transposed."""


class TensorSource(Protocol):
    """What is known of a program when its stages are written."""

    plan: StagedProgram
    layout: Layout
    canon: Canon

    @property
    def statics(self) -> TensorNames:
        """Arrays that do not change in time."""

    def needed(self, stage: StagePlan) -> set[Node]:
        """What a stage computes."""

    def read(self, node: Node, has_time: bool) -> tuple[Array, int]:
        """The array of a timed value, and how many steps away it is read."""


@dataclass(frozen=True)
class _Stored:
    """Where the elements of a value lie: an address, and sizes from axis to axis."""

    pointer: Value
    sizes: tuple[int, ...]


class TensorBody:
    """Emits the loops of one stage for one row."""

    def __init__(
        self, generator: TensorSource, stage: StagePlan, row: RowPass, has_time: bool
    ) -> None:
        self._g, self._stage, self._row, self._has_time = (
            generator, stage, row, has_time
        )  # fmt: skip
        self.e = row.e
        self._size = generator.layout.size
        self._scopes: list[dict[Part, Value]] = [{}]
        self._temporary: dict[Node, Value] = {}
        self._finished: set[Node] = set()
        self._columns: dict[Node, Coord] = {}
        self._found: dict[Node, _Stored] = {}
        self._places: dict[Node, _Stored] = {}
        needed = generator.needed(stage)
        self._order = [node for node in walk(stage.homes) if node in needed]
        self._plan = Planner(
            stage.stored, self._order, self._size, generator.canon, self._is_placed
        )

    def emit(self) -> None:
        """All loops, in order."""
        for node in self._order:
            if node.op in ("one_hot", "scatter", "pick", "lookup"):
                self._column(node.inputs[-1])
        for nest in self._plan.nests():
            self._look_ahead(nest)
            Loops(self, nest).emit()

    def _look_ahead(self, nest: Nest) -> None:
        """Addresses that a nest will read and write, before its loops."""
        coords = [Coord() for _ in nest.sizes]
        for member in nest.members:
            for node, _ in self._plan.loads(member.parts(coords)):
                self.find(node)
            self.place(member.node)

    # ----- where values are -----

    def _is_placed(self, node: Node) -> bool:
        return node in self._g.plan.memory and node not in self._stage.homes

    def _sizes(self, node: Node) -> tuple[int, ...]:
        return tuple(self._size(dim) for dim in node.axes)

    def _address(self, array: Array, shift: int) -> Value:
        return self._row.frame.get_row(array, self._row.number, shift)

    def find(self, node: Node) -> _Stored | None:
        """Where a value's elements can be loaded from; None to compute them.

        Addresses are kept: a nest asks for all of its own before its loops.
        """
        if not self._plan.is_load(node):
            return None
        if node in self._plan.made and node not in self._finished:
            return None
        if node not in self._found:
            self._found[node] = self._look_for(node)
        return self._found[node]

    def _look_for(self, node: Node) -> _Stored:
        if not node.timed:
            width = self._g.layout.width(node)
            name = self._g.statics.name(node)
            return _Stored(
                self._address(Array(name, width, 0, 0, False), 0), self._sizes(node)
            )
        if node in self._temporary:
            return _Stored(self._temporary[node], self._sizes(node))
        array, shift = self._g.read(node, self._has_time)
        return _Stored(self._address(array, shift), self._sizes(node))

    def place(self, node: Node) -> _Stored:
        """Where the elements of a made value go."""
        if node not in self._places:
            self._places[node] = self._choose_place(node)
        return self._places[node]

    def _choose_place(self, node: Node) -> _Stored:
        if node in self._g.plan.memory:
            array = self._g.layout.array(node, self._has_time)
            return _Stored(self._address(array, 0), self._sizes(node))
        if node not in self._temporary:
            width = self._g.layout.width(node)
            self._temporary[node] = self.e.allocate(width)
        return _Stored(self._temporary[node], self._sizes(node))

    def computes(self, node: Node) -> bool:
        """Whether a value is computed in this stage."""
        return node in self._stage.homes

    def store(self, node: Node, at: At, value: Value) -> None:
        """Write an element of a made value."""
        place = self.place(node)
        elements.store(self.e, value, place.pointer, at.coords, place.sizes)

    def finish(self, node: Node) -> None:
        """From now on a made value is read from where it is."""
        self._finished.add(node)

    # ----- the value of an element -----

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values computed inside hold inside alone: the body of a loop."""
        self._scopes.append({})
        yield
        self._scopes.pop()

    def know(self, node: Node, at: At, value: Value) -> None:
        """Keep the value of an element for what is computed in this scope."""
        self._scopes[-1][node, at] = value

    def value(self, node: Node, at: At) -> Value:
        """An element of a node, one a lane."""
        part = self._part(node, at)
        for scope in reversed(self._scopes):
            if part in scope:
                return scope[part]
        result = self._compute(*part)
        self._scopes[-1][part] = result
        return result

    def _part(self, node: Node, at: At) -> Part:
        if node.timed:
            node = self._g.canon(node)
        return node, at.of(node)

    def _compute(self, node: Node, at: At) -> Value:
        e = self.e
        if node.op == "constant":
            assert isinstance(node.data, float)
            return e.constant(node.data)
        if node.op == "size":
            return e.constant(float(self._size(node.data)))  # type: ignore[arg-type]
        stored = self.find(node)
        if stored is not None:
            return elements.load(e, stored.pointer, at.coords, stored.sizes)
        return self.compute(node, at)

    def compute(self, node: Node, at: At) -> Value:
        """An element of an operation from elements of its inputs."""
        e = self.e
        if node.op == "lookup":
            return self._look_up(node, at)
        if node.op == "pick":
            column = self._column(node.inputs[1])
            return self.value(node.inputs[0], At(at.indices, (column,)))
        parts = element_parts(node, at)
        values = [self.value(child, where) for child, where in parts]
        if node.op in ("at", "put", "diag"):
            return self._kept_inside(node, at, values[0])
        if node.op in ALIASES or node.op in SAME_ELEMENT:
            return values[0]
        if node.op == "outer":
            return e.builder.fmul(*values)
        if node.op == "one_hot":
            return elements.are_equal(e, at.core[0], self._column(node.inputs[0]))
        if node.op == "scatter":
            is_here = elements.are_equal(e, at.core[1], self._column(node.inputs[1]))
            return e.builder.fmul(values[0], is_here)
        if node.op not in LOWERINGS:
            raise NotCompilableError(f"the operation {node.op} inside a time step")
        return lower(e, node, values)

    def _kept_inside(self, node: Node, at: At, value: Value) -> Value:
        """0 where a place is outside, or beside the diagonal."""
        e = self.e
        data: Any = node.data
        if node.op == "diag":
            is_there = elements.are_equal(e, *at.core)
        elif node.op == "at":
            if data.is_plain:
                return value
            coord = place_coord(data, dict(at.indices))
            is_there = elements.is_inside(e, coord, self._size(data.dim))
        elif not data[0].terms:
            there = PlaceCoord((), data[0].offset - 1)
            is_there = elements.are_equal(e, at.core[0], there)
        elif data[1]:
            own = dict(at.indices)[data[1][0]]
            is_there = elements.are_equal(e, at.core[0], own)
        else:
            return value
        zero = e.constant(0.0)
        is_zero = e.builder.fcmp_ordered("==", is_there, zero)
        return e.builder.select(is_zero, zero, value)

    def _column(self, node: Node) -> Coord:
        """An integer of the row as a coordinate."""
        node = self._g.canon(node)
        if node not in self._columns:
            array = self._g.layout.index_array(node, self._has_time)
            place = self._address(array, 0)
            number = self.e.builder.load(place, typ=INDEX, align=8)
            self._columns[node] = Coord(number)
        return self._columns[node]

    def _look_up(self, node: Node, at: At) -> Value:
        """A column of a matrix; of a static one a row of its transposed table."""
        matrix, index = node.inputs
        column = self._column(index)
        if has_elements(matrix):
            return self.value(matrix, At(at.indices, (*at.core, column)).of(matrix))
        rows, columns = (self._size(dim) for dim in matrix.shape)
        array = Array(self._g.statics.table(matrix), rows, rows, 0, False)
        pointer = self._address(Array(array.name, rows, 0, 0, False), 0)
        sizes = (columns, rows)
        return elements.load(self.e, pointer, (column, *at.core), sizes)

    # ----- what does not depend on an inner loop -----

    def hoist(self, node: Node, at: At, seen: set[Part]) -> None:
        """Compute now what depends on no loop that is not open yet."""
        part = node, at = self._part(node, at)
        if part in seen or node.op in ("constant", "size"):
            return
        seen.add(part)
        if self._is_open(node, at):
            self.value(node, at)
        elif self.find(node) is None and node.op not in ("lookup", "pick"):
            for child, where in element_parts(node, at):
                self.hoist(child, where, seen)

    def _is_open(self, node: Node, at: At) -> bool:
        return all(coord.is_open for coord in at.coords)
