"""Programs that no one here wrote, before and after `convert`.

python -m benchmarks.clients [--clients NAME ...] [--rounds 5] [--out results]

Each is built anew from a seed and run from start to end, as it is and converted, by
turns, on one thread; a first run of each, which may compile, is told apart. Reported
are medians of CPU time and of wall time, and the losses at the end must agree. What is
not installed is left out by name; benchmarks/client_programs.py has the programs:

    pip install sb3-contrib pytorch-crf lightning transformers accelerate
    pip install speechbrain torchaudio
"""

import argparse
import json
import math
import os
import pathlib
import sys
import time
import warnings

from benchmarks.client_programs import PROGRAMS, make
from benchmarks.report import describe_machine
from benchmarks.timing import DisagreementError, bind_process, median

BEFORE, AFTER = "torch.nn", "converted"
# Losses after a few steps of Adam in float32.
TOLERANCE = 1e-3


def change_nothing(model):
    """The program as it was written."""


def convert(model):
    """Every layer of torch.nn that bptt has."""
    import bptt.torch

    bptt.torch.convert(model)


CHANGES = {BEFORE: change_nothing, AFTER: convert}


def run_once(name, who):
    """CPU and wall seconds of one run, its steps, and the loss at its end."""
    run = make(name, CHANGES[who])
    begin = time.process_time(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps, loss = run()
    end = time.process_time(), time.perf_counter()
    return end[0] - begin[0], end[1] - begin[1], steps, loss


def check_losses(name, losses):
    """Raises: DisagreementError, where two runs that do the same end elsewhere."""
    gap = abs(losses[AFTER] - losses[BEFORE])
    if not gap <= TOLERANCE * max(1.0, abs(losses[BEFORE])):
        raise DisagreementError(f"{name}: the losses at the end are {losses}")


def measure(name, rounds):
    """One row: first runs, medians of later ones, and the ratio of these.

    Raises: DisagreementError, ImportError.
    """
    first = {who: run_once(name, who) for who in CHANGES}
    if PROGRAMS[name][1]:
        check_losses(name, {who: found[3] for who, found in first.items()})
    samples = {who: [] for who in CHANGES}
    for _ in range(rounds):
        for who in CHANGES:
            samples[who].append(run_once(name, who))
    row = {"client": name, "steps": first[BEFORE][2]}
    for who, found in samples.items():
        row[who] = {
            "first_cpu_s": first[who][0],
            "cpu_s": median([one[0] for one in found]),
            "wall_s": median([one[1] for one in found]),
        }
    row["ratio"] = row[BEFORE]["cpu_s"] / row[AFTER]["cpu_s"]
    return row


def write_row(row):
    """One line of the table."""
    steps = row["steps"]
    cells = [row["client"], str(steps)]
    for who in CHANGES:
        found = row[who]
        cells += [f"{found['first_cpu_s']:.2f}", f"{found['cpu_s']:.2f}",
                  f"{1e3 * found['cpu_s'] / steps:.2f}"]  # fmt: skip
    return f"| {' | '.join(cells)} | {row['ratio']:.2f} |"


def geometric_mean(rows):
    """Of the ratios."""
    return math.exp(sum(math.log(row["ratio"]) for row in rows) / len(rows))


def main():
    parser = argparse.ArgumentParser("benchmarks.clients")
    parser.add_argument("--clients", nargs="+", choices=PROGRAMS, default=[*PROGRAMS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    bind_process(1)
    import torch

    torch.set_num_threads(1)
    machine = describe_machine() | {"load": round(os.getloadavg()[0], 1)}
    print(", ".join(f"{key} {value}" for key, value in machine.items()) + "\n")
    heads = [f"{who}: {what}" for who in CHANGES
             for what in ("first run, s", "run, s", "step, ms")]  # fmt: skip
    print(f"| client | steps | {' | '.join(heads)} | times as fast |")
    print("|---" * 9 + "|")
    rows = []
    for name in arguments.clients:
        try:
            rows.append(measure(name, arguments.rounds))
        except (ImportError, OSError) as reason:
            print(f"| {name} | not run: {reason} |" + " |" * 7, flush=True)
            continue
        print(write_row(rows[-1]), flush=True)
    if rows:
        print(f"\n{geometric_mean(rows):.2f} times as fast in geometric mean, CPU time")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n"
        (arguments.out / "clients.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
