"""Gates and activations."""

import torch
from torch import sigmoid, tanh
from torch.nn import functional

from tests.catalogue.loops.steps import loop


def _at(p, names, gate):
    return (getattr(p, f"{name}_{gate}") for name in names)


def _total(p, gate, h, x):
    W, U, b = _at(p, "WUb", gate)
    return b + W @ h + U @ x


@loop("h")
def janet(p, x, s, back):
    u = _total(p, "f", s.h, x.x)
    new = tanh(_total(p, "n", s.h, x.x))
    return {"h": sigmoid(u) * s.h + (1 - sigmoid(u - p.beta.detach())) * new}


def _greff(missing):
    """One of the variants of Greff et al. (2017) of the LSTM with peepholes."""

    def gate(p, name, x, s, peep):
        if f"{name}_gate" == missing:
            return 1.0
        return sigmoid(_total(p, name, s.h, x.x) + getattr(p, f"p_{name}") * peep)

    def step(p, x, s, back):
        g = _total(p, "g", s.h, x.x)
        g = g if missing == "input_activation" else tanh(g)
        state = gate(p, "f", x, s, s.s) * s.s + gate(p, "i", x, s, s.s) * g
        out = state if missing == "output_activation" else tanh(state)
        return {"s": state, "h": gate(p, "q", x, s, state) * out}

    return step


for _name, _missing in {
    "input_gate": "i_gate", "forget_gate": "f_gate", "output_gate": "q_gate",
    "input_activation": "input_activation", "output_activation": "output_activation",
}.items():  # fmt: skip
    _step = _greff(_missing)
    _step.__name__ = f"lstm_no_{_name}"
    loop("h")(_step)


@loop("h")
def lstm_full_recurrence(p, x, s, back):
    def gate(name, peep):
        own, A, B, C = _at(p, "pABC", name)
        gates = A @ s.i + B @ s.f + C @ s.q
        return sigmoid(_total(p, name, s.h, x.x) + own * peep + gates)

    i, f = gate("i", s.s), gate("f", s.s)
    state = f * s.s + i * tanh(_total(p, "g", s.h, x.x))
    q = gate("q", state)
    return {"i": i, "f": f, "q": q, "s": state, "h": q * tanh(state)}


def _hard_sigmoid(u):
    """torch's own has 1/6 in float32 in its derivative."""
    return functional.relu6(u + 3) / 6


@loop("h")
def lstm_hard(p, x, s, back):
    i, f, q = (_hard_sigmoid(_total(p, gate, s.h, x.x)) for gate in "ifq")
    state = f * s.s + i * functional.softsign(_total(p, "g", s.h, x.x))
    return {"s": state, "h": q * functional.softsign(state)}


@loop("h")
def activations(p, x, s, back):
    a = p.b + p.W @ s.h + p.U @ x.x
    z = _hard_sigmoid(p.d + p.R @ s.h)
    n = (
        functional.elu(a)
        + functional.selu(a)
        + functional.leaky_relu(a, 0.1)
        + functional.gelu(a)
        + functional.silu(a)
        + functional.mish(a)
    )
    return {"h": (1 - z) * s.h + z * functional.softsign(n)}


@loop("h")
def multiplicative_integration(p, x, s, back):
    u, z = p.U @ x.x, p.W @ s.h
    return {"h": tanh(p.alpha * u * z + p.beta_1 * z + p.beta_2 * u + p.b)}


@loop("h")
def multiplicative_lstm(p, x, s, back):
    m = (p.W_mx @ x.x) * (p.W_mh @ s.h)
    i = sigmoid(p.b_i + p.W_ix @ x.x + p.W_im @ m)
    o = sigmoid(p.b_o + p.W_ox @ x.x + p.W_om @ m)
    f = sigmoid(p.b_f + p.W_fx @ x.x + p.W_fm @ m)
    c = f * s.c + i * tanh(p.W_hx @ x.x + p.W_hm @ m)
    return {"c": c, "h": tanh(c) * o}


