"""The cells of `test_later` as plain loops in torch, written from their equations.

Each takes parameters, inputs and initial states of one row by name, and the number of
its steps, and returns the sequence of a node, or the row's loss. LATER: name -> loop
and node.
"""

import torch
from torch import exp, log_softmax, sigmoid, softmax, tanh
from torch.nn.functional import relu, silu, softplus


def unit(u):
    return u / u.square().sum().sqrt()


def kda(p, inputs, s, tau):
    S, out = list(s["S"]), []
    for x in inputs["x"]:
        rows = []
        for j in range(len(S)):
            q, k, v = (silu(p[f"W_{n}"][j] @ x) for n in "qkv")
            q, k = unit(q), unit(k)
            step = softplus(p["W_up"][j] @ (p["W_down"][j] @ x) + p["d"][j])
            faded = exp(-exp(p["a"][j]) * step)[:, None] * S[j]
            # What the faded memory says of k moves towards v.
            S[j] = faded + sigmoid(p["w_b"][j] @ x) * torch.outer(k, v - k @ faded)
            rows.append(q @ S[j])
        out.append(torch.stack(rows))
    return torch.stack(out)


def gated_slot(p, inputs, s, tau):
    K, V, out = list(s["K"]), list(s["V"]), []
    for x in inputs["x"]:
        rows = []
        for j in range(len(K)):
            q, k, v = (silu(p[f"W_{n}"][j] @ x) for n in "qkv")
            keep = (sigmoid(p["W_a"][j] @ x) ** (1 / 8))[:, None]
            K[j], V[j] = keep * K[j] + (1 - keep) * k, keep * V[j] + (1 - keep) * v
            rows.append(softmax(K[j] @ q, 0) @ V[j])
        out.append(torch.stack(rows))
    return torch.stack(out)


def longhorn(p, inputs, s, tau):
    S, out = s["s"], []
    for x in inputs["x"]:
        k, q, beta = p["W_k"] @ x, p["W_q"] @ x, sigmoid(p["W_b"] @ x)
        delta = (beta / (1 + beta * (k @ k)))[:, None]
        S = (1 - delta * k.square()) * S + delta * torch.outer(x, k)
        out.append(S @ q)
    return torch.stack(out)


def hippo(p, inputs, s, tau):
    c, out = s["c"], []
    for t, f in enumerate(inputs["f"], start=1):
        c = c + (p["A"].detach() @ c + p["B"].detach() * f) / t
        out.append(c)
    return torch.stack(out)


def mogrifier(p, inputs, s, tau):
    h, c, out = s["h"], s["c"], []
    for x in inputs["x"]:
        u = x
        for r in range(1, 6):
            if r % 2:
                u = 2 * sigmoid(p[f"Q_{r}"] @ h) * u
            else:
                h = 2 * sigmoid(p[f"R_{r}"] @ u) * h
        f, i, j, o = (p[f"b_{n}"] + p[f"W_{n}"] @ h + p[f"U_{n}"] @ u for n in "fijo")
        c = sigmoid(f) * c + sigmoid(i) * tanh(j)
        h = sigmoid(o) * tanh(c)
        out.append(h)
    return torch.stack(out)


def stack_rnn(p, inputs, s, tau):
    h, stack, out = s["h"], s["s"], []
    for x in inputs["x"]:
        push, pop = softmax(p["A"] @ h, 0)
        h = sigmoid(p["U"] @ x + p["R"] @ h + p["P"] @ stack[:2])
        top = sigmoid(p["d"] @ h)
        down = torch.cat([top[None], stack[:-1]])
        up = torch.cat([stack[1:], torch.zeros_like(stack[:1])])
        stack = push * down + pop * up
        out.append(stack)
    return torch.stack(out)


def ctc(p, inputs, s, tau):
    """The sum over paths is one of probabilities, not of their logarithms."""
    Z, skip = inputs["Z"], inputs["skip"]
    before = torch.eye(len(Z), dtype=Z.dtype)[0]
    for o in inputs["o"]:
        rows = []
        for place in range(len(Z)):
            paths = before[place]
            if place >= 1:
                paths = paths + before[place - 1]
            if place >= 2 and skip[place] > 0:
                paths = paths + before[place - 2]
            rows.append(exp(Z[place] @ log_softmax(o, 0)) * paths)
        before = torch.stack(rows)
    return -torch.log(before[-1] + before[-2])


def location(p, inputs, s, tau):
    m, alpha, state, out = inputs["m"], s["alpha"], s["s"], []
    for x in inputs["x"]:
        padded = torch.cat([alpha.new_zeros(1), alpha, alpha.new_zeros(1)])
        scores = []
        for j, source in enumerate(m):
            f = sum(p["F"][k] * padded[j + k] for k in range(3))
            a = p["W"] @ state + p["V"] @ source + p["U"] @ f + p["b"]
            scores.append(p["w"] @ tanh(a))
        alpha = softmax(torch.stack(scores), 0)
        state = tanh(p["d"] + p["R"] @ state + p["P"] @ x + p["Q"] @ (alpha @ m))
        out.append(state)
    return torch.stack(out)


