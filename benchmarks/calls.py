"""`python -m benchmarks.calls`: what a call costs beside its arithmetic.

One step of one row, 4 inputs and 16 units in float32: the kernels take a few
microseconds, so what is left is the way to them. Each figure is the least of many.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ["BPTT_THREADS"] = "1"
SIZES = {"n_x": 4, "n_h": 16}
CELLS = ("elman", "lstm")
ROUNDS, REPEATS = 100, 50

Job = Callable[[], Any]


def least(job: Job) -> float:
    """The least mean time of REPEATS calls, in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(REPEATS):
            job()
        best = min(best, time.perf_counter() - begin)
    return best / REPEATS * 1e6


def core_jobs(name: str) -> Iterator[tuple[str, Job]]:
    """A cell's calls, from the shortest road to the longest."""
    import numpy as np

    from bptt import cells

    cell = cells.get(name)
    params = cell.init(**SIZES, dtype=np.float32)
    inputs = {"x": np.ones((1, 1, SIZES["n_x"]), np.float32)}
    seeds = {"h": np.ones((1, 1, SIZES["n_h"]), np.float32)}
    run = cell.prepare(params, inputs, seeds=seeds)

    def gradient() -> Any:
        return cell.gradient(params, inputs, seeds=seeds)

    yield "prepared, the same arrays", run
    yield "prepared, other arrays", lambda: run(params, inputs, seeds=seeds)
    yield "`cell.forward`", lambda: cell.forward(params, inputs)
    yield "`cell.gradient`", gradient
    yield "`cell.gradient`, every parameter's read", lambda: list(gradient().values())


def torch_jobs(name: str) -> Iterator[tuple[str, Job]]:
    """A layer's step beside torch's own."""
    import torch

    import bptt.torch

    torch.set_num_threads(1)
    kind = {"elman": "RNN", "lstm": "LSTM"}[name]
    x = torch.ones(1, 1, SIZES["n_x"])
    for what, room in (("bptt.torch", bptt.torch), ("torch.nn", torch.nn)):
        layer = getattr(room, kind)(SIZES["n_x"], SIZES["n_h"])

        def forward(layer: Any = layer) -> Any:
            with torch.no_grad():
                return layer(x)

        def step(layer: Any = layer) -> None:
            layer(x)[0].sum().backward()

        yield f"{what}, forward without gradient", forward
        yield f"{what}, forward and backward", step


def main() -> None:
    """Print the ledger."""
    print("| microseconds | " + " | ".join(CELLS) + " |")
    print("|---|" + "---|" * len(CELLS))
    for jobs in (core_jobs, torch_jobs):
        rows = [dict(jobs(name)) for name in CELLS]
        for what in rows[0]:
            figures = " | ".join(f"{least(row[what]):.0f}" for row in rows)
            print(f"| {what} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
