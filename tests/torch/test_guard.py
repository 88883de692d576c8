"""What a torch user may pass that is no plain tensor: the right values, or one line.

Every kind goes through a layer, beside torch.nn's, and through `Recurrent`, beside the
same values in plain float64. None may come out as a constant or in silence.
"""

import warnings

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

import bptt
import bptt.torch
from bptt.torch.guard import NoTensorError
from tests.torch.pairs import DOUBLE, N_B, N_X, TAU, assert_equal, flatten, make_pair

# bfloat16 has 8 bits: a few roundings a step of numbers below 1.
ROUGH = TAU * 2**-7
KINDS = ["isinstance", "type", "graph"]
CELL = bptt.cells.gru


class Marked(torch.Tensor):
    """A subclass that torch carries along, and that has no rule of its own."""


@pytest.fixture(scope="module")
def cell():
    torch.manual_seed(0)
    return bptt.torch.Recurrent(CELL, n_x=N_X, n_h=3, dtype=DOUBLE)


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(TAU, N_B, N_X, generator=generator, dtype=DOUBLE)


def negated(x):
    """The same numbers, to be negated when somebody reads them."""
    lazy = torch.complex(x, -x).conj().imag
    assert lazy.is_neg()
    return lazy


def strided(x):
    return x.flip(0).repeat_interleave(2, -1).flip(0)[..., ::2]


def expanded(x):
    return x[:, :1].expand(-1, N_B, -1)


LAZY = {"negated": negated, "every second": strided, "expanded": expanded,
        "read-only": lambda x: torch.from_numpy(x.numpy()[:]).as_subclass(torch.Tensor),
        "a subclass": lambda x: x.as_subclass(Marked)}  # fmt: skip


@pytest.mark.filterwarnings("ignore:this layer runs", "ignore:this cell runs")
@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("keep", KINDS)
def test_views_and_subclasses_have_their_values(kind, keep, x):
    theirs, ours = make_pair("GRU")
    ours = bptt.torch.convert(ours, keep=keep).model
    h = torch.ones(1, N_B, 3, dtype=DOUBLE)
    for given in ((LAZY[kind](x), h), (x, LAZY[kind](h) if kind == "negated" else h)):
        found, expected = ours(*given), theirs(*(t.detach().clone() for t in given))
        for one, other in zip(flatten(found), flatten(expected), strict=True):
            assert torch.allclose(one, other, rtol=1e-13)
        assert type(found[0]) is type(theirs(*given)[0])


@pytest.mark.filterwarnings("ignore:this cell runs")
@pytest.mark.parametrize("kind", LAZY)
def test_a_cell_reads_views_and_subclasses_in_every_argument(kind, cell, x):
    plain = LAZY[kind](x).detach().clone().as_subclass(torch.Tensor)
    expected = cell(plain).nodes["h"]
    assert torch.allclose(cell(LAZY[kind](x)).nodes["h"], expected, rtol=1e-13)
    if kind == "negated":
        h = torch.ones(N_B, 3, dtype=DOUBLE)
        found = cell(x, initial={"h": negated(h)}).nodes["h"]
        assert torch.allclose(found, cell(x, initial={"h": h}).nodes["h"], rtol=1e-13)


def test_a_lazily_negated_gradient_arrives(cell, x):
    x.requires_grad_()
    y = cell(x).nodes["h"]
    g = torch.randn_like(y)
    expected = torch.autograd.grad(y, x, g, retain_graph=True)[0]
    found = torch.autograd.grad(y, x, negated(g))[0]
    assert torch.allclose(found, expected, rtol=1e-12)


