"""`bptt eval` and TensorBoard: figures against those computed here."""

import numpy as np
import pytest
from typer.testing import CliRunner

from bptt.cli.app import app
from bptt.execute.dispatch import REFERENCE
from bptt.train import (
    PlainText,
    TrainingOptions,
    measure_run,
    open_run,
    read_sequences,
    train,
)
from bptt.train.data.token_files import read_tokens
from bptt.train.errors import NotSampledError, UnlikeDataError
from bptt.train.flow_report import write_flows
from bptt.train.run_folder import read_metrics, read_run
from tests.train.executed import EXECUTED

pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)


BASE = {"n_h": 5, "n_b": 2, "held_out": 0.2, "epochs": 2}


def make_file(folder, y):
    random = np.random.default_rng(0)
    x = random.normal(size=(10, 6, 2)).astype(np.float32)
    lengths = np.array([6, 3, 5, 2, 6, 4, 1, 6, 3, 2])
    file = folder / "x.npz"
    np.savez(file, x=x, y=y, lengths=lengths)
    return file, x, lengths


TARGETS = {
    "classes per step": np.random.default_rng(1).integers(0, 3, (10, 6)),
    "a class per sequence": np.random.default_rng(2).integers(0, 3, 10),
    "piano roll": np.random.default_rng(3).random((10, 6, 4)) < 0.3,
    "real vectors": np.random.default_rng(4).normal(size=(10, 6, 2)),
}
UNITS = {
    "classes per step": "nats per step",
    "a class per sequence": "nats per sequence",
    "piano roll": "nats per step",
    "real vectors": "mean squared error per step",
}


