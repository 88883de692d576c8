"""Published recurrences: `python -m benchmarks --catalogue`.

Each cell of examples/catalogue beside a loop in torch and jax.lax.scan, and gated
DeltaNet beside the PyTorch code of transformers; forward and backward to all parameters
of the sum of the seeded node, or of the loss.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.catalogue_steps import NTM, RIVALS, jax_functions, torch_functions
from benchmarks.library import find_difference
from benchmarks.rivals import LOOP, OURS, make_product
from benchmarks.timing import (
    PAUSE,
    PRODUCT,
    TOLERANCE,
    median,
    time_interleaved,
    time_once,
)
from bptt import Cell

FOLDER = Path(__file__).parents[1] / "examples" / "catalogue"
SCAN, TRANSFORMERS, COPY = "jax", "transformers", "copy"
SLOTS = 64
COPIED = 1 << 26  # bytes of each of two arrays, more than caches hold
DILATED = "h[t] = tanh(b + W @ h[t-4] + U @ x[t])"


@dataclass(frozen=True)
class Case:
    """A cell, sizes by name, steps, rows, and the node that is summed ("" for L)."""

    name: str
    tau: int
    n_b: int
    sizes: dict[str, int]
    node: str
    flops: int = 0  # of a step and row outside matrix products, forward and backward
    initial: dict = field(default_factory=dict)

    def make_cell(self):
        """A new cell, whose first call compiles."""
        if self.name == "dilated":
            return Cell(DILATED)
        text = (FOLDER / f"{self.name}.cell").read_text(encoding="utf-8")
        if self.name == "lmu":  # Euler's rule with a step of 1/12 grows without bound
            text = text.replace("theta: () = 12", f"theta: () = {self.tau}")
        if self.name == "ntm":
            text = text.replace("..., 8", f"..., {SLOTS}").replace(
                "w: 8; m: (8, n_m)", f"w: {SLOTS}; m: ({SLOTS}, n_m)"
            )
        return Cell(text)


HEADS = {"n_x": 128, "n_head": 4}
CASES = {case.name: case for case in (
    Case("mlstm", 256, 8, {**HEADS, "n_n": 32, "n_h": 32}, "h", 4 * 32 * 32 * 16),
    Case("gated_deltanet", 256, 8, {**HEADS, "n_k": 32, "n_v": 32, "n_y": 128}, "y",
         4 * 32 * 32 * 22),
    Case("s6", 256, 8, {"n_x": 128, "n_W_2_columns": 8, "n_B": 16}, "y", 128 * 16 * 20),
    Case("fast_weights", 128, 8, {"n_x": 32, "n_h": 64}, "h", 64 * 64 * 16),
    Case("ntm", 64, 8, {"n_x": 32, "n_h": 64, "n_m": 20}, "r", SLOTS * 20 * 30),
    Case("lmu", 256, 16, {"n_x": 16, "n_h": 128}, "h"),
    Case("attention_decoder", 40, 16,
         {"n_src": 40, "n_m": 64, "n_x": 64, "n_v": 64, "n_s": 128}, "s",
         40 * 64 * 30),
    Case("dilated", 256, 16, {"n_x": 32, "n_h": 64}, "h"),
    Case("last_output", 784, 64, {"n_x": 1, "n_o": 10, "n_h": 128}, ""),
    Case("hmm", 256, 8, {"n_v": 32, "n_z": 64}, "alpha", 64 * 64 * 12),
    Case("highway", 100, 16, {"n_x": 64, "n_s": 128}, "s_5"),
    Case("on_lstm", 100, 16, {"n_x": 64, "n_h": 128}, "h"),
    Case("lif", 256, 16, {"n_x": 64, "n_h": 128}, "z"),
)}  # fmt: skip


def make_arrays(case, cell, dtype, seed=0):
    """Parameters, inputs, initial values and seeds of ones."""
    rng = np.random.default_rng(seed)
    lead, sizes = (case.tau, case.n_b), case.sizes
    params = cell.init(seed=seed, dtype=dtype, **sizes)
    for name, array in params.items():
        noise = 0.1 * rng.standard_normal(array.shape)
        if array.ndim and not array.any():
            params[name] = noise.astype(dtype)
    inputs = {}
    for name, spec in cell.graph.inputs.items():
        own = lead[1:] if name in cell.graph.times.row_inputs else lead
        if spec.index is not None:
            inputs[name] = rng.integers(0, sizes[spec.index], own)
        else:
            shape = tuple(sizes.get(d, d) for d in spec.shape)
            inputs[name] = rng.standard_normal((*own, *shape)).astype(dtype)
    initial = {}
    if case.name == "ntm":
        memory = rng.standard_normal((case.n_b, SLOTS, sizes["n_m"]))
        initial = {"m": memory.astype(dtype)}
    seeds = {}
    if case.node:
        shape = tuple(sizes.get(d, d) for d in cell.nodes[case.node])
        seeds[case.node] = np.ones((*lead, *shape), dtype)
    return params, inputs, initial, seeds


def _start(case, rival, m, p, initial):
    sizes = {**case.sizes, "n_b": case.n_b}
    if case.name == "ntm":
        return NTM.start(m, p, sizes, initial["m"])
    return rival.start(m, p, sizes)


def make_loop(case, arrays):
    """A Python loop over steps in torch, with autograd."""
    import torch

    rival, m = RIVALS.get(case.name, NTM), torch_functions()
    params, inputs, initial, _ = arrays
    p = {n: torch.tensor(a, requires_grad=True) for n, a in params.items()}
    x = {n: torch.from_numpy(a) for n, a in inputs.items()}

    def run():
        for tensor in p.values():
            tensor.grad = None
        z = rival.before(m, p, x)
        fixed = {n: z.pop(n) for n in ("m", "keys") if n in z}
        steps = {n: u.unbind(0) for n, u in z.items()}
        state, outputs = _start(case, rival, m, p, initial), []
        for t in range(case.tau):
            now = {n: u[t] for n, u in steps.items()}
            state, out = rival.step(m, p, state, now | fixed)
            outputs.append(out)
        rival.after(m, p, x, state, torch.stack(outputs)).backward()
        return {n: u.grad.numpy() for n, u in p.items() if u.grad is not None}

    return run


def make_scan(case, arrays):
    """jax.lax.scan under jit and grad."""
    import jax
    import jax.numpy as jnp

    rival, m = RIVALS.get(case.name, NTM), jax_functions()
    params, inputs, initial, _ = arrays
    p = {n: jnp.asarray(a) for n, a in params.items()}
    x = {n: jnp.asarray(a) for n, a in inputs.items()}

    def loss(p, x):
        z = rival.before(m, p, x)
        fixed = {n: z.pop(n) for n in ("m", "keys") if n in z}
        start = _start(case, rival, m, p, initial)
        state, out = jax.lax.scan(
            lambda s, now: rival.step(m, p, s, now | fixed), start, z, length=case.tau
        )
        return rival.after(m, p, x, state, out)

    gradient = jax.jit(jax.grad(loss))
    return lambda: {n: np.asarray(a) for n, a in gradient(p, x).items()}


def make_transformers(case, arrays):
    """The gated delta rule in PyTorch that transformers runs on a CPU."""
    import torch
    from transformers.models.qwen3_next.modeling_qwen3_next import (
        torch_chunk_gated_delta_rule,
    )

    rival, m = RIVALS[case.name], torch_functions()
    params, inputs, _, _ = arrays
    p = {n: torch.tensor(a, requires_grad=True) for n, a in params.items()}
    x = {n: torch.from_numpy(a) for n, a in inputs.items()}

    def run():
        for tensor in p.values():
            tensor.grad = None
        z = {n: u.transpose(0, 1) for n, u in rival.before(m, p, x).items()}
        scale = z["k"].shape[-1] ** 0.5  # it divides the query by this
        out, _ = torch_chunk_gated_delta_rule(
            z["q"] * scale, z["k"], z["v"], z["g"], z["beta"]
        )
        torch.einsum("btjv,jyv->bty", out, p["W_y"]).sum().backward()
        return {n: u.grad.numpy() for n, u in p.items()}

    return run


def make_runs(case, cell, arrays, threads):
    """name -> a call that gives every parameter's gradient; bptt first."""
    params, inputs, initial, seeds = arrays

    def ours():
        return dict(cell.gradient(
            params, inputs, initial=initial, seeds=seeds, threads=threads
        ))  # fmt: skip

    found = {OURS: ours}
    if find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        found[LOOP] = make_loop(case, arrays)
    if find_spec("jax"):
        found[SCAN] = make_scan(case, arrays)
    if case.name == "gated_deltanet" and find_spec("transformers"):
        found[TRANSFORMERS] = make_transformers(case, arrays)
    return found


