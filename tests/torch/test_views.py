"""A layer's parameters are read anew whenever they changed or moved."""

import copy

import pytest
import torch

import bptt.torch

KINDS = ("RNN", "LSTM", "GRU")


def results(layer, x):
    """Values with and without a gradient to follow, and every gradient."""
    layer.zero_grad()
    y, _ = layer(x)
    (
        y * torch.linspace(-1, 1, y.numel(), dtype=x.dtype).reshape(y.shape)
    ).sum().backward()
    with torch.no_grad():
        again, _ = layer(x)
    assert torch.equal(again, y)
    return [y.detach(), *(p.grad.clone() for p in layer.parameters())]


def rewrite(layer):
    """Other numbers at the same places, of which torch counts no version."""
    for parameter in layer.parameters():
        parameter.data.mul_(-0.5)


def move(layer):
    """Other memory under the same parameters."""
    for parameter in layer.parameters():
        parameter.data = parameter.data.clone() * 0.7


def transpose(layer):
    """A matrix that no longer lies in one piece."""
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.T.contiguous().T


def step(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.sub_(0.1 * parameter.grad)


CHANGES = (rewrite, move, transpose, step, torch.nn.Module.double, copy.deepcopy)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_reads_what_the_parameters_are_then(kind, bias):
    torch.manual_seed(3)
    ours = getattr(bptt.torch, kind)(3, 5, bias=bias)
    x = torch.randn(4, 2, 3)
    for change in CHANGES:
        results(ours, x)
        found = change(ours)
        ours = ours if found is None else found
        x = x.to(ours.weight_ih_l0.dtype)
        fresh = getattr(torch.nn, kind)(3, 5, bias=bias).to(x.dtype)
        fresh.load_state_dict(ours.state_dict())
        for a, b in zip(results(ours, x), results(fresh, x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_layers_that_share_kernels_or_weights():
    torch.manual_seed(4)
    pairs = []
    for _ in range(2):
        ours, theirs = bptt.torch.LSTM(3, 5), torch.nn.LSTM(3, 5)
        theirs.load_state_dict(ours.state_dict())
        pairs.append((ours, theirs))
    tied = bptt.torch.LSTM(3, 5)
    for name, parameter in pairs[0][0].named_parameters():
        setattr(tied, name, parameter)
    x = torch.randn(4, 2, 3)
    for _ in range(2):
        for ours, theirs in (*pairs, (tied, pairs[0][1])):
            for a, b in zip(results(ours, x), results(theirs, x), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