def handwriting(p, inputs, s, tau):
    c, h, w, kappa, out = inputs["c"], s["h"], s["w"], s["kappa"], []
    u = torch.arange(1, len(c) + 1, dtype=c.dtype)
    for x in inputs["x"]:
        h = tanh(p["b_h"] + p["W"] @ h + p["U"] @ x + p["V"] @ w)
        a, b, k = (exp(p[f"w_{n}"] @ h + p[f"b_{n}"]) for n in "abk")
        kappa = kappa + k
        phi = (a[:, None] * exp(-b[:, None] * (kappa[:, None] - u) ** 2)).sum(0)
        w = phi @ c
        out.append(w)
    return torch.stack(out)


def hawkes(p, inputs, s, tau):
    old, out = s, []
    for k, gap in zip(inputs["k"], inputs["delta"], strict=True):
        c = old["c_bar"] + (old["c"] - old["c_bar"]) * exp(-old["d"] * gap)
        h = old["o"] * tanh(c)
        gates = {n: p[f"b_{n}"] + p[f"W_{n}"][:, k] + p[f"U_{n}"] @ h for n in "ifozd"}
        i, f, o = (sigmoid(gates[n]) for n in "ifo")
        ends = [
            sigmoid(p[f"g_{n}"] + p[f"V_{n}"][:, k] + p[f"R_{n}"] @ h) for n in "if"
        ]
        z, rate = tanh(gates["z"]), softplus(p["A"] @ h)
        old = {
            "c": f * c + i * z, "c_bar": ends[1] * old["c_bar"] + ends[0] * z,
            "d": softplus(gates["d"]), "o": o,
        }  # fmt: skip
        out.append(gap * rate.sum() - torch.log(rate[k]))
    return torch.stack(out)


def entnet(p, inputs, s, tau):
    slots, out = list(s["h"]), []
    for x in inputs["s"]:
        for j, h in enumerate(slots):
            key = p["w"][j]
            c = p["U"] @ h + p["V"] @ key + p["W"] @ x
            c = torch.where(c > 0, c, p["a"] * c)
            slots[j] = unit(h + sigmoid(x @ h + x @ key) * c)
        out.append(torch.stack(slots))
    return torch.stack(out)


def pointer_generator(p, inputs, s, tau):
    m, Z, old, c, cov, out = inputs["m"], inputs["Z"], s["s"], s["c"], s["cov"], []
    for x, y in zip(inputs["x"], inputs["y"], strict=True):
        old = tanh(p["b"] + p["W"] @ old + p["U"] @ x + p["C"] @ c)
        scores = [
            p["v"]
            @ tanh(p["W_h"] @ m[j] + p["W_s"] @ old + p["w_c"] * cov[j] + p["b_a"])
            for j in range(len(m))
        ]
        a = softmax(torch.stack(scores), 0)
        c = a @ m
        inner = p["V"] @ torch.cat([old, c]) + p["b_v"]
        words = softmax(p["V_2"] @ inner + p["b_w"], 0)
        gate = sigmoid(p["w_h"] @ c + p["w_s"] @ old + p["w_x"] @ x + p["b_ptr"])
        chance = gate * words[y] + (1 - gate) * (a @ Z[:, y])
        out.append(-torch.log(chance) + torch.minimum(a, cov).sum())
        cov = cov + a
    return torch.stack(out)


def neural_stack(p, inputs, s, tau):
    V, strength, out = s["V"], s["s"], []
    for t in range(tau):
        v, d, u = inputs["v"][t], inputs["d"][t], inputs["u"][t]
        after = [strength[i + 1 :].sum() for i in range(5)]
        strength = torch.stack(
            [d if i == t else relu(strength[i] - relu(u - after[i])) for i in range(5)]
        )
        V = torch.stack([v if i == t else V[i] for i in range(5)])
        above = [relu(1 - strength[i + 1 :].sum()) for i in range(5)]
        out.append(sum(torch.minimum(strength[i], above[i]) * V[i] for i in range(5)))
    return torch.stack(out)


LATER = {
    "kda": (kda, "o"), "gated_slot": (gated_slot, "o"), "longhorn": (longhorn, "y"),
    "hippo": (hippo, "c"), "mogrifier": (mogrifier, "h"), "stack_rnn": (stack_rnn, "s"),
    "ctc": (ctc, "L"), "location": (location, "s"), "handwriting": (handwriting, "w"),
    "hawkes": (hawkes, "L"), "entnet": (entnet, "h"),
    "pointer_generator": (pointer_generator, "L"), "neural_stack": (neural_stack, "r"),
}  # fmt: skip
