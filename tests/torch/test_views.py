"""A layer's parameters are read anew whenever they changed or moved."""

import copy

import numpy as np
import pytest
import torch

import bptt.torch
from bptt.torch.views import NoMemoryError, array_of

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
    # torch's own layers take other kernels without a gradient, on some machines.
    assert torch.equal(again, y) or type(layer).__module__.startswith("torch.")
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


def gather_anew(layer):
    """As FSDP does around every call: memory is freed, and other memory filled."""
    blockers = []
    for parameter in layer.parameters():
        values, storage = parameter.detach().clone(), parameter.untyped_storage()
        size = storage.nbytes()
        storage.resize_(0)
        blockers.append(torch.empty(size, dtype=torch.uint8))
        storage.resize_(size)
        parameter.data.copy_(values)
    return blockers


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_may_be_freed_and_gathered_anew_before_the_way_back(kind, options):
    torch.manual_seed(3)
    ours = getattr(bptt.torch, kind)(3, 5, **options)
    x = torch.randn(4, 2, 3)
    exact = results(ours, x)
    for _ in range(3):
        ours.zero_grad()
        y, _ = ours(x)
        held = gather_anew(ours)
        weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        (y * weights).sum().backward()
        for found, wanted in zip(ours.parameters(), exact[1:], strict=True):
            assert torch.equal(found.grad, wanted)
        del held


def test_a_tensor_that_was_read_can_be_resized_and_one_without_memory_is_refused():
    ours = bptt.torch.GRU(3, 5, num_layers=2)
    x = torch.randn(4, 2, 3)
    ours(x)
    x.resize_(7, 2, 3).fill_(1.0)
    assert ours(x)[0].shape == (7, 2, 5)
    y, _ = ours(x)
    x.untyped_storage().resize_(0)
    with pytest.raises(NoMemoryError, match="resized to 0 bytes"):
        y.sum().backward()
    with pytest.raises(NoMemoryError, match="resized to 0 bytes"):
        ours(x)


ODD = [
    torch.randn(3, 4).T, torch.randn(5, 6)[::2, 1::3], torch.randn(()),
    torch.randn(0, 3), torch.ones(3, 4, dtype=torch.bool).T,
    torch.arange(7, dtype=torch.uint8)[::3], torch.randn(1, 3).expand(4, 3),
    torch.randn(3, 2, 5).permute(2, 0, 1).double(),
]  # fmt: skip


@pytest.mark.parametrize("tensor", ODD, ids=lambda tensor: str(tuple(tensor.shape)))
def test_an_array_of_a_tensor_is_what_numpy_makes_of_it(tensor):
    ours, theirs = array_of(tensor), tensor.numpy()
    assert (ours.dtype, ours.shape, ours.strides) == (
        theirs.dtype, theirs.shape, theirs.strides
    )  # fmt: skip
    assert np.array_equal(ours, theirs)


def test_an_array_keeps_the_memory_of_its_tensor():
    tensor = torch.full((1000,), 2.0)
    array = array_of(tensor)
    del tensor
    others = [torch.zeros(1000) for _ in range(20)]
    assert array.sum() == 2000
    del others
