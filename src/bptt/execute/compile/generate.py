"""A plan to stages of `codegen`: products, and equations as vector code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bptt.execute.codegen.arrays import Array, Lane
from bptt.execute.codegen.emit import Emitter
from bptt.execute.codegen.packed_weights import Matrix
from bptt.execute.codegen.rows import RowPass, RowStage
from bptt.execute.codegen.stage import Stage, StageProduct
from bptt.execute.compile.expand import NotCompilableError
from bptt.execute.compile.layout import Layout
from bptt.execute.compile.lowerings import LOWERINGS, lower
from bptt.execute.compile.stages import ALIASES, StagedProgram, StagePlan, is_leaf
from bptt.execute.compile.tensors import TensorBody
from bptt.step.graph import Node, walk

Value = Any
# An operand and the step it is read at, and its matrices by slot.
Block = tuple[tuple[Array, int], list[tuple[Matrix, int]]]


@dataclass
class Statics:
    """Static values that kernels read, by name in the table.

    arrays: name -> node, as it is; tables: name -> matrix node, to be transposed so
    that a column looked up is a row.
    """

    arrays: dict[str, Node] = field(default_factory=dict)
    tables: dict[str, Node] = field(default_factory=dict)
    _names: dict[Node, str] = field(default_factory=dict)

    def name(self, node: Node) -> str:
        """The name of a static array."""
        if node not in self._names:
            self._names[node] = f"s{len(self._names)}"
            self.arrays[self._names[node]] = node
        return self._names[node]

    def table(self, node: Node) -> str:
        """The name of a transposed matrix."""
        for name, known in self.tables.items():
            if known is node:
                return name
        name = f"t{len(self.tables)}"
        self.tables[name] = node
        return name


class Generator:
    """Turns stage plans into the toolbox's stages."""

    def __init__(self, plan: StagedProgram, layout: Layout) -> None:
        self.plan, self.layout = plan, layout
        self.statics = Statics()
        self.canon = plan.canon
        self._n_packed = 0
        self.consumers = self._count_consumers()

    def _count_consumers(self) -> dict[Node, int]:
        counts: dict[Node, int] = {}
        seen: set[Node] = set()
        roots = [n for s in self.plan.segments for g in s.stages for n in g.homes]
        for node in roots:
            if node not in seen:
                seen.add(node)
                for child in self.canon.inputs(node):
                    counts[child] = counts.get(child, 0) + 1
        return counts

    def collect_names(self) -> list[str]:
        """Every name that a kernel of this plan may ask the table for."""
        names: dict[str, None] = {}
        roots = [n for s in self.plan.segments for g in s.stages for n in g.homes]
        n_products = 0
        for node in walk(roots):
            if node.op == "matvec" and node.timed:
                n_products += 1
            if is_leaf(node):
                names[self.layout.name(node)] = None
            for child in node.inputs if node.timed else ():
                if not child.timed and child.op not in ("constant", "size"):
                    names[self._static_name(node, child)] = None
        # What no kernel reads, a product over all steps may: a seed times an input.
        summed = [n for item in self.layout.sums for n in (*item.nodes, item.operand)]
        for node in (*self.plan.memory, *summed):
            names[self.layout.name(node)] = None
        names.update((f"p{number}", None) for number in range(n_products))
        return list(names)

    def _static_name(self, reader: Node, node: Node) -> str:
        if reader.op == "lookup" and reader.inputs[0] is node and not node.indices:
            return self.statics.table(node)
        return self.statics.name(_untransposed(node)[0] if node.rank == 2 else node)

    def stages(self, number: int) -> tuple[Stage | RowStage, ...]:
        """The stages of a segment that store something."""
        segment = self.plan.segments[number]
        has_time = segment.direction != 0
        return tuple(
            self._row_stage(stage, has_time) if stage.is_row
            else self._stage(stage, has_time)
            for stage in segment.stages
            if not stage.is_empty
        )  # fmt: skip

    def _stage(self, stage: StagePlan, has_time: bool) -> Stage:
        assert stage.width is not None
        slots = self._slots(stage)
        products = self._products(slots, has_time)
        top = {node: number for number, (node, _) in enumerate(slots)}

        def epilogue(lane: Lane) -> None:
            values = LaneValues(self, stage, lane, has_time, top)
            # All first: what is stored may take the place of what was read.
            computed = [(node, values[node]) for node in stage.stored]
            for node, value in computed:
                lane.store(self.layout.array(node, has_time), value)

        width = self.layout.size(stage.width)
        return Stage(width, len(slots), products, epilogue)

    def _slots(self, stage: StagePlan) -> list[tuple[Node, list[Node]]]:
        """Sums of products that share accumulators: (the sum's node, its products)."""
        needed = self.needed(stage)
        groups: dict[Node, list[Node]] = {
            node: [node] for node in stage.products if node in needed
        }
        for node in walk(stage.homes):
            if node.op != "add" or node not in needed or node not in stage.homes:
                continue
            parts = self.canon.inputs(node)
            are_private = all(p in groups and self._is_private(p) for p in parts)
            if are_private and parts[0] is not parts[1]:
                groups[node] = [m for part in parts for m in groups.pop(part)]
        return list(groups.items())

    def _is_private(self, node: Node) -> bool:
        return self.consumers.get(node, 0) == 1 and node not in self.plan.memory

    def needed(self, stage: StagePlan) -> set[Node]:
        """What the stage's stores reach within the stage."""
        seen: set[Node] = set()
        stack = list(stage.stored)
        while stack:
            node = stack.pop()
            if node in seen or not node.timed or is_leaf(node):
                continue
            if node in self.plan.memory and node not in stage.homes:
                continue
            seen.add(node)
            if node not in stage.products:
                stack.extend(self.canon.inputs(node))
        return seen

    def _products(
        self, slots: list[tuple[Node, list[Node]]], has_time: bool
    ) -> tuple[StageProduct, ...]:
        """One product per operand, feeding several slots; more if a slot repeats.

        Operands side by side in memory that feed the same slots become one: the
        gradients of an LSTM's four gates are one vector with one matrix for each gate.
        """
        merged: list[Block] = []
        for number, (_, members) in enumerate(slots):
            for node in members:
                matrix = self._matrix(node.inputs[0])
                operand = self.read(self.canon(node.inputs[1]), has_time)
                for known, parts in merged:
                    if known == operand and all(slot != number for _, slot in parts):
                        parts.append((matrix, number))
                        break
                else:
                    merged.append((operand, [(matrix, number)]))
        return tuple(self._product(run) for run in _side_by_side(merged))

    def _product(self, run: list[Block]) -> StageProduct:
        widths = tuple(array.width for (array, _), _ in run)
        (first, shift), parts = run[0]
        operand = replace(first, width=sum(widths))
        slots = tuple(slot for _, slot in parts)
        matrices = tuple(
            parts[number][0] for number in range(len(slots)) for _, parts in run
        )
        name = f"p{self._n_packed}"
        self._n_packed += 1
        return StageProduct(operand, shift, matrices, slots, name, widths)

    def read(self, node: Node, has_time: bool) -> tuple[Array, int]:
        """The array of a timed value, and how many steps away it is read."""
        return self.layout.array(node, has_time), self.layout.step_read(node, has_time)

    def operand(self, node: Node, has_time: bool) -> tuple[Array, int]:
        """The same of a value that may be one for all rows."""
        if node.timed:
            return self.read(self.canon(node), has_time)
        name = self.statics.name(node)
        return Array(name, self.layout.width(node), 0, 0, False), 0

    def _matrix(self, node: Node) -> Matrix:
        base, is_transposed = _untransposed(node)
        columns = self.layout.size(base.shape[1])
        name = self.statics.name(base)
        return Matrix(name, 1, columns) if is_transposed else Matrix(name, columns, 1)

    def _row_stage(self, stage: StagePlan, has_time: bool) -> RowStage:
        if stage.is_tensor:
            return RowStage(lambda row: TensorBody(self, stage, row, has_time).emit())
        return RowStage(lambda row: _RowBody(self, stage, row, has_time).emit())


