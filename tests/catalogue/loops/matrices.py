"""Published recurrences as plain loops over heads and steps in torch, one a cell.

Each takes parameters, inputs and initial states by the cell's names, for one batch row,
and returns the sequence of the node that a test seeds. They are written from the papers
with explicit loops over indices, not with the cells' vector operations.
"""

import torch
from torch import sigmoid, tanh
from torch.nn.functional import layer_norm, logsigmoid, relu, silu, softplus

from tests.catalogue.loops.steps import LOOPS, loop


def _unit(u):
    return u / u.square().sum().sqrt()


def gla(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        rows = []
        for j in range(len(S)):
            alpha = sigmoid(p["W_2"][j] @ (p["W_1"][j] @ x) + p["b"][j]) ** (1 / 16)
            k, v, q = (p[f"W_{n}"][j] @ x for n in "kvq")
            S[j] = alpha[:, None] * S[j] + torch.outer(k, v)
            o = S[j].T @ q
            gate = silu(p["W_r"][j] @ x + p["b_r"][j])
            rows.append(gate * layer_norm(o, o.shape, eps=1e-5))
        out.append(torch.stack(rows))
    return torch.stack(out)


def mlstm(p, inputs, s, tau):
    C, n, m = list(s["C"]), list(s["n"]), list(s["m"])
    heads, out = range(len(C)), []
    for x in inputs["x"]:
        rows = []
        for j in heads:
            q = p["W_q"][j] @ x + p["b_q"][j]
            k = p["W_k"][j] @ x / p["W_k"].shape[1] ** 0.5 + p["b_k"][j]
            v = p["W_v"][j] @ x + p["b_v"][j]
            i = p["w_i"][j] @ x + p["b_i"][j]
            f = logsigmoid(p["w_f"][j] @ x + p["b_f"][j])
            new = torch.maximum(f + m[j], i)
            f, i, m[j] = torch.exp(f + m[j] - new), torch.exp(i - new), new
            C[j] = f * C[j] + i * torch.outer(v, k)
            n[j] = f * n[j] + i * k
            r = C[j] @ q / torch.maximum((n[j] @ q).abs(), torch.exp(-m[j]))
            rows.append(sigmoid(p["W_o"][j] @ x + p["b_o"][j]) * r)
        out.append(torch.stack(rows))
    return torch.stack(out)


def slstm(p, inputs, s, tau):
    h, c, n, m = (list(s[name]) for name in "hcnm")
    out = []
    for x in inputs["x"]:
        for j in range(len(h)):
            before = h[j]
            z, i, f, o = (
                p[f"W_{g}"][j] @ x + p[f"R_{g}"][j] @ before + p[f"b_{g}"][j]
                for g in "zifo"
            )
            f = logsigmoid(f)
            new = torch.maximum(f + m[j], i)
            f, i, m[j] = torch.exp(f + m[j] - new), torch.exp(i - new), new
            c[j] = f * c[j] + i * tanh(z)
            n[j] = f * n[j] + i
            h[j] = sigmoid(o) * c[j] / (n[j] + 1e-6)
        out.append(torch.stack(h))
    return torch.stack(out)


def gated_deltanet(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        y = 0
        for j in range(len(S)):
            q, k = (_unit(silu(p[f"W_{n}"][j] @ x)) for n in "qk")
            v = silu(p["W_v"][j] @ x)
            rate = softplus(p["w_a"][j] @ x + p["d"][j])
            alpha = torch.exp(-torch.exp(p["a"][j]) * rate)
            beta = sigmoid(p["w_b"][j] @ x)
            erased = S[j] - beta * torch.outer(S[j] @ k, k)
            S[j] = alpha * erased + beta * torch.outer(v, k)
            y = y + p["W_y"][j] @ (S[j] @ q)
        out.append(y)
    return torch.stack(out)


def linear_attention(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        rows = []
        for j in range(len(S)):
            q, k, v = (p[f"W_{n}"][j] @ x for n in "qkv")
            gate = sigmoid(p["W_g"][j] @ x + p["b_g"][j])
            S[j] = S[j] * gate[None] + torch.outer(v, k)
            rows.append(S[j] @ q)
        out.append(torch.stack(rows))
    return torch.stack(out)


def s6(p, inputs, s, tau):
    h, out = list(s["h"]), []
    for x in inputs["x"]:
        delta = softplus(p["b"] + p["W_2"] @ (p["W_1"] @ x))
        B, C = p["W_B"] @ x, p["W_C"] @ x
        y = []
        for d in range(len(h)):
            # One delta for every channel: b and W_2 are a number and a row here.
            decay = torch.exp(-delta[d] * torch.exp(p["a"][d]))
            h[d] = decay * h[d] + delta[d] * x[d] * B
            y.append(C @ h[d] + p["g"][d] * x[d])
        out.append(torch.stack(y))
    return torch.stack(out)


def rwkv7(p, inputs, s, tau):
    S, last, out = list(s["S"]), s["x"], []
    for x in inputs["x"]:
        mixed = {n: x + p[f"mu_{n}"] * (last - x) for n in "rkvwa"}
        rows = []
        for j in range(len(S)):
            r, k, v = (p[f"W_{n}"][j] @ mixed[n] for n in "rkv")
            low = p["B_w"][j] @ tanh(p["A_w"] @ mixed["w"])
            half = torch.exp(torch.tensor(-0.5, dtype=x.dtype))
            w = torch.exp(-half * sigmoid(p["b_w"][j] + low))
            a = sigmoid(p["b_a"][j] + p["B_a"][j] @ (p["A_a"] @ mixed["a"]))
            kap = _unit(k * p["xi"][j])
            kt = k * (1 + (a - 1) * p["al"][j])
            change = torch.diag(w) - torch.outer(kap, a * kap)
            S[j] = S[j] @ change + torch.outer(v, kt)
            rows.append(S[j] @ r)
        last = x
        out.append(torch.stack(rows))
    return torch.stack(out)


def fast_weights(p, inputs, s, tau):
    A, h, out = s["A"], s["h"], []
    for x in inputs["x"]:
        A = 0.95 * A + 0.5 * torch.outer(h, h)
        a = p["W"] @ h + p["C"] @ x
        u = a + A @ relu(a)
        u = (u - u.mean()) / torch.sqrt(u.var(unbiased=False) + 1e-5)
        h = relu(u)
        out.append(h)
    return torch.stack(out)


def fast_weights_steps(p, inputs, s, tau):
    A, h, out = s["A"], s["h"][-1], []
    for x in inputs["x"]:
        A = 0.95 * A + 0.5 * torch.outer(h, h)
        a = p["W"] @ h + p["C"] @ x
        h, places = relu(a), []
        for _ in range(3):
            u = a + A @ h
            u = (u - u.mean()) / torch.sqrt(u.var(unbiased=False) + 1e-5)
            h = relu(u)
            places.append(h)
        out.append(torch.stack(places))
    return torch.stack(out)


def plasticity(p, inputs, s, tau):
    H, h, out = s["H"], s["h"], []
    for x in inputs["x"]:
        new = tanh((p["W"] + p["A"] * H) @ h + p["U"] @ x)
        H = (1 - p["eta"]) * H + p["eta"] * torch.outer(new, h)
        h = new
        out.append(H)
    return torch.stack(out)


def ttt_linear(p, inputs, s, tau):
    S, out = s["S"], []
    for x in inputs["x"]:
        k, v, q = (p[f"W_{n}"] @ x for n in "kvq")
        S = S - 2 * p["eta"] * torch.outer(S @ k - v, k)
        out.append(S @ q)
    return torch.stack(out)


def ntm(p, inputs, s, tau):
    h, r, m, out = s["h"], s["r"], s["m"], []
    n = len(m)
    w = torch.eye(n, dtype=m.dtype)[0]  # the head starts at place 1
    for x in inputs["x"]:
        h = tanh(p["b"] + p["W"] @ h + p["R"] @ r + p["U"] @ x)
        key, shift = p["W_k"] @ h, torch.softmax(p["W_s"] @ h, 0)
        beta, g = softplus(p["u_b"] @ h), sigmoid(p["u_g"] @ h)
        gamma = 1 + softplus(p["u_c"] @ h)
        norms = m.square().sum(1).sqrt() * key.square().sum().sqrt()
        content = torch.softmax(beta * (m @ key) / (norms + 1e-8), 0)
        gated = g * content + (1 - g) * w
        moved = sum(shift[c] * torch.roll(gated, c - 1) for c in range(3))
        w = moved**gamma / (moved**gamma).sum()
        r = sum(w[i] * m[i] for i in range(n))
        erase, add = sigmoid(p["E"] @ h), tanh(p["A"] @ h)
        m = torch.stack([m[i] * (1 - w[i] * erase) + w[i] * add for i in range(n)])
        out.append(m)
    return torch.stack(out)


def conv_lstm(p, inputs, s, tau):
    h, c, out = list(s["h"]), list(s["s"]), []
    n = len(h)
    for x in inputs["x"]:
        gates = []
        for place in range(n):
            near = [(k, place + k - 1) for k in range(3) if 0 <= place + k - 1 < n]
            gates.append([
                p[f"b_{g}"] + sum(
                    p[f"W_{g}"][k] @ h[q] + p[f"U_{g}"][k] @ x[q] for k, q in near
                )
                for g in "ifos"
            ])  # fmt: skip
        for place, (i, f, o, a) in enumerate(gates):
            c[place] = sigmoid(f) * c[place] + sigmoid(i) * tanh(a)
            h[place] = sigmoid(o) * tanh(c[place])
        out.append(torch.stack(h))
    return torch.stack(out)


def hmm(p, inputs, s, tau):
    alpha, out = s["alpha"], []
    a, b = torch.log_softmax(p["A"], 1), torch.log_softmax(p["B"], 1)
    for y in inputs["y"]:
        alpha = torch.stack([
            b[j, y] + torch.logsumexp(a[:, j] + alpha, 0)
            for j in range(len(a))
        ])  # fmt: skip
        out.append(alpha)
    return torch.stack(out)


def attention_decoder(p, inputs, s, tau):
    state, out = s["s"], []
    m = inputs["m"]
    for x in inputs["x"]:
        e = [p["v"] @ tanh(p["W_e"] @ state + p["U_e"] @ row) for row in m]
        alpha = torch.softmax(torch.stack(e), 0)
        c = sum(a * row for a, row in zip(alpha, m, strict=True))

        def total(g, h, x=x, c=c):
            parts = p[f"W_{g}"] @ h + p[f"U_{g}"] @ x + p[f"C_{g}"] @ c
            return p[f"b_{g}"] + parts

        z, r = sigmoid(total("z", state)), sigmoid(total("r", state))
        state = (1 - z) * state + z * tanh(total("n", r * state))
        out.append(state)
    return torch.stack(out)


LOOPS |= {
    "mlstm": (mlstm, "h"), "slstm": (slstm, "h"),
    "gated_deltanet": (gated_deltanet, "y"),
    "gla": (gla, "y"), "linear_attention": (linear_attention, "o"), "s6": (s6, "y"),
    "rwkv7": (rwkv7, "o"), "fast_weights": (fast_weights, "h"),
    "fast_weights_steps": (fast_weights_steps, "h"),
    "plasticity": (plasticity, "H"), "ttt_linear": (ttt_linear, "z"),
    "ntm": (ntm, "m"), "conv_lstm": (conv_lstm, "h"), "hmm": (hmm, "alpha"),
    "attention_decoder": (attention_decoder, "s"),
}  # fmt: skip


@loop("h")
def conv_lstm_2d(p, x, s, back):
    n_l, n_m = s.h.shape[:2]
    near = [(j, k) for j in range(3) for k in range(3)]

    def total(gate, here, there):
        u = getattr(p, f"b_{gate}")
        for j, k in near:
            a, b = here + j - 1, there + k - 1
            if 0 <= a < n_l and 0 <= b < n_m:
                u = u + getattr(p, f"W_{gate}")[j, k] @ s.h[a, b]
                u = u + getattr(p, f"U_{gate}")[j, k] @ x.x[a, b]
        return u

    h, state = torch.empty_like(s.h), torch.empty_like(s.s)
    for a in range(n_l):
        for b in range(n_m):
            i, f, o = (sigmoid(total(gate, a, b)) for gate in "ifo")
            state[a, b] = f * s.s[a, b] + i * tanh(total("s", a, b))
            h[a, b] = o * tanh(state[a, b])
    return {"s": state, "h": h}
