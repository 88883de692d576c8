"""A model written for `torch.nn` trains on, unchanged, after `convert`."""

import copy
import io

import pytest
import torch
from torch import nn

import bptt.torch
from bptt.torch import layers
from bptt.torch.convert import UnknownTargetError

N_TOKENS, N_X, N_H, N_CLASSES = 11, 6, 8, 3
TAU, N_B, STEPS = 9, 5, 100


class Classifier(nn.Module):
    """Written for torch.nn alone."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(N_TOKENS, N_X)
        self.rnn = nn.LSTM(N_X, N_H, num_layers=2, batch_first=True)
        self.head = nn.Linear(N_H, N_CLASSES)

    def forward(self, tokens):
        _, (h, _) = self.rnn(self.embedding(tokens))
        return self.head(h[-1])


def train(model, steps=STEPS, seed=0):
    """The losses of a training run with AdamW and a scheduler."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in range(steps):
        tokens = torch.randint(N_TOKENS, (N_B, TAU), generator=generator)
        loss = nn.functional.cross_entropy(model(tokens), tokens[:, -1] % N_CLASSES)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def trained():
    """The same model trained by torch.nn and, converted, by us."""
    torch.manual_seed(0)
    theirs = Classifier()
    ours = bptt.torch.convert(copy.deepcopy(theirs)).model
    return (theirs, train(theirs)), (ours, train(ours))


def test_a_converted_model_has_the_same_losses_for_100_steps(trained):
    (_, theirs), (_, ours) = trained
    assert theirs[-1] < 0.5 * theirs[0]
    for step, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        # float32: each step moves two runs apart by about an epsilon (1.2e-7) times
        # the learning rate over Adam's root; seen: 4e-6 at worst in 100 steps.
        assert abs(found - expected) < 1e-4, step


def test_a_converted_model_is_saved_and_loaded_by_either(trained):
    (_, _), (ours, _) = trained
    stored = io.BytesIO()
    torch.save(ours.state_dict(), stored)
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
    for make in (Classifier, lambda: bptt.torch.convert(Classifier()).model):
        stored.seek(0)
        model = make()
        model.load_state_dict(torch.load(stored))
        assert torch.allclose(model(tokens), ours(tokens), atol=1e-5)


def test_modules_and_parameters_stay_the_objects_they_are():
    model = Classifier()
    rnn, weight = model.rnn, model.rnn.weight_hh_l0
    assert bptt.torch.convert(model).model is model
    assert model.rnn is rnn
    assert type(rnn) is bptt.torch.LSTM
    bptt.torch.convert(model, to="torch")
    assert type(rnn) is nn.LSTM
    assert rnn.weight_hh_l0 is weight
    assert rnn(torch.zeros(2, 3, N_X))[0].shape == (2, 3, N_H)


def test_a_layer_with_a_forward_of_its_own_is_left_alone():
    class Mine(nn.LSTM):
        def forward(self, x):
            return x

    model = nn.Sequential(Mine(2, 3), nn.GRU(2, 3), nn.RNN(2, 3))
    kinds = [type(m) for m in bptt.torch.convert(model).model]
    assert kinds == [Mine, bptt.torch.GRU, bptt.torch.RNN]


def test_an_unknown_target_is_refused():
    message = "to='keras': use one of bptt, torch"
    with pytest.raises(UnknownTargetError, match=message):
        bptt.torch.convert(Classifier(), to="keras")


# ----- what a program looks for -----


def orthogonal(model, find):
    """An initialiser as programs have it; how many layers it touched."""
    layers = [m for m in model.modules() if find(m)]
    for layer in layers:
        for name, parameter in layer.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(parameter)
    return len(layers)


