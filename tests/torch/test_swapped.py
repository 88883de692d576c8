"""The way back is that of the numbers which forward read, wherever they are by then.

`.data` may have been set anew, and unpack hooks may give what is not plain.
"""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import bptt
import bptt.torch
from bptt.torch.guard import LayoutError
from bptt.torch.kept import UnpackError

from .pairs import DOUBLE

KINDS = ("RNN", "LSTM", "GRU")


def pair(kind, **options):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(3, 4, dtype=DOUBLE, **options)
    ours = getattr(bptt.torch, kind)(3, 4, dtype=DOUBLE, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def make_x(seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 2, 3, generator=generator, dtype=DOUBLE)
    return x.requires_grad_()


def lem():
    return bptt.torch.Recurrent(bptt.cells.lem, n_x=3, n_h=4, dtype=DOUBLE, seed=0)


def loss(layer, x):
    y = layer(x)[0]
    return ((y["h"] if isinstance(y, dict) else y) ** 2).sum()


def double(layer, x):
    for parameter in layer.parameters():
        parameter.data = parameter.data * 2


def from_vector(layer, x):
    vector = parameters_to_vector(layer.parameters()).detach()
    vector_to_parameters(vector * 2, layer.parameters())


def transpose(layer, x):
    """The same memory, read otherwise."""
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.flip(0)[:, :]


def other_input(layer, x):
    x.data = x.data * 3


def other_type(layer, x):
    layer.float()


CHANGES = (double, from_vector, transpose, other_input, other_type)


def gradients(layer, x, total, **options):
    """By `backward`: what `float()` changed cannot be asked for by `autograd.grad`."""
    wanted = [x, *layer.parameters()]
    for tensor in wanted:
        tensor.grad = None
    total.backward(**options)
    return [tensor.grad for tensor in wanted]


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_data_is_set_to_is_not_what_the_way_back_reads(kind, change, options):
    found = []
    for layer in pair(kind, **options):
        x = make_x()
        total = loss(layer, x)
        change(layer, x)
        first = gradients(layer, x, total, retain_graph=True)
        found.append([*first, *gradients(layer, x, total)])
    assert_close(*found)


@pytest.mark.parametrize("change", [double, other_input])
def test_a_second_gradient_reads_what_forward_read(change):
    ours, theirs = pair("GRU")
    found = []
    for layer in (ours, theirs):
        x = make_x()
        total = loss(layer, x)
        change(layer, x)
        (first,) = torch.autograd.grad(total, x, create_graph=True)
        found.append([first, *gradients(layer, x, first.square().sum())])
    assert_close(*found)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_any_cell_reads_what_forward_read(is_compiled):
    layer = lem()
    run = torch.compile(layer, backend="aot_eager") if is_compiled else layer
    x = make_x()
    expected = gradients(layer, x, loss(run, x))
    total = loss(run, x)
    double(layer, x)
    assert_close(gradients(layer, x, total), expected)


def test_a_call_after_a_swap_keeps_the_first_ones_weights():
    """Two ways back, one of each; the first weights belong to nobody else by then."""
    found = []
    for layer in pair("LSTM"):
        x = make_x()
        totals = []
        for _ in range(3):
            totals.append(loss(layer, x))
            double(layer, x)
        found.append([g for total in totals for g in gradients(layer, x, total)])
    assert_close(*found)


def test_memory_is_free_after_the_way_back():
    layer, _ = pair("GRU")
    x = make_x().detach()
    y, _ = layer(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.grad_fn.saved_tensors  # noqa: B018
    assert not y.grad_fn.own


# ----- hooks -----


def negated(tensor):
    return torch._neg_view(-tensor) if tensor.is_floating_point() else tensor


def imaginary(tensor):
    """A conjugate's imaginary part, which torch negates lazily."""
    return torch.complex(torch.zeros_like(tensor), -tensor).conj().imag


@pytest.mark.parametrize("unpack", [negated, imaginary])
@pytest.mark.parametrize("kind", [*KINDS, "lem"])
def test_what_hooks_negate_lazily_has_its_sign(kind, unpack):
    layer, judge = (lem(),) * 2 if kind == "lem" else pair(kind)
    x = make_x()
    expected = gradients(judge, x, loss(judge, x))
    with saved_tensors_hooks(lambda t: t.detach().clone(), unpack):
        value = loss(layer, x)
    assert_close(gradients(layer, x, value), expected)


OTHERS = {
    "float32": (lambda t: t.float(), UnpackError, "gave back torch.float32"),
    "float16": (lambda t: t.half(), UnpackError, "gave back torch.float16"),
    "a shape": (lambda t: t[None], UnpackError, "of shape"),
    "meta": (lambda t: t.to("meta"), LayoutError, "on meta"),
    "sparse": (lambda t: t.to_sparse(), LayoutError, "kernels read plain"),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("kind", [*KINDS, "lem"])
def test_what_hooks_give_instead_is_refused(kind, what):
    unpack, error, text = OTHERS[what]
    layer = lem() if kind == "lem" else pair(kind)[0]
    x = make_x()
    with saved_tensors_hooks(lambda t: t.detach().clone(), unpack):
        y = layer(x)[0]
    y = y["h"] if kind == "lem" else y
    with pytest.raises(error, match=text):
        y.sum().backward()


def test_a_compiled_graph_refuses_another_type():
    layer = lem()
    run = torch.compile(layer, backend="aot_eager")
    with saved_tensors_hooks(
        lambda t: t.detach().clone(),
        lambda t: t.float() if t.is_floating_point() else t,
    ):
        total = loss(run, make_x())
    with pytest.raises(UnpackError, match=r"gave back torch\.float32"):
        total.backward()
