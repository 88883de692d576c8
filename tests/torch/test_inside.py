"""Gradients on every node and copy after `backward()`, against autograd."""

import pytest
import torch

import bptt
import bptt.torch
from bptt.torch.interpret import interpret
from bptt.torch.network import layer_key
from bptt.torch.plan import plan_of
from tests.torch.pairs import DOUBLE, N_H, TAU, flatten, make_input, make_pair, weigh


def lstm_by_hand(layer, x, suffix=""):
    """Every gate of every step, by torch's operations on stacked matrices."""
    p = {n.removesuffix(suffix): v for n, v in layer.named_parameters()
         if n.endswith("l0" + suffix)}  # fmt: skip
    h = s = torch.zeros(x.shape[1], N_H, dtype=DOUBLE)
    steps = []
    for x_t in x:
        whh = p["weight_hh_l0"].clone()
        whh.retain_grad()
        a = x_t @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ whh.T + p["bias_hh_l0"]
        i, f, g, q = a.chunk(4, -1)
        i, f, g, q = i.sigmoid(), f.sigmoid(), g.tanh(), q.sigmoid()
        s = f * s + i * g
        h = q * torch.tanh(s)
        steps.append({"i": i, "f": f, "s": s, "h": h, "copy": whh})
        for value in steps[-1].values():
            if not value.is_leaf:
                value.retain_grad()
    return steps


@pytest.mark.parametrize("reverse", [False, True])
def test_node_gradients_and_copies_of_a_layer_equal_autograd(reverse):
    _, ours = make_pair("LSTM", bidirectional=True)
    x, _ = make_input(ours)
    part = slice(N_H, None) if reverse else slice(0, N_H)
    weigh([ours(x)[0][..., part]]).backward()
    steps = lstm_by_hand(ours, x.flip(0) if reverse else x, "_reverse" * reverse)
    steps = steps[::-1] if reverse else steps
    weigh([torch.stack([step["h"] for step in steps])]).backward()
    for name in ("i", "f", "s", "h"):
        found = ours.node_gradients(name, reverse=reverse)
        expected = torch.stack([step[name].grad for step in steps])
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13), name
    copies = ours.copies("W_f", reverse=reverse)
    for t, step in enumerate(steps):
        expected = step["copy"].grad[N_H : 2 * N_H]
        found = torch.from_numpy(copies[t].copy())
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13), t


def test_any_node_of_any_cell_is_there_after_backward():
    cell = bptt.cells.book
    layer = bptt.torch.Recurrent(cell, n_x=2, n_h=3, n_o=4, dtype=DOUBLE)
    x, y = torch.randn(TAU, 2, 2, dtype=DOUBLE), torch.randint(4, (TAU, 2))
    (3 * layer(x, y).loss).backward()
    params = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    inputs = {"x": x.numpy(), "y": y.numpy()}
    expected = cell.gradient(params, inputs, nodes=cell.nodes, executor="reference")
    for name in cell.nodes:
        found = layer.node_gradients(name).numpy()
        assert abs(found - 3 * expected.nodes[name]).max() < 1e-13, name
    assert abs(layer.copies("W")[2] - 3 * expected.copies["W"][2]).max() < 1e-13


def test_looking_inside_without_or_after_a_change_is_refused():
    _, ours = make_pair("LSTM")
    with pytest.raises(bptt.torch.NoRecordError, match=r"call backward\(\) first"):
        ours.node_gradients("h")
    x, _ = make_input(ours)
    weigh(flatten(ours(x))).backward()
    with pytest.raises(bptt.BpttError, match="k is not a node of the cell"):
        ours.node_gradients("k")
    with pytest.raises(IndexError, match="layer 1: there are 1 layers in 1 directions"):
        ours.copies("W_f", layer=1)
    torch.optim.SGD(ours.parameters(), lr=1).step()
    with pytest.raises(bptt.torch.NoRecordError, match="changed in place"):
        ours.copies("W_f")


def test_every_operation_of_the_table_has_a_meaning_in_torch():
    from bptt.step.ops import TABLE
    from bptt.torch.meanings import MEANINGS

    assert sorted(MEANINGS) == sorted(TABLE)


def test_interpreting_is_what_kernels_are_compared_with_here():
    _, ours = make_pair("GRU")
    x, _ = make_input(ours)
    key = layer_key("GRU", tuple(ours._all_weights[0]))
    tensors = [*ours.parameters(), x]
    for ran, read in zip(ours(x), interpret(plan_of(key), tensors), strict=True):
        assert torch.allclose(ran.squeeze(0), read, rtol=0, atol=1e-14)


def test_the_numbers_of_one_sequence_without_a_batch_have_their_gradients():
    # Its states are numbers, whose gradients NumPy hands out as no arrays.
    cell = bptt.Cell("w: ()\nx: ()\ns: ()\ns[t] = w * s[t-2] + x[t]\nL[t] = s[t] ** 2")
    layer = bptt.torch.Recurrent(cell, dtype=DOUBLE)
    x = torch.arange(1.0, 4.0, dtype=DOUBLE, requires_grad=True)
    start = torch.tensor([0.5, -2.0], dtype=DOUBLE, requires_grad=True)
    with torch.no_grad():
        layer.w.fill_(0.7)
    layer(x, initial={"s": start}).loss.backward()
    w = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    again = [t.detach().clone().requires_grad_() for t in (x, start)]
    steps = list(again[1])
    for number in again[0]:
        steps.append(w * steps[-2] + number)
    sum(s**2 for s in steps[2:]).backward()
    pairs = [(layer.w, w), (x, again[0]), (start, again[1])]
    for ours, theirs in pairs:
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-13)
