"""Stacks and bidirectional networks against torch.nn, float64, to 1e-10.

torch's weights are the oracle's own; they are mapped to ours by name (torch has W for
neither: `weight_ih` is U, `weight_hh` is W), and so are their gradients, back again.
"""

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
TAU, N_B, N_X, N_H = 5, 3, 2, 4
COMPILED = ("RNN", 2, True)  # kernels equal the reference; see test_compose.py
# torch stacks the gates' rows in this order; torch's g is our g, its o our q.
GATES = {"RNN": ("",), "LSTM": ("_i", "_f", "_g", "_q"), "GRU": ("_r", "_z", "_n")}
CELLS = {"RNN": "elman", "LSTM": "lstm", "GRU": "gru"}
BOTH = {False: ("",), True: ("_fw", "_bw")}


def build(kind, layers, bidirectional):
    cell = bptt.cells.get(CELLS[kind])
    cell = bptt.bidirectional(cell) if bidirectional else cell
    return bptt.stack(cell, layers) if layers > 1 else cell


def to_ours(kind, layers, bidirectional, theirs):
    """Our parameters, or gradients, from torch's by name.

    torch's second bias is added to ours, except the GRU's d_n.
    """
    found = {}
    for layer in range(layers):
        for end, reverse in zip(BOTH[bidirectional], ("", "_reverse"), strict=False):
            ours, name = end + f"_{layer + 1}" * (layers > 1), f"_l{layer}{reverse}"
            rows = {
                part: np.split(theirs[part + name], len(GATES[kind]))
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            for number, gate in enumerate(GATES[kind]):
                found[f"W{gate}{ours}"] = rows["weight_hh"][number]
                u = rows["weight_ih"][number]
                if layer and bidirectional:
                    found[f"U{gate}{ours}_fw"] = u[:, :N_H]
                    found[f"U{gate}{ours}_bw"] = u[:, N_H:]
                else:
                    found[f"U{gate}{ours}"] = u
                found[f"b{gate}{ours}"] = rows["bias_ih"][number]
                if (kind, gate) == ("GRU", "_n"):
                    found[f"d{gate}{ours}"] = rows["bias_hh"][number]
                else:
                    found[f"b{gate}{ours}"] = (
                        rows["bias_ih"][number],
                        rows["bias_hh"][number],
                    )
    return found


def summed(value):
    return value[0] + value[1] if isinstance(value, tuple) else value


def assert_close(ours, theirs, what):
    theirs = np.asarray(theirs)
    gap = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert gap < TOLERANCE, (what, gap)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
def test_a_network_equals_torch_nn(kind, layers, bidirectional):
    assert torch is not None, "CI must compare with torch, and torch is not installed"
    torch.manual_seed(layers)
    ends = BOTH[bidirectional]
    module = getattr(torch.nn, kind)(
        N_X, N_H, layers, bidirectional=bidirectional, dtype=torch.float64
    )
    rng = np.random.default_rng(3)
    x = rng.standard_normal((TAU, N_B, N_X))
    starts = rng.standard_normal((2, layers * len(ends), N_B, N_H))
    out_seed = rng.standard_normal((TAU, N_B, N_H * len(ends)))
    theirs_x = torch.tensor(x, requires_grad=True)
    h0, s0 = (torch.tensor(part, requires_grad=True) for part in starts)
    out, last = module(theirs_x, (h0, s0) if kind == "LSTM" else h0)
    (out * torch.tensor(out_seed)).sum().backward()

    cell = build(kind, layers, bidirectional)
    numbers = {n: p.detach().numpy() for n, p in module.named_parameters()}
    ours = to_ours(kind, layers, bidirectional, numbers)
    params = {name: summed(value) for name, value in ours.items()}
    assert params.keys() == cell.parameters.keys()
    labels = [
        end + f"_{layer + 1}" * (layers > 1) for layer in range(layers) for end in ends
    ]
    initial = {f"h{label}": starts[0, k] for k, label in enumerate(labels)}
    if kind == "LSTM":
        initial |= {f"s{label}": starts[1, k] for k, label in enumerate(labels)}
    tops = [f"h{label}" for label in labels[-len(ends) :]]
    seeds = dict(zip(tops, np.split(out_seed, len(ends), axis=2), strict=True))
    executor = "llvm" if (kind, layers, bidirectional) == COMPILED else "reference"
    grad = cell.gradient(
        params, {"x": x}, initial=initial, seeds=seeds, input_gradient=True,
        initial_gradient=True, executor=executor,
    )  # fmt: skip

    values = np.concatenate([grad.run[name] for name in tops], axis=2)
    assert_close(values, out.detach(), "outputs")
    h_last, s_last = last if kind == "LSTM" else (last, None)
    for k, label in enumerate(labels):
        assert_close(grad.final[f"h{label}"], h_last[k].detach(), f"final h{label}")
        assert_close(grad.initial[f"h{label}"], h0.grad[k], f"initial h{label}")
        if s_last is not None:
            assert_close(grad.final[f"s{label}"], s_last[k].detach(), f"final {label}")
            assert_close(grad.initial[f"s{label}"], s0.grad[k], f"initial s{label}")
    assert_close(grad.inputs["x"], theirs_x.grad, "x")
    slopes = {n: p.grad.numpy() for n, p in module.named_parameters()}
    for name, value in to_ours(kind, layers, bidirectional, slopes).items():
        # Two of torch's biases are added to one of ours: each has the sum's gradient.
        for one in value if isinstance(value, tuple) else (value,):
            assert_close(grad[name], one, name)


def single(module, x):
    """Output and parameter gradients of torch's layer for a gradient of ones."""
    out = module(torch.tensor(x))[0]
    out.sum().backward()
    numbers = {n: p.detach().numpy() for n, p in module.named_parameters()}
    slopes = {n: p.grad.numpy() for n, p in module.named_parameters()}
    return out.detach(), numbers, slopes


@pytest.mark.parametrize("name", ["elman_relu", "lstm_projection"])
def test_other_cells_that_torch_nn_has_equal_it(name):
    assert torch is not None, "CI must compare with torch, and torch is not installed"
    torch.manual_seed(0)
    kind = "RNN" if name == "elman_relu" else "LSTM"
    options = {"nonlinearity": "relu"} if kind == "RNN" else {"proj_size": 3}
    module = getattr(torch.nn, kind)(N_X, N_H, dtype=torch.float64, **options)
    x = np.random.default_rng(3).standard_normal((TAU, N_B, N_X))
    out, numbers, slopes = single(module, x)
    ours, grads = (to_ours(kind, 1, False, arrays) for arrays in (numbers, slopes))
    if kind == "LSTM":
        ours["P"], grads["P"] = numbers["weight_hr_l0"], slopes["weight_hr_l0"]
    params = {name: summed(value) for name, value in ours.items()}
    cell = bptt.cells.get(name)
    seeds = {"h": np.ones(out.shape)}
    found = cell.gradient(params, {"x": x}, seeds=seeds, executor="reference")
    assert_close(found.run["h"], out, "outputs")
    assert params.keys() == cell.parameters.keys()
    for parameter, value in grads.items():
        for one in value if isinstance(value, tuple) else (value,):
            assert_close(found[parameter], one, parameter)
