"""Splitting rows over threads that never wait for each other inside a kernel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

__all__ = ["ROW_MULTIPLE", "RowPool", "choose_threads", "split_rows"]

# Batch rows are cut at multiples of this, so that a row meets the same kind of tile
# (and the same order of additions) whatever the number of threads: results are bitwise
# equal.
ROW_MULTIPLE = 4

# Handing work to a thread and waiting for it takes 0.05 to 0.07 ms, so each thread
# should have at least 0.1 ms of it (200 GF/s).
FLOPS_PER_THREAD = 20_000_000

PATIENCE = 0.01  # seconds between two looks at who still runs, after an interrupt


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

    An interrupt may come anywhere in the calling thread, inside a lock of Python's own
    `threading` too, which is then never released. So nothing here takes one: threads
    and caller meet in lists and in `SimpleQueue`, whose methods are single steps of C.
    A job enters `_running` before it looks whether it is too late, and `close` says
    that it is before it looks who runs: one of the two sees the other.
    """

    def __init__(self, run: Callable[[int, int, int], None]) -> None:
        self._run = run
        self._running: list[int] = []
        self._done: SimpleQueue[int] = SimpleQueue()
        self._is_closed = False
        self._errors: list[BaseException] = []

    def work(self, number: int, begin: int, end: int) -> None:
        """Run one job, on another thread, unless it is too late to begin."""
        self._running.append(number)
        try:
            if not self._is_closed:
                self._run(number, begin, end)
        except BaseException as error:  # noqa: BLE001 - raised where the call is
            self._errors.append(error)
        finally:
            self._running.remove(number)
            self._done.put(number)

    def wait(self, n_jobs: int) -> None:
        """Until so many jobs are done."""
        for _ in range(n_jobs):
            self._done.get()

    def close(self) -> None:
        """Let no further job begin, and wait for those that run, interrupted or not."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._is_closed = True
                while self._running:
                    # An interrupt may have taken a note of the queue with it.
                    with contextlib.suppress(Empty):
                        self._done.get(timeout=PATIENCE)
                break
            except BaseException as error:  # noqa: BLE001 - raised when all are done
                interrupt = error
        # An idle thread remembers its last job, which must not keep a call's memory.
        self._run = _do_nothing
        if interrupt is not None:
            raise interrupt

    def raise_error(self) -> None:
        """The first exception of a job, if there was one."""
        if self._errors:
            raise self._errors[0]


def _do_nothing(_number: int, _begin: int, _end: int) -> None:
    """In place of a job that is over."""


_Task = tuple[_Jobs, int, int, int]


def _serve(tasks: SimpleQueue[_Task | None], native_ids: SimpleQueue[int]) -> None:
    """A thread of a pool: task after task, until there is None."""
    native_ids.put(threading.get_native_id())
    while (task := tasks.get()) is not None:
        jobs, *where = task
        jobs.work(*where)


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
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._start()

    def run(
        self, ranges: list[tuple[int, int]], run: Callable[[int, int, int], None]
    ) -> None:
        """run(number, begin, end) for every range, the first on the calling thread.

        `run` calls a kernel through ctypes, which releases the GIL. Returns when all
        are done; an exception of any of them is raised here. No exception leaves, not
        even Ctrl-C, before every range is done or will never begin.
        """
        if not self._threads or len(ranges) == 1:
            for number, (begin, end) in enumerate(ranges):
                run(number, begin, end)
            return
        self._keep_apart()
        jobs = _Jobs(run)
        try:
            for number in range(1, len(ranges)):
                self._tasks.put((jobs, number, *ranges[number]))
            run(0, *ranges[0])
            jobs.wait(len(ranges) - 1)
        finally:
            jobs.close()
        jobs.raise_error()

    def close(self) -> None:
        """End the threads; the pool then runs everything on the caller."""
        ending, self._threads = self._threads, []
        for _ in ending:
            self._tasks.put(None)
        for thread in ending:
            thread.join()

    def _start(self) -> None:
        native_ids: SimpleQueue[int] = SimpleQueue()
        for number in range(self.n_threads - 1):
            # Daemons: a call waits for its jobs, so none runs when Python ends.
            thread = threading.Thread(
                target=_serve, args=(self._tasks, native_ids), daemon=True,
                name=f"bptt-rows-{number}",
            )  # fmt: skip
            thread.start()
            self._threads.append(thread)
        self._native_ids = [native_ids.get() for _ in self._threads]

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