def find_roofline(case, cell, arrays, dtype, rates):
    """Seconds that the machine's products and memory allow, and which of them binds.

    Memory: inputs once, parameters and gradients once, and what is kept for the
    backward pass written and read.
    """
    plan = cell.lower(dtype=dtype, **case.sizes)
    rows = case.tau * case.n_b
    flops = (plan.flops_per_step + case.flops) * rows
    moved = 2 * plan.bytes_per_step * rows
    moved += sum(a.nbytes for a in arrays[1].values())
    moved += 2 * sum(a.nbytes for a in arrays[0].values())
    limits = {"flops": flops / rates["flops"], "memory": moved / rates["memory"]}
    binds = max(limits, key=limits.get)
    return {"flops": flops, "bytes": moved, "limit": limits[binds], "binds": binds}


def measure_case(name, options):
    """One row: everybody's median time and first call, errors, and the roofline."""
    case, dtype, threads = CASES[name], options["dtype"], options["threads"]
    cell = case.make_cell()
    arrays = make_arrays(case, cell, dtype)
    runs = make_runs(case, cell, arrays, threads)
    first = {who: time_once(run) for who, run in runs.items()}
    mine = runs[OURS]()
    errors = {
        who: find_difference({n: mine[n] for n in found}, found)
        for who, found in ((who, run()) for who, run in runs.items())
    }
    here, there = np.ones(COPIED, np.int8), np.ones(COPIED, np.int8)
    timed = {**runs, PRODUCT: make_product(dtype), COPY: lambda: np.copyto(there, here)}
    pause = PAUSE if threads > 1 else 0.0
    samples = time_interleaved(timed, options["rounds"], options["seconds"], pause)
    rates = {
        "flops": 2 * 1024**3 / min(samples.pop(PRODUCT)),
        "memory": 2 * COPIED / min(samples.pop(COPY)),
    }
    return {
        "catalogue": name, "threads": threads, "dtype": dtype,
        "tau": case.tau, "n_b": case.n_b, "sizes": case.sizes, "rates": rates,
        "seconds": {who: median(values) for who, values in samples.items()},
        "rounds": len(next(iter(samples.values()))), "first": first, "error": errors,
        "agrees": max(errors.values()) <= TOLERANCE[dtype],
        **find_roofline(case, cell, arrays, dtype, rates),
    }  # fmt: skip
