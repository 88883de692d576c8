"""A forward pass that keeps some states alone, and the gradient that goes on from it.

For callers who bring seeds when the values are there. The first phase runs the loop
once over all stretches, copies out what is asked for, and keeps those states that the
first descent of `checkpoints.walk` would keep; so both phases together run no more
steps than a gradient in one piece, but for the last stretch. Between the two no
workspace is held.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan, Limit, walk
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.sweeps import Pair
from bptt.execute.kernels.demand import is_two_ways
from bptt.execute.kernels.executor import count_threads
from bptt.execute.kernels.stretch_values import StretchRecord, StretchValues
from bptt.execute.kernels.stretches import (
    KeptStates,
    States,
    Stretch,
    StretchedCall,
    compile_for,
)
from bptt.execute.kernels.windows import TruncatedCall

FloatArray = NDArray[Any]
Use = Callable[[int, int, Any], None]


class PhasedCall:
    """Both phases of a program whose steps run in stretches: see `protocol.Call`."""

    def __init__(
        self, program: Program, bindings: Bindings, threads: int | None, limit: Limit
    ) -> None:
        """Run the first phase. Raises: MemoryBudgetError, TruncationError."""
        self._whole, self._limit = program, limit
        self._executable = compile_for(program, bindings)
        self._bindings, self._threads = bindings, count_threads(threads)
        # Whatever refuses a limit does it now, not on the way back.
        plan = self._make(bindings).plan
        first = FirstPhase(
            program, self._executable, bindings, self._threads, plan,
            keeps=limit.truncate is None and self._executable.is_resumable,
        )  # fmt: skip
        first.run()
        self._kept, self._totals = first.kept, first.values.totals
        self.values: StretchValues = first.values

    @property
    def program(self) -> Program:
        """The program in primitives."""
        return self._executable.program

    def finish(
        self,
        seeds: Mapping[str, FloatArray] | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        """Run the second phase: see `protocol.Call`."""
        here = bindings or self._bindings
        packed = {name: here.pack(array) for name, array in (seeds or {}).items()}
        call = self._make(replace(here, seeds={**here.seeds, **packed}))
        call.kept, self._kept = self._kept, None
        call.finish()
        call.values.totals.update(self._totals)
        self.values = call.values

    def _make(self, bindings: Bindings) -> StretchedCall:
        kind = StretchedCall if self._limit.truncate is None else TruncatedCall
        return kind(self._whole, self._executable, bindings, self._threads, self._limit)


class FirstPhase(StretchedCall):
    """The values of all steps that are asked for, run once."""

    def __init__(
        self, program: Program, executable: Executable, bindings: Bindings,
        threads: int, plan: CheckpointPlan, *, keeps: bool,
    ) -> None:  # fmt: skip
        """plan: of the gradient to come; keeps: whether it will want states."""
        self._given, self._keeps = plan, keeps
        super().__init__(program, executable, bindings, threads, Limit())
        self._record = StretchRecord.of_values(program, executable, bindings)
        self.values = StretchValues(executable, bindings, self._record, self._run_again)

    def _make_plan(self, program: Program, limit: Limit) -> CheckpointPlan:
        return self._given

    def run(self) -> None:
        """Run it, and give the workspace back."""
        self._prepare()
        totals = {
            node: self._first.make_total(node, phase)
            for phase, node in self.executable.totals
            if phase == 0
        }

        def visit(stretch: Stretch) -> None:
            self._run_early(stretch)
            for total in totals.values():
                stretch.add_to(total)
            self._note(stretch)

        self.kept = self._sweep(visit)
        self.values.totals.update((n, t.value()) for n, t in totals.items())
        self._close()
        self.values.schedule = self.plan

    def _run_early(self, stretch: Stretch) -> None:
        for number, (phase, _, _) in enumerate(self.executable.kernels):
            if phase == 0:
                stretch.run_kernel(number)

    def _run_again(self, use: Use) -> None:
        """For values that nobody asked for before."""
        self._prepare()

        def visit(stretch: Stretch) -> None:
            self._run_early(stretch)
            use(stretch.begin, stretch.end, stretch.values)

        self._sweep(visit)
        self._close()

    def _sweep(self, visit: Callable[[Stretch], None]) -> KeptStates | None:
        if is_two_ways(self.executable):
            return self._sweep_once(visit)
        known = self._know_nothing()
        self._run_sweeps(visit, range(self.executable.early + 1), known)
        return KeptStates(known=known) if self._keeps else None

    def _carried(self, sweep: int) -> list[Pair]:
        return [p for p in super()._carried(sweep) if self.executable.is_early(p)]

    def _kernels(self, sweep: int) -> list[int]:
        sweeps = self.executable.sweeps
        return sweeps.close({sweeps.homes[node] for node, _ in self._carried(sweep)})

    def _close(self) -> None:
        """Give the workspace back: between the phases nothing but states is held."""
        self.loan.workspace.unfold()
        del self._first, self.loan
        self.values.release()

    def _sweep_once(self, visit: Callable[[Stretch], None]) -> KeptStates | None:
        sweeps = self.executable.sweeps
        order, ahead = list(self._in_order(sweeps.directions[0])), self._carried(0)
        running: States = {pair: self._edges[pair] for pair in ahead}
        actions = walk(len(order), self.plan.slots)
        descent = itertools.takewhile(lambda action: action.kind != "visit", actions)
        wanted = {action.begin for action in descent if action.kind == "keep"}
        states = {0: dict(running)}
        for place, number in enumerate(order):
            if place in wanted and self._keeps:
                states[place] = dict(running)
            last = dict(running)
            stretch = self._stretch(number, running)
            visit(stretch)
            stretch.hand_on(running, ahead, self._edges)
        return KeptStates(states=states, running=last) if self._keeps else None
