"""Splitting rows over threads that never wait for each other inside a kernel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["ROW_MULTIPLE", "run_split", "split_rows"]

# Batch rows are cut at multiples of this, so that a row meets the same kind of tile
# (and the same order of additions) whatever the number of threads: results are bitwise
# equal.
ROW_MULTIPLE = 4


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


def run_split(
    pool: ThreadPoolExecutor | None,
    ranges: list[tuple[int, int]],
    run: Callable[[int, int, int], None],
) -> None:
    """run(number, begin, end) for every range, the first one on this thread.

    `run` calls a kernel through ctypes, which releases the GIL. Returns when all are
    done; an exception of any of them is raised here.
    """
    if pool is None or len(ranges) == 1:
        for number, (begin, end) in enumerate(ranges):
            run(number, begin, end)
        return
    waiting = [
        pool.submit(run, number, *ranges[number]) for number in range(1, len(ranges))
    ]
    run(0, *ranges[0])
    for future in waiting:
        future.result()
