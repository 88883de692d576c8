"""A gradient whose steps are run in stretches, with some states kept: bounded memory.

The same kernels run, on a workspace of one stretch. What they read of the step before
the first, or after the last, is put into the boundary rows of the workspace: the row
that the neighbouring stretch left there. So every value has the bits that it has where
all steps are kept; see `compile.sweeps` for the order, and `totals` for the sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan, Demand, Limit, plan, walk
from bptt.execute.compile.compiler import Executable, compile_program
from bptt.execute.compile.sweeps import Pair
from bptt.execute.cutting import (
    count_alive,
    cut_steps,
    initial_of,
    place_of,
    silence,
    steps_of,
)
from bptt.execute.effort import is_least
from bptt.execute.kernels.demand import find_demand, is_two_ways
from bptt.execute.kernels.executor import KernelCall, count_threads, host_target
from bptt.execute.kernels.memory import Loan, Workspace, borrow
from bptt.execute.kernels.stretch_values import StretchRecord, StretchValues
from bptt.execute.kernels.totals import RowProduct, Total
from bptt.step.graph import Node

FloatArray = NDArray[Any]
States = dict[Pair, FloatArray]
Visit = Callable[["Stretch"], None]


@dataclass
class KeptStates:
    """States that a first phase left for the second.

    states: those before some stretches, by their place in the first sweep, and
    `running`, the one before the last; known: where there are several sweeps, all that
    the early ones know of the steps beside each stretch.
    """

    states: dict[int, States] = field(default_factory=dict)
    running: States = field(default_factory=dict)
    known: list[States] = field(default_factory=list)


def compile_for(program: Program, bindings: Bindings) -> Executable:
    """The executable of a call."""
    target = host_target()
    if is_least():
        target = replace(target, effort=0)
    item = bindings.dtype.itemsize
    return compile_program(program, bindings.sizes, item, target)


def begin(
    program: Program, bindings: Bindings, threads: int | None, limit: Limit,
    kind: Callable[..., StretchedCall],
) -> StretchedCall:  # fmt: skip
    """A call that keeps what a limit allows. Raises: MemoryBudgetError."""
    executable = compile_for(program, bindings)
    return kind(program, executable, bindings, count_threads(threads), limit)


class Stretch(KernelCall):
    """Consecutive steps, run in a workspace that is given.

    begin, end: the steps, counted from 0.
    """

    def __init__(
        self, owner: StretchedCall, begin: int, end: int, states: Mapping[Pair, Any]
    ) -> None:
        """states: what is known of the steps beside these."""
        self.begin, self.end = begin, end
        whole = self._whole = owner.bindings
        graph = owner.executable.program.graph
        bindings = cut_steps(whole, graph, begin, end)
        super().__init__(owner.executable, bindings, owner.threads, owner.loan)
        self._enter(self._leaves())
        self._n_last = count_alive(whole, end - 1)
        self._last = place_of(whole, end - 1) - place_of(whole, begin)
        self._n_first = count_alive(whole, begin)
        beyond = self._shape[0] * bindings.n_b
        for (node, lag), state in states.items():
            where = -bindings.n_b if lag < 0 else beyond
            rows = self._workspace.step_rows(node, where, bindings.n_b)
            rows[...] = state

    def silence(self, heard: FloatArray) -> None:
        """Take the losses and seeds of some rows away: see `cutting.silence`."""
        self._bindings = silence(self._bindings, heard)
        self.values.rebind(self._bindings)
        self._enter(self._leaves())

    def hand_on(
        self, states: States, pairs: Iterable[Pair], edges: States,
        before: int | None = None,
    ) -> None:  # fmt: skip
        """Leave, for the next stretch in their direction, what pairs read there.

        before: the next stretch's first step, if it begins inside this one.
        """
        last, n_last = self._last, self._n_last
        if before is not None:
            whole = self._whole
            last = place_of(whole, before - 1) - place_of(whole, self.begin)
            n_last = count_alive(whole, before - 1)
        for node, lag in pairs:
            begin, count = (0, self._n_first) if lag > 0 else (last, n_last)
            state = edges[node, lag].copy()
            state[:count] = self._workspace.step_rows(node, begin, count)
            states[node, lag] = state

    def align(self) -> None:
        """Lay out beside each other what the sums read of other steps."""
        if self._ragged is not None:
            self._ragged.align(len(self._executable.kernels))


class StretchedCall:
    """One run of an executable in stretches: see `protocol.Call`.

    plan: how its steps are cut; bindings: of all steps.
    """

    def __init__(
        self, program: Program, executable: Executable, bindings: Bindings,
        threads: int, limit: Limit,
    ) -> None:  # fmt: skip
        """program: as it was asked for; nothing is run yet. Raises: CheckpointError."""
        self.executable, self.bindings, self.threads = executable, bindings, threads
        self._steps = steps_of(bindings)
        self.plan: CheckpointPlan = self._make_plan(program, limit)
        self._cuts = self._find_cuts()
        self.loan: Loan
        self.kept: KeptStates | None = None  # by a first phase
        self._edges = self._find_edges()
        self._record = StretchRecord(program, executable, bindings)
        self.values = StretchValues(executable, bindings, self._record, self._collect)
        self._first: Stretch
        self._products: Sequence[RowProduct] = ()
        self._totals: dict[Node, Total] = {}
        self._n_state_bytes = self._n_waiting_bytes = 0

    @property
    def program(self) -> Program:
        """The program in primitives."""
        return self.executable.program

    def finish(
        self,
        seeds: Mapping[str, FloatArray] | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        """Run everything: see `protocol.Call`."""
        self._prepare()
        self._products = self._first.make_products()
        self._totals = {
            node: self._first.make_total(node, 1) for _, node in self.executable.totals
        }
        self._run(self._sum_up)
        workspace = self.loan.workspace
        for product in self._products:
            product.end(workspace)
        self.values.totals.update((n, t.value()) for n, t in self._totals.items())
        held = workspace.n_bytes + self._n_state_bytes + self._n_waiting_bytes
        self.plan = self.plan.with_measured(held + self._record.n_bytes)
        self.values.schedule = self.plan
        workspace.unfold()

    def _find_demand(self, program: Program, n_summed: int | None = None) -> Demand:
        return find_demand(
            program, self.executable, self.bindings.n_b, self.bindings.weight.size,
            threads=self.threads, is_ragged=self.bindings.packing is not None,
            n_summed=n_summed,
        )  # fmt: skip

    def _make_plan(self, program: Program, limit: Limit) -> CheckpointPlan:
        return plan(limit, self._steps, self._find_demand(program))

    def _find_cuts(self) -> tuple[int, ...]:
        cuts = self.plan.cuts
        if self.executable.sweeps.directions[0] > 0:
            return cuts
        # The short one is the first to be run.
        return tuple(self._steps - cut for cut in reversed(cuts))

    def _count_longest(self) -> int:
        """Rows of the stretch that has most of them."""
        places = [place_of(self.bindings, cut) for cut in self._cuts]
        return max(end - begin for begin, end in itertools.pairwise(places))

    # ----- stretches -----

    def _prepare(self) -> None:
        """What all stretches share: memory, packed weights and static values."""
        if not hasattr(self, "loan"):
            shape = (-(-self._count_longest() // self.bindings.n_b), self.bindings.n_b)
            executable, dtype = self.executable, self.bindings.dtype
            self.loan = borrow(
                executable.pool, shape, lambda: Workspace(executable, *shape, dtype)
            )
            self.values.hold_sums(self.loan)
        workspace = self.loan.workspace
        workspace.place()
        workspace.drop_copies()
        self._first = self._stretch(0, {})  # kept: it holds the static values
        self._first.fill_statics()
        if self.executable.pack is not None:
            self.executable.pack(workspace.table_address)

    def _find_edges(self) -> States:
        """What is read before the first step, and after the last."""
        layout, plan_ = self.executable.layout, self.executable.plan
        backward = self.executable.program.graph.backward
        names = {node: name for name, node in plan_.padded.items()}
        edges = {}
        for node, lag in self.executable.sweeps.levels_of:
            name, width = names[node], layout.width(node)
            # Each state has one initial value, on the side where its loop begins.
            is_given = (lag > 0) == (name in backward)
            here = self.bindings if is_given else replace(self.bindings, initial={})
            edges[node, lag] = initial_of(here, name, width)
        return edges

    def _run(self, visit: Visit) -> None:
        """All sweeps, with `visit` for every stretch of the last one."""
        kept, self.kept = self.kept, None
        if is_two_ways(self.executable):
            self._run_two_ways(visit, kept)
        else:
            last = len(self.executable.sweeps.directions) - 1
            known = kept.known if kept else self._know_nothing()
            begin = min(last, self.executable.early + 1) if kept else 0
            self._run_sweeps(visit, range(begin, last + 1), known)

    def _stretch(self, number: int, states: Mapping[Pair, Any]) -> Stretch:
        return Stretch(self, self._cuts[number], self._cuts[number + 1], states)

    def _in_order(self, direction: int) -> Iterable[int]:
        numbers = range(len(self._cuts) - 1)
        return numbers if direction > 0 else reversed(numbers)

    def _run_two_ways(self, visit: Visit, resumed: KeptStates | None) -> None:
        """Forward from states that are kept and dropped, as the plan says.

        resumed: what a first phase kept, which went down to the last stretch.
        """
        sweeps = self.executable.sweeps
        order = list(self._in_order(sweeps.directions[0]))
        ahead, back = sweeps.carried(0), sweeps.carried(1)
        kernels = sweeps.kernels(0)
        start = {pair: self._edges[pair] for pair in ahead}
        arriving = {pair: self._edges[pair] for pair in back}
        kept: dict[int, States] = resumed.states if resumed else {0: start}
        running = resumed.running if resumed else dict(start)
        is_descent = resumed is not None
        for action in walk(len(order), self.plan.slots):
            is_descent = is_descent and action.kind != "visit"
            if is_descent:
                continue
            if action.kind == "start":
                running = dict(kept[action.begin])
            elif action.kind == "keep":
                kept[action.begin] = dict(running)
                self._note_states([*kept.values(), running, arriving])
            elif action.kind == "drop":
                del kept[action.begin]
            elif action.kind == "advance":
                for number in range(action.begin, action.end):
                    stretch = self._stretch(order[number], running)
                    for kernel in kernels:
                        stretch.run_kernel(kernel)
                    stretch.hand_on(running, ahead, self._edges)
            else:
                stretch = self._stretch(order[action.begin], {**running, **arriving})
                visit(stretch)
                stretch.hand_on(arriving, back, self._edges)

    def _know_nothing(self) -> list[States]:
        return [{} for _ in range(len(self._cuts) - 1)]

    def _carried(self, sweep: int) -> list[Pair]:
        return self.executable.sweeps.carried(sweep)

    def _kernels(self, sweep: int) -> list[int]:
        return self.executable.sweeps.kernels(sweep)

    def _run_sweeps(
        self, visit: Visit, numbers: Sequence[int], known: list[States]
    ) -> None:
        """One sweep after the other, with the states of all of them at every cut.

        known: of the steps beside each stretch, by the sweeps before these.
        """
        for sweep in numbers:
            pairs, kernels = self._carried(sweep), self._kernels(sweep)
            running = {pair: self._edges[pair] for pair in pairs}
            for number in self._in_order(self.executable.sweeps.directions[sweep]):
                known[number] |= running
                stretch = self._stretch(number, known[number])
                if sweep == numbers[-1]:
                    visit(stretch)
                else:
                    for kernel in kernels:
                        stretch.run_kernel(kernel)
                stretch.hand_on(running, pairs, self._edges)
        self._note_states(known)

    def _note_states(self, kept: Iterable[States]) -> None:
        held = sum(array.nbytes for states in kept for array in states.values())
        self._n_state_bytes = max(self._n_state_bytes, held)

    # ----- what a visit is for -----

    def _run_all(self, stretch: Stretch) -> None:
        for kernel in range(len(self.executable.kernels)):
            stretch.run_kernel(kernel)
        stretch.align()

    def _sum_up(self, stretch: Stretch) -> None:
        """The first visit: everything that the result holds."""
        self._run_all(stretch)
        n_rows = stretch.values.n_rows
        for product in self._products:
            product.add(self.loan.workspace, n_rows)
        for total in self._totals.values():
            stretch.add_to(total)
        self._note(stretch)
        waiting = sum(product.n_bytes for product in self._products)
        waiting += sum(total.n_bytes for total in self._totals.values())
        self._n_waiting_bytes = max(self._n_waiting_bytes, waiting)

    def _note(self, stretch: Stretch) -> None:
        self._record.note(stretch.begin, stretch.end, stretch.values)

    def _collect(self, use: Callable[[int, int, Any], None]) -> None:
        """Run once more, for values that nobody asked for before."""
        self._prepare()

        def visit(stretch: Stretch) -> None:
            self._run_all(stretch)
            use(stretch.begin, stretch.end, stretch.values)

        self._run(visit)
        self.loan.workspace.unfold()