@pytest.mark.parametrize("keep", ["isinstance", "type"])
def test_a_loop_that_asks_isinstance_finds_the_layers(keep):
    model = bptt.torch.convert(Classifier(), keep=keep).model
    assert orthogonal(model, lambda m: isinstance(m, nn.LSTM)) == 1
    assert orthogonal(model, lambda m: isinstance(m, nn.RNNBase)) == 1
    w = model.rnn.weight_hh_l0[:N_H]
    assert torch.allclose(model.rnn.weight_hh_l0.T @ model.rnn.weight_hh_l0,
                          torch.eye(N_H), atol=1e-5), w  # fmt: skip


def test_a_layer_of_the_changed_import_is_found_too():
    for name in ("RNN", "LSTM", "GRU"):
        layer = getattr(bptt.torch, name)(3, 4)
        assert isinstance(layer, getattr(nn, name))


def test_a_tool_that_compares_the_type_finds_the_layers():
    model = bptt.torch.convert(Classifier(), keep="type").model
    assert orthogonal(model, lambda m: type(m) is nn.LSTM) == 1
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
    model.rnn.register_forward_hook(lambda *_: None)
    model(tokens).sum().backward()
    assert model.rnn.__dict__["records"][0]._kept is not None, "kernels ran"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("keep", "is_found"), [("type", True), ("isinstance", False)])
def test_torchs_quantizer_compares_the_type(keep, is_found):
    """It looks types up in a table: a class of ours stays, quantized it is torch's."""
    model = bptt.torch.convert(Classifier(), keep=keep).model.eval()
    small = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, torch.qint8)
    is_small = isinstance(small.rnn, torch.ao.nn.quantized.dynamic.LSTM)
    assert is_small == is_found
    if is_found:
        tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
        # 8 bits for every weight, 9 steps.
        assert torch.allclose(small(tokens), model(tokens), atol=0.1)


@pytest.mark.parametrize("keep", ["isinstance", "type", "graph"])
def test_inherited_methods_are_torchs(keep):
    for name in ("RNN", "LSTM", "GRU"):
        theirs = getattr(nn, name)(3, 5, 2, bidirectional=True)
        ours = bptt.torch.convert(copy.deepcopy(theirs), keep=keep).model
        x, h = torch.zeros(4, 2, 3), torch.randn(4, 2, 5)
        states = (h, h + 1) if name == "LSTM" else h
        order = torch.tensor([1, 0])
        calls = {
            "get_expected_hidden_size": (x, None),
            "get_expected_cell_size": (x, None),
            "check_input": (x, None),
            "check_hidden_size": (h, (4, 2, 5)),
            "check_forward_args": (x, states, None),
            "permute_hidden": (states, order),
            "flatten_parameters": (),
            "extra_repr": (),
        }
        for method, arguments in calls.items():
            assert hasattr(ours, method) == hasattr(theirs, method), method
            if hasattr(theirs, method):
                found = getattr(ours, method)(*arguments)
                assert same(found, getattr(theirs, method)(*arguments)), method
        wrong = (x, (h, h[:1]) if name == "LSTM" else h[:1], None)
        found = []
        for layer in (ours, theirs):
            with pytest.raises(RuntimeError) as caught:
                layer.check_forward_args(*wrong)
            found.append(str(caught.value))
        assert found[0] == found[1]
        assert same(ours.all_weights, theirs.all_weights)
        assert repr(ours).removeprefix("Graph") == repr(theirs)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("keep", ["isinstance", "type", "graph"])
def test_every_form_is_copied_pickled_and_changed_back(keep):
    theirs = Classifier()
    model = bptt.torch.convert(copy.deepcopy(theirs), keep=keep).model
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
    expected = theirs(tokens)
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    for other in (
        model, copy.deepcopy(model), torch.load(stored, weights_only=False)
    ):  # fmt: skip
        assert torch.allclose(other(tokens), expected, atol=1e-6)
        if other is not model:
            with torch.no_grad():
                other.rnn.weight_hh_l0.zero_()
            assert not torch.allclose(other(tokens), expected, atol=1e-3)
    assert torch.allclose(model(tokens), expected, atol=1e-6)
    for to in ("isinstance", "graph", "type"):
        bptt.torch.convert(model, keep=to)
        assert torch.allclose(model(tokens), expected, atol=1e-6)
    bptt.torch.convert(model, to="torch")
    assert type(model.rnn) is nn.LSTM
    assert vars(model.rnn).keys() == vars(theirs.rnn).keys()


