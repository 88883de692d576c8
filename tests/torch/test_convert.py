"""A model written for `torch.nn` trains on, unchanged, after `convert`."""

import copy
import io

import pytest
import torch
from torch import nn

import bptt.torch
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
    ours = bptt.torch.convert(copy.deepcopy(theirs))
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
    for make in (Classifier, lambda: bptt.torch.convert(Classifier())):
        stored.seek(0)
        model = make()
        model.load_state_dict(torch.load(stored))
        assert torch.allclose(model(tokens), ours(tokens), atol=1e-5)


def test_modules_and_parameters_stay_the_objects_they_are():
    model = Classifier()
    rnn, weight = model.rnn, model.rnn.weight_hh_l0
    assert bptt.torch.convert(model) is model
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
    kinds = [type(m) for m in bptt.torch.convert(model)]
    assert kinds == [Mine, bptt.torch.GRU, bptt.torch.RNN]


def test_an_unknown_target_is_refused():
    message = "to='keras': use one of bptt, torch"
    with pytest.raises(UnknownTargetError, match=message):
        bptt.torch.convert(Classifier(), to="keras")
