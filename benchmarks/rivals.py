"""The contestants: bptt, torch.nn, a torch loop and jax.lax.scan, on the same numbers.

Each is a `Contestant`: `run` computes the gradient of the sum of all h for every
parameter, and `read` gives what `run` returned under the cell's own names. A step is
written once for torch and JAX, in terms of a few functions of either; gates are stacked
and U x is computed for all steps at once, as a careful user would write it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np

from benchmarks.shapes import ALPHA

EPS = 1e-5  # of layer_norm, as in the cell language
OURS, NN, LOOP, COMPILED = "bptt", "torch.nn", "torch loop", "torch.compile"
SCANS = {"jax": 1, "jax unroll 8": 8}


@dataclass(frozen=True)
class Contestant:
    """How to run one rival, and how to read its gradient."""

    run: Callable
    read: Callable


# ----- one time step, (h, s) -> (h, s), of stacked pre-activations z = U x + b -----


def step_elman(m, p, state, z):
    h = m.tanh(m.affine(z, state[0], p["W"]))
    return h, state[1]


def step_leaky(m, p, state, z):
    h = state[0]
    h = (1 - ALPHA) * h + ALPHA * m.tanh(m.affine(z, h, p["W"]))
    return h, state[1]


def step_lstm(m, p, state, z):
    i, f, g, q = m.chunk(m.affine(z, state[0], p["W"]), 4)
    s = m.sigmoid(f) * state[1] + m.sigmoid(i) * m.tanh(g)
    return m.sigmoid(q) * m.tanh(s), s


def step_layer_norm_lstm(m, p, state, z):
    n_b, n_a = z.shape
    a = m.affine(z, state[0], p["W"]).reshape(n_b, 4, n_a // 4)
    a = p["b"] + p["k"] * m.layer_norm(a).reshape(n_b, n_a)
    i, f, g, q = m.chunk(a, 4)
    s = m.sigmoid(f) * state[1] + m.sigmoid(i) * m.tanh(g)
    return m.sigmoid(q) * m.tanh(m.layer_norm(s)), s


def step_gru(m, p, state, z):
    h = state[0]
    r_x, u_x, n_x = m.chunk(z, 3)
    r_h, u_h, n_h = m.chunk(m.product(h, p["W"]), 3)
    r, u = m.sigmoid(r_x + r_h), m.sigmoid(u_x + u_h)
    n = m.tanh(n_x + r * (n_h + p["d"]))
    return (1 - u) * n + u * h, state[1]


def step_gru_reset_before(m, p, state, z):
    h = state[0]
    n_h = h.shape[-1]
    r, u = m.chunk(m.sigmoid(m.affine(z[:, : 2 * n_h], h, p["W"][: 2 * n_h])), 2)
    n = m.tanh(m.affine(z[:, 2 * n_h :], r * h, p["W"][2 * n_h :]))
    return (1 - u) * n + u * h, state[1]


STEPS = {
    "elman": step_elman,
    "leaky": step_leaky,
    "lstm": step_lstm,
    "layer_norm_lstm": step_layer_norm_lstm,
    "gru": step_gru,
    "gru_reset_before": step_gru_reset_before,
}


def inputs_before_loop(case, p, x):
    """z = U x + b of all steps; a normalised sum takes its bias later."""
    z = x @ p["U"].T
    return z if "k" in case.extra else z + p["b"]


# ----- the contestants -----


def make_ours(case, params, x, ones, threads):
    """The public call, with every parameter's gradient read."""
    cell = case.make_cell()

    def run():
        return dict(cell.gradient(params, {"x": x}, seeds={"h": ones}, threads=threads))

    return Contestant(run, lambda found: found)


def _stack_nn(case, stacked):
    """torch.nn's four arrays: its second bias carries what the cell calls d."""
    hidden = np.zeros_like(stacked["b"])
    if "d" in stacked:
        hidden[-len(stacked["d"]) :] = stacked["d"]
    return {
        "weight_ih_l0": stacked["U"],
        "weight_hh_l0": stacked["W"],
        "bias_ih_l0": stacked["b"],
        "bias_hh_l0": hidden,
    }


def make_nn_layer(case, params, x, ones):
    """torch.nn.RNN, GRU or LSTM: the layer, its input, its arrays, how to read them."""
    import torch

    kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    source = torch.from_numpy(x)
    layer = kind[case.name](x.shape[2], ones.shape[2], dtype=source.dtype)
    arrays = _stack_nn(case, case.pack(params))
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(layer, name).copy_(torch.from_numpy(array))

    def read(found):
        stacked = {
            "U": found["weight_ih_l0"],
            "W": found["weight_hh_l0"],
            "b": found["bias_ih_l0"],
            "d": found["bias_hh_l0"][-ones.shape[2] :],
        }
        return case.unpack(stacked)

    return layer, source, tuple(arrays), read