def _side_by_side(products: list[Block]) -> list[list[Block]]:
    """Runs of products with the same slots whose operands follow one another."""
    runs: list[list[Block]] = []
    for block in sorted(products, key=lambda block: block[0][0].column):
        (array, shift), parts = block
        slots = [slot for _, slot in parts]
        for run in runs:
            (last, last_shift), others = run[-1]
            after = replace(last, column=last.column + last.width)
            follows = (after, last_shift) == (replace(array, width=last.width), shift)
            if follows and slots == [slot for _, slot in others]:
                run.append(block)
                break
        else:
            runs.append([block])
    return runs


def _untransposed(node: Node) -> tuple[Node, bool]:
    is_transposed = False
    while node.op == "transpose":
        node, is_transposed = node.inputs[0], not is_transposed
    return node, is_transposed


class LaneValues:
    """The values of nodes in one lane: loaded, summed, reduced, or computed here."""

    def __init__(
        self,
        generator: Generator,
        stage: StagePlan,
        lane: Lane,
        has_time: bool,
        slots: Mapping[Node, int],
        known: Mapping[Node, Value] | None = None,
    ) -> None:
        """`known` holds what the whole row shares."""
        self._g, self._stage, self._lane = generator, stage, lane
        self._has_time, self._slots = has_time, slots
        self._memo: dict[Node, Value] = dict(known or {})

    def __getitem__(self, node: Node) -> Value:
        """The vector (or the scalar in every lane) of a node.

        What it is computed from comes first, without recursion: a chain of equations
        may be longer than Python's stack.
        """
        asked = self._canon(node)
        work = [asked]
        while work:
            here = work[-1]
            inputs = [] if here in self._memo else self._needs(here)
            waiting = [child for child in inputs if child not in self._memo]
            if waiting:
                work += reversed(waiting)
                continue
            if here not in self._memo:
                self._memo[here] = self._compute(here)
            work.pop()
        return self._memo[asked]

    def _canon(self, node: Node) -> Node:
        return self._g.canon(node) if node.timed else node

    def _needs(self, node: Node) -> list[Node]:
        """What a node that is computed here reads of the same lane."""
        if self._is_at_hand(node) or node.op in ("lookup", "one_hot", "pick"):
            return []
        return [self._canon(child) for child in node.inputs]

    def _is_at_hand(self, node: Node) -> bool:
        """Whether a node is a number, or lies in memory or a register already."""
        in_memory = node in self._g.plan.memory and node not in self._stage.homes
        return not node.timed or node in self._slots or is_leaf(node) or in_memory

    def _compute(self, node: Node) -> Value:
        e: Emitter = self._lane.e
        layout = self._g.layout
        if node.op == "constant":
            assert isinstance(node.data, float)
            return e.constant(node.data)
        if node.op == "size":
            return e.constant(float(layout.size(node.data)))  # type: ignore[arg-type]
        if not node.timed:
            return self._load(node, *self._g.operand(node, self._has_time))
        if node in self._slots:
            return self._lane.products[self._slots[node]]
        if self._is_at_hand(node):
            return self._load(node, *self._g.read(node, self._has_time))
        return self._emit(node)

    def _load(self, node: Node, array: Array, shift: int) -> Value:
        load = self._lane.load if node.rank else self._lane.load_scalar
        return load(array, shift)

    def _emit(self, node: Node) -> Value:
        if node.op in {"fill", *ALIASES}:
            return self[node.inputs[0]]
        if node.op == "lookup":
            matrix, index = node.inputs
            width = self._g.layout.width(node)
            table = Array(self._g.statics.table(matrix), width, width, 0, False)
            return self._lane.load_at(table, self._index(index))
        if node.op == "one_hot":
            return self._lane.columns_equal(self._index(node.inputs[0]))
        if node.op == "pick":
            operand, index = node.inputs
            array, shift = self._g.operand(operand, self._has_time)
            return self._lane.load_element(array, self._index(index), shift)
        if node.op not in LOWERINGS:
            raise NotCompilableError(f"the operation {node.op} inside a time step")
        return lower(self._lane.e, node, [self[child] for child in node.inputs])

    def _index(self, node: Node) -> Value:
        node = self._g.canon(node)
        return self._lane.load_index(self._g.layout.index_array(node, self._has_time))


