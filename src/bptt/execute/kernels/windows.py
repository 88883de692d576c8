"""Truncated back-propagation with sliding windows (Williams and Peng, 1990).

After every k1 steps the losses of those k1 steps are sent back k2 >= k1 steps, and no
further: windows overlap, every loss counts once, and the states are those of the whole
sequence, never started anew. A window is a stretch whose steps before its last k1 have
weight 0, and into which no gradient arrives from later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import errors
from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan, Limit, reads_later
from bptt.execute.compile.compiler import SPARE, Executable
from bptt.execute.compile.sweeps import Pair
from bptt.execute.cutting import place_of, steps_of
from bptt.execute.kernels.demand import TURN_BYTES
from bptt.execute.kernels.stretch_values import StretchRecord
from bptt.execute.kernels.stretches import Stretch, StretchedCall
from bptt.execute.kernels.values import KernelValues

MOST_TURNS = SPARE + 1


@dataclass(frozen=True)
class SlidingWindow:
    """Steps begin..end, counted from 0, of which those from `block` on bring a loss."""

    begin: int
    block: int
    end: int


def cut_windows(tau: int, k1: int, k2: int) -> Iterator[SlidingWindow]:
    """The windows of tau steps, in order; the last block may be shorter."""
    for block in range(0, tau, k1):
        end = min(block + k1, tau)
        yield SlidingWindow(max(0, end - k2), block, end)


class WindowRecord(StretchRecord):
    """What is kept of windows: gradients of steps in several of them are added."""

    def note_window(self, window: SlidingWindow, values: KernelValues) -> None:
        """Add what one window gives."""
        packing = self._bindings.packing
        first, last = window.begin, window.end
        if packing is not None:
            first, last = int(packing.offsets[first]), int(packing.offsets[last])
        for node in self.wanted:
            part = values.stored(node)
            if node not in self.rows:
                core = part.shape[1 if packing is not None else 2 :]
                shape = (*self._bindings.weight.shape, *core)
                self.rows[node] = np.zeros(shape, part.dtype)
            self.rows[node][first:last] += part
        for name, is_last in self._ends.items():
            if is_last:
                self._note_last(name, window.begin, window.end, values)
            elif window.begin == 0:
                found = np.array(self._first(name, values))
                self.ends[name] = found + self.ends.get(name, 0)


class TruncatedCall(StretchedCall):
    """One run of an executable in sliding windows."""

    def __init__(
        self, program: Program, executable: Executable, bindings: Bindings,
        threads: int, limit: Limit,
    ) -> None:  # fmt: skip
        """Raises: TruncationError for a cell whose loops do not run forward alone."""
        assert limit.truncate is not None
        if executable.sweeps.directions not in ((1,), (1, -1)):
            raise reads_later(limit.truncate, "the cell")
        tau = steps_of(bindings)
        self._windows = list(cut_windows(tau, *limit.truncate))
        super().__init__(program, executable, bindings, threads, limit)
        self._sums = WindowRecord(program, executable, bindings)
        self.values.replace_record(self._sums, self._refuse)

    def _make_plan(self, program: Program, limit: Limit) -> CheckpointPlan:
        longest = max(w.end - w.begin for w in self._windows)
        rows = sum(self._count_rows(window) for window in self._windows)
        demand = self._find_demand(program, rows)
        # The first windows are shorter: turns of as many lengths as are kept.
        step = demand.step + MOST_TURNS * TURN_BYTES
        predicted = demand.fixed + 2 * demand.state + longest * step
        return CheckpointPlan(self._steps, longest, 0, predicted)

    def _find_cuts(self) -> tuple[int, ...]:
        """One stretch, as long as the longest window, that holds static values."""
        return (0, max(w.end - w.begin for w in self._windows))

    def _count_longest(self) -> int:
        rows = [self._count_rows(window) for window in self._windows]
        return max(super()._count_longest(), *rows)

    def _count_rows(self, window: SlidingWindow) -> int:
        begin, end = (place_of(self.bindings, t) for t in (window.begin, window.end))
        return end - begin

    def _run(self, visit: Any) -> None:
        ahead = self.executable.sweeps.carried(0)
        states = {pair: self._edges[pair] for pair in ahead}
        zero = {pair: self._edges[pair] for pair in self._edges if pair not in states}
        for number, window in enumerate(self._windows):
            stretch = self._window(window, {**states, **zero})
            visit(stretch)
            self._sums.note_window(window, stretch.values)
            following = self._windows[number + 1 : number + 2]
            if following and following[0].begin > window.begin:
                stretch.hand_on(states, ahead, self._edges, following[0].begin)

    def _window(self, window: SlidingWindow, states: Mapping[Pair, Any]) -> Stretch:
        whole = self.bindings
        first = place_of(whole, window.begin)
        silent = place_of(whole, window.block) - first
        n_rows = place_of(whole, window.end) - first
        stretch = Stretch(self, window.begin, window.end, states)
        is_heard = np.arange(n_rows) >= silent
        stretch.silence(is_heard.astype(whole.dtype))
        return stretch

    def _note(self, stretch: Stretch) -> None:
        """Windows are noted with their blocks: see `_run`."""

    def _refuse(self, use: object) -> None:
        raise errors.TruncationError(
            "a truncated gradient has no copies and no values of single steps: the "
            "windows overlap; ask for nodes=, or leave out truncate="
        )