@loop("h")
def on_lstm(p, x, s, back):
    i, f, o, n, master_f, master_i = (_total(p, g, s.h, x.x) for g in "ifonpq")
    master_f = torch.cumsum(torch.softmax(master_f, 0), 0)
    master_i = 1 - torch.cumsum(torch.softmax(master_i, 0), 0)
    both = master_f * master_i
    keep = sigmoid(f) * both + (master_f - both)
    write = sigmoid(i) * both + (master_i - both)
    c = keep * s.c + write * tanh(n)
    return {"c": c, "h": sigmoid(o) * tanh(c)}


@loop("h")
def nested_lstm(p, x, s, back):
    i, f, o = (sigmoid(_total(p, g, s.h, x.x)) for g in "ifo")
    u, v = f * s.c, i * tanh(_total(p, "c", s.h, x.x))

    def inner(gate):
        R, Q, d = _at(p, "RQd", gate)
        return d + R @ u + Q @ v

    state = sigmoid(inner("f")) * s.s + sigmoid(inner("i")) * tanh(inner("c"))
    c = sigmoid(inner("o")) * tanh(state)
    return {"s": state, "c": c, "h": o * tanh(c)}


@loop("h")
def nas(p, x, s, back):
    u = {k: _total(p, k, s.h, x.x) for k in (1, 2, 3, 5, 6, 7, 8)}
    a = tanh(sigmoid(u[1]) * functional.relu(u[2]))
    d = tanh(sigmoid(u[3]) + functional.relu((p.W_4 @ s.h) * (p.U_4 @ x.x)))
    e = tanh(tanh(u[5]) * sigmoid(u[6]))
    g = sigmoid(tanh(u[7]) + sigmoid(u[8]))
    c = tanh(a + s.c) * d
    return {"c": c, "h": tanh(c * tanh(e + g))}


def _normed(u):
    return functional.layer_norm(u, u.shape, eps=1e-5)


@loop("h")
def hyper_lstm(p, x, s, back):
    def small(gate):
        A, B, C, a = _at(p, "ABCa", gate)
        return a + A @ s.g + B @ s.h + C @ x.x

    i, f, o = (sigmoid(small(gate)) for gate in "ifo")
    r = f * s.r + i * tanh(small("n"))
    g = o * tanh(r)

    def big(gate):
        W, U, D, E, G = _at(p, "WUDEF", gate)
        X, Y, Z, d, e, b = _at(p, "XYZdeb", gate)
        rows = D @ (d + X @ g), E @ (e + Y @ g)
        return _normed(rows[0] * (W @ s.h) + rows[1] * (U @ x.x) + G @ (Z @ g) + b)

    c = sigmoid(big("f")) * s.c + sigmoid(big("i")) * tanh(big("n"))
    return {"r": r, "g": g, "c": c, "h": sigmoid(big("o")) * tanh(_normed(c))}


@loop("h")
def star(p, x, s, back):
    z = tanh(p.b_z + p.U_z @ x.x)
    k = sigmoid(_total(p, "k", s.h, x.x))
    return {"h": tanh((1 - k) * s.h + k * z)}


@loop("h")
def fastgrnn(p, x, s, back):
    a = p.W_1 @ p.W_2.T @ x.x + p.U_1 @ p.U_2.T @ s.h
    z, n = sigmoid(p.b_z + a), tanh(p.b_n + a)
    return {"h": (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * n + z * s.h}


@loop("s")
def highway(p, x, s, back):
    states = [s.s[-1]]
    for k in range(5):
        h, g = (R[k] @ states[-1] + b[k] for R, b in ((p.R_h, p.b_h), (p.R_g, p.b_g)))
        if k == 0:
            h, g = h + p.W_h @ x.x, g + p.W_g @ x.x
        states.append(tanh(h) * sigmoid(g) + states[-1] * (1 - sigmoid(g)))
    return {"s": torch.stack(states[1:])}
