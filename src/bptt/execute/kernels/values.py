"""The values that kernels left in memory, by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.expand import REDUCTIONS
from bptt.execute.compile.stages import is_leaf
from bptt.execute.compile.sums import View
from bptt.execute.kernels.memory import Loan
from bptt.step import meanings
from bptt.step.evaluate import evaluate, static_leaf
from bptt.step.graph import TO_STATIC, Node, name_of, shift_of

FloatArray = NDArray[Any]


class KernelValues:
    """The values that kernels left in memory; others are computed when asked for."""

    def __init__(
        self, executable: Executable, bindings: Bindings, loan: Loan | None = None
    ) -> None:
        """Empty: static values and totals are added as they are computed.

        loan: of the memory that holds them and their sums.
        """
        self.schedule: CheckpointPlan | None = None
        self._executable = executable
        self._bindings = bindings
        self._loan: Loan
        self._sums: Loan
        if loan is not None:
            self._loan = self._sums = loan
        self.leaves: dict[str, FloatArray] = {}
        self.totals: dict[Node, FloatArray] = {}
        self._static: dict[Node, FloatArray] = {}
        self._results: dict[int, FloatArray] = {}

    def hold_steps(self, loan: Loan) -> None:
        """The values of steps lie in this memory."""
        self._loan = loan

    def hold_sums(self, loan: Loan) -> None:
        """Sums lie in this workspace, until `release`."""
        self._sums = loan

    def release(self) -> None:
        """Let the workspace go: no sum is read from it any more."""
        del self._sums

    @property
    def n_rows(self) -> int:
        """Rows of all steps."""
        return self._bindings.weight.size

    def rebind(self, bindings: Bindings) -> None:
        """Go on with the same arrays, wherever they lie, and a second phase's seeds."""
        self._bindings = bindings
        self._static.clear()

    def __getitem__(self, node: Node) -> FloatArray:
        """A node's value, timed ones as (tau, n_b, *shape)."""
        place = self._executable.sums.views.get(node)
        return self.stored(node) if place is None else self._view(place)

    def stored(self, node: Node) -> FloatArray:
        """A node's value as it lies in memory: a ragged batch's rows are packed."""
        if not node.timed:
            return self.get_static(node)
        node = self._executable.plan.canon(node)
        if self._executable.layout.left_at(node) is not None:
            return self._read(node, 0)
        if is_leaf(node):
            return self._leaf(node)
        return self._recompute(node)

    def _leaf(self, node: Node) -> FloatArray:
        if node.op == "shift":
            name, lag = shift_of(node)
            source = self._executable.plan.padded.get(name)
            if source is not None:
                return self._read(source, lag)
            found = self.leaves.get(self._executable.layout.name(node))
            return self.shift_input(name, lag) if found is None else found
        tables: Mapping[str, Any] = {
            "input": self._bindings.inputs, "seed": self._bindings.seeds
        }  # fmt: skip
        if node.op == "weight":
            return self._bindings.weight
        array: FloatArray = tables[node.op][name_of(node)]
        return array

    def shift_input(self, name: str, lag: int) -> FloatArray:
        """An input one step late (-1) or early (+1), with its boundary value."""
        moved = np.roll(self._bindings.inputs[name], -lag, axis=0)
        moved[0 if lag < 0 else -1] = self._bindings.initial.get(name, 0)
        return moved

    def _read(self, node: Node, lag: int) -> FloatArray:
        layout = self._executable.layout
        place = layout.places[node]
        loan, buffer = self._locate(place.buffer)
        tau = self._bindings.tau
        start = lag + 1 if layout.buffers[place.buffer].is_padded else 0
        columns = buffer[
            start : start + tau, :, place.column : place.column + place.width
        ]
        return loan.view(self._shaped(columns, node))

    def _locate(self, number: int) -> tuple[Loan, FloatArray]:
        """A buffer, and the loan of the memory in which it lies."""
        found: FloatArray | None = self._loan.workspace.buffers[number]
        if found is not None:
            return self._loan, found
        late: FloatArray = self._sums.workspace.buffers[number]  # of the second phase
        return self._sums, late

    def _shaped(self, columns: FloatArray, node: Node) -> FloatArray:
        """Columns of a row with an axis for every index and dimension."""
        return columns.reshape(*columns.shape[:-1], *self.core(node))

    def core(self, node: Node) -> tuple[int, ...]:
        """The axes of one row: every index and dimension."""
        return self._bindings.numbers(node.axes)

    def get_static(self, node: Node) -> FloatArray:
        """A static value, by the functions of the table."""
        if node.op == "parameter":
            return self._bindings.parameters[name_of(node)]
        if node in self._executable.sums.views:
            return self._read_sum(node)
        if node in self.totals:
            return self.totals[node]
        for part in _walk_static(node):
            if part not in self._static:
                self._static[part] = self._evaluate_static(part)
        return self._static[node]

    def _read_sum(self, node: Node) -> FloatArray:
        """A total that a product over all rows left in the workspace."""
        return self._view(self._executable.sums.views[node])

    def map_steps(
        self,
        nodes: tuple[Node, ...],
        use: Callable[[Mapping[Node, FloatArray], bool], FloatArray],
    ) -> list[FloatArray]:
        """See `protocol.Values`: all steps are here."""
        return [use({node: self[node] for node in nodes}, True)]

    def read_stack(self, nodes: tuple[Node, ...]) -> FloatArray | None:
        """Totals one under the other, where they lie so in one result; else None."""
        place = self._executable.sums.find_stack(nodes)
        return None if place is None else self._view(place)

    def _view(self, place: View) -> FloatArray:
        if place.result not in self._results:
            self._results[place.result] = self._sums.view_result(place.result)
        # Its base is that array, which holds the loan.
        whole = self._results[place.result]
        return np.ndarray(place.shape, whole.dtype, whole, place.start, place.strides)

    def _evaluate_static(self, node: Node) -> FloatArray:
        bindings = self._bindings
        if node.op == "parameter":
            return bindings.parameters[name_of(node)]
        if node.op == "constant":
            return np.asarray(node.data, bindings.real_dtype)
        if node.op == "size":
            size = bindings.numbers((node.data,))[0]
            return np.asarray(size, bindings.real_dtype)
        if node in self._executable.sums.views:
            return self._read_sum(node)
        if node.op in TO_STATIC:
            return self.totals[node]
        if node.op in ("index", "eye"):
            return static_leaf(node, bindings.numbers, bindings.real_dtype)
        arguments = [self._static[child] for child in node.inputs]
        if node.op in REDUCTIONS:
            return np.asarray(_reduce(node, arguments))
        return evaluate(node, arguments, bindings.numbers)

    def _recompute(self, node: Node) -> FloatArray:
        """A value that no kernel stored, from those stored, in plain NumPy."""
        value = self._make(node, [self.stored(child) for child in node.inputs])
        return np.broadcast_to(value, (*self._bindings.weight.shape, *self.core(node)))

    def _make(self, node: Node, arguments: list[FloatArray]) -> FloatArray:
        if node.op in REDUCTIONS:
            return np.asarray(_reduce(node, arguments))
        return evaluate(node, arguments, self._bindings.numbers)

    def at(self, name: str, index: int) -> FloatArray:
        """A definition's value at each row's first step (0) or its last (-1)."""
        node = self._executable.plan.canon(self._executable.program.roots[name])
        rows = self._step(node, index)
        if rows is not None:
            return rows
        rows = self._at(node, index)
        if node.timed:  # of numbers alone it has neither the axis of steps nor of rows
            shape = (1, self._bindings.n_b, *self.core(node))
            rows = np.broadcast_to(rows, shape)[0]
        return rows

    def _step(self, node: Node, index: int) -> FloatArray | None:
        """A value's rows of one step where they lie, if that is all there is to it.

        For a caller who copies them at once: nothing keeps the memory taken.
        """
        layout = self._executable.layout
        place = layout.left_at(node)
        if place is None:
            return None
        _, buffer = self._locate(place.buffer)
        step = self._bindings.tau - 1 if index < 0 else 0
        step += layout.buffers[place.buffer].is_padded
        columns = buffer[step, :, place.column : place.column + place.width]
        return self._shaped(columns, node)

    def _at(self, node: Node, index: int) -> FloatArray:
        return self.picked(node, lambda rows: self._pick(rows, index))

    def picked(
        self, node: Node, pick: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Some rows alone: what is made of others is made for them.

        Each row by itself, so that its bits are the same among any other rows.
        """
        if not node.timed:
            return self.get_static(node)
        node = self._executable.plan.canon(node)
        if is_leaf(node) or self._executable.layout.left_at(node) is not None:
            return pick(self.stored(node))
        arguments = [self.picked(child, pick) for child in node.inputs]
        if node.op == "matvec" and meanings.is_static_matrix(arguments[0]):
            return meanings.product_by_rows(*arguments)
        return self._make(node, arguments)

    def _pick(self, rows: FloatArray, index: int) -> FloatArray:
        return rows[index:][:1]


def _walk_static(root: Node) -> Iterator[Node]:
    """Static nodes, inputs first, as far down as totals over time: they are known."""
    done: set[Node] = set()
    stack = [(root, False)]
    while stack:
        node, is_ready = stack.pop()
        if node in done:
            continue
        if is_ready or node.op in TO_STATIC:
            done.add(node)
            yield node
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in node.inputs)


def _reduce(node: Node, arguments: list[FloatArray]) -> FloatArray:
    """The primitives that exist only for kernels: see `expand`."""
    if node.op == "pick":
        return meanings.pick(*arguments)
    axes = tuple(range(-node.inputs[0].rank, 0))
    (x,) = arguments
    found: FloatArray = x.sum(axes) if node.op == "row_sum" else x.max(axes)
    return found
