"""Contestants' first calls, errors and interleaved times."""

import os
import time

VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# OpenBLAS's and OpenMP's workers spin for up to 0.1 s after their last task.
PAUSE = 0.15
SAMPLE = 0.004  # seconds; shorter runs are repeated inside a sample
WARM_BELOW = 0.2  # seconds; longer runs are their own warm-up
MIN_ROUNDS = 3
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
PRODUCT = "sgemm"


class DisagreementError(Exception):
    """Two contestants computed different gradients, so their times mean nothing."""


def find_error(mine, other):
    """The largest difference, relative to the largest entry of its parameter."""
    import numpy as np

    ratios = [
        np.abs(array - other[name]).max() / (np.abs(array).max() or 1.0)
        for name, array in mine.items()
    ]
    return float(np.max(ratios))  # NaN if any is, unlike Python's max


def first_calls(contestants, dtype):
    """Seconds of everyone's first call, and the error of everyone's gradient.

    Raises: DisagreementError.
    """
    seconds, errors, mine = {}, {}, None
    for name, contestant in contestants.items():
        begin = time.perf_counter()
        result = contestant.run()
        seconds[name] = time.perf_counter() - begin
        found = contestant.read(result)
        mine = mine or {key: array.copy() for key, array in found.items()}
        errors[name] = find_error(mine, found)
        if not errors[name] <= TOLERANCE[dtype]:
            raise DisagreementError(f"{name} differs from bptt by {errors[name]:.1e}")
    return seconds, errors


def time_once(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def time_interleaved(runs, rounds, seconds, pause=0.0):
    """Samples of each in seconds per run, one of everybody per round.

    After `seconds` no round begins, but MIN_ROUNDS are done (or `rounds`, if fewer).
    """
    once = {name: time_once(run) for name, run in runs.items()}
    samples = {name: [] for name in runs}
    begin = time.perf_counter()
    for number in range(rounds):
        if number >= MIN_ROUNDS and time.perf_counter() - begin > seconds:
            break
        for name, run in runs.items():
            time.sleep(pause)
            if once[name] < WARM_BELOW:
                run()  # not in the cold caches that the run before leaves behind
            count = max(1, int(SAMPLE / once[name]))
            start = time.perf_counter()
            for _ in range(count):
                run()
            samples[name].append((time.perf_counter() - start) / count)
    return samples


def median(values):
    return sorted(values)[len(values) // 2]


def bind_process(threads):
    """Stay on as many CPUs as threads, where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])
