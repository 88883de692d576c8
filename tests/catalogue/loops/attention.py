"""Attention, memories, probability and control."""

import math

import torch
from torch import sigmoid, tanh
from torch.nn.functional import softplus

from tests.catalogue.loops.steps import LOOPS, loop


@loop("h", without_time=("m",))
def luong_decoder(p, x, s, back):
    state = tanh(p.b + p.W @ s.s + p.U @ x.x)
    a = torch.softmax(x.m @ p.W_a.T @ state, 0)
    return {"s": state, "h": tanh(p.W_c @ (a @ x.m) + p.W_s @ state)}


@loop("h")
def lstmn(p, x, s, back):
    hs = torch.stack([back("h", d) for d in (1, 2, 3)])
    cs = torch.stack([back("c", d) for d in (1, 2, 3)])
    query = p.A_x @ x.x + p.A_p @ s.p
    a = torch.softmax(torch.stack([p.v @ tanh(p.A_h @ h + query) for h in hs]), 0)
    h, c = a @ hs, a @ cs

    def total(gate):
        W, U, b = (getattr(p, f"{name}_{gate}") for name in "WUb")
        return b + W @ h + U @ x.x

    i, f, o = (sigmoid(total(gate)) for gate in "ifo")
    c = f * c + i * tanh(total("c"))
    return {"p": h, "c": c, "h": o * tanh(c)}


def _content(beta, memory, key):
    norms = memory.norm(dim=1) * key.norm()
    return torch.softmax(beta * (memory @ key) / (norms + 1e-6), 0)


@loop("r")
def dnc(p, x, s, back):
    h = tanh(p.b + p.W @ s.h + p.R @ s.r + p.U @ x.x)
    free, g_a, g_w = (sigmoid(getattr(p, f"u_{k}") @ h) for k in "faw")
    beta, pi, key = 1 + softplus(p.u_b @ h), torch.softmax(p.P @ h, 0), p.W_k @ h
    used = torch.arange(7, dtype=x.x.dtype) / 7 if x.t == 1 else s.usage
    usage = (used + s.w - used * s.w) * (1 - free * s.w_r)
    allocated = torch.softmax(-p.alpha * usage, 0)
    w = g_w * (g_a * allocated + (1 - g_a) * _content(beta, s.M, key))
    erase, write = sigmoid(p.E @ h), p.A @ h
    M = s.M * (1 - torch.outer(w, erase)) + torch.outer(w, write)
    links = (1 - w[:, None] - w[None]) * s.N + torch.outer(w, s.p)
    links = links * (1 - torch.eye(len(w), dtype=w.dtype))
    read = torch.stack([links.T @ s.w_r, _content(beta, M, key), links @ s.w_r])
    w_r = pi @ read
    return {
        "h": h, "usage": usage, "w": w, "M": M, "N": links, "w_r": w_r,
        "p": (1 - w.sum()) * s.p + w, "r": w_r @ M,
    }  # fmt: skip


@loop("L")
def vrnn(p, x, s, back):
    def linear(name, **parts):
        total = getattr(p, f"b_{name}")
        for letter, value in parts.items():
            total = total + getattr(p, f"{letter}_{name}") @ value
        return total

    f = tanh(linear("f", W=x.x))
    prior = linear("mp", W=s.h), softplus(linear("sp", W=s.h))
    post = linear("mq", W=s.h, V=f), softplus(linear("sq", W=s.h, V=f))
    g = tanh(linear("g", W=post[0] + post[1] * x.e))
    out = linear("mx", W=g, V=s.h), softplus(linear("sx", W=g, V=s.h))
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(*post), normal(*prior)).sum()
    size = len(x.x)
    missing = len(x.e) / 2 - size * math.log(2 * math.pi) / 2
    loss = kl - normal(*out).log_prob(x.x).sum() + missing
    return {"h": tanh(p.b + p.W @ s.h + p.U @ f + p.R @ g), "L": loss}


@loop("L", without_time=("A",))
def learned_optimiser(p, x, s, back):
    theta = s.theta.detach()
    g = (2 * x.A.T @ (x.A @ theta - x.y)).detach()
    hs, cs = [], []
    for h, c, own in zip(s.h, s.c, g, strict=True):

        def total(gate, h=h, own=own):
            W, u, b = (getattr(p, f"{name}_{gate}") for name in "Wub")
            return b + W @ h + u * own

        new = sigmoid(total("f")) * c + sigmoid(total("i")) * tanh(total("n"))
        cs.append(new)
        hs.append(sigmoid(total("o")) * tanh(new))
    h = torch.stack(hs)
    theta = s.theta + h @ p.v
    loss = (x.A @ theta - x.y).square().sum()
    return {"theta": theta, "h": h, "c": torch.stack(cs), "L": loss}


@loop("L")
def pendulum(p, x, s, back):
    a = tanh(p.b + p.u_c * torch.cos(s.q) + p.u_s * torch.sin(s.q) + p.u_w * s.w)
    torque = p.v @ a + x.d
    w = s.w + p.dt.detach() * (15 * torch.sin(s.q) + 3 * torque)
    q = s.q + p.dt.detach() * w
    loss = 2 * (1 - torch.cos(q)) + 0.1 * w**2 + 0.001 * torque**2
    return {"q": q, "w": w, "L": loss}


def crf(p, inputs, s, tau):
    """Every path, one by one: its score, and the logarithm of the sum of all."""
    e = inputs["x"] @ p["w"].T + p["b"]
    A = p["A"]
    scores = e[0][:, None]
    for t in range(1, tau):
        scores = _extend(scores, A, e[t])
    y = inputs["y"]
    own = (y * e).sum() + sum(y[t - 1] @ A @ y[t] for t in range(1, tau))
    return torch.logsumexp(scores.flatten(), 0) - own


def _extend(scores, A, e):
    """Scores of all paths that are a step longer; the rows are by the last state."""
    n = len(A)
    return torch.stack([
        torch.cat([scores[i] + A[i, j] for i in range(n)]) + e[j] for j in range(n)
    ])  # fmt: skip


LOOPS |= {"crf": (crf, "L")}


@loop("L")
def kalman(p, x, s, back):
    V = p.A @ s.P @ p.A.T + p.G @ p.G.T
    variance = p.c @ V @ p.c + torch.exp(p.r)
    gain = V @ p.c / variance
    mean = p.A @ s.m
    error = x.y - p.c @ mean
    missing = torch.distributions.Normal(p.c @ mean, variance.sqrt()).log_prob(x.y)
    keep = torch.eye(len(gain), dtype=gain.dtype) - torch.outer(gain, p.c)
    return {"m": mean + gain * error, "P": keep @ V, "L": -missing}


def kalman_vector(p, inputs, s, tau):
    P, m, losses = p["F"] @ p["F"].T, s["m"], []
    one = torch.eye(len(p["H"]), dtype=m.dtype)
    for y in inputs["y"]:
        V = p["A"] @ P @ p["A"].T + p["G"] @ p["G"].T
        S = p["C"] @ V @ p["C"].T + p["H"] @ p["H"].T + one
        K = V @ p["C"].T @ torch.linalg.inv(S)
        m = p["A"] @ m
        seen = torch.distributions.MultivariateNormal(p["C"] @ m, S)
        losses.append(-seen.log_prob(y))
        m, P = m + K @ (y - p["C"] @ m), V - K @ p["C"] @ V
    return torch.stack(losses)


LOOPS["kalman_vector"] = (kalman_vector, "L")