# ----- the report -----


def test_the_report_tells_what_changed_and_what_was_left_and_why():
    class Mine(nn.LSTM):
        def forward(self, x):
            return x

    model = nn.ModuleDict({
        "rnn": nn.LSTM(2, 3), "mine": Mine(2, 3), "cell": nn.GRUCell(2, 3),
        "head": nn.Linear(2, 3), "normed": nn.GRU(2, 3), "ours": bptt.torch.RNN(2, 3),
    })  # fmt: skip
    nn.utils.parametrizations.weight_norm(model["normed"], "weight_hh_l0")
    done = bptt.torch.convert(model)
    assert done.changed == ("rnn",)
    assert list(done.left) == ["mine", "cell", "normed"]
    assert "a forward of its own" in done.left["mine"]
    assert "GRUCell runs single steps" in done.left["cell"]
    assert "parametrize" in done.left["normed"]
    assert str(done).splitlines()[0] == "changed: layer rnn"
    assert len(str(done).splitlines()) == 4
    assert str(bptt.torch.convert(nn.Linear(2, 3))) == (
        "the model has no RNN, LSTM or GRU"
    )


def test_a_parametrization_of_a_converted_layer_is_ours():
    layer = bptt.torch.GRU(2, 3)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    x = torch.randn(5, 2, 2)
    layer(x)[0].sum().backward()
    assert layer.node_gradients("h").shape == (5, 2, 3)
    assert layer.parametrizations.weight_hh_l0.original0.grad is not None


def test_verify_compares_outputs_and_gradients_and_leaves_nothing_behind():
    model = Classifier().train()
    model.rnn.dropout = 0.5
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
    state = torch.get_rng_state()
    done = bptt.torch.convert(model, verify=(tokens,))
    assert torch.equal(torch.get_rng_state(), state)
    assert done.gaps is not None
    assert 0 < max(done.gaps.outputs, done.gaps.gradients) < 100
    assert all(p.grad is None for p in model.parameters())
    assert "verified: outputs differ by" in str(done)


def test_a_model_that_differs_after_the_conversion_is_changed_back():
    class Counting(Classifier):
        calls = 0

        def forward(self, tokens):
            self.calls += 1
            return super().forward(tokens) * self.calls

    model = Counting()
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS
    with pytest.raises(bptt.torch.ConversionError, match="conversion of rnn the model"):
        bptt.torch.convert(model, verify=tokens)
    assert type(model.rnn) is nn.LSTM


@pytest.mark.parametrize("wrong", ["outputs", "gradients"])
def test_verify_finds_a_planted_mistake(wrong, monkeypatch):
    tokens = torch.arange(N_B * TAU).reshape(N_B, TAU) % N_TOKENS

    def planted(module, x, hx):
        y, hx = nn.LSTM.forward(module, x, hx)
        scale = 1 + 1e-3
        bent = y * scale if wrong == "outputs" else y
        if wrong == "gradients":
            bent = bent + (scale - 1) * (y - y.detach())
        return bent, tuple(h * scale for h in hx) if wrong == "outputs" else (
            tuple(h + (scale - 1) * (h - h.detach()) for h in hx)
        )

    monkeypatch.setattr(layers, "run_apart", planted)
    with pytest.raises(bptt.torch.ConversionError, match="differs"):
        bptt.torch.convert(Classifier(), verify=(tokens,))


def test_an_unknown_form_is_refused():
    with pytest.raises(UnknownTargetError, match="keep='all': use one of isinstance"):
        bptt.torch.convert(Classifier(), keep="all")
