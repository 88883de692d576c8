"""Truncated back-propagation: order of the steps, and the state between windows."""

import numpy as np
import pytest

from bptt.train.data.streams import Streams, Window
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import TrainingDivergedError
from bptt.train.evaluation import bits_per_character
from bptt.train.loop import Learner, learn
from bptt.train.model import build_model
from bptt.train.options import TrainingOptions


class RecordingOptimiser:
    """Takes no step; keeps the gradients it is given."""

    def __init__(self):
        self.gradients = []
        self.factors = []

    def step(self, gradients, rate_factor=1.0):
        self.gradients.append(gradients)
        self.factors.append(rate_factor)


OPTIONS = TrainingOptions(cell="lstm", n_h=5, n_b=3, tau=4, schedule="constant")
TOKENS = np.random.default_rng(0).integers(0, 6, 100)


@pytest.fixture(params=["book", "elman", "lstm", "gru"])
def learner(request):
    model = build_model(request.param)
    parameters = model.init(6, OPTIONS)
    return Learner(model.cell, parameters, RecordingOptimiser(), clip=np.inf)


def test_the_state_is_carried_as_in_one_long_run(learner):
    streams = Streams.cut(TOKENS, n_b=3)
    whole = learner.cell.forward(
        learner.parameters, {"x": streams.x, "y": streams.y}, reduction="mean"
    )
    outputs, state = [], None
    for window in streams.windows(4, keep_last=True):
        inputs = {"x": window.x, "y": window.y}
        run = learner.cell.forward(learner.parameters, inputs, initial=state)
        state = run.final
        outputs.append(run["o"])
    np.testing.assert_allclose(np.concatenate(outputs), whole["o"], atol=1e-6)
    for name, value in whole.final.items():
        np.testing.assert_allclose(state[name], value, atol=1e-6)


def test_learning_starts_every_window_where_the_last_one_ended(learner):
    streams = Streams.cut(TOKENS, n_b=3)
    n_whole = streams.count_windows(4) * 4
    whole = learner.cell.forward(
        learner.parameters,
        {"x": streams.x[:n_whole], "y": streams.y[:n_whole]},
        reduction="mean",
    )
    steps = list(learn(learner, streams, OPTIONS))
    assert [s.number for s in steps] == list(range(1, 9))
    mean_nats = np.mean([s.bits for s in steps]) * np.log(2)
    assert mean_nats == pytest.approx(float(whole.loss), rel=1e-5)


def test_a_window_gives_the_exact_gradient_of_that_window(learner):
    streams = Streams.cut(TOKENS, n_b=3)
    list(learn(learner, streams, OPTIONS))
    first, second, *_ = streams.windows(4, keep_last=False)
    final = learner.cell.forward(learner.parameters, {"x": first.x, "y": first.y}).final
    expected = learner.cell.gradient(
        learner.parameters,
        {"x": second.x, "y": second.y},
        initial=final,
        reduction="mean",
    )
    given = learner.optimiser.gradients[1]
    assert given.keys() == learner.parameters.keys()
    for name, gradient in given.items():
        np.testing.assert_array_equal(gradient, expected[name])


def test_every_epoch_starts_from_a_zero_state(learner):
    streams = Streams.cut(TOKENS, n_b=3)
    options = TrainingOptions(n_h=5, n_b=3, tau=4, epochs=2, schedule="constant")
    bits = [step.bits for step in learn(learner, streams, options)]
    assert len(bits) == 16
    assert bits[8:] == bits[:8]  # no step was taken, so the epochs are the same


def test_clipping_is_applied_to_the_finished_gradient(learner):
    window = Window(TOKENS[:12].reshape(4, 3), TOKENS[1:13].reshape(4, 3))
    _, norm, _ = learner.learn_window(window, None)
    clipped = Learner(
        learner.cell, learner.parameters, learner.optimiser, clip=norm / 10
    )
    _, again, _ = clipped.learn_window(window, None)
    assert again == norm  # the norm before clipping is what is reported
    free, limited = learner.optimiser.gradients
    for name in free:
        np.testing.assert_allclose(limited[name], free[name] / 10, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_before_the_step(learner):
    for name, value in learner.parameters.items():
        value[...] = np.inf if name == "c" else value
    window = Window(TOKENS[:12].reshape(4, 3), TOKENS[1:13].reshape(4, 3))
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingDivergedError, match="Use a smaller --learning-rate"),
    ):
        learner.learn_window(window, None)
    assert learner.optimiser.gradients == []


def test_validation_is_the_mean_over_every_character_whatever_tau(learner):
    vocabulary = Vocabulary(("a", "b", "c", "d", "e"))
    tokens = TOKENS[:51]
    x, y = tokens[:-1, None], tokens[1:, None]
    whole = learner.cell.forward(learner.parameters, {"x": x, "y": y}, reduction="mean")
    expected = float(whole.loss) / np.log(2)
    expected += np.mean(y == 0) * vocabulary.spelling_bits
    for tau in (1, 7, 64):
        measured = bits_per_character(
            learner.cell, learner.parameters, tokens, vocabulary, tau=tau
        )
        assert measured == pytest.approx(expected, rel=1e-5)
