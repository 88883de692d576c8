"""Plain calls, of full batches on one thread: what each one does is worked out once.

A small cell's kernels take a few microseconds. Which leaves, parameters and kernels a
call needs follows from the executable and the shape alone, so it is kept in a `Recipe`
and a call fills in addresses.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings, Steady
from bptt.execute.codegen.target import Target
from bptt.execute.compile.compiler import Executable, Kernel, compile_program
from bptt.execute.kernels import executor, threads
from bptt.execute.kernels.executor import KernelCall, count_threads
from bptt.execute.kernels.memory import Workspace, address_of
from bptt.execute.kernels.values import KernelValues
from bptt.step.graph import Node, name_of
from bptt.step.shapes import Array

KEPT = 64  # recipes per executable


class Recipe:
    """A plain call of an executable, for one number of steps and rows."""

    def __init__(self, executable: Executable, n_rows: int, n_b: int) -> None:
        """See `find_recipe`, which says for which calls it holds."""
        numbers = {name: number for number, name in enumerate(executable.code.names)}
        self.n_rows, self.shape = n_rows, (n_rows // n_b, n_b)
        inputs = executable.program.graph.inputs
        self.inputs = [(numbers[f"in:{name}"], name)
                       for name in inputs if f"in:{name}" in numbers]  # fmt: skip
        self.seeds = {name.removeprefix("seed:"): number
                      for name, number in numbers.items()
                      if name.startswith("seed:")}  # fmt: skip
        self.weight = numbers.get("weight")
        self.parameters: list[tuple[int, str]] = []
        self.others: list[tuple[int, Node, bool]] = []
        statics = executable.code.statics
        for name, node in statics.arrays.items():
            if node.op == "parameter":
                self.parameters.append((numbers[name], name_of(node)))
            else:
                self.others.append((numbers[name], node, False))
        for name, node in statics.tables.items():
            self.others.append((numbers[name], node, True))
        rows = {0: n_rows, 1: n_b, -1: n_b}
        self.products = [
            (self._from_end(executable, job.a), job.m,
             self._from_end(executable, job.b), job.n, not job.is_swapped)
            for job in executable.sums.jobs
        ]  # fmt: skip
        self.kernels = [(phase, direction, kernel, rows[direction])
                        for phase, direction, kernel in executable.kernels]  # fmt: skip

    def point_at(
        self,
        parameters: Mapping[str, Array],
        workspace: Workspace,
        locate: Callable[[Array], int],
    ) -> None:
        """Let the table show at parameters, if it does not know these already."""
        known, table = workspace.bound, workspace.table
        if known is not None and known() is parameters:
            return
        workspace.bound = None
        for number, name in self.parameters:
            table[number] = locate(parameters[name])
        if isinstance(parameters, Steady):
            workspace.bound = weakref.ref(parameters)

    def run_phase(self, phase: int, workspace: Workspace) -> None:
        """Run the kernels of a phase, all rows each."""
        turns, table = workspace.turns, workspace.table_address
        for when, direction, kernel, rows in self.kernels:
            if when == phase:
                order = turns[direction]
                kernel(order.place, order.count, 0, rows, table)

    def sum_all(self, reduce: Kernel, workspace: Workspace) -> None:
        """The products over all rows, into the workspace's results."""
        if self.products:
            workspace.make_work(1)
        table: Any = workspace.table
        places = iter(workspace.result_addresses)
        for (a, a_begin, a_stride), m, (
            b,
            b_begin,
            b_stride,
        ), n, keeps in self.products:
            place, sums = next(places), next(places)
            reduce(
                self.n_rows, table[a] + a_begin, a_stride, 0, m,
                table[b] + b_begin, b_stride, n, place, n,
                sums if keeps else 0, workspace.work[0], 0,
            )  # fmt: skip

    def _from_end(
        self, executable: Executable, place: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        """An operand's rows in the order of `totals.RowProduct`: see there."""
        number, begin, stride = place
        if executable.sweeps.direction > 0:
            return place
        last = (self.n_rows - 1) * stride * executable.real_bytes
        return number, begin + last, -stride


def find_recipe(
    executable: Executable, bindings: Bindings, asked: int
) -> Recipe | None:
    """The recipe of a call; None where it must be looked at as a whole.

    That is a ragged batch, one that several threads share, or a cell that reads an
    input of another step outside its loops.
    """
    if bindings.packing is not None:
        return None
    n_rows = bindings.weight.size
    key = (n_rows, bindings.n_b, asked, threads.FLOPS_PER_THREAD)
    kept = executable.recipes
    if key not in kept:
        if len(kept) >= KEPT:
            kept.clear()
        is_plain = _is_plain(executable, n_rows, asked)
        kept[key] = Recipe(executable, n_rows, bindings.n_b) if is_plain else None
    found: Recipe | None = kept[key]
    return found


def _is_plain(executable: Executable, n_rows: int, asked: int) -> bool:
    work = [executable.work_per_row * n_rows]
    work += [2 * n_rows * job.m * job.n for job in executable.sums.jobs]
    names = executable.code.names
    is_shifted = any(name.startswith("in:") and "@" in name for name in names)
    return not is_shifted and all(
        threads.choose_threads(flops, asked) == 1 for flops in work
    )


def find(
    program: Program,
    bindings: Bindings,
    n_threads: int | None = None,
    target: Target | None = None,
) -> tuple[Executable, Recipe | None]:
    """The kernels of a call, and its recipe where there is one.

    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    target = target or executor.host_target()
    item = bindings.dtype.itemsize
    executable = compile_program(program, bindings.sizes, item, target)
    return executable, find_recipe(executable, bindings, count_threads(n_threads))


def begin(
    program: Program,
    bindings: Bindings,
    n_threads: int | None = None,
    target: Target | None = None,
    memory: Sequence[Array] | None = None,
    *,
    is_resumed: bool = False,
) -> KernelCall:
    """The same as `executor.begin`, by a recipe where there is one."""
    executable, recipe = find(program, bindings, n_threads, target)
    if recipe is None:
        return executor.begin(
            program, bindings, n_threads, target, memory, is_resumed=is_resumed
        )
    call = QuickCall(executable, bindings, recipe)
    call.start(memory, is_resumed=is_resumed)
    return call


def run_forward(
    program: Program, bindings: Bindings, n_threads: int | None = None
) -> tuple[Program, KernelValues]:
    """The values of a gradient's program, by the kernels that compute it.

    Returns: the program in primitives, and the values. Raises: NotCompilableError.
    """
    executable, recipe = find(program, bindings, n_threads)
    if recipe is None:
        call = KernelCall(executable, bindings, count_threads(n_threads))
    else:
        call = QuickCall(executable, bindings, recipe)
    call.run_forward()
    return call.program, call.values


class QuickCall(KernelCall):
    """One run of an executable by its recipe."""

    def __init__(
        self, executable: Executable, bindings: Bindings, recipe: Recipe
    ) -> None:
        self._recipe = recipe
        self._executable, self._bindings = executable, bindings
        self._n_rows, self._shape = recipe.n_rows, recipe.shape
        loan = self._borrow()
        self._workspace = loan.workspace
        self._workspace.restore()
        self._workspace.resize(recipe.shape[0])
        self._asked = self._threads = 1
        self._ragged = None
        self.values = KernelValues(executable, bindings, loan)
        self._alive: list[Array] = []

    def again(self, bindings: Bindings | None) -> None:
        """Run all of it again in the same memory.

        bindings: arrays of the same shapes and types that lie elsewhere, or None for
        those of the run before, as they are now.
        """
        if bindings is not None:
            self._bindings = bindings
        self.values.rebind(self._bindings)
        if bindings is not None or self._recipe.others:
            self._fill_table()
        elif self._bindings.initial:
            self._fill_boundaries()
        if self._executable.pack is not None:
            self._executable.pack(self._workspace.table_address)
        self._run_phase(0)
        self._run_phase(1)
        self._sum_all()

    def _fill_table(self) -> None:
        recipe, bindings, table = self._recipe, self._bindings, self._workspace.table
        self._fill_boundaries()
        for number, name in recipe.inputs:
            table[number] = self._locate(bindings.inputs[name])
        for name, array in bindings.seeds.items():
            if name in recipe.seeds:
                table[recipe.seeds[name]] = self._locate(array)
        if recipe.weight is not None:
            table[recipe.weight] = self._locate(bindings.weight)
        recipe.point_at(bindings.parameters, self._workspace, self._locate)
        for number, node, is_table in recipe.others:
            value = self.values.get_static(node)
            table[number] = self._keep(value.T if is_table else value)

    def _locate(self, array: Array) -> int:
        """Where an array of the call's element type lies, in one piece."""
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
            self._alive.append(array)
        return address_of(array)

    def _run_phase(self, phase: int) -> None:
        self._recipe.run_phase(phase, self._workspace)
        for when, node in self._executable.totals:
            if when == phase:
                self.values.totals[node] = self._total(node, phase)

    def _sum_all(self) -> None:
        self._recipe.sum_all(self._executable.reduce, self._workspace)