def losses_by_hand(kind, o, y):
    """The loss and the right guesses of one sequence's steps; o (steps, n_o)."""
    o = o.astype(np.float64)
    if kind == "real vectors":
        return ((o - y) ** 2).mean(axis=-1), None
    if kind == "piano roll":
        p = 1 / (1 + np.exp(-o))
        return -(np.where(y, np.log(p), np.log(1 - p))).sum(axis=-1), (o > 0) == y
    scores = o - np.log(np.exp(o).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(scores, np.asarray(y)[..., None], -1)[..., 0]
    return -picked, o.argmax(axis=-1) == y


@pytest.mark.parametrize("kind", TARGETS)
def test_every_kind_of_target_trains_and_is_measured_in_its_unit(kind, tmp_path, quiet):
    y = TARGETS[kind]
    file, x, lengths = make_file(tmp_path, y)
    data = read_sequences("x", [file])
    options = TrainingOptions(**BASE, cell="elman", layers=2, dropout=0.3, zoneout=0.1)
    report = train(data, options, tmp_path / "run", quiet)
    assert report.unit.name == UNITS[kind]
    measured = measure_run(tmp_path / "run", data)
    saved = read_run(tmp_path / "run", "best")
    losses, right = [], []
    for row, n in enumerate(lengths):
        per_step = y.ndim > 1
        target = y[row, :n] if per_step else np.full(n, y[row])
        inputs = saved.model.cell.draw(
            saved.parameters, {"x": x[row, :n, None], "y": target[:, None]}, mean=True
        )
        o = saved.model.cell.forward(saved.parameters, inputs)[saved.model.scores]
        chosen = slice(None) if per_step else slice(n - 1, n)
        found = losses_by_hand(kind, o[chosen, 0], target[chosen])
        losses += found[0].tolist()
        right += [] if found[1] is None else found[1].ravel().tolist()
    assert measured.n == len(losses)
    assert measured.loss == pytest.approx(np.mean(losses), rel=1e-5)
    if right:
        assert measured.accuracy == pytest.approx(np.mean(right))
    else:
        assert measured.accuracy is None


def test_a_model_of_sequences_cannot_write(tmp_path, quiet):
    file, _, _ = make_file(tmp_path, TARGETS["a class per sequence"])
    options = TrainingOptions(**BASE, cell="elman")
    train(read_sequences("x", [file]), options, tmp_path / "run", quiet)
    with pytest.raises(NotSampledError, match="bptt eval RUN DATA measures it"):
        open_run(tmp_path / "run")
    text = PlainText("abc" * 9, "letters", 1)
    with pytest.raises(UnlikeDataError, match="holds text; the model was trained on"):
        measure_run(tmp_path / "run", text)


def test_sequences_of_tokens_are_written_where_the_target_is_the_next(tmp_path, quiet):
    np.savez(tmp_path / "x.npz", x=np.tile([3, 1, 2, 0], (30, 4)))
    options = TrainingOptions(**BASE | {"epochs": 12}, cell="elman", learning_rate=0.05)
    data = read_sequences("x", [tmp_path / "x.npz"])
    train(data, options, tmp_path / "run", quiet)
    text = open_run(tmp_path / "run").write("3 1 2", 5, temperature=0.0)
    assert "".join(text).split() == ["0", "3", "1", "2", "0"]
    arguments = ["sample", str(tmp_path / "run"), "--prompt", "3 1", "--length", "2"]
    run = CliRunner().invoke(app, [*arguments, "--temperature", "0"])
    assert run.output == "3 1 2 0 \n"


def test_tokens_train_write_numbers_and_are_measured(tmp_path, quiet):
    np.save(tmp_path / "a.npy", np.tile([3, 1, 2, 0], 60))
    data = read_tokens([tmp_path / "a.npy"])
    options = TrainingOptions(
        **BASE | {"epochs": 12}, cell="elman", tau=6, learning_rate=0.05, test=0.1
    )
    report = train(data, options, tmp_path / "run", quiet)
    assert report.unit.name == "bits per token"
    assert report.test < 0.1
    assert report.test_accuracy == 1.0
    written = "".join(open_run(tmp_path / "run").write("3 1", 6, temperature=0.0))
    assert written.split() == ["2", "0", "3", "1", "2", "0"]
    assert measure_run(tmp_path / "run", data).loss < 0.1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_the_figures_of_the_metrics(tmp_path, quiet):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    text = PlainText("the cat sat on the mat. " * 20, source="lines", n_files=1)
    options = TrainingOptions(**BASE, cell="elman", tau=8, tensorboard=True)
    report = train(text, options, tmp_path / "run", quiet)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    validations = events.Scalars("validation_bits_per_character")
    assert min(v.value for v in validations) == pytest.approx(report.best, rel=1e-6)
    assert len(events.Scalars("gradient_norm")) == validations[-1].step


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_tensorboard_has_recalls_and_what_is_said(tmp_path, quiet, optimiser):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    random = np.random.default_rng(0)
    y = random.integers(0, 2, 30)
    np.savez(tmp_path / "a.npz", x=random.normal(size=(30, 4, 1)), y=y)
    data = read_sequences("noise", [tmp_path / "a.npz"])
    options = TrainingOptions(
        cell="elman", n_h=2, tensorboard=True, optimiser=optimiser
    )
    run = tmp_path / "run"
    report = train(data, options, run, quiet)
    verdict = write_flows(run, data)["last"].verdict
    last = read_metrics(run)[-1]
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert report.best_part.by_class is not None
    for k, share in enumerate(report.best_part.by_class):
        if share is not None:
            (shown,) = events.Scalars(f"best_recall_of_{k}")
            assert shown.value == pytest.approx(share)
            assert last[f"best_recall_of_{k}"] == share
    assert events.Scalars("validation_nats_per_sequence")
    assert events.Scalars("gradient_norm")
    texts = {
        name: events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0]
        for name in ("remarks", "gradients")
        if name == "gradients" or report.remarks
    }
    assert texts["gradients"].decode() == verdict
    for remark in report.remarks:
        assert remark in texts["remarks"].decode()
