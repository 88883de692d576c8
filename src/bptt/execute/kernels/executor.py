"""Runs an executable: binds arrays, calls kernels, sums over time, gives results."""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import errors
from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.codegen.target import Target, get_host_target
from bptt.execute.codegen.turns import Turns
from bptt.execute.compile.compiler import Executable, compile_program
from bptt.execute.effort import is_least
from bptt.execute.kernels.memory import (
    Loan,
    StepMemory,
    Workspace,
    address_of,
    borrow,
)
from bptt.execute.kernels.places import buffer_shapes
from bptt.execute.kernels.ragged import Ragged, RaggedValues
from bptt.execute.kernels.threads import RowPool, choose_threads, split_rows
from bptt.execute.kernels.totals import RowProduct, Total
from bptt.execute.kernels.values import KernelValues
from bptt.step.graph import Node
from bptt.version import __version__

FloatArray = NDArray[Any]
THREADS_VARIABLE = "BPTT_THREADS"


@functools.cache
def host_target() -> Target:
    """The CPU of this process."""
    return get_host_target()


@functools.cache
def _row_pool(threads: int) -> RowPool:
    return RowPool(threads)


if hasattr(os, "register_at_fork"):
    # A forked process has none of its parent's threads, and would wait for them.
    os.register_at_fork(after_in_child=_row_pool.cache_clear)


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
    call = begin(program, bindings, threads, target)
    call.finish()
    return call.program, call.values


def begin(
    program: Program,
    bindings: Bindings,
    threads: int | None = None,
    target: Target | None = None,
    memory: Sequence[FloatArray] | None = None,
    *,
    is_resumed: bool = False,
) -> KernelCall:
    """Run a program's first phase: all of it that needs no seed, if it is phased.

    memory: where to leave the values, see `find_kept`. is_resumed: an earlier call left
    them there, so only the second phase is to be run.
    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    target = target or host_target()
    if is_least():
        target = replace(target, effort=0)
    executable = compile_program(
        program, bindings.sizes, bindings.dtype.itemsize, target
    )
    call = KernelCall(executable, bindings, count_threads(threads))
    call.start(memory, is_resumed=is_resumed)
    return call


@dataclass(frozen=True)
class Kept:
    """What a phased program's first phase leaves for the second, in arrays.

    shapes: of the arrays; stamp: equal only where their contents mean the same: it
    depends on the program, the CPU and the version of bptt.
    """

    shapes: list[tuple[int, ...]]
    stamp: int


def find_kept(
    program: Program, sizes: Mapping[str, int], real_bytes: int, tau: int, n_b: int
) -> Kept:
    """What a program's first phase leaves. Raises: NotCompilableError."""
    executable = compile_program(program, sizes, real_bytes, host_target())
    return Kept(buffer_shapes(executable, tau, n_b), _stamp(executable))


@functools.lru_cache(maxsize=64)
def _stamp(executable: Executable) -> int:
    layout = executable.layout
    places = list(layout.places.values())
    what = (__version__, executable.target, executable.code.names, places)
    return zlib.crc32(repr((what, layout.buffers)).encode()) or 1


