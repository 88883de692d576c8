"""Delays, clocks and gaps in time."""

import math

import torch
from torch import sigmoid, tanh
from torch.nn.functional import relu

from tests.catalogue.loops.steps import loop


@loop("o")
def narx(p, x, s, back):
    a = p.b + p.U_0 @ x.x
    for d in (1, 2, 3):
        a = a + getattr(p, f"W_{d}") @ back("o", d)
    for d in (1, 2):
        a = a + getattr(p, f"U_{d}") @ back("x", d)
    return {"o": p.c + p.V @ tanh(a)}


@loop("h")
def dilated(p, x, s, back):
    g = tanh(p.b_g + p.W_g @ back("g", 1) + p.U_g @ x.x)
    z = tanh(p.b_z + p.W_z @ back("z", 2) + p.U_z @ g)
    return {"g": g, "z": z, "h": tanh(p.b_h + p.W_h @ back("h", 4) + p.U_h @ z)}


@loop("h")
def mist(p, x, s, back):
    a = torch.softmax(p.w_h @ s.h + p.w_x @ x.x + p.b_a, 0)
    r = sigmoid(p.b_r + p.W_r @ s.h + p.U_r @ x.x)
    mixed = sum(a[i] * back("h", 2**i) for i in range(4))
    return {"h": tanh(p.b + p.W @ (r * mixed) + p.U @ x.x)}


@loop("h")
def higher_order(p, x, s, back):
    past = sum(getattr(p, f"W_{d}") @ back("h", d) for d in (1, 2, 3))
    return {"h": tanh(p.b + past + p.U @ x.x)}


@loop("h")
def clockwork(p, x, s, back):
    new = tanh(p.b + torch.triu(p.W) @ s.h + p.u @ x.x)
    moves = torch.tensor([x.t % 2**i == 0 for i in range(len(new))])
    return {"h": torch.where(moves, new, s.h)}


@loop("h")
def phased_lstm(p, x, s, back):
    phi = torch.remainder(x.time - p.s, p.p) / p.p
    up, down = 2 * phi / p.r, 2 - 2 * phi / p.r
    rest = p.leak.detach() * phi
    k = torch.where(phi < p.r / 2, up, torch.where(phi < p.r, down, rest))
    i = sigmoid(p.b_i + p.W_i @ s.h + p.U_i @ x.x + p.w_i * s.c)
    f = sigmoid(p.b_f + p.W_f @ s.h + p.U_f @ x.x + p.w_f * s.c)
    new = f * s.c + i * tanh(p.b_c + p.W_c @ s.h + p.U_c @ x.x)
    o = sigmoid(p.b_o + p.W_o @ s.h + p.U_o @ x.x + p.w_o * new)
    h = k * o * tanh(new) + (1 - k) * s.h
    return {"c": k * new + (1 - k) * s.c, "h": h}


@loop("h")
def gru_d(p, x, s, back):
    old = torch.exp(-relu(p.b_g + p.W_g @ x.delta)) * s.h
    decay = torch.exp(-relu(p.w_x * x.delta + p.b_x))
    v = x.m * x.x + (1 - x.m) * (decay * s.z + (1 - decay) * p.x_bar)

    def total(gate, h):
        W, U, V = (getattr(p, f"{name}_{gate}") for name in "WUV")
        return getattr(p, f"b_{gate}") + W @ h + U @ v + V @ x.m

    r, q = sigmoid(total("r", old)), sigmoid(total("q", old))
    h = (1 - q) * old + q * tanh(total("n", r * old))
    return {"z": x.m * x.x + (1 - x.m) * s.z, "h": h}


@loop("h")
def t_lstm(p, x, s, back):
    short = tanh(p.b_d + p.W_d @ s.c)
    c = s.c - short + short / torch.log(math.e + x.delta)

    def total(gate):
        W, U, b = (getattr(p, f"{name}_{gate}") for name in "WUb")
        return b + W @ s.h + U @ x.x

    i, f, o = (sigmoid(total(gate)) for gate in "ifo")
    c = f * c + i * tanh(total("c"))
    return {"c": c, "h": o * tanh(c)}


@loop("h")
def skip_rnn(p, x, s, back):
    before = torch.ones((), dtype=x.x.dtype) if x.t == 1 else s.p
    u = before + (torch.round(before) - before).detach()
    h = u * tanh(p.b + p.W @ s.h + p.U @ x.x) + (1 - u) * s.h
    d = sigmoid(p.w @ h + p.b_p)
    return {"h": h, "p": u * d + (1 - u) * (before + torch.minimum(d, 1 - before))}
