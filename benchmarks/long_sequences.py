"""A long sequence in a number of bytes, beside keeping every step.

    python -m benchmarks.long_sequences 1000000 220MB

Each call runs in a process of its own, on one thread, twice by turns: seconds of CPU,
the most resident memory beyond that before the call, and the schedule.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bptt import cells

N_X, N_H, N_O = 16, 256, 8


def peak_mib() -> float:
    """The most memory that this process has had resident."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    rows = dict(line.split(":", 1) for line in lines)
    return float(rows["VmHWM"].split()[0]) / 1024


def measure(tau: int, memory: str) -> None:
    """One gradient of an Elman network with a readout, n_b = 1, float32."""
    cell = cells.elman.with_readout()
    params = cell.init(n_x=N_X, n_h=N_H, n_o=N_O, dtype=np.float32)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tau, 1, N_X), dtype=np.float32)
    y = rng.integers(0, N_O, (tau, 1))
    cell.gradient(params, {"x": x[:4], "y": y[:4]}, threads=1)
    before, start = peak_mib(), time.process_time()
    limit = None if memory == "all" else memory
    grad = cell.gradient(params, {"x": x, "y": y}, threads=1, memory=limit)
    seconds = time.process_time() - start
    print(f"{memory}: {seconds:.2f} s, {peak_mib() - before:.0f} MiB; {grad.schedule}")


def main() -> None:
    """Measure by turns; with "one" before the arguments, here."""
    if sys.argv[1] == "one":
        measure(int(sys.argv[2]), sys.argv[3])
        return
    for memory in ("all", sys.argv[2]) * 2:
        command = [sys.executable, "-m", "benchmarks.long_sequences", "one"]
        subprocess.run([*command, sys.argv[1], memory], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
