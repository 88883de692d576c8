"""Infinity and NaN: where they come up first, and what a run does then."""

import numpy as np
import pytest

from bptt.cell import Cell
from bptt.execute.dispatch import REFERENCE
from bptt.train import (
    PlainText,
    TrainingOptions,
    read_sequences,
    reads_of,
    resume,
    train,
)
from bptt.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from bptt.train.data.streams import Streams
from bptt.train.data.windows import plan_epoch
from bptt.train.errors import CheckpointNotFiniteError, TrainingDivergedError
from bptt.train.loop import Learner
from bptt.train.measuring import measure_run
from bptt.train.nonfinite import find_nonfinite
from bptt.train.run_folder import read_metrics
from bptt.train.truncation import Truncation
from tests.train.executed import EXECUTED

CELL = Cell("""
a[t] = W @ h[t-1] + U @ x[t]
h[t] = exp(a[t])
k[t] = sqrt(h[t])
L[t] = sum(k[t]) + sum(y[t])
""")


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    """NumPy, so that there is nothing to compile; its warnings are what is meant."""
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)
    with np.errstate(all="ignore"):
        yield


def find(x, W=0.0):
    parameters = {"W": np.full((2, 2), W), "U": np.eye(2)}
    inputs = {"x": x, "y": np.zeros((*x.shape[:2], 1))}
    return find_nonfinite(CELL, parameters, inputs, None, np.ones(x.shape[:2]))


def test_forward_the_first_is_named_by_node_step_and_row():
    x = np.zeros((4, 3, 2))
    x[2, 1, 0] = 1000.0
    x[3, 0, 1] = 1000.0
    assert find(x) == "First in the forward pass: h at t = 3, row 1, is inf."


def test_a_nan_is_told_from_infinity():
    x = np.zeros((4, 3, 2))
    x[1, 2, 1] = np.inf  # times a zero of U
    assert "a at t = 2, row 2, is nan" in find(x)


def test_backward_the_last_step_is_named():
    x = np.zeros((4, 3, 2))
    x[1, 2, 1] = -2000.0  # h = 0 there, and the derivative of sqrt at 0 is infinite
    x[2, 0, 0] = -2000.0
    found = find(x)
    assert found == (
        "Forward all values are finite; first in the backward pass: ∇_h L at t = 3, "
        "row 0, is inf."
    )


def test_finite_values_are_said_to_be():
    found = find(np.zeros((4, 3, 2)))
    assert found == "Every value and every gradient of this process is finite."


# ----- a run -----

TEXT = PlainText(
    "the cat sat on the mat, the dog ran. " * 20, source="lines", n_files=1
)
OPTIONS = {
    "cell": "elman", "n_h": 4, "n_b": 3, "tau": 8, "epochs": 1, "held_out": 0.1,
    "checkpoint_every": 1,
}  # fmt: skip


class NoSteps:
    """An optimiser that is never to step."""

    def step(self, gradients):
        raise AssertionError(gradients)


def test_a_step_is_never_taken_with_it():
    cell = Cell("h[t] = W @ h[t-1] + U[:, x[t]]\nL[t] = nll(softmax(h[t]), y[t])")
    parameters = {"W": np.eye(6), "U": np.full((6, 6), 1e308)}
    learner = Learner(cell, parameters, NoSteps())
    data = Streams(np.random.default_rng(0).integers(0, 6, 40), 3)
    window = next(plan_epoch(data, 0, Truncation(4, 4)))
    with pytest.raises(TrainingDivergedError) as caught:
        learner.learn_window(data, window, None, 9)
    assert str(caught.value).startswith(
        "training stopped in window 9: the loss became nan. First in the forward pass: "
        "h at t = 2, row 0, is inf. Use a smaller --learning-rate"
    )


@pytest.fixture
def spoiled(monkeypatch):
    """Windows 3 and 5 of a run have a parameter that overflows in them."""
    original = Learner.learn_window

    def learn_window(self, dataset, window, state, number):
        if number not in (3, 5):
            return original(self, dataset, window, state, number)
        kept = self.parameters["V"].copy()
        self.parameters["V"][...] = np.inf
        try:
            return original(self, dataset, window, state, number)
        finally:
            self.parameters["V"][...] = kept

    monkeypatch.setattr(Learner, "learn_window", learn_window)


def test_a_run_stops_and_keeps_its_checkpoint(spoiled, tmp_path, quiet):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    with pytest.raises(TrainingDivergedError, match="in window 3: the loss became nan"):
        train(TEXT, TrainingOptions(**OPTIONS), tmp_path / "run", quiet)
    windows = [r["window"] for r in read_metrics(tmp_path / "run") if "skipped" in r]
    assert windows == []


def test_a_run_goes_on_whose_validation_loss_is_nan(tmp_path, quiet):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    (tmp_path / "c.cell").write_text(
        "s: ()\nh[t] = tanh(b + W @ h[t-1] + U @ x[t])\no[t] = c + V @ h[t]\n"
        "L[t] = mse(o[t], y[t]) + sqrt(s[t])\n"
    )
    arrays, x = {}, np.random.default_rng(0).normal(size=(4, 3, 2))
    for part, s in (("train", 1.0), ("validation", -1.0)):
        arrays |= {f"x_{part}": x, f"y_{part}": x, f"s_{part}": np.full((4, 3), s)}
    np.savez(tmp_path / "d.npz", **arrays)
    cell = str(tmp_path / "c.cell")
    data = read_sequences("d", [tmp_path / "d.npz"], reads=reads_of(cell))
    options = TrainingOptions(cell=cell, n_h=2, epochs=1)
    train(data, options, tmp_path / "run", quiet)
    meter = read_checkpoint(tmp_path / "run", LAST).numbers["meter"]
    assert np.isnan(meter["validation"])
    assert meter["best"] == np.inf
    resume(tmp_path / "run", quiet, data, epochs=2)
    assert read_checkpoint(tmp_path / "run", LAST).position.epoch == 2
    assert np.isnan(measure_run(tmp_path / "run", data).loss)


def test_figures_that_are_not_finite_come_back(tmp_path):
    pytest.importorskip("safetensors")
    numbers = {"metrics_length": 0}
    optimiser = {"a": np.nan, "b": [-np.inf, (np.inf, 1.0)]}
    made = Checkpoint({"W": np.eye(2)}, optimiser=optimiser, numbers=numbers)
    write_checkpoint(tmp_path, LAST, made)
    found = read_checkpoint(tmp_path, LAST).optimiser
    assert np.isnan(found["a"])
    assert found["b"] == optimiser["b"]


def test_what_could_not_be_read_again_is_not_written(tmp_path, quiet):
    """Adam's second moment of a decay of 1e30 is infinite, while its step is 0."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    options = TrainingOptions(**OPTIONS, weight_decay=1e30)
    with pytest.raises(
        CheckpointNotFiniteError, match=r"optimiser remembers .* --weight-decay"
    ):
        train(TEXT, options, tmp_path / "run", quiet)
    assert read_checkpoint(tmp_path / "run", "last").position.window == 0


def test_skipped_windows_are_counted_shown_and_explained(spoiled, tmp_path, quiet):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    options = TrainingOptions(**OPTIONS, on_nonfinite="skip")
    report = train(TEXT, options, tmp_path / "run", quiet)
    assert report.skipped == 2
    skipped = [r for r in read_metrics(tmp_path / "run") if "skipped" in r]
    assert [r["window"] for r in skipped] == [3, 5]
    assert "o at t = 1, row 0, is" in skipped[0]["skipped"]
    assert np.isfinite(report.validation)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "2 windows left out: a value was not finite" in page
