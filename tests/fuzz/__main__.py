"""`python -m tests.fuzz --minutes N --seed S`: random cells, N minutes of CPU."""

from __future__ import annotations

import argparse
import sys
import time

import torch

from tests.fuzz.report import Tally, run, show, shrink
from tests.fuzz.stages import CORE, SLOW


def main() -> int:
    """Try cells, print every new kind of fault made small; 1 if there was one.

    Ctrl-C ends a run early, with its tally.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first cell")
    parser.add_argument("--cases", type=int, default=10**9, help="at most so many")
    parser.add_argument("--share", type=int, default=4,
                        help="slow stages (check, explain, torch, JAX) run for one "
                        "cell in so many")  # fmt: skip
    parser.add_argument("--shrink", type=float, default=60.0,
                        help="seconds to make each kind of fault small")  # fmt: skip
    parser.add_argument("--only", nargs="*", default=(),
                        choices=[*CORE, *SLOW], help="these stages alone")  # fmt: skip
    options = parser.parse_args()
    torch.set_num_threads(1)
    tally, begin = Tally(), time.process_time()
    found = run(
        options.seed, seconds=60 * options.minutes, cases=options.cases,
        share=options.share, tally=tally, only=options.only,
    )  # fmt: skip
    try:
        for seed, fault in found:
            print(f"\n=== seed {seed}\n{fault}", flush=True)
            if options.shrink:
                print(show(shrink(seed, fault, options.shrink)), flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted: what was tried until then")
    print(f"\n{tally}\n{time.process_time() - begin:.0f} s of CPU time")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