# ----- element types in every argument -----


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_of_a_cell_is_computed_in_float32(dtype, cell, x):
    layer = bptt.torch.Recurrent(CELL, n_x=N_X, n_h=3, dtype=torch.float32)
    layer.load_state_dict(cell.state_dict())
    expected = cell(x).nodes["h"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = layer.to(dtype)(x.to(dtype))
    assert out.nodes["h"].dtype == dtype
    assert torch.allclose(out.nodes["h"].double(), expected, rtol=0, atol=ROUGH)
    out.nodes["h"].square().sum().backward()
    cell.zero_grad()
    expected.square().sum().backward()
    for (name, p), q in zip(layer.named_parameters(), cell.parameters(), strict=True):
        assert p.grad.dtype == dtype
        gap = (p.grad.double() - q.grad).abs().max()
        assert gap <= ROUGH * max(1, q.grad.abs().max()), name


def test_half_precision_in_a_compiled_graph(cell, x):
    torch._dynamo.reset()
    layer = bptt.torch.Recurrent(CELL, n_x=N_X, n_h=3, dtype=torch.float32)
    layer.load_state_dict(cell.state_dict())
    layer, x = layer.bfloat16(), x.bfloat16()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    found, expected = compiled(x).nodes["h"], layer(x).nodes["h"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    gru = bptt.torch.convert(make_pair("GRU")[1].bfloat16(), keep="graph").model
    found = torch.compile(gru, backend="aot_eager", fullgraph=True)(x)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.allclose(found.double(), gru(x)[0].double(), rtol=0, atol=ROUGH)


def test_a_cells_weights_lengths_and_indices_have_any_type_that_fits():
    layer = bptt.torch.Recurrent(bptt.cells.book, n_x=2, n_h=3, n_o=4, dtype=DOUBLE)
    x, y = torch.randn(TAU, N_B, 2), torch.randint(4, (TAU, N_B))
    w = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.5])
    lengths = torch.tensor([5, 2, 3, 1])
    expected = layer(x, y, weights=w, lengths=lengths).loss
    for dtype in (torch.bfloat16, torch.float16, DOUBLE):
        assert torch.equal(layer(x, y, weights=w.to(dtype), lengths=lengths).loss,
                           expected)  # fmt: skip
    for dtype in (torch.int8, torch.uint8, torch.int32):
        found = layer(x, y.to(dtype), weights=w, lengths=lengths.to(dtype)).loss
        assert torch.equal(found, expected)
    for wrong in ({"lengths": lengths.float()}, {"lengths": lengths.bfloat16()}):
        with pytest.raises(bptt.errors.LengthsError, match="element type"):
            layer(x, y, **wrong)
    with pytest.raises(bptt.errors.DtypeError, match="must hold integers"):
        layer(x, y.bfloat16())


# ----- tracers -----


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_traced_layer_computes_for_every_input(name, frozen, x):
    _, ours = make_pair(name)
    if frozen:
        ours.requires_grad_(requires_grad=False)
    with torch.no_grad():
        traced = torch.jit.trace(ours, (x,))
    longer = torch.cat([x, 2 * x])
    for given in (-x, longer):
        for one, other in zip(
            flatten(traced(given)), flatten(ours(given)), strict=True
        ):
            assert torch.allclose(one, other, rtol=1e-13)


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_traced_cell_computes_for_every_input(frozen, x):
    layer = bptt.torch.Recurrent(CELL, n_x=N_X, n_h=3, dtype=DOUBLE)

    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x).nodes["h"] * 2

    model = Head()
    if frozen:
        model.requires_grad_(requires_grad=False)
    with torch.no_grad():
        traced = torch.jit.trace(model, (x,))
    for given in (-x, torch.cat([x, 2 * x])):
        assert torch.allclose(traced(given), model(given), rtol=1e-13)
    if frozen:
        return
    found = torch.autograd.grad(traced(x).square().sum(), list(traced.parameters()))
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-11)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_compiles_torchs_layer_with_the_same_parameters(x):
    _, ours = make_pair("LSTM")
    scripted = torch.jit.script(torch.nn.Sequential(ours))
    assert torch.allclose(scripted(x)[0], ours(x)[0], rtol=1e-13)
    assert type(ours) is bptt.torch.LSTM


