"""Layers that hold less between forward and backward: the same bits, or a clear no."""

import copy
import gc

import numpy as np
import pytest
import torch

import bptt
import bptt.torch
from bptt import errors

TAU, N_B, N_X, N_H = 23, 4, 3, 5
LIMITS = ({"checkpoint": 3}, {"checkpoint": "optimal"}, {"memory": "40MB"})
FORMS = (
    {},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True, "bias": False},
)


def step(layer, x, **more):
    """All that a training step gives: results and every gradient."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y, last = layer(x, **more)
    lasts = last if isinstance(last, tuple) else (last,)
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    ((y * weights).sum() + sum((s**2).sum() for s in lasts)).backward()
    return [y.detach(), *(s.detach() for s in lasts), x.grad,
            *(p.grad.clone() for p in layer.parameters())]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [bptt.torch.RNN, bptt.torch.LSTM, bptt.torch.GRU])
def test_layers_give_the_bits_of_layers_that_keep_every_step(kind, form):
    torch.manual_seed(1)
    whole, x = kind(N_X, N_H, **form), torch.randn(TAU, N_B, N_X)
    expected = step(whole, x)
    for limit in LIMITS:
        layer = kind(N_X, N_H, **form, **limit)
        layer.load_state_dict(whole.state_dict())
        for one in (layer, copy.deepcopy(layer)):
            for found, wanted in zip(step(one, x), expected, strict=True):
                assert torch.equal(found, wanted)
        with torch.no_grad():
            assert torch.equal(layer(x)[0], expected[0])


def test_a_packed_batch_and_initial_states():
    torch.manual_seed(2)
    whole = bptt.torch.LSTM(N_X, N_H)
    layer = bptt.torch.LSTM(N_X, N_H, checkpoint="sqrt")
    layer.load_state_dict(whole.state_dict())
    x = torch.nn.utils.rnn.pack_padded_sequence(
        torch.randn(TAU, N_B, N_X), [23, 20, 7, 2]
    )
    found = []
    for one in (whole, layer):
        hx = [torch.ones(1, N_B, N_H, requires_grad=True) for _ in "hs"]
        y, (h, s) = one(x, tuple(hx))
        ((y.data**2).sum() + (h * s).sum()).backward()
        found.append([y.data, hx[0].grad, hx[1].grad,
                      *(p.grad for p in one.parameters())])  # fmt: skip
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_a_cell_as_a_module_is_truncated_as_the_core_is():
    cell = bptt.cells.lstm.with_readout()
    layer = bptt.torch.Recurrent(cell, n_x=N_X, n_h=N_H, n_o=6, seed=0, truncate=(2, 7))
    x, y = torch.randn(TAU, 2, N_X), torch.randint(6, (TAU, 2))
    out = layer(x, y)
    out.loss.backward()
    params = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    inputs = {"x": x.numpy(), "y": y.numpy()}
    grad = cell.gradient(params, inputs, truncate=(2, 7))
    assert np.isclose(out.loss.item(), grad.loss, rtol=1e-6)
    exact = cell.gradient(params, inputs)
    for name, parameter in layer.named_parameters():
        # The seed of the loss is 1 here and there: the same kernels on the same rows.
        np.testing.assert_allclose(parameter.grad, grad[name], rtol=1e-5, atol=1e-6)
    assert not np.allclose(exact["W_i"], grad["W_i"], rtol=1e-3)
    with pytest.raises(errors.TruncationError, match="no copies"):
        layer.copies("W_i")[0]


def test_node_gradients_and_copies_are_there():
    whole = bptt.torch.LSTM(N_X, N_H)
    layer = bptt.torch.LSTM(N_X, N_H, checkpoint=3)
    layer.load_state_dict(whole.state_dict())
    x = torch.randn(TAU, N_B, N_X)
    for one in (whole, layer):
        step(one, x)
    assert torch.equal(layer.node_gradients("i"), whole.node_gradients("i"))
    np.testing.assert_array_equal(layer.copies("W_f")[4], whole.copies("W_f")[4])


def count_arrays(call):
    """Bytes of all that a live forward pass keeps beside its results."""
    kept = call._kept
    states = [*kept.states.values(), kept.running]
    return sum(array.nbytes for state in states for array in state.values())


def test_a_live_pass_holds_its_states_alone():
    layer = bptt.torch.LSTM(N_X, N_H, checkpoint=3)
    y, _ = layer(torch.randn(200, N_B, N_X))
    (forward,) = y.grad_fn.passes
    (call,) = forward._calls
    gc.collect()
    assert not hasattr(call.values, "_loan")
    # (3 + the initial one + the running one) x (h and s) x rows x units x 4 bytes
    assert count_arrays(call) == 5 * 2 * N_B * N_H * 4


REFUSED = "made with checkpoint=2.*torch's own operations keep every step"


def test_what_torch_would_have_to_run_is_refused():
    layer = bptt.torch.LSTM(N_X, N_H, checkpoint=2)
    x = torch.randn(2, TAU, N_B, N_X)
    with pytest.raises(errors.CheckpointError, match=REFUSED):
        torch.func.vmap(lambda one: layer(one)[0])(x)
    y, _ = layer(x[0])
    with pytest.raises(errors.CheckpointError, match="differentiated again"):
        torch.autograd.grad(y.sum(), layer.weight_hh_l0, create_graph=True)
    cell = bptt.torch.Recurrent(bptt.cells.gru, n_x=N_X, n_h=N_H, checkpoint=2)
    with pytest.raises(errors.CheckpointError, match=REFUSED):
        torch.func.vmap(lambda one: cell(one).nodes["h"])(x)
    half = bptt.torch.GRU(N_X, N_H, checkpoint=2).half()
    with pytest.raises(errors.CheckpointError, match=REFUSED):
        half(x[0].half())


@pytest.mark.parametrize(
    ("limit", "error", "text"),
    [
        ({"memory": "much"}, errors.MemoryBudgetError, "memory='much'"),
        ({"checkpoint": 0}, errors.CheckpointError, "at least 1"),
        ({"truncate": (5, 2)}, errors.TruncationError, "k2 must be at least k1"),
        ({"truncate": (2, 5), "bidirectional": True}, errors.TruncationError,
         "a bidirectional layer reads later steps"),
    ],
)  # fmt: skip
def test_mistakes_are_named_where_a_layer_is_made(limit, error, text):
    with pytest.raises(error, match=text.replace("(", r"\(")):
        bptt.torch.LSTM(N_X, N_H, **limit)


def test_a_budget_too_small_says_what_works():
    layer = bptt.torch.LSTM(N_X, N_H, memory="1KB")
    with pytest.raises(errors.MemoryBudgetError, match="the least that works here is"):
        layer(torch.randn(TAU, N_B, N_X))


def test_a_compiled_graph_and_hooks():
    """One operator holds the states; saved-tensor hooks have nothing to move."""
    whole = bptt.torch.GRU(N_X, N_H)
    layer = bptt.torch.GRU(N_X, N_H, checkpoint=3)
    layer.load_state_dict(whole.state_dict())
    x = torch.randn(TAU, N_B, N_X)
    expected = step(whole, x)
    with torch.autograd.graph.save_on_cpu():
        found = step(layer, x)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    compiled = torch.compile(layer, backend="eager")
    for a, b in zip(step(compiled, x), expected, strict=True):
        assert torch.equal(a, b)
