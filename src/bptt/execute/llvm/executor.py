"""Runs an executable: binds arrays, calls kernels, sums over time, hands out results."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import errors
from bptt.execute.bindings import Bindings
from bptt.execute.llvm.compiler import Executable, compile_program
from bptt.execute.llvm.layout import Sum
from bptt.execute.llvm.memory import Loan, Workspace, borrow
from bptt.execute.llvm.planner import is_leaf
from bptt.execute.llvm.reduce import count_reduce_work
from bptt.execute.llvm.target import Target, get_host_target
from bptt.execute.llvm.threads import run_split, split_rows
from bptt.execute.llvm.workspace import empty_aligned
from bptt.execute.program import Program
from bptt.graph import TO_STATIC, Node, name_of, shift_of, walk
from bptt.ops import OPS, dims_of

FloatArray = NDArray[Any]
THREADS_VARIABLE = "BPTT_THREADS"
# Below this many multiply-adds a second thread costs more than it gives.
SPLIT_FROM = 1 << 21
# Fewer columns than this would fill a small part of the two vectors of a tile.
SWAP_BELOW = 8


@functools.cache
def host_target() -> Target:
    """The CPU of this process."""
    return get_host_target()


@functools.cache
def _thread_pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="bptt")


def count_threads(asked: int | None) -> int:
    """The number of threads: as asked, else BPTT_THREADS, else the CPUs available.

    Raises: ThreadsError if the number is not a whole number >= 1.
    """
    value: Any = asked
    what = "threads"
    if value is None and os.environ.get(THREADS_VARIABLE):
        value, what = os.environ[THREADS_VARIABLE], THREADS_VARIABLE
    if value is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (
            os.cpu_count() or 1
        )
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise errors.ThreadsError(f"{what}={value!r}: use a whole number >= 1")
    return number


def run(
    program: Program,
    bindings: Bindings,
    threads: int | None = None,
    target: Target | None = None,
) -> tuple[Program, KernelValues]:
    """Run a program by kernels.

    Returns: the program in primitives, whose roots carry the same names, and its values.
    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    target = target or host_target()
    executable = compile_program(
        program, bindings.sizes, bindings.dtype.itemsize, target
    )
    call = _Call(executable, bindings, count_threads(threads))
    call.run()
    return executable.program, call.values


class KernelValues:
    """The values that kernels left in memory; others are computed when asked for."""

    def __init__(self, executable: Executable, bindings: Bindings, loan: Loan) -> None:
        """Empty: static values and totals are added as they are computed."""
        self._executable = executable
        self._bindings = bindings
        self._loan = loan
        self.static: dict[Node, FloatArray] = {}
        self._leaves: dict[str, FloatArray] = {}

    def set_leaf(self, name: str, array: FloatArray) -> None:
        """Keep an array that kernels read under a name of the table."""
        self._leaves[name] = array

    def __getitem__(self, node: Node) -> FloatArray:
        """A node's value, timed ones as (tau, n_b, *shape)."""
        if not node.timed:
            return self.get_static(node)
        node = self._executable.plan.canon(node)
        if node in self._executable.layout.places:
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
            return self._leaves[self._executable.layout.name(node)]
        tables: Mapping[str, Any] = {
            "input": self._bindings.inputs, "seed": self._bindings.seeds
        }  # fmt: skip
        if node.op == "weight":
            return self._bindings.weight
        array: FloatArray = tables[node.op][name_of(node)]
        return array

    def _read(self, node: Node, lag: int) -> FloatArray:
        layout = self._executable.layout
        place = layout.places[node]
        buffer = self._loan.workspace.buffers[place.buffer]
        tau = self._bindings.tau
        start = lag + 1 if layout.buffers[place.buffer].is_padded else 0
        columns = buffer[start : start + tau, :, place.column : place.column + place.width]
        return self._loan.view(columns if node.rank else columns[:, :, 0])

    def get_static(self, node: Node) -> FloatArray:
        """A static value, by the functions of the table."""
        for part in walk([node]):
            if part not in self.static and not part.timed:
                self.static[part] = self._evaluate_static(part)
        return self.static[node]

    def _evaluate_static(self, node: Node) -> FloatArray:
        bindings = self._bindings
        if node.op == "parameter":
            return bindings.parameters[name_of(node)]
        if node.op == "constant":
            return bindings.real_dtype.type(node.data)
        if node.op == "size":
            return bindings.real_dtype.type(bindings.numbers((node.data,))[0])
        if node.op in TO_STATIC:
            raise KeyError(f"{node!r} is not computed yet")
        op = OPS[node.op]
        extra = self._extra(node)
        value: FloatArray = op.f(*(self.static[c] for c in node.inputs), *extra)
        return np.asarray(value)

    def _extra(self, node: Node) -> tuple[Any, ...]:
        kind = OPS[node.op].data
        if kind == "dims":
            return (self._bindings.numbers(dims_of(node)),)
        return (node.data,) if kind else ()

    def _recompute(self, node: Node) -> FloatArray:
        """A value that no kernel stored, from those stored, in plain NumPy."""
        arguments = [_align(self[child], child, node) for child in node.inputs]
        value: FloatArray = OPS[node.op].f(*arguments, *self._extra(node))
        shape = (self._bindings.tau, self._bindings.n_b)
        return np.broadcast_to(value, (*shape, *self._bindings.numbers(node.shape)))

    def first(self, name: str) -> FloatArray:
        """A definition's value at t = 1, (n_b, *shape)."""
        return self[self._executable.program.roots[name]][0]


