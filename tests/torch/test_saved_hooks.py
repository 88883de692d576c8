"""Saved-tensor hooks see every buffer, may move or free it, and change no number."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import bptt
import bptt.torch
from bptt.torch.operators import HANDLES

TAU, N_B, N_X, N_H = 7, 3, 4, 5
LENGTHS = torch.tensor([7, 2, 5])


def lstm(dtype):
    torch.manual_seed(0)
    return bptt.torch.LSTM(N_X, N_H, num_layers=2, bidirectional=True, dtype=dtype)


def recurrent(dtype):
    torch.manual_seed(0)
    return bptt.torch.Recurrent(bptt.cells.lem, n_x=N_X, n_h=N_H, dtype=dtype)


def ragged(dtype):
    layer = recurrent(dtype)

    class Ragged(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x, lengths=LENGTHS)

    return Ragged()


def with_loss(dtype):
    """The total loss is no buffer, and the way back needs it not."""
    torch.manual_seed(0)
    cell = bptt.Cell(bptt.cells.lem.text + "\nL[t] = mse(h[t], stop_gradient(z[t]))")
    return bptt.torch.Recurrent(cell, n_x=N_X, n_h=N_H, dtype=dtype)


MAKERS = [lstm, recurrent, ragged, with_loss]


def as_bytes():
    """Hooks that keep bytes alone, and a list of empty likes of what they saw."""
    seen = []

    def pack(tensor):
        seen.append(torch.empty_like(tensor, device="meta"))
        return tensor.shape, tensor.dtype, tensor.detach().numpy().tobytes()

    def unpack(packed):
        shape, dtype, data = packed
        return torch.frombuffer(bytearray(data), dtype=dtype).view(shape)

    return seen, saved_tensors_hooks(pack, unpack)


def tensors_of(out):
    if out is None:
        return []
    if isinstance(out, torch.Tensor):
        return [out]
    parts = out.values() if isinstance(out, dict) else out
    return [t for part in parts for t in tensors_of(part)]


def total(layer, x):
    out = tensors_of(layer(x))
    return sum((t * torch.linspace(-1, 1, t.numel()).view_as(t)).sum() for t in out)


def gradients(layer, x, loss, *, again=True):
    """again: the graph serves once more, which a compiled one may refuse."""
    layer.zero_grad()
    x.grad = None
    loss.backward(retain_graph=again)
    named = {name: p.grad.clone() for name, p in layer.named_parameters()}
    return named | {"x": x.grad.clone()}


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def make_x(dtype):
    x = np.random.default_rng(0).standard_normal((TAU, N_B, N_X))
    return torch.tensor(x, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", MAKERS)
def test_moved_buffers_give_the_same_bits_twice(make, dtype):
    layer, x = make(dtype), make_x(dtype)
    expected = gradients(layer, x, total(layer, x))
    with save_on_cpu():
        loss = total(layer, x)
    for _ in range(2):  # a backward pass leaves what the hooks gave as it was
        equal(gradients(layer, x, loss), expected)


@pytest.mark.parametrize("make", MAKERS)
def test_every_buffer_goes_through_the_hooks_and_is_read_from_them(make):
    layer, x = make(torch.float64), make_x(torch.float64)
    expected = gradients(layer, x, total(layer, x))
    seen, hooks = as_bytes()
    with hooks:
        loss = total(layer, x)
    n_before = len(seen)
    equal(gradients(layer, x, loss), expected)
    sizes = [tensor.shape.numel() for tensor in seen]
    # LSTM and LEM keep several values of N_H for each step and row beside the input.
    assert sum(sizes) >= 3 * TAU * N_B * N_H
    assert n_before == len(seen)


def test_buffers_that_hooks_zero_are_what_is_read():
    """Were they kept elsewhere too, the gradient would not change."""
    layer, x = recurrent(torch.float64), make_x(torch.float64)
    expected = gradients(layer, x, total(layer, x))
    given = {p.data_ptr() for p in (*layer.parameters(), x)}

    def unpack(tensor):
        return tensor if tensor.data_ptr() in given else torch.zeros_like(tensor)

    with saved_tensors_hooks(lambda tensor: tensor, unpack):
        loss = total(layer, x)
    found = gradients(layer, x, loss)
    assert not torch.equal(found["x"], expected["x"])


def test_buffers_that_hooks_drop_are_free():
    layer, x = lstm(torch.float64), make_x(torch.float64)
    dropped = []

    def pack(tensor):
        dropped.append(weakref.ref(tensor))

    with saved_tensors_hooks(pack, lambda _: None):
        out = layer(x)[0]
    gc.collect()
    alive = {p.data_ptr() for p in (*layer.parameters(), x, out)}
    left = [t for ref in dropped if (t := ref()) is not None]
    assert {t.data_ptr() for t in left} <= alive
    assert len(dropped) > len(left)


@pytest.mark.parametrize("make", MAKERS)
def test_a_checkpoint_computes_the_buffers_again(make):
    layer, x = make(torch.float64), make_x(torch.float64)
    expected = gradients(layer, x, total(layer, x))
    layer.zero_grad()
    x.grad = None
    checkpoint(total, layer, x, use_reentrant=False).backward()
    found = {name: p.grad for name, p in layer.named_parameters()} | {"x": x.grad}
    equal(found, expected)


def test_second_gradients_under_hooks_stay():
    layer, x = recurrent(torch.float64), make_x(torch.float64)

    def second():
        (first,) = torch.autograd.grad(total(layer, x), x, create_graph=True)
        return torch.autograd.grad((first**2).sum(), x)[0]

    expected = second()
    with save_on_cpu():
        found = second()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_an_empty_batch_under_hooks():
    layer = lstm(torch.float64)
    x = torch.zeros(TAU, 0, N_X, dtype=torch.float64, requires_grad=True)
    with save_on_cpu():
        out, _ = layer(x)
    out.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("make", [recurrent, with_loss])
def test_hooks_around_a_compiled_graph_free_its_buffers(make):
    """There the buffers belong to a handle that hooks see: gone with it, made again."""
    layer, x = make(torch.float64), make_x(torch.float64)
    expected = gradients(layer, x, total(layer, x))
    compiled = torch.compile(layer, backend="aot_eager")
    held = HANDLES._owners
    before = len(held)
    loss = total(compiled, x)
    assert len(held) == before + 1
    equal(gradients(layer, x, loss, again=False), expected)
    del loss
    gc.collect()
    before = len(held)
    seen, hooks = as_bytes()
    with hooks:
        loss = total(compiled, x)
    assert torch.int64 in [tensor.dtype for tensor in seen]  # the handle
    gc.collect()
    assert len(held) == before
    equal(gradients(layer, x, loss, again=False), expected)
    with save_on_cpu():  # what is there already stays
        loss = total(compiled, x)
    equal(gradients(layer, x, loss, again=False), expected)
