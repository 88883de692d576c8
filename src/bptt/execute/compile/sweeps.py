"""Which way through time each kernel runs, when the steps are run in stretches.

A kernel that reads h[t-1] needs, before the first step of a stretch, the row of h that
the stretch before it left: it can run in a sweep from t = 1 to tau. One that reads a
gradient at t+1 runs in a sweep from tau to 1. What depends on both needs several:

    forward loop        sweep 0, t = 1..tau     its states are kept at chosen steps
    its gradient        sweep 1, t = tau..1     after the loop was run there once more

A cell whose loops run both ways (a bidirectional one) takes a sweep more for every turn
of direction along its dependencies. The last sweep has everything at hand, so the sums
over time are taken in it, in its direction; a call that keeps all steps sums in the
same order, so that both have the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bptt.execute.compile.reuse import find_reads
from bptt.execute.compile.stages import StagedProgram, is_leaf, is_other_step
from bptt.step.graph import Node, shift_of

# A stored definition and how many steps away it is read.
Pair = tuple[Node, int]


@dataclass(frozen=True)
class Sweeps:
    """The sweeps of an executable.

    directions: of each sweep; levels: per kernel, the first sweep that can run it;
    levels_of: per pair that is read, the sweep that hands it from stretch to stretch;
    needs: per kernel, the kernels that must run before it in the same stretch.
    """

    directions: tuple[int, ...]
    levels: tuple[int, ...]
    levels_of: Mapping[Pair, int]
    needs: tuple[frozenset[int], ...]
    homes: Mapping[Node, int] = field(default_factory=dict)

    @property
    def direction(self) -> int:
        """Of the last sweep, in which sums are taken."""
        return self.directions[-1]

    def carried(self, sweep: int) -> list[Pair]:
        """The pairs that a sweep hands from stretch to stretch."""
        return [pair for pair, level in self.levels_of.items() if level == sweep]

    def kernels(self, sweep: int) -> list[int]:
        """The kernels that a sweep runs in every stretch: of the last, all."""
        if sweep == len(self.directions) - 1:
            return list(range(len(self.levels)))
        return self.close({self.homes[node] for node, _ in self.carried(sweep)})

    def close(self, kernels: set[int]) -> list[int]:
        """Kernels with everything that must run before them, in order."""
        found = set(kernels)
        for number in range(len(self.levels) - 1, -1, -1):
            if number in found:
                found |= self.needs[number]
        return sorted(found)


def plan_sweeps(
    plan: StagedProgram, kernels: Sequence[int], sums: Sequence[Node]
) -> Sweeps:
    """The sweeps of a plan.

    kernels: the number of the segment of each kernel; sums: what the sums over time
    read.
    """
    homes = {
        node: number
        for number, segment in enumerate(kernels)
        for stage in plan.segments[segment].stages
        for node in stage.stored
    }
    reads = [_reads_of(plan, segment) for segment in kernels]
    needs = _needs(reads, homes, plan)
    reads.append(list(sums))
    pairs = [_pairs_of(found, plan) for found in reads]
    tried = [_assign(pairs, needs, homes, first) for first in (1, -1)]
    return min(tried, key=lambda sweeps: len(sweeps.directions))


def _reads_of(plan: StagedProgram, segment: int) -> list[Node]:
    found: dict[Node, None] = {}
    for stage in plan.segments[segment].stages:
        if not stage.is_empty:
            found |= dict.fromkeys(find_reads(stage, plan))
            products = [plan.canon(node.inputs[1]) for node in stage.products]
            found |= dict.fromkeys(products)
            picks = [n for n in stage.homes if n.op == "pick"]
            found |= dict.fromkeys(plan.canon(node.inputs[0]) for node in picks)
    return list(found)


def _needs(
    reads: Sequence[Sequence[Node]], homes: Mapping[Node, int], plan: StagedProgram
) -> tuple[frozenset[int], ...]:
    """Per kernel, those whose values it reads, or reads at another step."""
    needs = []
    for number, found in enumerate(reads):
        sources = [
            plan.padded[shift_of(n)[0]] if is_other_step(n, plan) else n for n in found
        ]
        before = {homes[n] for n in sources if not is_leaf(n) and n in homes}
        needs.append(frozenset(before - {number}))
    return tuple(needs)


def _pairs_of(reads: Sequence[Node], plan: StagedProgram) -> list[Pair]:
    shifts = [shift_of(node) for node in reads if is_other_step(node, plan)]
    return [(plan.padded[name], lag) for name, lag in shifts]


def _assign(
    pairs: Sequence[Sequence[Pair]],
    needs: Sequence[frozenset[int]],
    homes: Mapping[Node, int],
    first: int,
) -> Sweeps:
    levels: list[int] = []
    levels_of: dict[Pair, int] = {}

    def direction(sweep: int) -> int:
        return first if sweep % 2 == 0 else -first

    def place(reads: Sequence[Pair], own: int, start: int) -> int:
        """The first sweep in which all of these have been, or are, handed on."""
        level = start
        for node, lag in reads:
            # In the sweep of its kernel, or the next one in the right direction.
            home = level if homes[node] == own else levels[homes[node]]
            while direction(home) != -lag:
                home += 1
            levels_of[node, lag] = max(levels_of.get((node, lag), 0), home)
            level = max(level, home)
        return level

    for number, before in enumerate(needs):
        start = max((levels[n] for n in before), default=0)
        level = place(pairs[number], number, start)
        levels.append(place(pairs[number], number, level))
    last = place(pairs[-1], -1, max(levels, default=0))
    directions = tuple(direction(sweep) for sweep in range(last + 1))
    return Sweeps(directions, tuple(levels), levels_of, tuple(needs), homes)
