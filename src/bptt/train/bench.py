"""A short measurement on this machine: gradients beside torch.nn and a matrix product.

The full comparison, with more rivals and shapes, is `python -m benchmarks` in the
source repository.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from bptt import cells
from bptt.step.shapes import Array

Shape = tuple[int, int, int, int]

CELLS = ("elman", "gru", "lstm")
# (tau, n_b, n_x, n_h)
SHAPES: tuple[Shape, ...] = ((200, 1, 64, 128), (100, 32, 64, 128), (100, 32, 256, 256))
# Gates in the order of torch.nn, whose hidden bias holds what the gru calls d_n.
GATES = {"elman": ("",), "gru": ("_r", "_z", "_n"), "lstm": ("_i", "_f", "_g", "_q")}
MODULES = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
PRODUCT = 1024
ROUNDS, SECONDS = 7, 2.0  # of samples of each, but no new round after so long
PAUSE = 0.15  # seconds in which the spinning workers of BLAS and OpenMP fall asleep


@dataclass(frozen=True)
class BenchRow:
    """One cell at one shape.

    shape: (tau, n_b, n_x, n_h); seconds: of the gradient of sum(h) for all parameters;
    torch_seconds: the same by torch.nn; product_rate: floating point operations per
    second of a 1024^3 product; difference: the largest, relative to the gradient's
    largest entry.
    """

    cell: str
    shape: Shape
    seconds: float
    product_rate: float
    torch_seconds: float | None = None
    difference: float | None = None

    @property
    def rate(self) -> float:
        """Operations of the matrix products per second."""
        tau, n_b, n_x, n_h = self.shape
        width = len(GATES[self.cell]) * n_h
        return 2 * tau * n_b * width * (2 * n_x + 3 * n_h) / self.seconds


def has_torch() -> bool:
    """Whether PyTorch is installed, so that there is something to compare with."""
    return find_spec("torch") is not None


def limit_threads(threads: int) -> AbstractContextManager[Any]:
    """Limit NumPy's BLAS, if threadpoolctl is installed."""
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    limit: AbstractContextManager[Any]
    limit = import_module("threadpoolctl").threadpool_limits(threads)
    return limit


def measure(
    names: tuple[str, ...] = CELLS,
    shapes: tuple[Shape, ...] = SHAPES,
    threads: int = 1,
    rounds: int = ROUNDS,
) -> Iterator[BenchRow]:
    """Yield a result for each cell and shape, medians of interleaved samples."""
    with limit_threads(threads):
        for name in names:
            for shape in shapes:
                yield _measure_one(name, shape, threads, rounds)


def _measure_one(name: str, shape: Shape, threads: int, rounds: int) -> BenchRow:
    tau, n_b, n_x, n_h = shape
    cell = cells.get(name)
    params = cell.init(dtype=np.float32, n_x=n_x, n_h=n_h)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tau, n_b, n_x), np.float32)
    ones = np.ones((tau, n_b, n_h), np.float32)
    a = rng.random((PRODUCT, PRODUCT), np.float32)
    out = np.empty_like(a)

    def ours() -> dict[str, Array]:
        seeds = {"h": ones}
        return dict(cell.gradient(params, {"x": x}, seeds=seeds, threads=threads))

    def product() -> Array:
        return np.dot(a, a, out=out)

    runs: dict[str, Callable[[], Any]] = {"bptt": ours, "product": product}
    difference = None
    if has_torch():
        runs["torch"] = torch_gradient(name, params, x, threads)
        difference = find_difference(name, ours(), runs["torch"]())
    samples = _time(runs, rounds, PAUSE if threads > 1 else 0.0)
    median = {key: sorted(values)[len(values) // 2] for key, values in samples.items()}
    return BenchRow(
        name,
        shape,
        median["bptt"],
        2 * PRODUCT**3 / min(samples["product"]),
        median.get("torch"),
        difference,
    )


def _time(
    runs: dict[str, Callable[[], Any]], rounds: int, pause: float
) -> dict[str, list[float]]:
    """Seconds of each run, one of each per round."""
    for run in runs.values():
        run()  # compiles, and fills the caches
    samples: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for number in range(rounds):
        if number > 1 and time.perf_counter() - begin > SECONDS:
            break
        for name, run in runs.items():
            time.sleep(pause)
            start = time.perf_counter()
            run()
            samples[name].append(time.perf_counter() - start)
    return samples


def torch_gradient(
    name: str, params: dict[str, Array], x: Array, threads: int
) -> Callable[[], dict[str, Array]]:
    """The gradient of sum(h) by torch.nn.RNN, GRU or LSTM: its four arrays, by name."""
    torch = import_module("torch")
    torch.set_num_threads(threads)
    stacked = {m: np.concatenate([params[m + g] for g in GATES[name]]) for m in "WUb"}
    n_h = stacked["W"].shape[1]
    layer = getattr(torch.nn, MODULES[name])(x.shape[2], n_h)
    hidden = np.zeros_like(stacked["b"])
    if name == "gru":
        hidden[-n_h:] = params["d_n"]
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.from_numpy(stacked["W"]))
        layer.weight_ih_l0.copy_(torch.from_numpy(stacked["U"]))
        layer.bias_ih_l0.copy_(torch.from_numpy(stacked["b"]))
        layer.bias_hh_l0.copy_(torch.from_numpy(hidden))
    source = torch.from_numpy(x)

    def run() -> dict[str, Array]:
        layer.zero_grad(set_to_none=True)
        layer(source)[0].sum().backward()
        return {key: value.grad.numpy() for key, value in layer.named_parameters()}

    return run


def find_difference(
    name: str, mine: dict[str, Array], theirs: dict[str, Array]
) -> float:
    """The largest difference, relative to the largest entry of the same array."""
    names = {"W": "weight_hh_l0", "U": "weight_ih_l0", "b": "bias_ih_l0"}
    pairs = [
        (np.concatenate([mine[m + g] for g in GATES[name]]), theirs[names[m]])
        for m in "WUb"
    ]
    if name == "gru":
        pairs.append((mine["d_n"], theirs["bias_hh_l0"][-len(mine["d_n"]) :]))
    return float(np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in pairs]))