def make_nn(case, params, x, ones):
    """torch.nn's layer and the gradient of the sum of its output."""
    layer, source, arrays, read = make_nn_layer(case, params, x, ones)

    def run():
        layer.zero_grad(set_to_none=True)
        layer(source)[0].sum().backward()
        return {name: getattr(layer, name).grad for name in arrays}

    return Contestant(run, read)


def _torch_functions():
    import torch

    def layer_norm(a):
        return torch.nn.functional.layer_norm(a, a.shape[-1:], eps=EPS)

    return SimpleNamespace(
        tanh=torch.tanh,
        sigmoid=torch.sigmoid,
        layer_norm=layer_norm,
        chunk=lambda a, count: torch.chunk(a, count, dim=-1),
        product=lambda h, W: h @ W.t(),
        affine=lambda z, h, W: torch.addmm(z, h, W.t()),
    )


def make_loop(case, params, x, ones, is_compiled=False):
    """A Python loop over the steps, with torch's autograd."""
    import torch

    m, step = _torch_functions(), STEPS[case.name]
    leaves = {
        name: torch.from_numpy(array).requires_grad_()
        for name, array in case.pack(params).items()
    }
    source = torch.from_numpy(x)

    def total(p, source):
        zero = torch.zeros(ones.shape[1:], dtype=source.dtype)
        state, outputs = (zero, zero), []
        for z in inputs_before_loop(case, p, source).unbind(0):
            state = step(m, p, state, z)
            outputs.append(state[0])
        return torch.stack(outputs).sum()

    loss = torch.compile(total) if is_compiled else total

    def run():
        found = torch.autograd.grad(loss(leaves, source), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    return Contestant(run, case.unpack)


def jax_functions():
    import jax
    import jax.numpy as jnp

    def layer_norm(a):
        mean = a.mean(axis=-1, keepdims=True)
        variance = ((a - mean) ** 2).mean(axis=-1, keepdims=True)
        return (a - mean) * jax.lax.rsqrt(variance + EPS)

    return SimpleNamespace(
        tanh=jnp.tanh,
        sigmoid=jax.nn.sigmoid,
        layer_norm=layer_norm,
        chunk=lambda a, count: jnp.split(a, count, axis=-1),
        product=lambda h, W: h @ W.T,
        affine=lambda z, h, W: z + h @ W.T,
    )


def make_scan(case, params, x, ones, unroll):
    """jax.lax.scan under jit and grad."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", x.dtype.itemsize == 8)
    m, step = jax_functions(), STEPS[case.name]

    def loss(p, x):
        zero = jnp.zeros(ones.shape[1:], x.dtype)

        def body(state, z):
            state = step(m, p, state, z)
            return state, state[0]

        z = inputs_before_loop(case, p, x)
        return jax.lax.scan(body, (zero, zero), z, unroll=unroll)[1].sum()

    gradient = jax.jit(jax.grad(loss))
    stacked = {name: jnp.asarray(a) for name, a in case.pack(params).items()}
    source = jnp.asarray(x)
    return Contestant(
        lambda: jax.block_until_ready(gradient(stacked, source)), case.unpack
    )


def make_jax_front(case, params, x, ones, threads):
    """The same gradient through bptt.jax, under jit and grad."""
    import jax
    import jax.numpy as jnp

    import bptt.jax

    jax.config.update("jax_enable_x64", x.dtype.itemsize == 8)
    layer = bptt.jax.recurrent(case.make_cell(), nodes="h", threads=threads)
    gradient = jax.jit(jax.grad(lambda p, x: layer(p, {"x": x}).nodes["h"].sum()))
    arrays = {name: jnp.asarray(array) for name, array in params.items()}
    source = jnp.asarray(x)
    return Contestant(
        lambda: jax.block_until_ready(gradient(arrays, source)),
        lambda found: {name: np.asarray(array) for name, array in found.items()},
    )


def make_contestants(case, data, threads):
    """All that are installed and know the cell, by name; bptt first."""
    found = {OURS: make_ours(case, *data, threads)}
    if find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        if not case.is_custom:
            found[NN] = make_nn(case, *data)
        found[LOOP] = make_loop(case, *data)
    if find_spec("jax"):
        found |= {n: make_scan(case, *data, unroll) for n, unroll in SCANS.items()}
    return found


def make_product(dtype, size=1024):
    """A square matrix product of NumPy, whose rate is the limit."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    b, c = a.copy(), np.empty_like(a)
    return lambda: np.dot(a, b, out=c)
