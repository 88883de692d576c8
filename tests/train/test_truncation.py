"""Truncated back-propagation, and eight ways in which it goes wrong elsewhere.

The oracle is torch's autograd on a loop written here, with its own cuts.
"""

import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from bptt.cell import Cell
from bptt.errors import MemoryBudgetError
from bptt.train.data.sequences import Batches, Sequences
from bptt.train.data.streams import Streams
from bptt.train.data.windows import Truncation, plan_epoch, weights_of
from bptt.train.evaluation import evaluate
from bptt.train.loop import Learner
from bptt.train.model import as_model

CELL = Cell("""
h[t] = tanh(b + W @ h[t-1] + U[:, x[t]])
o[t] = c + V @ h[t]
L[t] = nll(softmax(o[t]), y[t])
""")
TOKENS = np.random.default_rng(0).integers(0, 6, 44)
N_B, LENGTH = 3, 14  # 43 // 3 steps of every stream
STREAMS = Streams(TOKENS, N_B)


class RecordingOptimiser:
    """Takes no step; keeps the gradients it is given."""

    def __init__(self):
        self.gradients = []

    def step(self, gradients):
        self.gradients.append({name: np.array(g) for name, g in gradients.items()})


@pytest.fixture
def learner():
    names = ("n_x", "n_o")
    sizes = dict.fromkeys((n for n in CELL.dims if n in names), 6)
    parameters = CELL.init(seed=1, n_h=5, **sizes)
    parameters = {name: 1.5 * p + 0.1 for name, p in parameters.items()}
    return Learner(CELL, parameters, RecordingOptimiser())


def test_a_budget_changes_no_bit_of_what_is_learned(learner):
    """`bptt train --memory`: the same gradient, within the bytes."""
    window = next(iter(plan_epoch(STREAMS, 0, Truncation(None, None))))
    whole, _ = learner.learn_window(STREAMS, window, None)
    bounded = replace(learner, limit={"memory": "1.2MB"})
    found, _ = bounded.learn_window(STREAMS, window, None)
    first, second = learner.optimiser.gradients
    assert found == whole
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    with pytest.raises(MemoryBudgetError, match="the least that works here is"):
        replace(learner, limit={"memory": "1KB"}).learn_window(STREAMS, window, None)


def learn(learner, dataset, truncation, epoch=0):
    """All windows of an epoch; what was learned and the states between them."""
    state, learned, states = None, [], []
    for window in plan_epoch(dataset, epoch, truncation):
        if window.is_first:
            state = None
        found, state = learner.learn_window(dataset, window, state)
        learned.append(found)
        states.append(state)
    return learned, states


def torch_gradients(parameters, x, y, pieces, k2, first=None):
    """For each range of new steps: ∇ of their mean loss, cut k2 steps before its end.

    Every window is run anew from t = 1, so a cut is nothing but a detach.
    """
    torch = pytest.importorskip("torch")
    found = []
    for piece in pieces:
        p = {n: torch.tensor(v, requires_grad=True) for n, v in parameters.items()}
        h = torch.zeros(x.shape[1], 5, dtype=torch.float64)
        if first is not None:
            h = torch.tensor(first)
        losses = []
        for t in range(piece.stop):
            if t == piece.stop - k2:
                h = h.detach()
            h = torch.tanh(p["b"] + h @ p["W"].T + p["U"][:, x[t]].T)
            if t in piece:
                o = p["c"] + h @ p["V"].T
                target = torch.tensor(y[t])
                losses.append(torch.nn.functional.cross_entropy(o, target))
        torch.stack(losses).mean().backward()
        found.append({name: value.grad.numpy() for name, value in p.items()})
    return found


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        # float64, at most 14 steps: rounding is some 1e-16 per operation.
        np.testing.assert_allclose(gradient, theirs[name], rtol=1e-9, atol=1e-13)


def whole():
    return STREAMS.read(np.arange(N_B), 0, LENGTH)