def _align(value: FloatArray, child: Node, node: Node) -> FloatArray:
    if OPS[node.op].is_elementwise and child.timed and child.rank < node.rank:
        return value[..., None]
    return value


class _Call:
    """One run of an executable."""

    def __init__(self, executable: Executable, bindings: Bindings, threads: int) -> None:
        self._x, self._b = executable, bindings
        shape = (bindings.tau, bindings.n_b)
        self._loan = borrow(executable.pool, shape, self._make_workspace)
        self._workspace = self._loan.workspace
        self._threads = threads if self._is_large() else 1
        self.values = KernelValues(executable, bindings, self._loan)
        self._alive: list[FloatArray] = []

    def _make_workspace(self) -> Workspace:
        x, b = self._x, self._b
        return Workspace(x.layout, x.code.packed, b.tau, b.n_b, b.dtype)

    def _is_large(self) -> bool:
        reals = sum(packed.n_reals for packed in self._x.code.packed)
        return reals * self._b.tau * self._b.n_b >= SPLIT_FROM

    def run(self) -> None:
        """Kernels in order, then the totals over time."""
        code = self._x.code
        address = ctypes.addressof(self._table())
        if code.packed:
            code.compiled.get_function("pack")(address)
        tau, n_b = self._b.tau, self._b.n_b
        for number, name in code.kernels:
            kernel = code.compiled.get_function(name)
            if self._x.plan.segments[number].direction:
                self._split(kernel, tau, n_b, address)
            else:
                self._split(kernel, 1, tau * n_b, address)
        self._sum_up()

    def _split(self, kernel: Callable[..., Any], tau: int, rows: int, address: int) -> None:
        self._each(
            split_rows(rows, self._threads),
            lambda _, begin, end: kernel(tau, rows, begin, end, address),
        )

    def _each(
        self, ranges: list[tuple[int, int]], job: Callable[[int, int, int], None]
    ) -> None:
        pool = _thread_pool(self._threads) if len(ranges) > 1 else None
        run_split(pool, ranges, job)

    # ----- the table of addresses -----

    def _table(self) -> Any:
        addresses = {**self._buffer_addresses(), **self._leaf_addresses()}
        statics = self._x.code.statics
        for name, node in statics.arrays.items():
            addresses[name] = self._keep(self.values.get_static(node))
        for name, node in statics.tables.items():
            addresses[name] = self._keep(self.values.get_static(node).T)
        for name, array in self._workspace.packed.items():
            addresses[name] = _address(array)
        names = self._x.code.names
        self._names = (ctypes.c_void_p * max(1, len(names)))(
            *(addresses.get(name, 0) for name in names)
        )
        return self._names

    def _keep(self, array: Any) -> int:
        ready = np.ascontiguousarray(array, self._b.dtype)
        self._alive.append(ready)
        return _address(ready)

    def _buffer_addresses(self) -> dict[str, int]:
        layout, item = self._x.layout, self._b.dtype.itemsize
        addresses = {}
        padded = {node: name for name, node in self._x.plan.padded.items()}
        for node, place in layout.places.items():
            buffer = layout.buffers[place.buffer]
            row = self._b.n_b * buffer.stride * item
            start = _address(self._workspace.buffers[place.buffer]) + place.column * item
            name = f"m{place.buffer}.{place.column}"
            if not buffer.is_padded:
                addresses[name] = start
                continue
            addresses[name] = start + row
            addresses[f"{name}@-1"] = start
            addresses[f"{name}@+1"] = start + 2 * row
            self._fill_boundary(node, place, padded.get(node, ""))
        return addresses

    def _fill_boundary(self, node: Node, place: Any, name: str) -> None:
        """Row t = 0 is the initial state; the row beyond the last step stays zero."""
        rows = self._workspace.buffers[place.buffer]
        part = rows[0, :, place.column : place.column + place.width]
        value = self._b.initial.get(name)
        if value is None:
            part[...] = 0
        else:
            part[...] = value if node.rank else value[:, None]

    def _leaf_addresses(self) -> dict[str, int]:
        b = self._b
        addresses = {"weight": self._leaf("weight", b.weight)}
        for name, array in b.inputs.items():
            addresses[f"in:{name}"] = self._leaf(f"in:{name}", array)
        for name, array in b.seeds.items():
            addresses[f"seed:{name}"] = self._leaf(f"seed:{name}", array)
        for name in self._x.code.names:
            if name.startswith("in:") and "@" in name:
                addresses[name] = self._leaf(name, self._shifted_input(name))
        return addresses

    def _leaf(self, name: str, array: FloatArray) -> int:
        ready = np.ascontiguousarray(array)
        self._alive.append(ready)
        self.values.set_leaf(name, ready)
        return _address(ready)

    def _shifted_input(self, name: str) -> FloatArray:
        """An input one step late, its first row the initial value."""
        source = name[3:].partition("@")[0]
        array = self._b.inputs[source]
        late = np.zeros_like(array)
        late[1:] = array[:-1]
        if source in self._b.initial:
            late[0] = self._b.initial[source]
        return late

    # ----- the totals over time -----

    def _sum_up(self) -> None:
        for number, item in enumerate(self._x.layout.sums):
            self._sum_products(number, item)
        totals = [n for s in self._x.plan.segments for n in s.totals]
        for node in totals:
            if node not in self.values.static:
                self.values.static[node] = self._total(node)

    def _sum_products(self, number: int, item: Sum) -> None:
        layout, w = self._x.layout, self._workspace
        result, sums = w.results[number], w.column_sums[number]
        n = layout.width(item.operand)
        m = sum(layout.width(node) for node in item.nodes)
        rows = self._b.tau * self._b.n_b
        g, x = self._memory(item.nodes[0]), self._memory(item.operand)
        if n < SWAP_BELOW <= m:
            result = result.reshape(n, m)
            self._reduce(rows, x, n, g, m, result, 0)
            result = result.T
        else:
            self._reduce(rows, g, m, x, n, result, _address(sums))
            self._attach_sums(item, sums)
        column = 0
        for node, total in zip(item.nodes, item.totals, strict=True):
            width = layout.width(node)
            part = result[column : column + width]
            self.values.static[total] = self._loan.view(part)
            column += width

    def _attach_sums(self, item: Sum, sums: FloatArray) -> None:
        """The column sums that came with a product are the totals of its nodes."""
        canon = self._x.plan.canon
        column = 0
        for node in item.nodes:
            width = self._x.layout.width(node)
            part = sums[column : column + width]
            column += width
            for segment in self._x.plan.segments:
                for total in segment.totals:
                    if total.op == "total" and canon(total.inputs[0]) is node:
                        self.values.static.setdefault(total, self._loan.view(part))

    def _memory(self, node: Node) -> tuple[int, int]:
        """The address of a timed value's first row, and reals from row to row."""
        layout = self._x.layout
        index = self._x.code.names.index(layout.name(node))
        return int(self._names[index] or 0), layout.stride(node)

    def _reduce(
        self,
        rows: int,
        a: tuple[int, int],
        m: int,
        b: tuple[int, int],
        n: int,
        result: FloatArray,
        sums: int,
    ) -> None:
        kernel = self._x.reduce.get_function("reduce")
        size = count_reduce_work(self._x.target, self._x.real_bytes)
        place = _address(result)
        ranges = split_rows(m, self._threads, 14)
        work = [empty_aligned((size,), self._b.dtype) for _ in ranges]

        def job(number: int, begin: int, end: int) -> None:
            kernel(
                rows, a[0], a[1], begin, end, b[0], b[1], n, place, n, sums,
                _address(work[number]),
            )  # fmt: skip

        self._each(ranges, job)

    def _total(self, node: Node) -> FloatArray:
        values = [self.values[child] for child in node.inputs]
        if node.op == "total" and node.rank == 0:
            # Summed in float64: the loss of a long sequence keeps its digits.
            return np.asarray(values[0].sum(dtype=np.float64), self._b.dtype)
        extra = (self._b.numbers(dims_of(node)),) if node.op == "total_scatter" else ()
        if node.op == "total":
            extra = (node.data,)
        return np.asarray(OPS[node.op].f(*values, *extra))


def _address(array: FloatArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
