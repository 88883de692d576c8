"""Chapter 10 of Goodfellow, Bengio and Courville (2016), figure by figure."""

import torch
from torch import sigmoid, tanh

from tests.catalogue.loops.steps import LOOPS, loop


def _soft_loss(o, q):
    return -(q * torch.log_softmax(o, 0)).sum()


def _loss(o, y):
    return -torch.log_softmax(o, 0)[y]


@loop("L")
def teacher_forcing(p, x, s, back):
    h = tanh(p.b + p.W @ back("y", 1) + p.U @ x.x)
    return {"L": _soft_loss(p.c + p.V @ h, x.y)}


@loop("L", without_time=("x",))
def vector_to_sequence(p, x, s, back):
    h = tanh(p.b + p.W @ s.h + p.U @ back("y", 1) + p.R @ x.x)
    return {"h": h, "L": _soft_loss(p.c + p.V @ h, x.y)}


@loop("L")
def conditional(p, x, s, back):
    h = tanh(p.b + p.W @ s.h + p.U @ x.x + p.R @ back("y", 1))
    return {"h": h, "L": _soft_loss(p.c + p.V @ h, x.y)}


@loop("L")
def deep_groups(p, x, s, back):
    h = tanh(p.b + p.W @ s.h + p.U @ x.x)
    z = tanh(p.d + p.R @ s.z + p.Q @ h)
    return {"h": h, "z": z, "L": _loss(p.c + p.V @ z, x.y)}


@loop("L")
def deep_parts(p, x, s, back):
    u = tanh(p.b_u + p.U @ x.x)
    h = tanh(p.b_h + p.R @ tanh(p.b_g + p.W @ s.h + p.Q @ u))
    o = p.c + p.V @ tanh(p.b_p + p.P @ h)
    return {"h": h, "L": _loss(o, x.y)}


@loop("L")
def deep_skip(p, x, s, back):
    g = tanh(p.b_g + p.W @ s.h + p.U @ x.x)
    h = tanh(p.b_h + p.R @ g + p.S @ s.h)
    return {"h": h, "L": _loss(p.c + p.V @ h, x.y)}


@loop("h")
def skip_connections(p, x, s, back):
    return {"h": tanh(p.b + p.W @ s.h + p.R @ back("h", 3) + p.U @ x.x)}


@loop("h")
def leaky_units(p, x, s, back):
    keep = sigmoid(p.alpha)
    return {"h": keep * s.h + (1 - keep) * tanh(p.b + p.W @ s.h + p.U @ x.x)}


@loop("h")
def removed_connections(p, x, s, back):
    g = tanh(p.b + p.W @ s.g + p.U @ x.x)
    return {"g": g, "h": tanh(p.d + p.R @ back("h", 4) + p.Q @ g)}


@loop("L")
def information_flow(p, x, s, back):
    h = tanh(p.b + p.W @ s.h + p.U @ x.x)
    jacobian = torch.diag(1 - h**2) @ p.W
    ratio = (x.g @ jacobian).norm() / x.g.norm()
    penalty = p.alpha.detach() * (ratio - 1) ** 2
    return {"h": h, "L": _loss(p.c + p.V @ h, x.y) + penalty}


def last_output(p, inputs, s, tau):
    h = s["h"]
    for x in inputs["x"]:
        h = tanh(p["b"] + p["W"] @ h + p["U"] @ x)
    return _loss(p["c"] + p["V"] @ h, inputs["y"])


def bidirectional(p, inputs, s, tau):
    h, g, hs, gs = s["h"], s["g"], [], []
    for x in inputs["x"]:
        h = tanh(p["b"] + p["W"] @ h + p["U"] @ x)
        hs.append(h)
    for x in reversed(inputs["x"]):
        g = tanh(p["d"] + p["R"] @ g + p["Q"] @ x)
        gs.insert(0, g)
    return torch.stack([
        _loss(p["c"] + p["V"] @ h + p["P"] @ g, y)
        for h, g, y in zip(hs, gs, inputs["y"], strict=True)
    ])  # fmt: skip


LOOPS |= {"last_output": (last_output, "L"), "bidirectional": (bidirectional, "L")}


@loop("L")
def echo_state(p, x, s, back):
    h = tanh(p.W.detach() @ s.h + p.U.detach() @ x.x)
    return {"h": h, "L": (p.c + p.V @ h - x.y).square().mean()}


def encoder_decoder(p, inputs, s, tau):
    e = torch.zeros_like(p["b_e"])
    for word in inputs["m"][: int(inputs["n"])]:
        e = tanh(p["b_e"] + p["W_e"] @ e + p["U_e"] @ word)
    c = tanh(p["b_c"] + p["R"] @ e)
    h, before, losses = tanh(p["b_s"] + p["S"] @ c), s["y"], []
    for y in inputs["y"]:
        h = tanh(p["b"] + p["W"] @ h + p["U"] @ before + p["C"] @ c)
        losses.append(_soft_loss(p["d"] + p["V"] @ h, y))
        before = y
    return torch.stack(losses)


LOOPS["encoder_decoder"] = (encoder_decoder, "L")


@loop("L")
def own_output(p, x, s, back):
    before = int(back("k", 1)) if x.g > 0 else x.z
    h = tanh(p.b + p.W @ s.h + p.U @ x.x + p.E[:, before])
    o = p.c + p.V @ h
    k = int(torch.searchsorted(torch.softmax(o, 0).cumsum(0), x.u, right=True))
    return {"h": h, "k": torch.tensor(float(k)), "L": _loss(o, x.y)}
