"""Every cell of the library at one shape: `python -m benchmarks --library`."""

from importlib.util import find_spec

import numpy as np

from benchmarks.rivals import LOOP, OURS, make_product
from benchmarks.timing import (
    PAUSE,
    PRODUCT,
    TOLERANCE,
    DisagreementError,
    median,
    time_interleaved,
    time_once,
)
from bptt import cells
from bptt.check.instances import seeded_name

FLOOR = 1e-3
RANK = 8  # n_r of the cell of low rank; every other size is n_h


def make_case(cell, shape, dtype, seed=0):
    """Sizes, parameters, inputs, and a gradient of ones where there is no loss."""
    tau, n_b, n_x, n_h = shape
    given = {"n_x": n_x, "n_r": min(RANK, n_h)}
    sizes = {dim: given.get(dim, n_h) for dim in cell.dims}
    params = cell.init(seed=seed, dtype=dtype, **sizes)
    rng = np.random.default_rng(seed)
    for name, array in params.items():
        if array.ndim == 1:
            params[name] = (array + 0.1 * rng.standard_normal(array.shape)).astype(
                dtype
            )
    inputs = {"x": rng.standard_normal((tau, n_b, n_x), dtype)}
    if "y" in cell.inputs:
        inputs["y"] = rng.integers(0, sizes["n_o"], (tau, n_b))
    inputs = cell.draw(params, inputs, seed=seed)
    seeds = {}
    if cell.graph.loss is None:
        seeds[seeded_name(cell.graph)] = np.ones((tau, n_b, n_h), dtype)
    return sizes, params, inputs, seeds


def make_runs(cell, case, threads):
    """-> name -> (run, read) of bptt and, where torch is installed, of the loop."""
    sizes, params, inputs, seeds = case

    def ours():
        return dict(cell.gradient(params, inputs, seeds=seeds, threads=threads))

    found = {OURS: (ours, lambda gradient: gradient)}
    if find_spec("torch"):
        import torch

        from benchmarks.graph_loop import make_graph_loop

        torch.set_num_threads(threads)
        found[LOOP] = make_graph_loop(cell, sizes, params, inputs, seeds)
    return found


def find_difference(mine, other):
    """The largest difference, relative to the largest entry of its parameter.

    A parameter whose gradient vanishes is measured against a thousandth of the largest
    gradient: from a zero state the sLSTM's b_i scales s and n alike, and what is left
    of its gradient is rounding, in everybody's program.
    """
    floor = FLOOR * max(np.abs(array).max() for array in mine.values())
    ratios = [
        np.abs(array - other[name]).max() / max(np.abs(array).max(), floor)
        for name, array in mine.items()
    ]
    return float(np.max(ratios))  # NaN if any is, unlike Python's max


def measure_cell(name, shape, options):
    """One row of the table of all cells.

    Raises: DisagreementError if torch computes another gradient.
    """
    dtype, threads = options["dtype"], options["threads"]
    # A new cell: its first call compiles.
    cell = type(cells.get(name))(cells.get(name).text)
    case = make_case(cell, shape, dtype)
    contestants = make_runs(cell, case, threads)
    first = time_once(contestants[OURS][0])
    gradients = {who: read(run()) for who, (run, read) in contestants.items()}
    error = max(find_difference(gradients[OURS], g) for g in gradients.values())
    if not error <= TOLERANCE[dtype]:
        raise DisagreementError(f"{name}: torch differs from bptt by {error:.1e}")
    runs = {who: run for who, (run, _) in contestants.items()}
    runs[PRODUCT] = make_product(dtype)
    pause = PAUSE if threads > 1 else 0.0
    samples = time_interleaved(runs, options["rounds"], options["seconds"], pause)
    product = samples.pop(PRODUCT)
    plan = cell.lower(dtype=dtype, **case[0])
    return {
        "library": name,
        "shape": list(shape),
        "threads": threads,
        "dtype": dtype,
        "flops": plan.flops_per_step * shape[0] * shape[1],
        "sgemm": 2 * 1024**3 / min(product),
        "times": {who: median(values) for who, values in samples.items()},
        "first": first,
        "error": error,
    }