class KernelCall:
    """One run of an executable: `start` runs its first phase, `finish` the second.

    program: the program in primitives, whose roots the values belong to. Values that
    outlive their kernels lie in a memory of their own, `_steps`; between the phases
    such a call `_is_away` from its workspace.
    """

    _steps: Loan | None = None
    _is_away = False
    _token: object = None

    def __init__(
        self, executable: Executable, bindings: Bindings, threads: int,
        loan: Loan | None = None,
    ) -> None:  # fmt: skip
        """loan: of a workspace that is given; else one is borrowed."""
        self._executable, self._bindings = executable, bindings
        self._n_rows = bindings.weight.size
        self._shape = (-(-self._n_rows // bindings.n_b), bindings.n_b)
        if loan is None:
            loan = self._borrow()
        self._workspace: Workspace = loan.workspace
        self._workspace.restore()
        self._workspace.resize(self._shape[0])
        # A reverse step does about as much as a forward one: half of it to each kernel.
        flops = executable.work_per_row * self._n_rows
        self._asked = threads
        self._threads = choose_threads(flops, threads)
        self._ragged: Ragged | None = None
        self.values = KernelValues(executable, bindings, loan)
        if bindings.packing is not None:
            self._ragged = Ragged(executable, bindings.packing, self._workspace)
            self.values = RaggedValues(executable, bindings, loan, self._ragged)
        self._alive: list[FloatArray] = []

    def start(
        self, memory: Sequence[FloatArray] | None = None, *, is_resumed: bool = False
    ) -> None:
        """Run everything that needs no seed; see `begin` for the arguments."""
        lives = memory is None and self._executable.program.outlives
        if lives:
            self._steps = self._borrow_steps()
            self.values.hold_steps(self._steps)
            self._workspace.place(self._steps.workspace.buffers)
        elif memory is None:
            self._workspace.place()
        else:
            self._workspace.adopt(memory, is_new=not is_resumed)
        self._enter_all()
        if not is_resumed:
            self._run_phase(0)
        if lives and self._executable.program.is_phased:
            self._leave()

    def run_forward(self) -> None:
        """Run what values need, and nothing that a gradient needs beyond them."""
        self._workspace.place()
        self._enter_all()
        kernels, totals = self._executable.forward
        for number in kernels:
            self.run_kernel(number)
        for node in totals:
            self.values.totals[node] = self._total(node, 0)

    def _enter_all(self) -> None:
        """The table of addresses, and weights as the kernels want them."""
        self._fill_table()
        if self._executable.pack is not None:
            self._executable.pack(self._workspace.table_address)

    # ----- between the phases -----

    def _leave(self) -> None:
        """Give the workspace back: what lives on is the values of the steps."""
        self._token = object()
        self._workspace.last = self._token
        self._is_away = True
        del self._workspace
        self.values.release()

    def _return(self) -> None:
        """Go on in a workspace, the same one if nobody had it since."""
        loan = self._borrow()
        workspace: Workspace = loan.workspace
        self.values.hold_sums(loan)
        self._workspace, self._is_away = workspace, False
        if workspace.last is self._token:
            return
        assert self._steps is not None
        workspace.restore()
        workspace.resize(self._shape[0])
        workspace.place(self._steps.workspace.buffers)
        if self._ragged is not None:
            self._ragged.move(workspace)
        self._fill_table()
        # Also where another call has packed from the same places: what lies there may
        # have been something else meanwhile, as when weights are swapped and put back.
        if self._executable.pack is not None:
            self._executable.pack(workspace.table_address)

    def _borrow_steps(self) -> Loan:
        executable, dtype = self._executable, self._bindings.dtype
        return borrow(
            executable.memories,
            self._shape,
            lambda: StepMemory(executable, *self._shape, dtype),
        )

    @property
    def program(self) -> Program:
        """The program in primitives."""
        return self._executable.program

    def _borrow(self) -> Loan:
        return borrow(self._executable.pool, self._shape, self._make_workspace)

    def _make_workspace(self) -> Workspace:
        return Workspace(self._executable, *self._shape, self._bindings.dtype)

    def finish(
        self,
        seeds: Mapping[str, FloatArray] | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        """Run the second phase and the products over time; once only.

        seeds: (tau, n_b, *shape) each, where the bindings held none yet. Values that
        only the first phase needed may be overwritten. bindings: see `protocol.Call`.
        """
        if self._is_away:
            self._return()
        if seeds is not None:
            here = bindings or self._bindings
            seeds = {name: here.pack(array) for name, array in seeds.items()}
            self._bindings = replace(here, seeds=seeds)
            self.values.rebind(self._bindings)
            if bindings is not None:
                self._fill_table()
            self._enter((f"seed:{name}", array) for name, array in seeds.items())
        self._run_phase(1)
        if self._ragged is not None:
            self._ragged.align(len(self._executable.kernels))
        self._sum_all()
        is_over = self._steps is not None and not self._executable.program.is_phased
        if is_over and not self._executable.sums.views:  # values alone are read
            del self._workspace
            self.values.release()

    def _sum_all(self) -> None:
        for product in self.make_products():
            product.add_all(self._workspace, self._n_rows)

    def _run_phase(self, phase: int) -> None:
        """Kernels in order, then the totals over time that are no products."""
        for number, (when, _, _) in enumerate(self._executable.kernels):
            if when == phase:
                self.run_kernel(number)
        for when, node in self._executable.totals:
            if when == phase:
                self.values.totals[node] = self._total(node, phase)

    def run_kernel(self, number: int) -> None:
        """Run one kernel over all rows."""
        _, direction, kernel = self._executable.kernels[number]
        if self._ragged is not None:
            turns = self._ragged.prepare(number, direction)
        else:
            turns = self._workspace.turns[direction]
        self._split(kernel, direction, turns)

    def _split(self, kernel: Callable[..., Any], direction: int, turns: Turns) -> None:
        rows = self._bindings.n_b if direction else self._n_rows

        def run(_: int, begin: int, end: int) -> None:
            # Of `self`: whoever runs this keeps the workspace and the arrays alive, so
            # that nobody borrows memory that a thread may still write to.
            table = self._workspace.table_address
            kernel(turns.place, turns.count, begin, end, table)

        if self._threads == 1:
            run(0, 0, rows)
            return
        if direction and self._ragged is not None:
            ranges = self._ragged.split(self._threads)
        else:
            ranges = split_rows(rows, self._threads)
        self._each(ranges, run)

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
        self._fill_boundaries()
        self._enter(self._leaves())
        self.fill_statics()

    def _fill_boundaries(self) -> None:
        for name, part in self._workspace.boundaries:
            value = self._bindings.initial.get(name)
            if value is None:
                part[...] = 0
                continue
            if self._ragged is not None:
                value = value[self._ragged.packing.order]
            part[...] = value.reshape(part.shape)

    def fill_statics(self) -> None:
        """Enter static values; they stay for the calls that share the workspace."""
        table, numbers = self._workspace.table, self._workspace.numbers
        self._workspace.bound = None
        statics = self._executable.code.statics
        for name, node in statics.arrays.items():
            table[numbers[name]] = self._keep(self.values.get_static(node))
        for name, node in statics.tables.items():
            table[numbers[name]] = self._keep(self.values.get_static(node).T)

    def _enter(self, leaves: Iterable[tuple[str, FloatArray]]) -> None:
        for name, array in leaves:
            if name in self._workspace.numbers:
                ready = np.ascontiguousarray(array)
                self.values.leaves[name] = ready
                self._workspace.table[self._workspace.numbers[name]] = address_of(ready)

    def _keep(self, array: Any) -> int:
        ready = np.ascontiguousarray(array, self._bindings.dtype)
        self._alive.append(ready)
        return address_of(ready)

    def _leaves(self) -> Iterator[tuple[str, FloatArray]]:
        b = self._bindings
        yield "weight", b.weight
        for name, array in b.inputs.items():
            yield f"in:{name}", array
            lag = self._executable.program.graph.lag(name)
            if f"in:{name}@{lag:+d}" in self._workspace.numbers:
                yield f"in:{name}@{lag:+d}", self.values.shift_input(name, lag)
        for name, array in b.seeds.items():
            yield f"seed:{name}", array

    # ----- the totals over time -----

    def make_products(self) -> list[RowProduct]:
        """The products over all rows, nothing of them summed."""
        executable = self._executable
        direction = executable.sweeps.direction
        return [
            RowProduct(executable, number, direction, self._asked, self._each)
            for number in range(len(executable.sums.jobs))
        ]

    def make_total(self, node: Node, phase: int) -> Total:
        """A total over time that is no product, nothing of it summed."""
        executable, b = self._executable, self._bindings
        # Of a first phase the values come in the order of its own loop.
        is_early = executable.program.is_phased and phase == 0
        sweeps = executable.sweeps
        direction = sweeps.direction
        if is_early:
            direction = sweeps.directions[executable.early]
        return Total(node, b.numbers, direction, b.dtype)

    def add_to(self, total: Total) -> None:
        """Add the rows that this call has computed."""
        total.add([self.values.stored(child) for child in total.node.inputs])

    def _total(self, node: Node, phase: int) -> FloatArray:
        total = self.make_total(node, phase)
        self.add_to(total)
        return total.value()
