"""What live forward passes hold, in counted bytes, and that they stay apart."""

import gc
import weakref

import pytest
import torch

import bptt.torch
from bptt.execute.kernels import direct, memory
from bptt.torch.plan import plan_of

N_B, N_X, N_H, STEPS = 2, 48, 64, 100


class Made:
    """Every workspace and memory of steps that is made from here on."""

    def __init__(self):
        self.workspaces, self.steps = weakref.WeakSet(), weakref.WeakSet()
        self.blocks = []

    @property
    def held(self):
        """Bytes that live passes hold, of how many passes."""
        gc.collect()
        live = [ref().nbytes for ref in self.blocks if ref() is not None]
        live += [steps.n_bytes for steps in self.steps]
        return sum(live), len(live)


@pytest.fixture(params=["direct", "by name"])
def made(monkeypatch, request):
    """Of small calls by addresses, and of all others."""
    plan_of.cache_clear()
    found = Made()
    if request.param == "by name":
        monkeypatch.setattr(direct, "MOST_BLOCK", -1)
    for kind, note in (
        (memory.Workspace, found.workspaces.add),
        (memory.StepMemory, found.steps.add),
        (
            direct.StepBlock,
            lambda block: found.blocks.append(weakref.ref(block.memory)),
        ),
    ):
        make = kind.__init__

        def init(self, *args, make=make, note=note):
            make(self, *args)
            note(self)

        monkeypatch.setattr(kind, "__init__", init)
    yield found
    plan_of.cache_clear()


def decode(layer, xs, state=None):
    """A call for every step, as a decoder makes them."""
    ys = []
    for x in xs:
        y, state = layer(x[None], state)
        ys.append(y)
    return torch.cat(ys)


def saved_by_torch(layer, xs):
    """Bytes that autograd holds for the way back, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    held = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = decode(layer, xs)
    assert y.requires_grad
    return sum(held.values())


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_decoder_holds_at_most_twice_what_torch_holds(name, made):
    theirs = getattr(torch.nn, name)(N_X, N_H)
    ours = getattr(bptt.torch, name)(N_X, N_H)
    ours.load_state_dict(theirs.state_dict())
    xs = torch.randn(STEPS, N_B, N_X)
    y = decode(ours, xs)
    held, count = made.held
    # A small call's workspace has a block of its own: with a state, and without.
    assert len(made.workspaces) == count - STEPS + (not made.blocks) <= 2
    assert held <= 2 * saved_by_torch(theirs, xs)
    y.sum().backward()
    decode(theirs, xs).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("made", ["by name"], indirect=True)
def test_a_long_pass_holds_its_values_alone(made):
    """LSTM(512) over 20 steps: no packed weights, sums or scratch, 12 MiB of them."""
    layer = bptt.torch.LSTM(512, 512)
    y, _ = layer(torch.randn(20, 1, 512))
    (held,) = made.steps
    # i, f, g, q, s, tanh(s) and h of 20 steps and two boundaries, and room to align.
    assert held.n_bytes <= 8 * 22 * 512 * 4
    (workspace,) = made.workspaces
    assert workspace.n_bytes > 12 * 2**20
    watched = weakref.ref(workspace)
    del workspace
    (call,) = y.grad_fn.passes[0]._calls
    call._executable.pool.clear()
    gc.collect()
    assert watched() is None
    y.sum().backward()  # in a workspace made anew


def test_results_of_an_evaluation_hold_no_workspace(made):
    layer = bptt.torch.GRU(N_X, N_H)
    with torch.no_grad():
        kept = [layer(torch.randn(3, N_B, N_X))[0] for _ in range(30)]
    _, count = made.held
    assert len(made.workspaces) == 1
    assert count == (1 if made.blocks else len(kept))


def test_weights_that_were_others_meanwhile():
    """Swapped, run and put back between the way there and the way back."""
    torch.manual_seed(1)
    found = []
    for swaps in (False, True):
        torch.manual_seed(1)
        layer, x = bptt.torch.LSTM(N_X, N_H), torch.randn(5, N_B, N_X)
        y, _ = layer(x)
        if swaps:
            own = [p.data.clone() for p in layer.parameters()]
            for parameter in layer.parameters():
                parameter.data.mul_(-3)
            other, _ = layer(x)
            for parameter, data in zip(layer.parameters(), own, strict=True):
                parameter.data.copy_(data)
            del other
        (y**2).sum().backward()
        found.append([p.grad for p in layer.parameters()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("order", [1, -1])
def test_passes_that_share_kernels_stay_apart(order):
    """Two layers of one size, other weights, other inputs; back in any order."""
    torch.manual_seed(0)
    twins = [(bptt.torch.LSTM(N_X, N_H), torch.nn.LSTM(N_X, N_H)) for _ in range(2)]
    for ours, theirs in twins:
        ours.load_state_dict(theirs.state_dict())
    xs = torch.randn(6, 4, N_B, N_X)
    lengths = [torch.tensor([4, 2]), None]
    losses = []
    for number, x in enumerate(xs):
        pair = []
        for layer in twins[number % 2]:
            given = x
            if lengths[number % 3 == 0] is not None:
                given = torch.nn.utils.rnn.pack_padded_sequence(x, lengths[0])
            y, (h, s) = layer(given)
            y = y.data if lengths[number % 3 == 0] is not None else y
            pair.append((y**2).sum() * (number + 1) + (h * s).sum())
        losses.append(pair)
    for pair in losses[::order]:
        for loss in pair:
            loss.backward()
    for ours, theirs in twins:
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
