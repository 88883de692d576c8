"""Splitting rows over threads that never wait for each other inside a kernel."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["ROW_MULTIPLE", "RowPool", "choose_threads", "split_rows"]

# Batch rows are cut at multiples of this, so that a row meets the same kind of tile
# (and the same order of additions) whatever the number of threads: results are bitwise
# equal.
ROW_MULTIPLE = 4

# Handing work to a thread and waiting for it takes 0.05 to 0.07 ms, so each thread
# should have at least 0.1 ms of it (200 GF/s).
FLOPS_PER_THREAD = 20_000_000


def choose_threads(flops: int, n_threads: int) -> int:
    """How many of `n_threads` threads a kernel of so many operations is worth."""
    return max(1, min(n_threads, flops // FLOPS_PER_THREAD))


def split_rows(
    n_rows: int, n_threads: int, multiple: int = ROW_MULTIPLE
) -> list[tuple[int, int]]:
    """Cut 0..n_rows into at most `n_threads` ranges at multiples of `multiple`.

    The ranges differ by at most one multiple; none is empty, so there may be fewer.
    """
    n_blocks = -(-n_rows // multiple)
    n_ranges = max(1, min(n_threads, n_blocks))
    cuts = [i * n_blocks // n_ranges * multiple for i in range(n_ranges)]
    return list(zip(cuts, [*cuts[1:], n_rows], strict=True))


class _Jobs:
    """The jobs that one call gives to other threads.

    They are counted by the threads that run them: an interrupt may come between the
    giving of a job and any note the caller could take of it.
    """

    def __init__(self, run: Callable[[int, int, int], None]) -> None:
        self._run = run
        self._changed = threading.Condition()
        self._n_running = self._n_done = 0
        self._is_closed = False
        self._errors: list[BaseException] = []

    def work(self, number: int, begin: int, end: int) -> None:
        """Run one job, on another thread, unless it is too late to begin."""
        with self._changed:
            if self._is_closed:
                return
            self._n_running += 1
        try:
            self._run(number, begin, end)
        except BaseException as error:  # noqa: BLE001 - raised where the call is
            self._errors.append(error)
        finally:
            with self._changed:
                self._n_running -= 1
                self._n_done += 1
                self._changed.notify_all()

    def wait(self, n_jobs: int) -> None:
        """Until so many jobs are done."""
        with self._changed:
            while self._n_done < n_jobs:
                self._changed.wait()

    def close(self) -> None:
        """Let no further job begin, and wait for those that run, interrupted or not."""
        self._is_closed = True
        interrupt: BaseException | None = None
        while True:
            try:
                with self._changed:
                    while self._n_running:
                        self._changed.wait()
                break
            except BaseException as error:  # noqa: BLE001 - raised when all are done
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def raise_error(self) -> None:
        """The first exception of a job, if there was one."""
        if self._errors:
            raise self._errors[0]


class RowPool:
    """The calling thread and `n_threads - 1` more.

    On Linux the others keep off the CPU of the caller. A worker is woken when the
    caller gives up the GIL, and Linux then likes to queue it on the caller's own CPU,
    behind a caller that does not sleep; the balancer moves it milliseconds later. Two
    threads on two free CPUs took as long as one for every call shorter than 20 ms.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._native_ids: list[int] = []
        self._caller_cpu = -1
        self._get_cpu = _find_get_cpu()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        if n_threads > 1:
            self._pool = ThreadPoolExecutor(n_threads - 1, "bptt-rows")
            self._start(self._pool)

    def run(
        self, ranges: list[tuple[int, int]], run: Callable[[int, int, int], None]
    ) -> None:
        """run(number, begin, end) for every range, the first on the calling thread.

        `run` calls a kernel through ctypes, which releases the GIL. Returns when all
        are done; an exception of any of them is raised here. No exception leaves, not
        even Ctrl-C, before every range is done or will never begin.
        """
        if self._pool is None or len(ranges) == 1:
            for number, (begin, end) in enumerate(ranges):
                run(number, begin, end)
            return
        self._keep_apart()
        jobs = _Jobs(run)
        try:
            for number in range(1, len(ranges)):
                self._pool.submit(jobs.work, number, *ranges[number])
            run(0, *ranges[0])
            jobs.wait(len(ranges) - 1)
        finally:
            jobs.close()
        jobs.raise_error()

    def close(self) -> None:
        """End the threads; the pool then runs everything on the caller."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _start(self, pool: ThreadPoolExecutor) -> None:
        everyone = threading.Barrier(self.n_threads - 1)

        def note() -> None:
            self._native_ids.append(threading.get_native_id())
            everyone.wait()

        for future in [pool.submit(note) for _ in range(self.n_threads - 1)]:
            future.result()

    def _keep_apart(self) -> None:
        if self._get_cpu is None or sys.platform != "linux":
            return
        cpu = self._get_cpu()
        if cpu == self._caller_cpu:
            return
        others = os.sched_getaffinity(0) - {cpu}
        if not others:
            return
        with self._lock:
            try:
                for native_id in self._native_ids:
                    os.sched_setaffinity(native_id, others)
            except OSError:
                self._get_cpu = (
                    None  # not allowed here: the threads stay where they are
                )
            self._caller_cpu = cpu


def _find_get_cpu() -> Callable[[], int] | None:
    if sys.platform != "linux":
        return None
    function: Callable[[], int] | None = getattr(
        ctypes.CDLL(None), "sched_getcpu", None
    )
    return function
