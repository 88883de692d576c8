"""Rows of different lengths: `PackedSequence`, and `lengths` of any cell."""

import copy

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import bptt
import bptt.torch
from tests.torch.pairs import (
    DOUBLE,
    N_B,
    TAU,
    as_hidden,
    assert_equal,
    flatten,
    make_input,
    make_pair,
    weigh,
)

LENGTHS = torch.tensor([2, TAU, 1, 4])


def run_packed(layer, x, states):
    """Outputs and all gradients of a layer on rows of LENGTHS."""
    x = x.detach().clone().requires_grad_()
    states = [state.clone().requires_grad_() for state in states]
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    y, final = layer(packed, as_hidden(layer, states))
    assert torch.equal(y.batch_sizes, packed.batch_sizes)
    padded, lengths = pad_packed_sequence(y)
    assert torch.equal(lengths, LENGTHS)
    out = flatten((padded, final))
    layer.zero_grad()
    weigh(out).backward()
    found = {f"output {number}": t.detach() for number, t in enumerate(out)}
    found |= {name: p.grad.clone() for name, p in layer.named_parameters()}
    found |= {f"state {number}": s.grad for number, s in enumerate(states)}
    return found | {"x": x.grad}


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_in_both_directions_equal_torch(name):
    theirs, ours = make_pair(name, num_layers=2, bidirectional=True)
    x, states = make_input(theirs)
    expected = run_packed(copy.deepcopy(theirs), x, states)
    assert_equal(run_packed(ours, x, states), expected)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_dropout_of_a_ragged_batch_is_torchs_own(name, bidirectional):
    """torch draws for the useful steps alone, so the same seed drops the same."""
    options = {"num_layers": 3, "dropout": 0.4, "bidirectional": bidirectional}
    theirs, ours = make_pair(name, **options)
    x, states = make_input(theirs)
    found = []
    for layer in (ours, theirs):
        torch.manual_seed(6)
        found.append(run_packed(layer, x, states))
    assert_equal(*found)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        other = run_packed(ours, x, states)
    assert not torch.allclose(other["output 0"], found[0]["output 0"], atol=1e-3)


def test_packed_sequences_can_be_differentiated_twice():
    found = []
    for layer in make_pair("LSTM", bidirectional=True):
        x, states = make_input(layer)
        packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        y, final = layer(packed, as_hidden(layer, states))
        out = flatten((pad_packed_sequence(y)[0], final))
        (slope,) = torch.autograd.grad(weigh(out), x, create_graph=True)
        slope.square().sum().backward()
        found.append({n: p.grad for n, p in layer.named_parameters()})
    assert_equal(*found)


def test_lengths_of_any_cell_give_its_gradient_and_padding_cannot_matter():
    cell = bptt.cells.book
    layer = bptt.torch.Recurrent(cell, n_x=2, n_h=3, n_o=4, dtype=DOUBLE)
    x, y = torch.randn(TAU, N_B, 2, dtype=DOUBLE), torch.randint(4, (TAU, N_B))
    x[2:, 0] = torch.nan
    out = layer(x, y, lengths=LENGTHS)
    (out.loss + out.final["h"].sum()).backward()
    params = {n: p.detach().numpy() for n, p in layer.named_parameters()}
    inputs = {"x": x.numpy(), "y": y.numpy()}
    ends = torch.zeros(TAU, N_B, 3, dtype=DOUBLE)
    ends[LENGTHS - 1, torch.arange(N_B)] = 1
    expected = cell.gradient(
        params, inputs, lengths=LENGTHS.numpy(), seeds={"h": ends.numpy()},
        executor="reference",
    )  # fmt: skip
    assert abs(out.loss.item() - expected.loss) < 1e-13
    for name in params:
        found = layer.get_parameter(name).grad.numpy()
        assert abs(found - expected[name]).max() < 1e-13
    (slope,) = torch.autograd.grad(
        layer(x, y, lengths=LENGTHS).loss, layer.b, create_graph=True
    )
    plain = layer(x, y, lengths=LENGTHS).loss
    assert torch.allclose(slope, torch.autograd.grad(plain, layer.b)[0], rtol=1e-12)
    assert slope.requires_grad
