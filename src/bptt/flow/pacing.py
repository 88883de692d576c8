"""Which iterations are watched, so that watching costs a given share of their time.

Some iterations are timed watched and some plain; what a watched one takes longer, with
the waiting at both ends of the two, is the cost c, and a plain one takes p. So
c / (budget p) iterations pay for a watched one, and so many pass before the next; never
two in a row: p is measured between. The first few, watched before anything is known,
are paid for afterwards.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

FIRST = 3  # watched iterations, every other one, before their times are looked at
KEPT = 7  # of the latest times of either kind; the shortest counts, the rest waited
SELDOM = 1000.0  # iterations: where the budget pays for nothing, a few are seen
WAITS = 4  # for every watched iteration: at both ends of it and of a plain one


class Pacer:
    """Plans as iterations go by: `is_timed`, then `start` and `stop` around it.

    budget: the share, above 0; clock: seconds; always: seconds that an iteration takes
    longer with the watch there, though it does not look.
    """

    def __init__(
        self, budget: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """The first iteration is watched: what was before any learning is wanted."""
        self.budget, self.clock = budget, clock
        self.next, self.always = 0, 0.0
        self._count = 0
        self._began = 0.0
        self._wait = math.inf
        self._watched: deque[float] = deque(maxlen=KEPT)
        self._plain: deque[float] = deque(maxlen=KEPT)

    def is_timed(self, iteration: int) -> bool:
        """Whether an iteration is watched, or the last one before."""
        return iteration in (self.next - 1, self.next)

    def settle(self, wait: Callable[[], None]) -> None:
        """Wait for what is computed; at first twice: what waiting itself takes."""
        wait()
        if self._count <= FIRST:
            began = self.clock()
            wait()
            self._wait = min(self._wait, self.clock() - began)

    def start(self) -> None:
        """An iteration that is timed begins."""
        self._began = self.clock()

    def stop(self, iteration: int) -> None:
        """It is over: plan the next one, if it was watched."""
        took = self.clock() - self._began
        if iteration != self.next:
            if iteration > 1:  # the first plain one compiles, as the first watched did
                self._plain.append(took)
            return
        self._count += 1
        if self._count > 1:
            self._watched.append(took)
        debt = 0.0
        if self._count == FIRST + 1:
            debt = max(0.0, self._count * self.pause - (iteration + 1))
        known = self._count > FIRST
        self.next = iteration + max(2, math.ceil(debt + known * self.pause - 1e-6))

    @property
    def pause(self) -> float:
        """Iterations that pay for one that is watched."""
        if not self._plain or not self._watched:
            return 0.0
        wait = self._wait if math.isfinite(self._wait) else 0.0
        more = max(min(self._watched) - min(self._plain), 0.0) + WAITS * wait
        plain = max(min(self._plain) - wait, 1e-9)  # seconds
        left = self.budget * plain - self.always
        return min(more / left, SELDOM) if left > 0 else SELDOM
