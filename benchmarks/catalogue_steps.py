"""The catalogue's cells as a careful user writes them, once for torch and JAX.

A `Rival` has `before`, what is computed of all steps at once; `start`, the state before
the first; `step`, a state and what `before` gave of one step to the next state and an
output; and `after`, the number whose gradient is taken, of the last state and all
outputs. Arrays have the batch first, and the functions of either library are in `m`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

EPS = 1e-5


def total(m, p, x, state, outputs):
    """The sum of all outputs."""
    return outputs.sum()


@dataclass(frozen=True)
class Rival:
    """How both rivals compute a cell."""

    before: Callable
    start: Callable
    step: Callable
    after: Callable = total


def torch_functions():
    """What a step needs, in torch."""
    import torch
    from torch.nn import functional

    return SimpleNamespace(
        einsum=torch.einsum, exp=torch.exp, tanh=torch.tanh, sigmoid=torch.sigmoid,
        sqrt=torch.sqrt, softplus=functional.softplus, relu=torch.relu,
        silu=functional.silu, maximum=torch.maximum, softmax=torch.softmax,
        log_softmax=torch.log_softmax, logsumexp=torch.logsumexp, cumsum=torch.cumsum,
        roll=torch.roll, stack=torch.stack, zeros=torch.zeros, tensor=torch.tensor,
        take=lambda a, index: a[:, index], stop=lambda u: u.detach(),
        real=lambda u, like: u.to(like.dtype),
    )  # fmt: skip


def jax_functions():
    """The same in JAX."""
    import jax
    import jax.numpy as jnp

    return SimpleNamespace(
        einsum=jnp.einsum, exp=jnp.exp, tanh=jnp.tanh, sigmoid=jax.nn.sigmoid,
        sqrt=jnp.sqrt, softplus=jax.nn.softplus, relu=jax.nn.relu, silu=jax.nn.silu,
        maximum=jnp.maximum, softmax=jax.nn.softmax, log_softmax=jax.nn.log_softmax,
        logsumexp=jax.scipy.special.logsumexp, cumsum=jnp.cumsum, roll=jnp.roll,
        stack=jnp.stack, zeros=jnp.zeros, tensor=jnp.asarray,
        take=lambda a, index: a[:, index], stop=jax.lax.stop_gradient,
        real=lambda u, like: u.astype(like.dtype),
    )  # fmt: skip


def _unit(m, u):
    return u / m.sqrt((u * u).sum(-1))[..., None]


def _heads(m, W, x):
    return m.einsum("tbx,jkx->tbjk", x, W)


# ----- matrix states -----


def _mlstm_before(m, p, x):
    k = _heads(m, p["W_k"], x["x"]) / p["W_k"].shape[1] ** 0.5 + p["b_k"]
    f = m.einsum("tbx,jx->tbj", x["x"], p["w_f"]) + p["b_f"]
    return {
        "q": _heads(m, p["W_q"], x["x"]) + p["b_q"], "k": k,
        "v": _heads(m, p["W_v"], x["x"]) + p["b_v"],
        "i": m.einsum("tbx,jx->tbj", x["x"], p["w_i"]) + p["b_i"],
        "f": -m.softplus(-f),
        "o": m.sigmoid(_heads(m, p["W_o"], x["x"]) + p["b_o"]),
    }  # fmt: skip


def _mlstm_step(m, p, s, z):
    C, n, top = s
    new = m.maximum(z["f"] + top, z["i"])
    f, i = m.exp(z["f"] + top - new), m.exp(z["i"] - new)
    outer = z["v"][..., :, None] * z["k"][..., None, :]
    C = f[..., None, None] * C + i[..., None, None] * outer
    n = f[..., None] * n + i[..., None] * z["k"]
    bottom = m.maximum(abs((n * z["q"]).sum(-1)), m.exp(-new))
    read = m.einsum("bjvk,bjk->bjv", C, z["q"]) / bottom[..., None]
    return (C, n, new), z["o"] * read


def _delta_before(m, p, x):
    rate = m.softplus(m.einsum("tbx,jx->tbj", x["x"], p["w_a"]) + p["d"])
    return {
        "q": _unit(m, m.silu(_heads(m, p["W_q"], x["x"]))),
        "k": _unit(m, m.silu(_heads(m, p["W_k"], x["x"]))),
        "v": m.silu(_heads(m, p["W_v"], x["x"])), "g": -m.exp(p["a"]) * rate,
        "beta": m.sigmoid(m.einsum("tbx,jx->tbj", x["x"], p["w_b"])),
    }  # fmt: skip


def _delta_step(m, p, S, z):
    S = m.exp(z["g"])[..., None, None] * S
    gap = z["v"] - m.einsum("bjvk,bjk->bjv", S, z["k"])
    S = S + (z["beta"][..., None] * gap)[..., :, None] * z["k"][..., None, :]
    return S, m.einsum("bjvk,bjk->bjv", S, z["q"])


def _delta_after(m, p, x, state, outputs):
    return m.einsum("tbjv,jyv->tby", outputs, p["W_y"]).sum()


def _s6_before(m, p, x):
    u = x["x"]
    return {
        "x": u, "delta": m.softplus(p["b"] + u @ p["W_1"].T @ p["W_2"].T),
        "B": u @ p["W_B"].T, "C": u @ p["W_C"].T,
    }  # fmt: skip


def _s6_step(m, p, h, z):
    decay = m.exp(-z["delta"][..., None] * m.exp(p["a"]))
    h = decay * h + (z["delta"] * z["x"])[..., None] * z["B"][:, None]
    return h, m.einsum("bdn,bn->bd", h, z["C"]) + p["g"] * z["x"]


def _fast_step(m, p, s, z):
    h, A = s
    A = 0.95 * A + 0.5 * h[:, :, None] * h[:, None, :]
    a = z["a"] + h @ p["W"].T
    u = a + m.einsum("bij,bj->bi", A, m.relu(a))
    u = u - u.mean(-1)[..., None]
    h = m.relu(u / m.sqrt((u * u).mean(-1) + EPS)[..., None])
    return (h, A), h


def _ntm_step(m, p, s, z):
    h, r, w, M = s
    h = m.tanh(z["a"] + h @ p["W"].T + r @ p["R"].T)
    key, shift = h @ p["W_k"].T, m.softmax(h @ p["W_s"].T, -1)
    beta, g = m.softplus(h @ p["u_b"])[:, None], m.sigmoid(h @ p["u_g"])[:, None]
    gamma = 1 + m.softplus(h @ p["u_c"])[:, None]
    # A norm of a memory that is zero has a gradient of its own in every library.
    norms = m.sqrt((M * M).sum(-1)) * m.sqrt((key * key).sum(-1))[:, None]
    content = m.softmax(beta * m.einsum("bim,bm->bi", M, key) / (norms + 1e-8), -1)
    gated = g * content + (1 - g) * w
    moved = sum(shift[:, c, None] * m.roll(gated, c - 1, -1) for c in range(3))
    w = moved**gamma
    w = w / w.sum(-1)[:, None]
    r = m.einsum("bi,bim->bm", w, M)
    erase, add = m.sigmoid(h @ p["E"].T), m.tanh(h @ p["A"].T)
    M = M * (1 - w[..., None] * erase[:, None]) + w[..., None] * add[:, None]
    return (h, r, w, M), r


# ----- vectors -----


def _before(matrix, bias=""):
    """U x + b of all steps."""

    def before(m, p, x):
        a = x["x"] @ p[matrix].T
        return {"a": a + p[bias] if bias else a}

    return before


def _lmu_matrices(n):
    A = [[(2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) for j in range(n)]
         for i in range(n)]  # fmt: skip
    return A, [(2 * i + 1) * (-1) ** i for i in range(n)]


def _lmu_step(m, p, s, z):
    h, memory = s
    A, B = (m.real(m.tensor(a), memory) for a in _lmu_matrices(memory.shape[-1]))
    u = z["u"] + h @ p["e_h"] + memory @ p["e_m"]
    memory = memory + (memory @ A.T + u[:, None] * B) / m.stop(p["theta"])
    h = m.tanh(z["a"] + h @ p["W_h"].T + memory @ p["W_m"].T)
    return (h, memory), h


def _attention_before(m, p, x):
    keys = x["m"] @ p["U_e"].T
    parts = {g: x["x"] @ p[f"U_{g}"].T + p[f"b_{g}"] for g in "zrn"}
    return parts | {"m": x["m"], "keys": keys}


def _attention_step(m, p, s, z):
    e = m.tanh((s @ p["W_e"].T)[:, None] + z["keys"]) @ p["v"]
    c = m.einsum("bj,bjm->bm", m.softmax(e, -1), z["m"])
    a = {g: z[g] + c @ p[f"C_{g}"].T for g in "zrn"}
    u, r = (m.sigmoid(a[g] + s @ p[f"W_{g}"].T) for g in "zr")
    n = m.tanh(a["n"] + (r * s) @ p["W_n"].T)
    s = (1 - u) * s + u * n
    return s, s


def _dilated_step(m, p, s, z):
    h = m.tanh(z["a"] + s[3] @ p["W"].T)
    return (h, *s[:3]), h


def _elman_step(m, p, h, z):
    h = m.tanh(z["a"] + h @ p["W"].T)
    return h, h[:, 0] * 0


def _last_loss(m, p, x, h, outputs):
    log_p = m.log_softmax(h @ p["V"].T + p["c"], -1)
    return -log_p[m.tensor(range(len(x["y"]))), x["y"]].sum()


def _hmm_before(m, p, x):
    log_b = m.log_softmax(p["B"], -1)
    return {"b": log_b.T[x["y"]]}


def _hmm_step(m, p, alpha, z):
    log_a = m.log_softmax(p["A"], -1)
    alpha = z["b"] + m.logsumexp(log_a + alpha[:, :, None], 1)
    return alpha, alpha


def _highway_before(m, p, x):
    return {g: x["x"] @ p[f"W_{g}"].T for g in "hg"}


def _highway_step(m, p, s, z):
    for k in range(5):
        h, g = (s @ p[f"R_{n}"][k].T + p[f"b_{n}"][k] for n in "hg")
        if k == 0:
            h, g = h + z["h"], g + z["g"]
        g = m.sigmoid(g)
        s = m.tanh(h) * g + s * (1 - g)
    return s, s


def _on_before(m, p, x):
    return {g: x["x"] @ p[f"U_{g}"].T + p[f"b_{g}"] for g in "fionpq"}


def _on_step(m, p, s, z):
    h, c = s
    f, i, o, n, keep, write = (z[g] + h @ p[f"W_{g}"].T for g in "fionpq")
    keep = m.cumsum(m.softmax(keep, -1), -1)
    write = 1 - m.cumsum(m.softmax(write, -1), -1)
    both = keep * write
    c = (m.sigmoid(f) * both + keep - both) * c + (
        m.sigmoid(i) * both + write - both
    ) * m.tanh(n)
    h = m.sigmoid(o) * m.tanh(c)
    return (h, c), h


def _lif_step(m, p, s, z):
    i, v, spike = s
    i = p["alpha"] * i + z["a"] + spike @ p["W"].T
    v = p["beta"] * v * (1 - m.stop(spike)) + i
    soft = (v - 1) / (1 + 10 * abs(v - 1))
    spike = m.stop(m.real(v > 1, v) - soft) + soft
    return (i, v, spike), spike


def _zeros(*names, number=None):
    """States of zeros: a tuple of shapes made of sizes; number: one state alone."""

    def start(m, p, n):
        states = tuple(m.zeros([n["n_b"], *(n.get(d, d) for d in s)]) for s in names)
        return states[0] if number == 1 else states

    return start


RIVALS = {
    "mlstm": Rival(_mlstm_before, _zeros(
        ("n_head", "n_h", "n_n"), ("n_head", "n_n"), ("n_head",)), _mlstm_step),
    "gated_deltanet": Rival(
        _delta_before, _zeros(("n_head", "n_v", "n_k"), number=1), _delta_step,
        _delta_after),
    "s6": Rival(_s6_before, _zeros(("n_x", "n_B"), number=1), _s6_step),
    "fast_weights": Rival(_before("C"), _zeros(("n_h",), ("n_h", "n_h")), _fast_step),
    "lmu": Rival(
        lambda m, p, x: {"u": x["x"] @ p["e_x"], "a": x["x"] @ p["W_x"].T},
        _zeros(("n_h",), (6,)), _lmu_step),
    "attention_decoder": Rival(
        _attention_before, _zeros(("n_s",), number=1), _attention_step),
    "dilated": Rival(_before("U", "b"), _zeros(*[("n_h",)] * 4), _dilated_step),
    "last_output": Rival(
        _before("U", "b"), _zeros(("n_h",), number=1), _elman_step, _last_loss),
    "hmm": Rival(_hmm_before, _zeros(("n_z",), number=1), _hmm_step),
    "highway": Rival(_highway_before, _zeros(("n_s",), number=1), _highway_step),
    "on_lstm": Rival(_on_before, _zeros(("n_h",), ("n_h",)), _on_step),
    "lif": Rival(_before("U"), _zeros(*[("n_h",)] * 3), _lif_step),
}  # fmt: skip


def ntm_start(m, p, n, memory):
    """The memory's initial value is given: its zero has no direction."""
    zeros = [m.zeros([n["n_b"], n[d]]) for d in ("n_h", "n_m")]
    w = np.zeros(memory.shape[:2], memory.dtype)
    w[:, 0] = 1  # the head starts at place 1
    return (*zeros, m.tensor(w), m.tensor(memory))


NTM = Rival(_before("U", "b"), ntm_start, _ntm_step)
