"""Tasks as scripts, for calls that machine code then does alone.

A plain task: rows of one length, real arrays of one type, kernels on one thread, and
nothing to look at but the arrays. Others go through Python, call by call, as all do the
first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from bptt.calculus.program import gradient_at, gradient_of
from bptt.execute.bindings import Bindings
from bptt.execute.compile.expand import NotCompilableError
from bptt.execute.kernels import quick
from bptt.execute.kernels.script import (
    NoScriptError,
    Place,
    ScriptWriter,
    Strided,
    compile_follow,
)
from bptt.jax.run import bind_task, choose_kept, forward_program_of
from bptt.jax.served import (
    CHECKS_STAMP,
    FIXED_BASES,
    NO_STAMP,
    WRITES_STAMP,
    Script,
)
from bptt.jax.task import Task, decode
from bptt.step.graph import Node
from bptt.step.shapes import Array


def write_script(
    text: str, operands: Sequence[Array], results: Sequence[Array]
) -> Script | None:
    """The script of a task on arrays of these shapes; None where there is none.

    operands, results: of XLA's call, with their axis of members if it has one.
    """
    task = decode(text)
    if not _is_plain(task, operands):
        return None
    try:
        return _Writing(task, operands, results).script()
    except (NoScriptError, NotCompilableError):
        return None


def _is_plain(task: Task, operands: Sequence[Array]) -> bool:
    graph, call = task.graph, task.call
    if task.check_finite or task.watched is not None or call.limit is not None:
        return False
    if call.has_lengths or (task.has_divisor and not task.is_backward):
        return False
    if task.is_backward and not task.n_kept:
        return False
    if any(spec.index is not None for spec in graph.inputs.values()):
        return False
    if graph.times.delays or graph.times.once or graph.times.row_inputs:
        return False
    # An array of nothing has no rows to take steps in.
    return all(operand.size for operand in operands)


class _Writing:
    """One task being written down."""

    def __init__(
        self, task: Task, operands: Sequence[Array], results: Sequence[Array]
    ) -> None:
        self._task = task
        own = task.members or (False,) * len(operands)
        pairs = list(zip(operands, own, strict=True))
        self._operands = [array[0] if is_own else array for array, is_own in pairs]
        self._results = [array[0] if task.members else array for array in results]
        strides = [array.strides[0] if is_own else 0 for array, is_own in pairs]
        strides += [array.strides[0] if task.members else 0 for array in results]
        self._strides = [0] * FIXED_BASES + strides
        self._members = len(results[0]) if task.members else 1
        self._bindings: Bindings = bind_task(task, task.split(self._operands))
        self._stamp = (NO_STAMP, 0, 0)
        keeps = task.is_backward or task.n_kept
        program = task.phased_program[0] if keeps else forward_program_of(task.call)
        executable, recipe = quick.find(program, self._bindings, task.threads)
        if recipe is None:
            raise NoScriptError("a call for several threads")
        self._writer = ScriptWriter(executable, recipe, self._bindings.sizes)

    def script(self) -> Script:
        """All of it."""
        task, writer = self._task, self._writer
        if task.is_backward:
            self._write_backward()
        else:
            self._write_forward()
        follow = compile_follow(writer.executable.target, writer.item)
        return Script(
            writer.operations, writer.n_operations, writer.scratch,
            follow.addresses["follow"], self._members, self._strides, self._stamp,
            [*writer.alive, follow],
        )  # fmt: skip

    # ----- places -----

    def _operand(self, number: int) -> Place:
        return FIXED_BASES + number, 0

    def _result(self, number: int) -> Place:
        return FIXED_BASES + len(self._operands) + number, 0

    def _result_rows(self, number: int) -> Strided:
        shape = self._results[number].shape
        return self._writer.dense(self._result(number), shape)

    def _given(self, kind: str) -> dict[str, Place]:
        """The operands of one kind by name."""
        return {
            name: self._operand(number)
            for number, (found, name) in enumerate(self._task.kinds)
            if found == kind
        }

    def _find_kept(self, first: int) -> list[Place]:
        """Where the buffers lie, among the results from `first` on."""
        last = first + self._task.n_kept - 1
        shapes = [array.shape for array in self._results[first:last]]
        stamp, chosen = choose_kept(self._task, self._bindings, shapes)
        if chosen is None:
            raise NoScriptError("buffers of another CPU")
        use, base = WRITES_STAMP, self._result(last)[0]
        if self._task.is_backward:
            number = len(self._task.kinds) + self._task.n_kept - 1
            use, base = CHECKS_STAMP, self._operand(number)[0]
        self._stamp = (use, base, stamp)
        return [self._result(first + number) for number in chosen]

    # ----- forward -----

    def _write_forward(self) -> None:
        task, writer = self._task, self._writer
        n_out = len(self._results) - task.n_kept
        buffers = self._find_kept(n_out) if task.n_kept else writer.take_buffers()
        leaves = {f"in:{name}": p for name, p in self._given("input").items()}
        expected = {f"seed:{name}": (0, 0) for name in writer.recipe.seeds}
        writer.enter(buffers, leaves | expected, self._given("parameter"))
        writer.clear_edges()
        writer.fill_boundaries(self._given("initial"))
        writer.pack()
        writer.run_phase(0)
        roots, number = writer.program.roots, 0
        for name in task.call.outputs:
            writer.move(self._result_rows(number), writer.find(roots[name]))
            number += 1
        for name in task.call.finals:
            last = 0 if name in task.graph.backward else -1
            rows = writer.find(roots[name]).step(last)
            writer.move(self._result_rows(number), rows)
            number += 1

    # ----- backward -----

    def _write_backward(self) -> None:
        task, writer = self._task, self._writer
        buffers = self._find_kept(len(task.wrt))
        leaves = {f"in:{name}": p for name, p in self._given("input").items()}
        seeds = self._write_seeds()
        writer.enter(buffers, leaves | seeds, self._given("parameter"))
        writer.fill_boundaries(self._given("initial"))
        writer.pack()
        writer.run_phase(1)
        sums = writer.sum_all()
        totals = {node for phase, node in writer.executable.totals if phase == 1}
        for number, (kind, name) in enumerate(task.wanted):
            dst = self._result_rows(number)
            root = self._find_root(kind, name)
            if root is None:
                writer.move(dst, None)
            elif kind == "initial":
                first = -1 if name in task.graph.backward else 0
                writer.move(dst, writer.find(root).step(first))
            elif kind == "input":
                writer.move(dst, writer.find(root))
            elif root in totals:
                writer.total(root, dst)
            else:
                writer.move(dst, self._find_sum(root, sums))

    def _find_root(self, kind: str, name: str) -> Node | None:
        """The node of a gradient; None for one that is zero."""
        program = self._writer.program
        names = {
            "parameter": gradient_of(name), "input": gradient_at(name),
            "initial": program.carried.get(name, ""),
        }  # fmt: skip
        return program.roots.get(names[kind])

    def _find_sum(self, root: Node, sums: Sequence[Place]) -> Strided:
        view = self._writer.executable.sums.views.get(root)
        if view is None:
            raise NoScriptError("a gradient that NumPy makes of others")
        base, begin = sums[view.result]
        return Strided((base, begin + view.start), view.shape, view.strides)

    def _write_seeds(self) -> dict[str, Place]:
        """Where each gradient that the kernels wait for lies, by name in the table.

        As `CellCall.join_seeds`: those on last values are added to their sequence's.
        """
        task, writer = self._task, self._writer
        outputs, first = task.call.outputs, len(task.kinds) + task.n_kept
        found: dict[str, Place] = {}
        lasts: dict[str, Place] = {}
        for at, number in enumerate(task.seeded, first):
            if number < len(outputs):
                found[outputs[number]] = self._operand(at)
            else:
                lasts[task.call.finals[number - len(outputs)]] = self._operand(at)
        if not {*found, *lasts} <= set(task.waited_for):
            raise NoScriptError("a gradient that the forward pass did not wait for")
        seeds = {}
        for name in writer.recipe.seeds:
            core = writer.numbers(task.graph.definitions[name].shape)
            shape = (writer.tau, writer.n_b, *core)
            given = found.get(name)
            if given is None or name in lasts:
                rows = writer.dense(writer.take(writer.item * prod(shape)), shape)
                writer.move(rows, None if given is None else writer.dense(given, shape))
                if name in lasts:
                    step = rows.step(0 if name in task.graph.backward else -1)
                    last = writer.dense(lasts[name], shape[1:])
                    writer.move(step, last, is_added=True)
                given = rows.place
            seeds[f"seed:{name}"] = given
        return seeds
