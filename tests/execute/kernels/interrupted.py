"""Calls on three threads, interrupted at random moments: `python interrupted.py N`.

After every interrupt no job may run any more, and the next call, which borrows the same
memory, must give the same bits as ever. Prints how many interrupts came.
"""

import random
import signal
import sys

import numpy as np

from bptt import cells
from bptt.execute.kernels import executor, threads
from tests.execute.library import make_case, sizes_of


class Jobs(threads._Jobs):
    """Remembers every set of jobs."""

    made = []  # noqa: RUF012 - of the whole process

    def __init__(self, run):
        super().__init__(run)
        self.made.append(self)


def main():
    """See the module."""
    aim, rng = int(sys.argv[1]), random.Random(0)  # noqa: S311
    threads.FLOPS_PER_THREAD = 1
    threads._Jobs = Jobs
    cell = cells.lstm.with_readout()
    case = make_case(cell, sizes_of(cell, 8, 33, 4), 30, 40)
    lengths = np.random.default_rng(0).integers(1, 31, 40)
    expected = {
        which: dict(cell.gradient(**case, threads=3, lengths=which and lengths))
        for which in (None, True)
    }

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    count = 0
    while count < aim:
        which = rng.choice((None, True))
        Jobs.made.clear()
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 8e-3))
            cell.gradient(**case, threads=3, lengths=which and lengths)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            count += 1
        assert not any(jobs._running for jobs in Jobs.made)
        found = cell.gradient(**case, threads=3, lengths=which and lengths)
        for name, value in expected[which].items():
            assert value.tobytes() == found[name].tobytes(), name
    assert executor._row_pool(3).n_threads == 3
    print(count, "interrupts")


if __name__ == "__main__":
    main()
