"""Gradients against torch.autograd on loops written by hand, float64, to 1e-10.

Every parameter, every copy (a clone of the parameter per step), every node, x and the
initial states. In CI torch must be there: a comparison that is skipped is not made.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import bptt

try:
    import torch
except ImportError:
    torch = None

if torch is None and not os.environ.get("CI"):
    pytest.skip("torch is not installed", allow_module_level=True)

TOLERANCE = 1e-10
TAU, N_B = 6, 3
SIZES = {"n_x": 2, "n_h": 4, "n_o": 5}


def book_step(p, x, state):
    """10.8-10.11."""
    a = p["b"] + state["h"] @ p["W"].T + x @ p["U"].T
    h = torch.tanh(a)
    return {"a": a, "h": h, **readout(p, h)}


def readout(p, h):
    return {"o": p["c"] + h @ p["V"].T}


def lstm_step(p, x, state):
    """Goodfellow et al., 10.40-10.44, with a tanh candidate."""

    def gate(name, function):
        return function(p[f"b_{name}"] + state["h"] @ p[f"W_{name}"].T
                        + x @ p[f"U_{name}"].T)  # fmt: skip

    i, f, q = (gate(name, torch.sigmoid) for name in "ifq")
    g = gate("g", torch.tanh)
    s = f * state["s"] + i * g
    h = q * torch.tanh(s)
    return {"i": i, "f": f, "g": g, "q": q, "s": s, "h": h, **readout(p, h)}


def gru_step(p, x, state):
    """The form of cuDNN: the reset gate after the product."""
    old = state["h"]
    z = torch.sigmoid(p["b_z"] + old @ p["W_z"].T + x @ p["U_z"].T)
    r = torch.sigmoid(p["b_r"] + old @ p["W_r"].T + x @ p["U_r"].T)
    n = torch.tanh(p["b_n"] + x @ p["U_n"].T + r * (p["d_n"] + old @ p["W_n"].T))
    h = (1 - z) * n + z * old
    return {"z": z, "r": r, "n": n, "h": h, **readout(p, h)}


def gru_reset_before_step(p, x, state):
    """Cho et al. (2014): the reset gate before the product."""
    old = state["h"]
    z = torch.sigmoid(p["b_z"] + old @ p["W_z"].T + x @ p["U_z"].T)
    r = torch.sigmoid(p["b_r"] + old @ p["W_r"].T + x @ p["U_r"].T)
    n = torch.tanh(p["b_n"] + (r * old) @ p["W_n"].T + x @ p["U_n"].T)
    h = z * old + (1 - z) * n
    return {"z": z, "r": r, "n": n, "h": h, **readout(p, h)}


STEPS = {
    "book": book_step, "elman": book_step, "lstm": lstm_step, "gru": gru_step,
    "gru_reset_before": gru_reset_before_step,
}  # fmt: skip


def problem(cell):
    """Random numbers, every parameter non-zero."""
    rng = np.random.default_rng(7)
    sizes = {dim: SIZES[dim] for dim in cell.dims}
    params = {name: 0.5 * rng.normal(size=value.shape)
              for name, value in cell.init(**sizes).items()}  # fmt: skip
    x = rng.normal(size=(TAU, N_B, SIZES["n_x"]))
    y = rng.integers(0, SIZES["n_o"], (TAU, N_B))
    initial = {s: rng.normal(size=(N_B, SIZES["n_h"])) for s in cell.states}
    weights = rng.uniform(0.2, 2, (TAU, N_B))
    return params, {"x": x, "y": y}, initial, weights


def torch_gradient(step, params, inputs, initial, weights):
    """The loss and every gradient by autograd on an ordinary loop."""

    def leaf(value):
        return torch.tensor(value, dtype=torch.float64, requires_grad=True)

    shared = {name: leaf(value) for name, value in params.items()}
    x, start = leaf(inputs["x"]), {name: leaf(v) for name, v in initial.items()}
    y, w = torch.tensor(inputs["y"]), torch.tensor(weights)
    state, loss, copies, nodes = start, 0.0, [], []
    for t in range(TAU):
        copy = {name: value.clone() for name, value in shared.items()}
        values = step(copy, x[t], state)
        values["y_hat"] = torch.softmax(values["o"], dim=-1)
        values["L"] = -torch.log(values["y_hat"][torch.arange(N_B), y[t]])
        loss = loss + (w[t] * values["L"]).sum()
        for kept in (*copy.values(), *values.values()):
            kept.retain_grad()
        state = {name: values[name] for name in start}
        copies.append(copy)
        nodes.append(values)
    loss.backward()
    return loss.item(), shared, copies, nodes, x, start


@pytest.fixture(params=STEPS, scope="module")
def both(request):
    """Our gradient of everything and torch's."""
    assert torch is not None, "CI must compare with torch, and torch is not installed"
    cell = bptt.cells.get(request.param).with_readout()
    params, inputs, initial, weights = problem(cell)
    ours = cell.gradient(
        params, inputs, initial=initial, weights=weights, nodes=tuple(cell.nodes),
        input_gradient=True, initial_gradient=True,
    )  # fmt: skip
    theirs = torch_gradient(STEPS[request.param], params, inputs, initial, weights)
    return cell, ours, theirs


def assert_close(ours, theirs, what):
    theirs = theirs.detach().numpy()
    gap = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert gap < TOLERANCE, (what, gap)


def test_the_loss_equals_torch(both):
    _, ours, (loss, *_) = both
    assert abs(ours.loss - loss) < TOLERANCE * abs(loss)


def test_every_parameter_equals_torch(both):
    cell, ours, (_, shared, *_) = both
    for name in cell.parameters:
        assert_close(ours[name], shared[name].grad, name)


def test_every_copy_equals_torch(both):
    cell, ours, (_, _, copies, *_) = both
    for name in cell.parameters:
        for t in range(TAU):
            assert_close(ours.copies[name][t], copies[t][name].grad, (name, t))


def test_every_node_equals_torch(both):
    cell, ours, (_, _, _, nodes, *_) = both
    for name in cell.nodes:
        for t in range(TAU):
            assert_close(ours.nodes[name][t], nodes[t][name].grad, (name, t))


def test_inputs_and_initial_states_equal_torch(both):
    cell, ours, (*_, x, start) = both
    assert_close(ours.inputs["x"], x.grad, "x")
    for name in cell.states:
        assert_close(ours.initial[name], start[name].grad, name)
