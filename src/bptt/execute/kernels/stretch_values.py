"""The values of a call whose steps were run in stretches.

What was asked for is kept as the stretches are visited; other values of single steps
are gone by then, and the stretches run once more for whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.compile.compiler import Executable
from bptt.execute.cutting import place_of, steps_of
from bptt.execute.kernels.values import KernelValues
from bptt.step.graph import Node

FloatArray = NDArray[Any]


def collected(program: Program, executable: Executable) -> list[Node]:
    """The values of all steps that a result holds: gradients of nodes and inputs."""
    graph, roots = program.graph, executable.program.roots
    spare = {*graph.definitions, *program.carried.values()}
    names = [name for name in program.outputs if name not in spare]
    return [roots[name] for name in names if roots[name].timed]


class StretchRecord:
    """What is kept of the stretches that are visited."""

    def __init__(
        self, program: Program, executable: Executable, bindings: Bindings
    ) -> None:
        """Nothing is visited yet."""
        self._bindings, self._roots = bindings, executable.program.roots
        self.wanted = collected(program, executable)
        self.rows: dict[Node, FloatArray] = {}
        # name -> whether its value at each row's last step is meant, or at the first
        graph = program.graph
        states = [name for name in graph.handed_on if name in graph.definitions]
        states += sorted(graph.times.once)
        self._ends = {name: name not in graph.backward for name in states}
        self._carries = {
            carry: name in graph.backward for name, carry in program.carried.items()
            if carry in program.outputs
        }  # fmt: skip
        self._ends |= self._carries
        self.ends: dict[str, FloatArray] = {}

    @classmethod
    def of_values(
        cls, program: Program, executable: Executable, bindings: Bindings
    ) -> StretchRecord:
        """Of a first phase: the nodes that a caller reads, and no gradient."""
        found = cls(program, executable, bindings)
        roots = [executable.program.roots[name] for name in program.values]
        found.wanted = [root for root in roots if root.timed]
        for carry in found._carries:
            del found._ends[carry]
        return found

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return sum(a.nbytes for a in (*self.rows.values(), *self.ends.values()))

    def note(self, begin: int, end: int, values: KernelValues) -> None:
        """Copy what is kept of the steps begin..end."""
        fill(self._bindings, self.rows, self.wanted, begin, end, values)
        for name, is_last in self._ends.items():
            if is_last:
                self._note_last(name, begin, end, values)
            elif begin == 0:
                self.ends[name] = np.array(self._first(name, values))

    def _first(self, name: str, values: KernelValues) -> FloatArray:
        packing = self._bindings.packing
        rows = values.at(name, 0)
        if packing is None:
            return rows
        result = np.empty_like(rows)
        result[packing.order] = rows
        return result

    def _note_last(self, name: str, begin: int, end: int, values: KernelValues) -> None:
        """Of the rows whose last step is among these."""
        packing = self._bindings.packing
        if packing is None:
            if end == steps_of(self._bindings):
                self.ends[name] = np.array(values.at(name, -1))
            return
        lengths = packing.lengths[packing.order]
        ending = np.flatnonzero((lengths > begin) & (lengths <= end))
        if not len(ending):
            return
        places = packing.offsets[lengths[ending] - 1] - packing.offsets[begin] + ending
        root = self._roots[name]
        rows = values.picked(root, lambda stored: stored[places])
        if name not in self.ends:
            shape = (self._bindings.n_b, *values.core(root))
            self.ends[name] = np.empty(shape, rows.dtype)
        self.ends[name][packing.order[ending]] = rows


def fill(
    bindings: Bindings, rows: dict[Node, FloatArray], nodes: Sequence[Node],
    begin: int, end: int, values: KernelValues,
) -> None:  # fmt: skip
    """Copy the values of steps begin..end into arrays of all steps."""
    ragged = bindings.packing is not None
    first, last = begin, end
    if ragged:
        first, last = place_of(bindings, begin), place_of(bindings, end)
    for node in nodes:
        part = values.stored(node)
        if node not in rows:
            lead = bindings.weight.shape
            core = part.shape[1:] if ragged else part.shape[2:]
            rows[node] = np.empty((*lead, *core), part.dtype)
        rows[node][first:last] = part


class StretchValues(KernelValues):
    """Static values as ever; timed ones from the record, or found once more."""

    def __init__(
        self, executable: Executable, bindings: Bindings, record: StretchRecord,
        run_again: Callable[[Callable[[int, int, Any], None]], None],
    ) -> None:  # fmt: skip
        """run_again: calls back with every stretch's first step, last, and values."""
        super().__init__(executable, bindings)
        self._record, self._run_again = record, run_again

    def replace_record(
        self,
        record: StretchRecord,
        run_again: Callable[[Callable[[int, int, Any], None]], None],
    ) -> None:
        """Read from another record: see `windows`."""
        self._record, self._run_again = record, run_again

    def __getitem__(self, node: Node) -> FloatArray:
        """A node's value, timed ones as (tau, n_b, *shape)."""
        if not node.timed:
            return self.get_static(node)
        rows, packing = self.stored(node), self._bindings.packing
        return rows if packing is None else packing.unpack(rows)

    def stored(self, node: Node) -> FloatArray:
        """A node's value at all steps; computed once more if it was not asked for."""
        if not node.timed:
            return self.get_static(node)
        if node not in self._record.rows:
            self._find([node])
        return self._record.rows[node]

    def _find(self, nodes: Sequence[Node]) -> None:
        found: dict[Node, FloatArray] = {}
        self._run_again(
            lambda begin, end, values: fill(
                self._bindings, found, nodes, begin, end, values
            )
        )
        self._record.rows.update(found)

    def map_steps(
        self,
        nodes: tuple[Node, ...],
        use: Callable[[Mapping[Node, FloatArray], bool], FloatArray],
    ) -> list[FloatArray]:
        """See `protocol.Values`: stretch after stretch."""
        if all(node in self._record.rows for node in nodes if node.timed):
            return super().map_steps(nodes, use)
        found: dict[int, FloatArray] = {}
        packing = self._bindings.packing

        def visit(begin: int, end: int, values: KernelValues) -> None:
            rows = {node: values[node] for node in nodes}
            if packing is not None:  # back to the caller's order
                back = np.argsort(packing.order)
                rows = {n: v[:, back] if n.timed else v for n, v in rows.items()}
            found[begin] = use(rows, False)

        self._run_again(visit)
        pieces = [found[begin] for begin in sorted(found)]
        rest = self._bindings.tau - steps_of(self._bindings)
        if rest:
            pieces.append(np.zeros((rest, *pieces[0].shape[1:]), pieces[0].dtype))
        return pieces

    def at(self, name: str, index: int) -> FloatArray:
        """A definition's value at each row's first step (0) or its last (-1)."""
        if name in self._record.ends:
            return self._record.ends[name]
        rows = self.stored(self._executable.program.roots[name])
        packing = self._bindings.packing
        return rows[index] if packing is None else packing.at(rows, index)
