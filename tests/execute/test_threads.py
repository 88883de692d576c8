"""Cutting rows into ranges."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bptt.execute.llvm.threads import run_split, split_rows


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 9, 31, 64, 100])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_ranges_cover_all_rows_once_at_multiples(n_rows, n_threads):
    ranges = split_rows(n_rows, n_threads)
    assert ranges[0][0] == 0 and ranges[-1][1] == n_rows
    assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    assert all(begin < end and begin % 4 == 0 for begin, end in ranges)
    sizes = [end - begin for begin, end in ranges]
    assert max(sizes) - min(sizes) <= 7 and len(ranges) <= n_threads


def test_an_exception_of_a_thread_is_raised():
    def run(number, begin, end):
        if number == 1:
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        run_split(pool, [(0, 4), (4, 8)], run)
