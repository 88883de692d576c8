"""A layer of torch.nn and ours on the same numbers, and what both give.

Sizes are few, so that few cells are compiled: with 3 units in two directions and 6
inputs, the second layer's cell is the first one's.
"""

import copy

import bptt.torch
import torch

N_X, N_H, N_P = 6, 3, 3
TAU, N_B = 5, 4
DOUBLE = torch.float64
# Sums of at most 20 rows of products in two orders, in float64.
TOLERANCE = 1e-12


def make_pair(name, **options):
    """torch's layer and ours with its parameters, in float64."""
    options.setdefault("hidden_size", N_H)
    theirs = getattr(torch.nn, name)(input_size=N_X, dtype=DOUBLE, **options)
    ours = getattr(bptt.torch, name)(input_size=N_X, dtype=DOUBLE, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def make_input(layer, *, is_batched=True, seed=0):
    """x and initial states that fit a layer; x records its gradient.

    Everybody's x does: without it there would be another program to compile.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    lead = (N_B, TAU) if layer.batch_first else (TAU, N_B)
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    x = normal(*lead, N_X) if is_batched else normal(TAU, N_X)
    x.requires_grad_()
    batch = (N_B,) if is_batched else ()
    states = [normal(rows, *batch, layer.proj_size or layer.hidden_size)]
    if layer.mode == "LSTM":
        states.append(normal(rows, *batch, layer.hidden_size))
    return x, states


def as_hidden(layer, states):
    return tuple(states) if layer.mode == "LSTM" else states[0]


def flatten(result):
    """A layer's result as a list of tensors."""
    y, final = result
    return [y, *(final if isinstance(final, tuple) else (final,))]


def weigh(tensors, seed=1):
    """A loss in which every element has a weight of its own."""
    generator = torch.Generator().manual_seed(seed)
    return sum(
        (t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum()
        for t in tensors
    )


def run(layer, x, states=None):
    """Outputs and all gradients of a layer, by name."""
    x = x.detach().clone().requires_grad_()
    states = [state.clone().requires_grad_() for state in states or ()]
    torch.manual_seed(2)  # dropout
    out = flatten(layer(x, as_hidden(layer, states) if states else None))
    layer.zero_grad()
    weigh(out).backward()
    found = {f"output {number}": t.detach() for number, t in enumerate(out)}
    found |= {name: p.grad.clone() for name, p in layer.named_parameters()}
    found |= {f"state {number}": s.grad for number, s in enumerate(states)}
    return found | {"x": x.grad}


def assert_equal(ours, theirs, tolerance=TOLERANCE):
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape, name
        gap = (ours[name] - expected).abs().max()
        assert gap <= tolerance * max(1, expected.abs().max()), (name, float(gap))


def assert_layers_equal(theirs, ours, x, states=None):
    assert_equal(run(ours, x, states), run(copy.deepcopy(theirs), x, states))