def test_a_layer_is_one_node_of_an_fx_graph(x):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = make_pair("GRU")[1]

        def forward(self, x):
            return self.rnn(x)[0] * 2

    model = Model()
    graph = torch.fx.symbolic_trace(model)
    assert [n.op for n in graph.graph.nodes].count("call_module") == 1
    assert torch.equal(graph(x), model(x))


def test_make_fx_keeps_a_cell_as_an_operator(cell, x):
    traced = make_fx(lambda x: cell(x).nodes["h"])(x)
    assert torch.allclose(traced(-x), cell(-x).nodes["h"], rtol=1e-13)


# ----- forward mode, transforms, batched gradients -----


# torch's own: it makes its rules for forward mode by TorchScript.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_dual_numbers_carry_the_derivative(kind, cell, x):
    f = make_pair("GRU")[1] if kind == "layer" else lambda x: (cell(x).nodes["h"],)
    move = torch.randn_like(x)
    with forward_ad.dual_level():
        y = f(forward_ad.make_dual(x, move))[0]
        found = forward_ad.unpack_dual(y).tangent
    # Central differences of a step of 1e-6: 1e-10 of rounding, 1e-12 of curvature.
    step = 1e-6
    expected = (f(x + step * move)[0] - f(x - step * move)[0]) / (2 * step)
    assert torch.allclose(found, expected, rtol=0, atol=1e-8)


def test_gradients_come_in_batches(cell, x):
    x.requires_grad_()
    for y in (cell(x).nodes["h"], make_pair("LSTM")[1](x)[0]):
        seeds = torch.randn(3, *y.shape, dtype=DOUBLE)
        found = torch.autograd.grad(
            y, x, seeds, is_grads_batched=True, retain_graph=True
        )[0]
        for seed, one in zip(seeds, found, strict=True):
            expected = torch.autograd.grad(y, x, seed, retain_graph=True)[0]
            assert torch.allclose(one, expected, rtol=1e-11, atol=1e-14)


# ----- what has no values to read -----


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_no_recurrence_reads_is_refused_in_one_line(cell, x):
    rows = [x[:3, 0], x[:, 1]]
    wrong = {
        "stored as sparse_coo": x.to_sparse(),
        "nested tensor of 2 rows": torch.nested.nested_tensor(rows),
    }
    for text, given in wrong.items():
        with pytest.raises(bptt.torch.LayoutError, match=text):
            cell(given)


def test_fake_tensors_give_shapes_alone(x):
    for make in (lambda: make_pair("LSTM")[1],
                 lambda: bptt.torch.Recurrent(CELL, n_x=N_X, n_h=3)):  # fmt: skip
        layer = make()
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            given = mode.from_tensor(x)
            out = layer(given.to(next(layer.parameters()).dtype))
            y = out[0] if isinstance(out[0], torch.Tensor) else out.nodes["h"]
            assert y.shape == (TAU, N_B, 3)
            assert type(y).__name__ == "FakeTensor"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_an_empty_batch_is_torchs(name):
    theirs, ours = make_pair(name, bidirectional=True)
    x = torch.zeros(TAU, 0, N_X, dtype=DOUBLE, requires_grad=True)
    for found, expected in zip(flatten(ours(x)), flatten(theirs(x)), strict=True):
        assert found.shape == expected.shape
    ours(x)[0].sum().backward()
    assert not ours.weight_hh_l0.grad.any()


def test_states_may_be_a_list(x):
    theirs, ours = make_pair("LSTM")
    states = [torch.randn(1, N_B, 3, dtype=DOUBLE) for _ in range(2)]
    found = {str(n): t for n, t in enumerate(flatten(ours(x, states)))}
    expected = {str(n): t for n, t in enumerate(flatten(theirs(x, tuple(states))))}
    assert_equal(found, expected)


# ----- weights of the steps' losses -----


def plain_total(layer, x, y, w, lengths):
    """The weighted loss of `book`, from its logits, by torch alone."""
    logits = layer(x, y, lengths=lengths).nodes["o"]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), y.flatten(), reduction="none"
    ).view(TAU, N_B)
    w = (w if w.ndim == 2 else w[:, None]).expand(TAU, N_B)
    if lengths is not None:
        w = torch.where(torch.arange(TAU)[:, None] < lengths, w, torch.zeros_like(w))
    divisor = {"sum": 1, "batch_mean": N_B, "mean": w.sum()}[layer.reduction]
    return (w / divisor * losses).sum()


