"""Ragged batches: the time of useful steps beside the time of all, for everybody.

All compute the gradient of the sum of h over useful steps. bptt takes `lengths`, or the
padded batch with seeds of zero; torch.nn a PackedSequence, or the padded batch with its
output masked; JAX, which has no ragged form, a scan that keeps a state that has ended.
"""

from importlib.util import find_spec

import numpy as np

from benchmarks.rivals import (
    NN,
    OURS,
    SCANS,
    STEPS,
    Contestant,
    inputs_before_loop,
    jax_functions,
    make_nn_layer,
    make_ours,
)
from benchmarks.shapes import make_data
from benchmarks.timing import PAUSE, first_calls, median, time_interleaved

PADDED = f"{OURS} padded"
PACKED_NN, PADDED_NN = f"{NN} packed", f"{NN} padded"
MASKED_JAX = "jax masked"
SHORTEST = 0.16  # of tau; with lengths spread evenly up to tau, 58 % are useful


def make_lengths(tau, n_b, seed=0):
    """Lengths spread evenly from SHORTEST * tau to tau, in no order."""
    lengths = np.rint(np.linspace(SHORTEST, 1, n_b) * tau).astype(int)
    return np.random.default_rng(seed).permutation(np.maximum(lengths, 1))


def make_lengths_ours(case, data, lengths, threads):
    """The public call with `lengths`."""
    cell = case.make_cell()
    params, x, ones = data
    options = {"seeds": {"h": ones}, "lengths": lengths, "threads": threads}
    return Contestant(
        lambda: dict(cell.gradient(params, {"x": x}, **options)), lambda found: found
    )


def make_ragged_nn(case, data, lengths, alive):
    """torch.nn with a PackedSequence, and padded with its output masked."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    layer, source, arrays, read = make_nn_layer(case, *data)
    sizes = torch.from_numpy(lengths)
    mask = torch.from_numpy(alive)[..., None].to(source.dtype)

    def finish(total):
        total.backward()
        return {name: getattr(layer, name).grad for name in arrays}

    def packed():
        layer.zero_grad(set_to_none=True)
        sequence = pack_padded_sequence(source, sizes, enforce_sorted=False)
        return finish(layer(sequence)[0].data.sum())

    def padded():
        layer.zero_grad(set_to_none=True)
        return finish((layer(source)[0] * mask).sum())

    return {PACKED_NN: Contestant(packed, read), PADDED_NN: Contestant(padded, read)}


def make_masked_scan(case, data, alive, unroll):
    """jax.lax.scan over all steps, where a row that has ended keeps its state."""
    import jax
    import jax.numpy as jnp

    params, x, ones = data
    jax.config.update("jax_enable_x64", x.dtype.itemsize == 8)
    m, step = jax_functions(), STEPS[case.name]
    mask = jnp.asarray(alive)[..., None]

    def loss(p, x):
        zero = jnp.zeros(ones.shape[1:], x.dtype)

        def body(state, now):
            z, is_alive = now
            new = step(m, p, state, z)
            state = tuple(
                jnp.where(is_alive, n, o) for n, o in zip(new, state, strict=True)
            )
            return state, jnp.where(is_alive, state[0], 0)

        z = inputs_before_loop(case, p, x)
        return jax.lax.scan(body, (zero, zero), (z, mask), unroll=unroll)[1].sum()

    gradient = jax.jit(jax.grad(loss))
    stacked = {name: jnp.asarray(a) for name, a in case.pack(params).items()}
    source = jnp.asarray(x)
    return Contestant(
        lambda: jax.block_until_ready(gradient(stacked, source)), case.unpack
    )


def make_ragged_contestants(case, data, lengths, threads):
    """All that are installed and know the cell, by name; bptt first."""
    params, x, ones = data
    alive = np.arange(len(x))[:, None] < lengths
    masked = ones * alive[..., None].astype(ones.dtype)
    found = {
        OURS: make_lengths_ours(case, data, lengths, threads),
        PADDED: make_ours(case, params, x, masked, threads),
    }
    if find_spec("torch") and not case.is_custom:
        import torch

        torch.set_num_threads(threads)
        found |= make_ragged_nn(case, data, lengths, alive)
    if find_spec("jax"):
        scans = {f"{MASKED_JAX} {n}": n for n in SCANS.values()}
        found |= {
            name: make_masked_scan(case, data, alive, n) for name, n in scans.items()
        }
    return found


def measure_ragged(case, shape, options):
    """One cell: everybody's median time and error, and the part of useful steps."""
    dtype, threads = options["dtype"], options["threads"]
    lengths = make_lengths(*shape[:2])
    data = make_data(case, shape, dtype)
    contestants = make_ragged_contestants(case, data, lengths, threads)
    _, errors = first_calls(contestants, dtype)
    runs = {name: contestant.run for name, contestant in contestants.items()}
    pause = PAUSE if threads > 1 else 0.0
    samples = time_interleaved(runs, options["rounds"], options["seconds"], pause)
    return {
        "ragged": case.name,
        "shape": list(shape),
        "threads": threads,
        "useful": float(lengths.mean() / shape[0]),
        "times": {name: median(values) for name, values in samples.items()},
        "error": errors,
    }
