"""Time hand-assembled cells, forward and backward, against PyTorch and JAX.

    python -m benchmarks.kernels [--threads 1] [--cells elman lstm gru gru_pre]
        [--rivals torch jax jax8] [--shapes 100,32,256,256 ...] [--repeats 7]
        [--json FILE]

What is timed: the gradient of sum(g * h) for all parameters, from arrays to arrays,
with everything compiled before; the input's gradient is not asked for. Runs are
interleaved and the median is printed, in milliseconds. `limit` is the flops of the
matrix products over the best rate of NumPy's 1024^3 product, measured between the same
runs; `x limit` above 1 means faster than that product. The process is bound to as many
CPUs as threads.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

SHAPES = [
    (100, 1, 64, 64),
    (1000, 1, 88, 200),
    (100, 16, 128, 128),
    (100, 32, 64, 128),
    (100, 32, 256, 256),
    (100, 64, 256, 256),
    (784, 64, 1, 128),
    (100, 32, 512, 512),
    (100, 64, 1024, 1024),
]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--cells", nargs="+", default=["elman", "lstm", "gru", "gru_pre"]
    )
    parser.add_argument("--rivals", nargs="*", default=["torch", "jax", "jax8"])
    parser.add_argument("--shapes", nargs="+", default=None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6.0, help="per row, roughly")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.shapes:
        arguments.shapes = [tuple(map(int, s.split(","))) for s in arguments.shapes]
    else:
        arguments.shapes = SHAPES
    return arguments


def build_torch(cell, params, x, g, threads):
    import torch

    torch.set_num_threads(threads)
    kinds = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM}
    kind = kinds.get(cell, torch.nn.GRU)
    dtype = torch.float32 if x.dtype.itemsize == 4 else torch.float64
    layer = kind(x.shape[2], g.shape[2], dtype=dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(params["U"]))
        layer.weight_hh_l0.copy_(torch.from_numpy(params["W"]))
        layer.bias_ih_l0.copy_(torch.from_numpy(params["b"]))
        layer.bias_hh_l0.zero_()
        if cell == "gru":
            layer.bias_hh_l0[-len(params["c"]) :] = torch.from_numpy(params["c"])
    x, g = torch.from_numpy(x), torch.from_numpy(g)

    def run():
        layer.zero_grad(set_to_none=True)
        y, _ = layer(x)
        y.backward(g)
        return layer.weight_hh_l0.grad.numpy()

    return run


def build_jax(cell, params, x, g, unroll):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", x.dtype.itemsize == 8)
    n = g.shape[2]

    def step(params, carry, z):
        h, s = carry
        W = params["W"]
        if cell == "elman":
            h = jnp.tanh(z + h @ W.T)
        elif cell == "lstm":
            i, f, c, o = jnp.split(z + h @ W.T, 4, axis=1)
            s = jax.nn.sigmoid(f) * s + jax.nn.sigmoid(i) * jnp.tanh(c)
            h = jax.nn.sigmoid(o) * jnp.tanh(s)
        else:
            count = 3 if cell == "gru" else 2
            p = h @ W[: count * n].T
            r = jax.nn.sigmoid(z[:, :n] + p[:, :n])
            u = jax.nn.sigmoid(z[:, n : 2 * n] + p[:, n : 2 * n])
            if cell == "gru":
                inner = r * (p[:, 2 * n :] + params["c"])
            else:
                inner = (r * h) @ W[2 * n :].T
            h = (1 - u) * jnp.tanh(z[:, 2 * n :] + inner) + u * h
        return (h, s), h

    def loss(params, x, g):
        z = x @ params["U"].T + params["b"]  # for all steps at once, as here
        zero = jnp.zeros(g.shape[1:], g.dtype)
        body = lambda carry, z: step(params, carry, z)  # noqa: E731
        _, h = jax.lax.scan(body, (zero, zero), z, unroll=unroll)
        return (g * h).sum()

    gradient = jax.jit(jax.grad(loss))
    params = jax.tree.map(jnp.asarray, params)
    x, g = jnp.asarray(x), jnp.asarray(g)

    def run():
        return jax.block_until_ready(gradient(params, x, g))["W"]

    return run


def build_sgemm(dtype):
    import numpy as np

    a = np.random.default_rng(0).random((1024, 1024)).astype(dtype)
    b, c = a.copy(), np.empty_like(a)
    return lambda: np.dot(a, b, out=c)


def time_interleaved(runs, repeats, seconds, threads):
    """Median seconds of each; short ones are repeated inside a sample.

    The worker threads of OpenBLAS and OpenMP spin for up to 0.1 s after their last task
    and would take a CPU from whoever runs next, so with threads everyone waits first.
    """
    pause = 0.15 if threads > 1 else 0.0
    inner = {}
    for name, run in runs.items():
        run()
        begin = time.perf_counter()
        run()
        inner[name] = max(1, int(0.004 / (time.perf_counter() - begin)))
    samples = {name: [] for name in runs}
    begin = time.perf_counter()
    for number in range(repeats):
        if number >= 3 and time.perf_counter() - begin > seconds:
            break
        for name, run in runs.items():
            if pause:
                time.sleep(pause)
            run()  # not in the cold caches that the run before leaves behind
            start = time.perf_counter()
            for _ in range(inner[name]):
                run()
            samples[name].append((time.perf_counter() - start) / inner[name])
    medians = {name: sorted(s)[len(s) // 2] for name, s in samples.items()}
    # The limit is what the machine can do: the best sample, whatever disturbed others.
    medians["sgemm"] = min(samples["sgemm"])
    return medians


def measure(cell, shape, arguments):
    import numpy as np
    from tests.execute.codegen.test_hand_cells import make_case

    from benchmarks.hand_cells import GATES, HandLayer
    from bptt.execute.codegen.target import get_host_target

    tau, n_b, n_x, n_h = shape
    params, x, g = make_case(cell, tau, n_b, n_x, n_h, arguments.dtype)
    begin = time.perf_counter()
    layer = HandLayer(
        cell, n_x, n_h, arguments.dtype, get_host_target(), arguments.threads
    )
    compile_s = time.perf_counter() - begin
    runs = {"ours": lambda: layer.gradient(params, x, g)["W"]}
    if "torch" in arguments.rivals:
        runs["torch"] = build_torch(cell, params, x, g, arguments.threads)
    for name, unroll in (("jax", 1), ("jax8", 8)):
        if name in arguments.rivals:
            runs[name] = build_jax(cell, params, x, g, unroll)
    ours = runs["ours"]()
    for name, run in runs.items():
        if name == "torch" and cell == "gru_pre":
            continue  # PyTorch has only the other convention; timed for orientation
        other = np.asarray(run())
        assert np.abs(ours - other).max() < 1e-4 * np.abs(ours).max(), name
    runs["sgemm"] = build_sgemm(arguments.dtype)
    times = time_interleaved(
        runs, arguments.repeats, arguments.seconds, arguments.threads
    )
    rate = 2 * 1024**3 / times.pop("sgemm")
    flops = 2 * tau * n_b * GATES[cell] * n_h * (2 * n_x + 3 * n_h)
    return {
        "cell": cell,
        "shape": shape,
        "compile_s": compile_s,
        "ms": {name: 1e3 * seconds for name, seconds in times.items()},
        "sgemm_gflops": rate / 1e9,
        "gflops": flops / times["ours"] / 1e9,
        "of_limit": flops / times["ours"] / rate,
    }


def show(row):
    ms = row["ms"]
    cells = " ".join(f"{ms[name]:9.3f}" for name in ms)
    rivals = {name: value for name, value in ms.items() if name != "ours"}
    best = min(rivals.values()) / ms["ours"] if rivals else float("nan")
    print(
        f"{row['cell']:8s} {row['shape']!s:22s} {cells}  GF/s {row['gflops']:6.1f} "
        f"x limit {row['of_limit']:5.2f}  x best {best:5.2f}  sgemm "
        f"{row['sgemm_gflops']:5.0f}  compile {row['compile_s']:.2f} s",
        flush=True,
    )


def main():
    arguments = parse_arguments()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: arguments.threads])
    print("cell, (tau, n_b, n_x, n_h), ms:", "ours", *arguments.rivals)
    rows = []
    for cell in arguments.cells:
        for shape in arguments.shapes:
            rows.append(measure(cell, shape, arguments))
            show(rows[-1])
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
