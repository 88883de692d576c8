"""Cutting rows into ranges."""

import subprocess
import sys
import threading
import time
import weakref
from itertools import pairwise

import pytest

from bptt.execute.kernels.threads import RowPool, choose_threads, split_rows


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 9, 31, 64, 100])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_ranges_cover_all_rows_once_at_multiples(n_rows, n_threads):
    ranges = split_rows(n_rows, n_threads)
    assert ranges[0][0] == 0 and ranges[-1][1] == n_rows
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert all(begin < end and begin % 4 == 0 for begin, end in ranges)
    sizes = [end - begin for begin, end in ranges]
    assert max(sizes) - min(sizes) <= 7 and len(ranges) <= n_threads


def test_every_range_runs_once_and_the_first_on_the_caller():
    pool = RowPool(3)
    seen = {}

    def run(number, begin, end):
        seen[number] = (begin, end, threading.get_ident())

    for _ in range(50):
        seen.clear()
        pool.run([(0, 4), (4, 8), (8, 9)], run)
        assert [seen[k][:2] for k in range(3)] == [(0, 4), (4, 8), (8, 9)]
        assert seen[0][2] == threading.get_ident()
    pool.close()
    pool.run([(0, 4), (4, 8)], run)
    assert seen[1][2] == threading.get_ident()


def test_an_idle_thread_remembers_no_job():
    """What a job holds, such as a call's workspace, is free when the call is over."""
    pool, held = RowPool(2), threading.Event()
    watched = weakref.ref(held)

    def job(number, begin, end, held=held):
        held.set()

    pool.run([(0, 1), (1, 2)], job)
    del job, held
    assert watched() is None
    pool.close()


def test_an_exception_of_a_thread_is_raised():
    def run(number, begin, end):
        if number == 1:
            raise ZeroDivisionError

    pool = RowPool(2)
    with pytest.raises(ZeroDivisionError):
        pool.run([(0, 4), (4, 8)], run)
    pool.close()


def test_two_callers_share_a_pool():
    pool = RowPool(2)
    totals = [0] * 2

    def call(caller):
        for _ in range(200):
            seen = []
            pool.run([(0, 4), (4, 8)], lambda number, begin, end: seen.append(number))
            totals[caller] += len(seen)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert totals == [400, 400]
    pool.close()


def test_small_work_stays_on_one_thread():
    assert choose_threads(0, 8) == 1
    assert choose_threads(39_999_999, 8) == 1
    assert choose_threads(60_000_000, 8) == 3
    assert choose_threads(10**12, 8) == 8


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_exception_leaves_when_every_range_is_done(failing):
    pool = RowPool(3)
    running = set()

    def run(number, begin, end):
        running.add(number)
        if number == failing:
            running.discard(number)
            raise ValueError(f"range {number}")
        time.sleep(0.05)
        running.discard(number)

    with pytest.raises(ValueError, match=f"range {failing}"):
        pool.run([(0, 1), (1, 2), (2, 3)], run)
    assert not running
    pool.close()


def test_a_range_that_has_not_begun_never_will():
    pool = RowPool(2)
    begun = []

    def run(number, begin, end):
        begun.append(number)
        if number == 0:
            raise KeyboardInterrupt
        time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt):
        pool.run([(n, n + 1) for n in range(40)], run)
    n_begun = len(begun)
    pool.run([(0, 1), (1, 2)], lambda *_: time.sleep(0.05))
    assert len(begun) == n_begun < 40
    pool.close()


def test_two_hundred_interrupts_leave_no_thread_in_borrowed_memory():
    command = [sys.executable, "-X", "faulthandler", "-m"]
    result = subprocess.run(
        [*command, "tests.execute.kernels.interrupted", "200"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("200 interrupts\n", "")
