"""Tokens read at other steps: a layer goes on from `final`."""

import pytest
import torch

import bptt
import bptt.torch

BOTH = bptt.Cell("h[t] = tanh(W @ h[t-1] + U[:, x[t+2]] + R[:, x[t-3]])")


def make(read="x[t-2]", n_x=4, dtype=torch.float64):
    cell = bptt.Cell(f"h[t] = tanh(W @ h[t-1] + U[:, x[t]] + R[:, {read}])")
    return bptt.torch.Recurrent(cell, n_h=3, n_x=n_x, seed=0, dtype=dtype)


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("read", ["x[t-1]", "x[t-2]", "x[t-3]"])
def test_two_pieces_are_the_whole(read, index):
    layer, x = make(read), torch.tensor([[1, 2], [3, 0], [2, 2], [0, 1], [3, 3]])
    x = x.to(index)
    begun = layer(x[:2])
    assert begun.final["x"].dtype == torch.int64
    later = layer(x[2:], initial=begun.final)
    whole = layer(x)
    parts = torch.cat([begun.nodes["h"], later.nodes["h"]])
    torch.testing.assert_close(parts, whole.nodes["h"], rtol=0, atol=1e-14)
    names = [name for name, _ in layer.named_parameters()]
    grads = [
        torch.autograd.grad((h**2).sum(), list(layer.parameters()))
        for h in (parts, whole.nodes["h"])
    ]
    for name, ours, known in zip(names, *grads, strict=True):
        torch.testing.assert_close(ours, known, rtol=0, atol=1e-13, msg=name)


def test_rows_that_ended_early_go_on():
    layer, x = make("x[t-3]"), torch.tensor([[1, 2], [3, 0], [2, 2], [0, 1]])
    begun = layer(x, lengths=torch.tensor([4, 1]))
    later = layer(x, initial=begun.final).nodes["h"]
    for row, length in enumerate([4, 1]):
        whole = layer(torch.cat([x[:length, row], x[:, row]])).nodes["h"]
        torch.testing.assert_close(later[:, row], whole[length:], rtol=0, atol=1e-14)


def test_single_precision_and_both_ways():
    layer = bptt.torch.Recurrent(BOTH, n_h=3, n_x=4, dtype=torch.float32)
    x = torch.tensor([1, 2, 3, 0])
    final = layer(x).final
    assert final["x"].tolist() == [2, 3, 0]
    assert final["x_after"].tolist() == [1, 2]
    assert final["x"].dtype == final["x_after"].dtype == torch.int64
    layer(x, initial=final)


def test_half_precision_rounds_no_token():
    layer = make(n_x=300, dtype=torch.float32).to(torch.bfloat16)
    final = layer(torch.tensor([257, 259])).final
    assert final["x"].tolist() == [257, 259]


@pytest.mark.parametrize("start", [[99, 1], [-1, 1], [1, 99]])
def test_every_step_of_a_start_is_in_its_range(start):
    layer, x = make(), torch.tensor([1, 2, 3])
    with pytest.raises(bptt.errors.IndexRangeError, match="initial state x holds"):
        layer(x, initial={"x": torch.tensor(start)})
    with pytest.raises(bptt.errors.DtypeError, match="initial state x is a token"):
        layer(x, initial={"x": torch.tensor([1.0, 2.0])})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("read", ["x[t-1]", "x[t-2]", "x[t+2]"])
def test_torchs_transforms_give_the_gradient_of_the_kernels(read, dtype):
    layer, x = make(read, dtype=dtype), torch.tensor([1, 2, 3, 0])
    params = dict(layer.named_parameters())

    def total(values):
        return (torch.func.functional_call(layer, values, x).nodes["h"] ** 2).sum()

    found = torch.func.grad(total)(params)
    known = torch.autograd.grad(total(params), list(params.values()))
    for name, value in zip(params, known, strict=True):
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
        assert found[name].dtype == dtype
