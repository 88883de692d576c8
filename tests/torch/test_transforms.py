"""Second derivatives, `torch.func`, other devices, autocast, hooks and workers."""

import os
import re

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import bptt
import bptt.torch
from tests.torch.pairs import DOUBLE, TAU, flatten, make_input, make_pair, weigh


@pytest.fixture(scope="module")
def book():
    torch.manual_seed(0)
    layer = bptt.torch.Recurrent(
        bptt.cells.book, outputs=("h", "o"), n_x=2, n_h=3, n_o=4, dtype=DOUBLE
    )
    x = torch.randn(4, 2, 2, dtype=DOUBLE)
    return layer, x, torch.randint(4, (4, 2))


def as_function(layer, *inputs, of):
    """A layer as a function of its parameters, in order."""
    names = [name for name, _ in layer.named_parameters()]

    def run(*params):
        given = dict(zip(names, params, strict=True))
        return of(torch.func.functional_call(layer, given, inputs))

    return run


def everything(out):
    return (out.loss, *out.nodes.values(), *out.final.values())


def test_a_cell_with_a_loss_passes_torchs_gradient_checks_twice(book):
    layer, x, y = book
    run = as_function(layer, x, y, of=everything)
    assert torch.autograd.gradcheck(run, tuple(layer.parameters()))
    assert torch.autograd.gradgradcheck(run, tuple(layer.parameters()))


def test_an_lstm_passes_torchs_gradient_checks_twice_in_both_directions():
    layer = bptt.torch.LSTM(2, 2, bidirectional=True, bias=False, dtype=DOUBLE)
    x = torch.randn(3, 2, 2, dtype=DOUBLE)
    run = as_function(layer, x, of=lambda out: tuple(flatten(out)))
    assert torch.autograd.gradcheck(run, tuple(layer.parameters()))
    assert torch.autograd.gradgradcheck(run, tuple(layer.parameters()))


def test_a_gradient_penalty_equals_that_of_an_ordinary_layer():
    found = []
    for layer in make_pair("RNN"):
        x, _ = make_input(layer)
        y = layer(x)[0]
        (slope,) = torch.autograd.grad(weigh([y]), x, create_graph=True)
        slope.square().sum().backward()
        found.append([p.grad for p in layer.parameters()])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-11)


def test_functional_gradients_equal_backward(book):
    layer, x, y = book
    names = [name for name, _ in layer.named_parameters()]
    params = [p.detach() for p in layer.parameters()]
    run = as_function(layer, x, y, of=lambda out: out.loss)
    found = torch.func.grad(run, argnums=tuple(range(len(params))))(*params)
    layer.zero_grad()
    layer(x, y).loss.backward()
    for name, gradient in zip(names, found, strict=True):
        assert torch.allclose(gradient, layer.get_parameter(name).grad, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_functional_hessian_equals_the_hessian_vector_product(book):
    layer, x, y = book
    params = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(b):
        return torch.func.functional_call(layer, params | {"b": b}, (x, y)).loss

    arrays = {name: p.numpy() for name, p in params.items()}
    inputs = {"x": x.numpy(), "y": y.numpy()}
    direction = {n: a * 0 for n, a in arrays.items()} | {"b": arrays["b"] + 1}
    expected = bptt.cells.book.hessian_vector(arrays, inputs, direction)["b"]
    hessian = torch.func.hessian(loss)(params["b"])
    assert abs(hessian.numpy() @ direction["b"] - expected).max() < 1e-12


def test_another_device_is_interpreted_and_said_once():
    layer = bptt.torch.LSTM(3, 4, num_layers=2, bidirectional=True, device="meta")
    x = torch.zeros(5, 2, 3, device="meta")
    message = "runs step by step in torch: kernels read float32 and float64 in the CPU"
    with pytest.warns(bptt.torch.InterpretedWarning, match=message) as shown:
        y, (h, c) = layer(x)
    assert y.device.type == h.device.type == c.device.type == "meta"
    assert len({str(warning.message) for warning in shown}) == 1
    y.sum().backward()
    assert layer.weight_hh_l1_reverse.grad.shape == (16, 4)


@pytest.mark.filterwarnings("ignore:this cell runs step by step in torch")
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_half_precision_is_interpreted_to_its_own_rounding(name):
    theirs, ours = make_pair(name, bidirectional=True)
    x, _ = make_input(theirs)
    rough = [t.double() for t in flatten(ours.bfloat16()(x.bfloat16()))]
    for found, expected in zip(rough, flatten(theirs(x)), strict=True):
        # 8 bits of mantissa, and a few roundings a step.
        assert torch.allclose(found, expected, rtol=0, atol=TAU * 2**-7)


def test_autocast_leaves_the_recurrence_in_the_parameters_type():
    layer = bptt.torch.GRU(6, 3)
    x = torch.randn(TAU, 2, 6)
    expected = layer(x)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)[0]
        rounded = layer(x.bfloat16())[0]
    assert torch.equal(found, expected)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, layer(x.bfloat16().float())[0])


def test_hooks_see_inputs_outputs_and_gradients():
    _, ours = make_pair("GRU")
    x, _ = make_input(ours)
    seen = {}
    ours.register_forward_hook(lambda m, args, out: seen.update(out=out[0]))
    ours.register_full_backward_hook(lambda m, gi, go: seen.update(grad=go[0]))
    ours.weight_hh_l0.register_hook(lambda g: seen.update(weight=g))
    ours(x)[0].sum().backward()
    assert seen["out"].shape == (TAU, 4, 3)
    assert torch.equal(seen["grad"], torch.ones_like(seen["out"]))
    assert torch.equal(seen["weight"], ours.weight_hh_l0.grad)