# ----- (a) feeding blocks and detaching between them is k1 = k2, not k1 < k2 -----


@pytest.mark.parametrize(("k1", "k2"), [(2, 6), (1, 4), (3, 5), (2, 14), (3, None)])
def test_a_gradient_through_k2_steps_every_k1_is_that_of_torch(learner, k1, k2):
    learn(learner, STREAMS, Truncation(k1, k2))
    block = whole()
    pieces = [range(a, a + k1) for a in range(0, LENGTH // k1 * k1, k1)]
    theirs = torch_gradients(
        learner.parameters, block.x, block.y, pieces, k2 or LENGTH + 1
    )
    assert len(learner.optimiser.gradients) == len(pieces)
    for ours, expected in zip(learner.optimiser.gradients, theirs, strict=True):
        assert_equal(ours, expected)


def test_blocks_alone_are_another_gradient(learner):
    learn(learner, STREAMS, Truncation(2, 6))
    sliding = learner.optimiser.gradients[-1]
    learner.optimiser.gradients.clear()
    learn(learner, STREAMS, Truncation(2, 2))
    blocks = learner.optimiser.gradients[-1]
    assert np.abs(sliding["W"] - blocks["W"]).max() > 1e-3


def test_every_loss_counts_exactly_once(learner):
    for truncation in (Truncation(2, 6), Truncation(2, 2), Truncation(7, 14)):
        learned, _ = learn(learner, STREAMS, truncation)
        assert sum(found.n for found in learned) == LENGTH * N_B
        mean = np.average([f.loss for f in learned], weights=[f.n for f in learned])
        block = whole()
        inputs = {"x": block.x, "y": block.y}
        run = CELL.forward(learner.parameters, inputs, reduction="mean")
        assert mean == pytest.approx(run.loss, rel=1e-12)


# ----- (b) a cut after use leaves edges that are already there -----


def test_b_nothing_before_the_window_has_a_gradient_in_it(learner):
    window = list(plan_epoch(STREAMS, 0, Truncation(4, 4)))[1]
    other = Streams(np.where(np.arange(44) % 14 < 4, 5 - TOKENS, TOKENS), N_B)
    state = {"h": np.random.default_rng(1).normal(size=(N_B, 5))}
    learner.learn_window(STREAMS, window, state)
    learner.learn_window(other, window, state)
    first, second = learner.optimiser.gradients
    for name in ("W", "U", "b"):
        np.testing.assert_array_equal(first[name], second[name])


# ----- (c) a state that is cut at every step is a network without memory -----


def test_c_inside_a_window_the_gradient_goes_back_to_its_first_step(learner):
    learn(learner, STREAMS, Truncation(7, 7))
    block = whole()
    pieces = [range(7), range(7, 14)]
    theirs = torch_gradients(learner.parameters, block.x, block.y, pieces, 7)
    cut = torch_gradients(learner.parameters, block.x, block.y, pieces, 7)
    for ours, expected in zip(learner.optimiser.gradients, theirs, strict=True):
        assert_equal(ours, expected)
    steps = [range(t, t + 1) for t in range(7)]
    cut = torch_gradients(learner.parameters, block.x, block.y, steps, 1)
    memoryless = np.mean([g["W"] for g in cut], axis=0)
    assert np.abs(learner.optimiser.gradients[0]["W"] - memoryless).max() > 1e-3


# ----- (d) a state kept with its graph grows with every batch -----


def test_d_the_carried_state_is_plain_numbers_and_memory_does_not_grow(learner):
    long = Streams(np.random.default_rng(2).integers(0, 6, 3 * 40 * 60 + 1), N_B)
    windows = list(plan_epoch(long, 0, Truncation(40, 40)))

    def walk(some, state):
        for window in some:
            _, state = learner.learn_window(long, window, state)
            learner.optimiser.gradients.clear()
        gc.collect()
        return state

    state = walk(windows[:10], None)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    state = walk(windows[10:], state)
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert type(state["h"]) is np.ndarray
    assert state["h"].base is None
    # A kept graph of fifty windows would be 50 * 40 * 3 * 5 * 8 = 240 kB for h alone.
    assert growth < 60_000


# ----- (e) walking a graph twice, "retain_graph", is no cure -----


def test_e_the_same_window_twice_is_the_same_gradient_bit_for_bit(learner):
    windows = list(plan_epoch(STREAMS, 0, Truncation(4, 4)))
    _, state = learner.learn_window(STREAMS, windows[0], None)
    before = state["h"].copy()
    for _ in range(2):
        learner.learn_window(STREAMS, windows[1], state)
    _, first, second = learner.optimiser.gradients
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(state["h"], before)


# ----- (f) the last, smaller batch gets a state of its own size, not another's -----


def ragged():
    random = np.random.default_rng(3)
    lengths = [5, 3, 7, 2, 6]
    x = [random.integers(0, 6, n) for n in lengths]
    y = [random.integers(0, 6, n) for n in lengths]
    return Sequences(x, y, per_step=True)


def test_f_every_batch_starts_from_zero_also_the_last_smaller_one(learner):
    data = ragged()
    learned, states = learn(learner, Batches(data, n_b=2), Truncation(3, 3))
    assert [s["h"].shape for s in states] == [(2, 5), (2, 5), (2, 5), (2, 5), (2, 5),
                                              (1, 5), (1, 5)]  # fmt: skip
    learner.optimiser.gradients.clear()
    alone = Batches(Sequences(data.x[4:], data.y[4:], per_step=True), n_b=2)
    again, _ = learn(learner, alone, Truncation(3, 3))
    assert [f.loss for f in again] == [f.loss for f in learned[-2:]]


def test_f_every_epoch_starts_from_a_zero_state(learner):
    first, _ = learn(learner, STREAMS, Truncation(4, 4), epoch=0)
    second, _ = learn(learner, STREAMS, Truncation(4, 4), epoch=1)
    assert [f.loss for f in first] == [f.loss for f in second]


# ----- (g) clipping before backward clips nothing -----


def test_g_clipping_is_applied_to_the_finished_gradient(learner):
    window = next(plan_epoch(STREAMS, 0, Truncation(4, 4)))
    free, _ = learner.learn_window(STREAMS, window, None)
    limited = Learner(CELL, learner.parameters, learner.optimiser, clip=free.norm / 10)
    found, _ = limited.learn_window(STREAMS, window, None)
    assert found.norm == free.norm  # the norm before clipping is what is reported
    assert (free.is_clipped, found.is_clipped) == (False, True)
    first, second = learner.optimiser.gradients
    for name in first:
        np.testing.assert_allclose(second[name], first[name] / 10, rtol=1e-12)


def test_g_clipping_by_value_is_too(learner):
    window = next(plan_epoch(STREAMS, 0, Truncation(4, 4)))
    limited = Learner(CELL, learner.parameters, learner.optimiser, clip_value=0.01)
    limited.learn_window(STREAMS, window, None)
    (gradient,) = learner.optimiser.gradients
    assert max(np.abs(g).max() for g in gradient.values()) == 0.01


# ----- (h) a loss summed over padding -----


class Polluted(Batches):
    """Batches whose padding is not zero but something else."""

    def read(self, rows, start, stop):
        block = super().read(rows, start, stop)
        block.x[block.scored == 0] = 5
        block.y[block.scored == 0] = 3
        return block


@pytest.mark.parametrize("k", [3, None])
def test_h_padding_changes_no_loss_and_no_gradient(learner, k):
    data = ragged()
    clean, _ = learn(learner, Batches(data, n_b=5), Truncation(k, k))
    gradients = list(learner.optimiser.gradients)
    learner.optimiser.gradients.clear()
    other, _ = learn(learner, Polluted(data, n_b=5), Truncation(k, k))
    assert [f.loss for f in other] == [f.loss for f in clean]
    assert sum(f.n for f in clean) == 5 + 3 + 7 + 2 + 6
    for a, b in zip(gradients, learner.optimiser.gradients, strict=True):
        assert_equal(a, b)  # a look-up adds its zeros elsewhere: another rounding


def test_h_a_ragged_batch_is_the_mean_over_its_sequences_alone(learner):
    data = ragged()
    learn(learner, Batches(data, n_b=5), Truncation(None, None))
    (batch,) = learner.optimiser.gradients
    parts = []
    for x, y in zip(data.x, data.y, strict=True):
        inputs = {"x": x[:, None], "y": y[:, None]}
        parts.append(CELL.gradient(learner.parameters, inputs))
    for name in batch:
        expected = sum(part[name] for part in parts) / 23
        np.testing.assert_allclose(batch[name], expected, rtol=1e-9, atol=1e-13)


# ----- targets at the end of a sequence -----


def test_a_target_per_sequence_counts_at_its_last_step_whatever_the_window(learner):
    random = np.random.default_rng(4)
    x = [random.integers(0, 6, n) for n in (5, 3, 7)]
    data = Batches(Sequences(x, [np.array(k) for k in (1, 4, 2)], per_step=False), 3)
    learned, _ = learn(learner, data, Truncation(None, None))
    runs = [
        CELL.forward(
            learner.parameters, {"x": s[:, None], "y": np.full((len(s), 1), k)}
        )
        for s, k in zip(x, (1, 4, 2), strict=True)
    ]
    expected = np.mean([run["L"][-1, 0] for run in runs])
    assert learned[0].loss == pytest.approx(expected, rel=1e-12)
    steps = learn(learner, data, Truncation(2, 2))[0]
    assert [f.n for f in steps] == [0, 1, 1, 1]
    assert sum(f.loss * f.n for f in steps) / 3 == pytest.approx(expected, rel=1e-12)
    assert len(learner.optimiser.gradients) == 1 + 3  # no step where nothing ends


# ----- carried state and validation -----


@pytest.mark.parametrize("k", [(4, 4), (2, 6)])
def test_the_state_is_carried_as_in_one_long_run(learner, k):
    _, states = learn(learner, STREAMS, Truncation(*k))
    block = whole()
    run = CELL.forward(learner.parameters, {"x": block.x, "y": block.y})
    windows = list(plan_epoch(STREAMS, 0, Truncation(*k)))
    for window, state in zip(windows, states, strict=True):
        at = window.start + window.advance
        expected = run["h"][at - 1] if at else np.zeros((N_B, 5))
        if state is not None:
            np.testing.assert_allclose(state["h"], expected, atol=1e-12)
        else:
            assert at == 0


@pytest.mark.parametrize("tau", [1, 5, 64])
def test_validation_is_the_mean_over_every_step_whatever_the_window(learner, tau):
    from bptt.train.data.form import Form

    form = Form(6, True, "class", 6)
    model = as_model("mine", CELL, form)
    tokens = Streams(TOKENS, 1, keeps_last=True)
    block = tokens.read(np.arange(1), 0, 43)
    run = CELL.forward(
        learner.parameters, {"x": block.x, "y": block.y}, reduction="mean"
    )
    found = evaluate(model, form, learner.parameters, tokens, Truncation(tau, tau))
    assert found.loss == pytest.approx(run.loss, rel=1e-12)
    assert found.n == 43
    assert found.accuracy == pytest.approx(np.mean(run["o"].argmax(axis=-1) == block.y))


def test_weights_leave_out_padding_and_losses_that_counted_before():
    block = Batches(ragged(), n_b=2).read(np.array([0, 1]), 1, 5)
    assert weights_of(block, 2).tolist() == [[0, 0], [0, 0], [1, 0], [1, 0]]
    assert weights_of(block, 4).tolist() == [[1, 1], [1, 1], [1, 0], [1, 0]]
