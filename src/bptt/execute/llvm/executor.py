"""Runs an executable: binds arrays, calls kernels, sums over time, gives results."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import errors
from bptt.execute.bindings import Bindings
from bptt.execute.llvm.compiler import Executable, compile_program
from bptt.execute.llvm.memory import Workspace, address_of, borrow
from bptt.execute.llvm.sums import SumJob
from bptt.execute.llvm.target import Target, get_host_target
from bptt.execute.llvm.threads import RowPool, choose_threads, split_rows
from bptt.execute.llvm.values import KernelValues
from bptt.execute.program import Program
from bptt.graph import Node
from bptt.ops import OPS, dims_of

FloatArray = NDArray[Any]
THREADS_VARIABLE = "BPTT_THREADS"


@functools.cache
def host_target() -> Target:
    """The CPU of this process."""
    return get_host_target()


@functools.cache
def _row_pool(threads: int) -> RowPool:
    return RowPool(threads)


def count_threads(asked: int | None) -> int:
    """The number of threads: as asked, else BPTT_THREADS, else the CPUs available.

    Raises: ThreadsError if the number is not a whole number >= 1.
    """
    value: Any = asked
    what = "threads"
    if value is None and os.environ.get(THREADS_VARIABLE):
        value, what = os.environ[THREADS_VARIABLE], THREADS_VARIABLE
    if value is None:
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
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

    Returns: the program in primitives, whose roots carry the same names, and values.
    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    target = target or host_target()
    executable = compile_program(
        program, bindings.sizes, bindings.dtype.itemsize, target
    )
    call = _Call(executable, bindings, count_threads(threads))
    call.run()
    return executable.program, call.values


class _Call:
    """One run of an executable."""

    def __init__(
        self, executable: Executable, bindings: Bindings, threads: int
    ) -> None:
        self._x, self._b = executable, bindings
        shape = (bindings.tau, bindings.n_b)
        loan = borrow(executable.pool, shape, self._make_workspace)
        self._w: Workspace = loan.workspace
        # A reverse step does about as much as a forward one: half of it to each kernel.
        flops = executable.work_per_row * bindings.tau * bindings.n_b
        self._asked = threads
        self._threads = choose_threads(flops, threads)
        self.values = KernelValues(executable, bindings, loan)
        self._alive: list[FloatArray] = []

    def _make_workspace(self) -> Workspace:
        return Workspace(self._x, self._b.tau, self._b.n_b, self._b.dtype)

    def run(self) -> None:
        """Kernels in order, then the totals over time."""
        self._fill_table()
        tau, n_b, address = self._b.tau, self._b.n_b, self._w.table_address
        if self._x.pack is not None:
            self._x.pack(address)
        for is_loop, kernel in self._x.kernels:
            if is_loop:
                self._split(kernel, tau, n_b, address)
            else:
                self._split(kernel, 1, tau * n_b, address)
        for number, job in enumerate(self._x.sums.jobs):
            self._sum_products(number, job)
        for node in self._x.totals:
            self.values.totals[node] = self._total(node)

    def _split(
        self, kernel: Callable[..., Any], tau: int, rows: int, address: int
    ) -> None:
        if self._threads == 1:
            kernel(tau, rows, 0, rows, address)
            return
        self._each(
            split_rows(rows, self._threads),
            lambda _, begin, end: kernel(tau, rows, begin, end, address),
        )

    def _each(
        self, ranges: list[tuple[int, int]], job: Callable[[int, int, int], None]
    ) -> None:
        if len(ranges) == 1:
            job(0, *ranges[0])
        else:
            _row_pool(self._asked).run(ranges, job)

    # ----- the table of addresses -----

    def _fill_table(self) -> None:
        """The entries that change from call to call: leaves and static values."""
        table, numbers = self._w.table, self._w.numbers
        for name, part, is_vector in self._w.boundaries:
            value = self._b.initial.get(name)
            if value is None:
                part[...] = 0
            else:
                part[...] = value if is_vector else value[:, None]
        for name, array in self._leaves():
            if name in numbers:
                ready = np.ascontiguousarray(array)
                self.values.leaves[name] = ready
                table[numbers[name]] = address_of(ready)
        statics = self._x.code.statics
        for name, node in statics.arrays.items():
            table[numbers[name]] = self._keep(self.values.get_static(node))
        for name, node in statics.tables.items():
            table[numbers[name]] = self._keep(self.values.get_static(node).T)

    def _keep(self, array: Any) -> int:
        ready = np.ascontiguousarray(array, self._b.dtype)
        self._alive.append(ready)
        return address_of(ready)

    def _leaves(self) -> Iterator[tuple[str, FloatArray]]:
        b = self._b
        yield "weight", b.weight
        for name, array in b.inputs.items():
            yield f"in:{name}", array
            if f"in:{name}@-1" in self._w.numbers:
                yield f"in:{name}@-1", self._shifted_input(name)
        for name, array in b.seeds.items():
            yield f"seed:{name}", array

    def _shifted_input(self, name: str) -> FloatArray:
        """An input one step late, its first row the initial value."""
        array = self._b.inputs[name]
        late = np.zeros_like(array)
        late[1:] = array[:-1]
        if name in self._b.initial:
            late[0] = self._b.initial[name]
        return late

    # ----- the totals over time -----

    def _sum_products(self, number: int, job: SumJob) -> None:
        place, sums = self._w.result_addresses[2 * number : 2 * number + 2]
        table, rows = self._w.table, self._b.tau * self._b.n_b
        a, b = ((table[p[0]] or 0) + p[1] for p in (job.a, job.b))
        given = 0 if job.is_swapped else sums
        kernel, work = self._x.reduce, self._w.work

        def run(thread: int, begin: int, end: int) -> None:
            kernel(
                rows, a, job.a[2], begin, end, b, job.b[2], job.n, place, job.n, given,
                work(thread),
            )  # fmt: skip

        threads = choose_threads(2 * rows * job.m * job.n, self._asked)
        if threads == 1:
            run(0, 0, job.m)
        else:
            self._each(split_rows(job.m, threads, 14), run)

    def _total(self, node: Node) -> FloatArray:
        values = [self.values[child] for child in node.inputs]
        if node.op == "total" and node.rank == 0:
            # Summed in float64: the loss of a long sequence keeps its digits.
            return np.asarray(values[0].sum(dtype=np.float64), self._b.dtype)
        extra: tuple[Any, ...] = ()
        if node.op == "total_scatter":
            extra = (self._b.numbers(dims_of(node)),)
        elif node.op == "total":
            extra = (node.data,)
        return np.asarray(OPS[node.op].f(*values, *extra))
