"""Peak resident memory of one gradient of a long sequence, a process for each rival."""

import json
import os
import subprocess
import sys

from benchmarks.rivals import NN, OURS, make_nn, make_ours
from benchmarks.shapes import CASES, MEMORY_SHAPE, make_data
from benchmarks.timing import VARIABLES

WARM_STEPS = 10
STATUS = "/proc/self/status"


def resident_bytes(field):
    """Of this process, VmRSS now or VmHWM at its largest; None where unknown."""
    try:
        with open(STATUS, encoding="ascii") as lines:  # noqa: PTH123 - not a real file
            kilobytes = [line.split()[1] for line in lines if line.startswith(field)]
    except OSError:
        return None
    return 1024 * int(kilobytes[0]) if kilobytes else None


def measure_here(name, rival, shape):
    """Bytes that one gradient adds to what the process held, at its peak.

    A short sequence before it loads the libraries and compiles; the data are there.
    """
    case, (tau, *sizes) = CASES[name], shape
    for steps in (WARM_STEPS, tau):
        data = make_data(case, (steps, *sizes), "float32")
        contestant = (
            make_ours(case, *data, 1) if rival == OURS else make_nn(case, *data)
        )
        before = resident_bytes("VmRSS")
        contestant.run()
    after = resident_bytes("VmHWM")
    return None if before is None or after is None else after - before


def measure_memory(
    cells=("elman", "gru", "lstm"), shape=MEMORY_SHAPE, rivals=(OURS, NN)
):
    """Yield a row per cell and rival."""
    for name in cells:
        for rival in rivals:
            asked = json.dumps([name, rival, list(shape)])
            ended = subprocess.run(  # noqa: S603 - this program itself
                [sys.executable, "-m", "benchmarks.memory", asked],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | dict.fromkeys(VARIABLES, "1"),
            )
            row = {"cell": name, "rival": rival, "shape": list(shape)}
            yield row | {"peak_bytes": json.loads(ended.stdout)}


if __name__ == "__main__":
    print(json.dumps(measure_here(*json.loads(sys.argv[1]))))