class _RowBody:
    """Emits one row stage: reductions and scalars in order, then the stores."""

    def __init__(
        self, generator: Generator, stage: StagePlan, row: RowPass, has_time: bool
    ) -> None:
        self._g, self._stage, self._row, self._has_time = (
            generator,
            stage,
            row,
            has_time,
        )
        self._known: dict[Node, Value] = {}

    def emit(self) -> None:
        """Everything the stage's stores need."""
        needed = self._g.needed(self._stage)
        for node in walk(self._stage.homes):
            if node in needed and node in self._stage.homes and not node.rank:
                self._scalar(node)
        self._store()

    def _lane_values(self, lane: Lane) -> LaneValues:
        return LaneValues(self._g, self._stage, lane, self._has_time, {}, self._known)

    def _scalar(self, node: Node) -> None:
        """A reduction, or an equation between scalars, once for the row."""
        self._prepare(node.inputs)
        if node.op in ("row_sum", "row_max"):
            (x,) = node.inputs
            width = self._g.layout.width(x)
            over = self._row.sum if node.op == "row_sum" else self._row.maximum
            value = over(width, lambda lane: self._lane_values(lane)[x])
        else:
            value = self._lane_values(self._row.lane())[node]
        self._known[node] = value

    def _prepare(self, nodes: tuple[Node, ...] | list[Node]) -> None:
        """Compute scalars that the pass over columns will want, before it."""
        stack = list(nodes)
        seen: set[Node] = set()
        while stack:
            node = self._g.canon(stack.pop()) if stack[-1].timed else stack.pop()
            if node in seen or node in self._known or not node.timed or is_leaf(node):
                continue
            seen.add(node)
            in_memory = node in self._g.plan.memory and node not in self._stage.homes
            if not node.rank and (in_memory or node not in self._stage.homes):
                self._known[node] = self._lane_values(self._row.lane())[node]
            elif not in_memory:
                stack.extend(node.inputs)

    def _store(self) -> None:
        layout = self._g.layout
        self._prepare(self._stage.stored)
        by_width: dict[int, list[Node]] = {}
        for node in self._stage.stored:
            if node.rank:
                by_width.setdefault(layout.width(node), []).append(node)
        for width, nodes in by_width.items():
            self._row.each(width, partial(self._store_lane, nodes=nodes))
        for node in self._stage.stored:
            if not node.rank:
                array = layout.array(node, self._has_time)
                self._row.store_scalar(array, self._known[node])

    def _store_lane(self, lane: Lane, nodes: list[Node]) -> None:
        values = self._lane_values(lane)
        computed = [(node, values[node]) for node in nodes]
        for node, value in computed:
            lane.store(self._g.layout.array(node, self._has_time), value)
