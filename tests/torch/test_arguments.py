"""What is checked and watched on the ways that go around the kernels."""

import copy

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize
from torch.overrides import TorchFunctionMode

import bptt
import bptt.torch

NAMES = ["RNN", "LSTM", "GRU"]


class Marked(torch.Tensor):
    """A subclass, which torch's own operations must compute with."""


def pair(name, **options):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(3, 4, dtype=torch.float64, **options)
    ours = copy.deepcopy(theirs)
    bptt.torch.convert(ours)
    return ours, theirs


@pytest.fixture(name="x")
def make_x():
    torch.manual_seed(1)
    return torch.randn(6, 2, 3, dtype=torch.float64)


@pytest.fixture(name="cell", scope="module")
def make_cell():
    cell = bptt.Cell("""
        h[t] = tanh(b + W @ h[t-1] + U @ x[t] + E[:, k[t]])
        L[t] = nll(softmax(V @ h[t]), y[t])
    """)
    return bptt.torch.Recurrent(
        cell, n_x=3, n_h=4, n_k=5, n_y=5, dtype=torch.float64, seed=0
    )


# ----- layers -----


def put(name, value):
    return lambda layer: setattr(layer, name, value)


WRONG = {
    "a matrix of other rows": lambda layer: setattr(
        layer, "weight_hh_l0", torch.nn.Parameter(layer.weight_hh_l0.detach()[:3])
    ),
    "a bias of five numbers": put(
        "bias_hh_l0", torch.nn.Parameter(torch.ones(5).double())
    ),
    "no matrix": put("weight_hh_l0", None),
    "another width": put("hidden_size", 7),
    "another number of layers": put("num_layers", 2),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", NAMES)
def test_weights_that_do_not_fit_are_refused_in_torchs_words(name, what, x):
    """An LSTM whose W had 4 rows for 16 gave values; its gradient failed alone."""
    texts = []
    for layer in pair(name):
        WRONG[what](layer)
        with pytest.raises((RuntimeError, TypeError)) as caught, torch.no_grad():
            layer(x)
        texts.append((caught.type, str(caught.value)))
    assert texts[0] == texts[1]


class Dropped(torch.nn.Module):
    """A weight with some elements left out, others at every computation."""

    def forward(self, weight):
        return torch.nn.functional.dropout(weight, 0.5)


@pytest.mark.parametrize(
    "register",
    [
        lambda m: parametrizations.spectral_norm(m, "weight_hh_l0"),
        lambda m: parametrize.register_parametrization(m, "weight_hh_l0", Dropped()),
    ],
    ids=["spectral_norm", "dropout"],
)
def test_a_parametrization_is_computed_as_often_as_in_torch(register, x):
    found = []
    for layer in pair("GRU"):
        torch.manual_seed(2)
        register(layer)
        layer(x)
        y, _ = layer(x)
        grads = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
        found.append((y, *grads))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


class Doubling(TorchFunctionMode):
    """Sees every function of torch, and doubles what torch.nn's layers give."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if getattr(function, "__name__", "") in {"rnn_tanh", "lstm", "gru"}:
            return 2 * out[0], *out[1:]
        return out


@pytest.mark.parametrize("name", NAMES)
def test_a_mode_sees_a_layer_as_torchs_own_function(name, x):
    ours, theirs = pair(name)
    plain = ours(x)[0]
    with Doubling():
        found = ours(x)[0]
        torch.testing.assert_close(found, theirs(x)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, 2 * plain, rtol=1e-12, atol=1e-12)


def test_a_device_for_new_tensors_is_no_such_mode(x, monkeypatch):
    monkeypatch.setattr(torch.nn.LSTM, "forward", None)
    ours, _ = pair("LSTM")
    with torch.device("cpu"):
        assert ours(x)[0].shape == (6, 2, 4)


# ----- any cell -----


def arguments(x, **others):
    labels = torch.randint(5, (6, 2), generator=torch.manual_seed(3))
    return {"x": x, "k": labels, "y": labels.flip(0)} | others


def as_marked(x):
    return x.as_subclass(Marked)


def in_a_batch(cell, given):
    call = lambda x: cell(**{**given, "x": x}).loss  # noqa: E731
    return torch.func.vmap(call)(given["x"][None])


WAYS = {
    "kernels": lambda cell, given: cell(**given).loss,
    "subclass": lambda cell, given: cell(**{**given, "x": as_marked(given["x"])}).loss,
    "vmap": in_a_batch,
}
MISTAKES = {
    "a length of 0": (lambda g: {"lengths": torch.tensor([0, 3])}, "lengths holds 0"),
    "a length of 9": (lambda g: {"lengths": torch.tensor([9, 3])}, "lengths holds 9"),
    "half a step": (lambda g: {"lengths": torch.tensor([1.5, 3])}, "whole numbers"),
    "a token of -1": (lambda g: {"k": g["k"] - 1 - g["k"].max()}, "k holds -"),
    "a state of one row": (
        lambda g: {"initial": {"h": torch.ones(1, 4).double()}}, "initial state h"
    ),
    "weights of no sum": (lambda g: {"weights": torch.zeros(6).double()}, "which is 0"),
    "another width": (lambda g: {"x": g["x"][..., :1]}, "n_x is 1 here"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::bptt.torch.run.InterpretedWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_on_every_way(mistake, way, cell, x, monkeypatch):
    """Step by step, a token of -1 read the last column, and a length of 9 was 6."""
    monkeypatch.setattr(cell, "reduction", "mean")
    given = arguments(x)
    change, text = MISTAKES[mistake]
    with pytest.raises(bptt.errors.ArgumentError, match=text):
        WAYS[way](cell, given | change(given))


@pytest.mark.filterwarnings("ignore::bptt.torch.run.InterpretedWarning")
def test_lengths_of_any_whole_type_are_read_step_by_step(cell, x):
    given = arguments(x)
    exact = cell(**given, lengths=torch.tensor([6, 2])).loss
    for dtype in (torch.uint8, torch.int16, torch.int32):
        lengths = torch.tensor([6, 2], dtype=dtype)
        found = WAYS["subclass"](cell, given | {"lengths": lengths})
        assert abs(found.item() - exact.item()) < 1e-12


UNREADABLE = {
    "quantized": lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
    "sparse": lambda x: x.to_sparse(),
    "mkldnn": lambda x: x.float().to_mkldnn(),
}


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("name", ["x", "weights", "initial"])
def test_a_layout_is_refused_in_one_line_in_every_argument(name, kind, cell, x):
    values = {"x": x, "weights": torch.ones(6, 2), "initial": torch.ones(2, 4)}
    made = UNREADABLE[kind](values[name])
    given = {name: {"h": made} if name == "initial" else made}
    with pytest.raises(bptt.torch.guard.LayoutError, match="cell reads plain arrays"):
        cell(**arguments(x) | given)


@pytest.mark.filterwarnings("ignore:Complex modules are")
def test_parameters_that_are_no_real_numbers_are_refused_by_name(cell, x):
    wide = copy.deepcopy(cell).to(torch.complex128)
    with pytest.raises(bptt.errors.DtypeError, match="parameter b has element type"):
        wide(**arguments(x))
    lost = copy.deepcopy(cell)
    lost.W = None
    with pytest.raises(bptt.torch.guard.NoTensorError, match="parameter W is a None"):
        lost(**arguments(x))


class Doubled(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, k, y, lengths):
        out = self.layer(x, k, y=y, lengths=lengths)
        return 2 * out.loss, out.final["h"]


def test_a_cell_is_one_node_of_an_fx_graph(cell, x):
    given = tuple(arguments(x).values())
    model = Doubled(cell)
    graph = torch.fx.symbolic_trace(model)
    assert [n.target for n in graph.graph.nodes if n.op == "call_module"] == ["layer"]
    for lengths in (torch.tensor([6, 2]), torch.tensor([1, 5])):
        for ours, exact in zip(
            graph(*given, lengths), model(*given, lengths), strict=True
        ):
            assert torch.equal(ours, exact)
