"""`torch.compile` and `torch.export` keep a layer as one operator."""

import io

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

import bptt
import bptt.torch
from bptt.torch import network, operators
from tests.torch.pairs import assert_equal

N_TOKENS, N_X, N_H = 7, 6, 3


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(N_TOKENS, N_X)
        self.rnn = bptt.torch.GRU(N_X, N_H, batch_first=True)
        self.head = nn.Linear(N_H, 2)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0].relu().mean(1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return bptt.torch.convert(Classifier().double(), keep="graph").model


def tokens(tau, n_b=4):
    generator = torch.Generator().manual_seed(tau)
    return torch.randint(N_TOKENS, (n_b, tau), generator=generator)


def gradients(run, model, batch):
    model.zero_grad()
    run(batch).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_a_compiled_model_is_one_graph_for_every_length(model, monkeypatch):
    torch._dynamo.reset()
    lost = []
    take = operators.HANDLES.take
    monkeypatch.setattr(operators.HANDLES, "take", lambda h: take(h) or lost.append(h))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
    frames = []
    for tau in (5, 8, 13):
        found = gradients(compiled, model, tokens(tau))
        assert_equal(found, gradients(model, model, tokens(tau)))
        frames.append(counter.frame_count)
    assert frames == [frames[0]] * 3
    assert not lost, "the forward pass was computed twice"
    with torch.no_grad():
        assert torch.equal(compiled(tokens(6)), model(tokens(6)))


def test_a_compiled_cell_with_a_loss_gives_its_gradient():
    torch._dynamo.reset()
    layer = bptt.torch.Recurrent(bptt.cells.book, n_x=2, n_h=3, n_o=4)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    x, y = torch.randn(5, 3, 2), torch.randint(4, (5, 3))
    found = []
    for run in (compiled, layer):
        layer.zero_grad()
        out = run(x, y, initial={"h": torch.ones(3, 3)})
        (out.loss + out.nodes["y_hat"].square().sum()).backward()
        found.append({n: p.grad.clone() for n, p in layer.named_parameters()})
    assert_equal(*found, tolerance=1e-6)  # float32, two orders of the same sums


def test_an_exported_program_runs_other_lengths_after_a_file(model):
    sizes = {"tokens": {1: torch.export.Dim("tau", min=2, max=64)}}
    program = torch.export.export(model.eval(), (tokens(5),), dynamic_shapes=sizes)
    stored = io.BytesIO()
    torch.export.save(program, stored)
    stored.seek(0)
    loaded = torch.export.load(stored).module()
    assert torch.allclose(loaded(tokens(9)), model(tokens(9)), rtol=1e-14)
    model.train()


@pytest.fixture(scope="module")
def call(model):
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    key = network.layer_key("GRU", names)
    x = torch.randn(5, 4, N_X, dtype=torch.float64, requires_grad=True)
    return key, [*model.rnn.parameters(), x], [1] * 5


def test_the_operators_pass_torchs_own_checks(call):
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operators.forward, call, test_utils=checks)
    key, tensors, needs = call
    *out, handle = operators.forward(key, tensors, needs)
    grads = [torch.ones_like(out[0]), None, None]
    tensors = [tensor.detach() for tensor in tensors]
    arguments = (key, handle.clone(), tensors, grads, needs)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(operators.backward, arguments, test_utils=checks)


def test_a_lost_handle_costs_time_and_changes_nothing(call):
    key, tensors, needs = call
    y, _, handle = operators.forward(key, tensors, needs)
    copy = handle.clone()
    assert operators.HANDLES.take(copy) is None
    arguments = ([t.detach() for t in tensors], [torch.ones_like(y), None, None], needs)
    kept = operators.backward(key, handle, *arguments)
    for again in (copy, handle):
        for one, other in zip(
            kept, operators.backward(key, again, *arguments), strict=True
        ):
            assert torch.equal(one, other)


def test_a_handle_owns_its_buffers_and_nothing_else_does(call):
    before = len(operators.HANDLES._owners)
    *_, handle = operators.forward(*call)
    assert len(operators.HANDLES._owners) == before + 1
    del _, handle
    assert len(operators.HANDLES._owners) == before
