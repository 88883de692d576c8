"""The cells of `test_beyond` as plain loops in torch, written from their equations.

Each takes parameters, inputs and initial states of one row by name, and the number of
its steps, and returns the sequence of a node. BEYOND: name -> loop and node.
"""

import torch
from torch import sigmoid, tanh
from torch.nn.functional import conv2d, relu, silu, softplus


def _unit(u):
    return u / u.square().sum().sqrt()


def hgrn2(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        rows = []
        for j in range(len(S)):
            f = sigmoid(p["W_f"][j] @ x)
            S[j] = f[:, None] * S[j] + torch.outer(1 - f, p["W_i"][j] @ x)
            rows.append(S[j].T @ (p["W_o"][j] @ x))
        out.append(torch.stack(rows))
    return torch.stack(out)


def rwkv6(p, inputs, s, tau):
    S, before, out = list(s["S"]), s["x"], []
    for x in inputs["x"]:
        r_in, k_in, v_in, w_in = (x + (before - x) * p[f"mu_{name}"] for name in "rkvw")
        rows = []
        for j in range(len(S)):
            r, k, v = p["W_r"][j] @ r_in, p["W_k"][j] @ k_in, p["W_v"][j] @ v_in
            inner = p["b"][j] + p["B"][j] @ tanh(p["A"][j] @ w_in)
            w = torch.exp(-torch.exp(inner))
            rows.append((S[j] + torch.outer(p["u"][j] * k, v)).T @ r)
            S[j] = w[:, None] * S[j] + torch.outer(k, v)
        out.append(torch.stack(rows))
        before = x
    return torch.stack(out)


def deltaproduct(p, inputs, s, tau):
    S, out = s["S"][-1], []
    for x in inputs["x"]:
        for step in range(2):
            k = _unit(silu(p["W_k"][step] @ x))
            v = silu(p["W_v"][step] @ x)
            beta = 2 * sigmoid(p["w_b"][step] @ x)
            S = S - beta * torch.outer(S @ k, k) + beta * torch.outer(v, k)
        out.append(S @ _unit(p["W_q"] @ x))
    return torch.stack(out)


def titans(p, inputs, s, tau):
    S, M, out = s["S"], s["M"], []
    for x in inputs["x"]:
        k, v, q = (p[f"W_{name}"] @ x for name in "kvq")
        alpha, eta, theta = (sigmoid(p[f"w_{name}"] @ x) for name in "aet")
        S = eta * S - theta * 2 * torch.outer(M @ k - v, k)
        M = (1 - alpha) * M + S
        out.append(M @ q)
    return torch.stack(out)


def coverage(p, inputs, s, tau):
    state, cov, m, out = s["s"], s["cov"], inputs["m"], []
    for x in inputs["x"][:tau]:
        e = torch.stack([
            p["v"] @ tanh(p["W_s"] @ state + p["W_m"] @ m_j + p["w_c"] * c + p["b"])
            for m_j, c in zip(m, cov, strict=True)
        ])  # fmt: skip
        a = torch.softmax(e, 0)
        out.append(torch.minimum(a, cov).sum())
        cov = cov + a
        c = (a[:, None] * m).sum(0)
        state = tanh(p["W"] @ state + p["U"] @ x + p["C"] @ c)
    return torch.stack(out)


def act_fixed(p, inputs, s, tau):
    state, out = s["s"][-1], []
    for x in inputs["x"]:
        left, y = 1.0, 0.0
        for n in range(4):
            first = p["w_f"] if n == 0 else 0.0
            state = tanh(p["W"] @ state + p["U"] @ x + first)
            halt = sigmoid(p["w_h"] @ state + p["b_h"])
            y = y + state * halt * left
            left = left * (1 - halt)
        out.append(y)
    return torch.stack(out)


def grid_conv(p, inputs, s, tau):
    h, out = s["h"], []
    for x in inputs["x"]:
        pairs = ((h, p["W"]), (x, p["U"]))
        sums = (conv2d(u[None, None], w[None, None], padding=1) for u, w in pairs)
        h = tanh(sum(sums))[0, 0]
        out.append(h)
    return torch.stack(out)


def lif_refractory(p, inputs, s, tau):
    z, r, v, out = s["z"], s["r"], s["v"], []
    for x in inputs["x"]:
        free = p["alpha"] * v * (1 - z) + p["W"] @ x + p["R"] @ z
        v = torch.where(r > 0, torch.zeros_like(v), free)
        slope = 0.3 * relu(1 - (v - 1).abs())
        z = (v > 1).to(v.dtype) + slope - slope.detach()
        r = torch.where(z.detach() > 0, torch.full_like(r, 2.0), relu(r - 1))
        out.append(v)
    return torch.stack(out)


def clockwork2(p, inputs, s, tau):
    h, out = list(s["h"]), []
    for t, x in enumerate(inputs["x"], 1):
        new = list(h)
        for i in range(3):
            if t % 2**i == 0:
                total = sum(p["W"][i, j] @ h[j] for j in range(i, 3))
                new[i] = tanh(total + p["U"][i] @ x)
        h = new
        out.append(torch.stack(h))
    return torch.stack(out)


def dnc_alloc(p, inputs, s, tau):
    u, w, out = s["u"], s["w"], []
    for x in inputs["x"]:
        u = u + w - u * w
        rows = []
        for i in range(4):
            free = 1.0
            for j in range(4):
                if u[j] < u[i]:
                    free = free * u[j]
            rows.append((1 - u[i]) * free)
        w = torch.softmax(torch.stack(rows) * (p["v"] @ x), 0)
        out.append(w)
    return torch.stack(out)


def vq(p, inputs, s, tau, *, wants_code=False):
    out = []
    for x in inputs["x"]:
        u = p["W"] @ x
        code = p["E"][(u - p["E"]).square().sum(1).argmin()]
        out.append(code if wants_code else code.detach() + u - u.detach())
    return torch.stack(out)


def vq_code(p, inputs, s, tau):
    return vq(p, inputs, s, tau, wants_code=True)


def mamba2(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        B, C, rows = p["W_B"] @ x, p["W_C"] @ x, []
        for j in range(len(S)):
            dt = softplus(p["w_dt"][j] @ x + p["d"][j])
            u = p["W_u"][j] @ x
            decay = torch.exp(-dt * torch.exp(p["a"][j]))
            S[j] = decay * S[j] + dt * torch.outer(u, B)
            rows.append(S[j] @ C + p["g"][j] * u)
        out.append(torch.stack(rows))
    return torch.stack(out)


def chosen_columns(p, inputs, s, tau):
    h, out = list(s["h"]), []
    for k in inputs["k"]:
        h = [
            tanh(p["W"][j] @ h[j] + p["E"][j, :, k] + p["b"][j, k])
            for j in range(len(h))
        ]
        out.append(torch.stack(h))
    return torch.stack(out)


BEYOND = {
    "hgrn2": (hgrn2, "o"), "rwkv6": (rwkv6, "y"),
    "deltaproduct": (deltaproduct, "o"), "titans": (titans, "y"),
    "coverage": (coverage, "L"), "act_fixed": (act_fixed, "y"),
    "grid_conv": (grid_conv, "h"), "lif_refractory": (lif_refractory, "v"),
    "clockwork2": (clockwork2, "h"), "dnc_alloc": (dnc_alloc, "w"), "vq": (vq, "z"),
    "vq_code": (vq_code, "q"), "mamba2": (mamba2, "y"),
    "chosen_columns": (chosen_columns, "h"),
}  # fmt: skip