def test_inputs_that_are_views_are_read_as_they_are():
    theirs, ours = make_pair("GRU")
    x, _ = make_input(theirs)
    wide = torch.stack([x, -x], dim=-1)[..., 0]  # every second element of its memory
    assert not wide.is_contiguous()
    assert torch.equal(ours(wide)[0], ours(x)[0])


class Sequences(Dataset):
    """What a worker computes with a layer in shared memory, and its process."""

    def __init__(self, layer, x):
        self.layer, self.x = layer, x.detach()

    def __len__(self):
        return 3

    def __getitem__(self, number):
        y = self.layer(self.x * number)[0]
        y.sum().backward()
        return y.detach(), self.layer.weight_hh_l0.grad.clone(), os.getpid()


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded")
@pytest.mark.filterwarnings("ignore:os.fork.*JAX")  # where another test loaded it
def test_workers_of_a_data_loader_run_a_shared_layer():
    _, ours = make_pair("GRU")
    x, _ = make_input(ours)
    ours.share_memory()
    loader = DataLoader(Sequences(ours, x), batch_size=None, num_workers=1)
    for number, (y, grad, process) in enumerate(loader):
        assert process != os.getpid()
        assert torch.equal(y, ours(x * number)[0])
        ours.zero_grad()
        ours(x * number)[0].sum().backward()
        if number == 0:
            assert torch.allclose(grad, ours.weight_hh_l0.grad)


# ----- any cell -----


def test_a_module_reads_and_gives_tensors_in_place(book):
    layer, x, y = book
    pointer = layer.W.data_ptr()
    out = layer(x, y)
    run = bptt.cells.book.forward(
        {n: p.detach().numpy() for n, p in layer.named_parameters()},
        {"x": x.numpy(), "y": y.numpy()}, executor="reference",
    )  # fmt: skip
    assert layer.W.data_ptr() == pointer
    assert list(out.nodes) == ["h", "o"]
    assert abs(out.nodes["o"].detach().numpy() - run["o"]).max() < 1e-14
    assert abs(out.final["h"].detach().numpy() - run.final["h"]).max() < 1e-14
    assert abs(out.loss.item() - run.loss) < 1e-13


def test_a_sequence_without_a_batch_equals_a_batch_of_one(book):
    layer, x, y = book
    found = []
    for batched in (True, False):
        row = (x[:, :1], y[:, :1]) if batched else (x[:, 0], y[:, 0])
        start = torch.ones(1, 3) if batched else torch.ones(3)  # float32: is cast
        out = layer(*row, initial={"h": start})
        layer.zero_grad()
        (
            out.loss + weigh([out.nodes["h"].flatten(), out.final["h"].flatten()])
        ).backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    assert out.nodes["h"].shape == (4, 3)
    assert out.final["h"].shape == (3,)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_vmap_over_sequences_equals_a_batch(book):
    layer, x, y = book
    found = torch.func.vmap(lambda *row: layer(*row).nodes["h"], 1, 1)(x, y)
    assert torch.allclose(found, layer(x, y).nodes["h"], rtol=0, atol=1e-14)


def test_a_seed_decides_the_parameters_and_torchs_generator_does_without():
    def make(**options):
        return bptt.torch.Recurrent(bptt.cells.gru, n_x=2, n_h=3, **options).W_z

    assert torch.equal(make(seed=4), make(seed=4))
    torch.manual_seed(1)
    first = make()
    torch.manual_seed(1)
    assert torch.equal(first, make())
    assert not torch.equal(first, make())


@pytest.mark.parametrize("reduction", ["sum", "batch_mean", "mean", "last"])
def test_weights_and_reductions_are_those_of_the_cell(book, reduction):
    layer, x, y = book
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5], dtype=DOUBLE)
    mean = bptt.torch.Recurrent(
        bptt.cells.book, n_x=2, n_h=3, n_o=4, dtype=DOUBLE, reduction=reduction
    )
    mean.load_state_dict(layer.state_dict())
    mean(x, y, weights=weights).loss.backward()
    params = {n: p.detach().numpy() for n, p in mean.named_parameters()}
    inputs = {"x": x.numpy(), "y": y.numpy()}
    expected = bptt.cells.book.gradient(
        params,
        inputs,
        reduction=reduction,
        weights=weights.numpy(),
        executor="reference",
    )
    for name in params:
        found = mean.get_parameter(name).grad.numpy()
        assert abs(found - expected[name]).max() < 1e-14


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        ("MissingInputError", "input y is missing; the cell's inputs are: x, y",
         lambda m, x, y: m(x)),
        ("UnexpectedNameError", "3 inputs by position and none by name",
         lambda m, x, y: m(x, y, y)),
        ("SizeError", "n_x is 3 here, but 2 in parameter U",
         lambda m, x, y: m(torch.zeros(4, 2, 3), y)),
        ("IndexRangeError", "it must lie in 0..3", lambda m, x, y: m(x, y + 9)),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_name(book, error, text, call):
    with pytest.raises(getattr(bptt.errors, error), match=re.escape(text)):
        call(*book)


def test_an_unknown_output_is_refused():
    with pytest.raises(bptt.errors.UnknownNodeError, match="k is not a node"):
        bptt.torch.Recurrent(bptt.cells.elman, n_x=2, n_h=3, outputs=["k"])
