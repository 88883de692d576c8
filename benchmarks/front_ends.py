"""What it costs to reach the kernels from JAX, beside the bare call and lax.scan.

python -m benchmarks.front_ends [--cells elman lstm] [--rounds 15]

Forward and backward to all parameters, the sum of all h as loss, float32, one thread.
The overhead is the difference of two medians of interleaved samples, so for long calls
it is small against the noise; the smallest shape tells it best.
"""

import argparse
import sys

from benchmarks.report import describe_machine
from benchmarks.rivals import OURS, make_jax_front, make_ours, make_scan
from benchmarks.shapes import CASES, make_data
from benchmarks.timing import bind_process, first_calls, median, time_interleaved

FRONT, SCAN = "bptt.jax", "lax.scan"
SHAPES = ((2, 1, 8, 8), (100, 1, 64, 64), (100, 32, 64, 128), (100, 32, 256, 256))


def make_front_ends(case, data):
    """The bare call first: its gradient is what the others must equal."""
    return {
        OURS: make_ours(case, *data, 1),
        FRONT: make_jax_front(case, *data, 1),
        SCAN: make_scan(case, *data, 1),
    }


def measure(case, shape, rounds, seconds=5.0):
    """Median seconds of each.

    Raises: DisagreementError.
    """
    contestants = make_front_ends(case, make_data(case, shape, "float32"))
    first_calls(contestants, "float32")
    runs = {name: contestant.run for name, contestant in contestants.items()}
    samples = time_interleaved(runs, rounds, seconds)
    return {name: median(values) for name, values in samples.items()}


def write_row(name, shape, seconds):
    """One line of the table, in microseconds."""
    us = {key: 1e6 * value for key, value in seconds.items()}
    figures = [us[OURS], us[FRONT], us[SCAN], us[FRONT] - us[OURS]]
    cells = [name, ", ".join(map(str, shape)), *(f"{value:.0f}" for value in figures)]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser("benchmarks.front_ends")
    parser.add_argument("--cells", nargs="+", choices=CASES, default=["elman", "lstm"])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    bind_process(1)
    machine = describe_machine().items()
    print(", ".join(f"{key} {value}" for key, value in machine) + "; microseconds\n")
    print("| cell | tau, n_b, n_x, n_h | bare call | bptt.jax | lax.scan | overhead |")
    print("|---|---|---|---|---|---|")
    for name in arguments.cells:
        for shape in SHAPES:
            seconds = measure(CASES[name], shape, arguments.rounds)
            print(write_row(name, shape, seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