@pytest.mark.parametrize("reduction", ["sum", "batch_mean", "mean"])
@pytest.mark.parametrize("shape", [(TAU,), (TAU, N_B)])
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2, 3, 1])])
def test_weights_that_need_a_gradient_get_one(reduction, shape, lengths):
    torch.manual_seed(3)
    layer = bptt.torch.Recurrent(
        bptt.cells.book, outputs=["o"], reduction=reduction, n_x=2, n_h=3, n_o=4,
        dtype=DOUBLE,
    )  # fmt: skip
    x, y = torch.randn(TAU, N_B, 2, dtype=DOUBLE), torch.randint(4, (TAU, N_B))
    w = (1 + torch.rand(shape, dtype=DOUBLE)).requires_grad_()
    wanted = [w, *layer.parameters()]
    total = layer(x, y, weights=w, lengths=lengths).loss
    expected = plain_total(layer, x, y, w, lengths)
    assert torch.allclose(total, expected, rtol=1e-13)
    assert torch.allclose(
        total, layer(x, y, weights=w.detach(), lengths=lengths).loss, rtol=1e-13
    )
    pairs = zip(
        torch.autograd.grad(total, wanted),
        torch.autograd.grad(expected, wanted),
        strict=True,
    )
    for found, other in pairs:
        # Sums of 20 steps' products in two orders, in float64.
        assert torch.allclose(found, other, rtol=1e-11, atol=1e-13)


def test_weights_that_do_not_fit_are_refused_with_and_without_a_gradient():
    layer = bptt.torch.Recurrent(bptt.cells.book, n_x=2, n_h=3, n_o=4, dtype=DOUBLE)
    x, y = torch.randn(TAU, N_B, 2, dtype=DOUBLE), torch.randint(4, (TAU, N_B))
    for needs in (False, True):
        w = torch.ones(N_B, TAU, dtype=DOUBLE, requires_grad=needs)
        with pytest.raises(bptt.errors.ReductionError, match=r"got \(4, 5\)"):
            layer(x, y, weights=w)


def test_a_compiled_graph_refuses_another_device_with_what_to_do():
    from bptt.torch.guard import DeviceError, refuse_devices

    class Elsewhere:
        device = torch.device("cuda:0")

    with pytest.raises(
        DeviceError, match=r"a tensor is on cuda:0: move it by \.cpu\(\)"
    ):
        refuse_devices([Elsewhere()])


REFUSED = {
    "an array": (lambda x: {"x": x.numpy()}, "x is a ndarray"),
    "a list of lengths": (lambda x: {"x": x, "lengths": [3, 4]}, "lengths is a list"),
    "a list of states": (
        lambda x: {"x": x, "initial": [x[0]]}, "initial is a list.*by name",
    ),
    "an array as a state": (
        lambda x: {"x": x, "initial": {"h": np.zeros((2, 4))}}, "state h is a nd",
    ),
    "weights": (lambda x: {"x": x, "weights": [1.0] * 5}, "weights is a list"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_tensor_is_refused_in_one_line(kind):
    make, message = REFUSED[kind]
    layer = bptt.torch.Recurrent(bptt.cells.elman, n_x=3, n_h=4)
    with pytest.raises(NoTensorError, match=message) as caught:
        layer(**make(torch.zeros(5, 2, 3)))
    assert "\n" not in str(caught.value)


def test_complex_numbers_are_refused():
    """Their imaginary part would be lost without a word."""
    layer = bptt.torch.Recurrent(bptt.cells.elman, n_x=3, n_h=4)
    with pytest.raises(bptt.errors.DtypeError, match=r"complex64.*use \.real"):
        layer(torch.zeros(5, 2, 3, dtype=torch.complex64))
