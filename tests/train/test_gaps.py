"""Targets with gaps: each leaves out exactly the element that is missing."""

import json

import numpy as np
import pytest

from bptt import Cell
from bptt.cli.app import app
from bptt.train import (
    DataRequest,
    TableRequest,
    TrainingOptions,
    load,
    measure_run,
    open_data,
    train,
)
from bptt.train.data.opening import make_task
from bptt.train.data.sequence_task import sequence_task
from bptt.train.data.sequences import Batches
from bptt.train.data.windows import plan_epoch
from bptt.train.errors import BadRecordError, CellNotTrainableError
from bptt.train.evaluation import evaluate
from bptt.train.loop import Learner
from bptt.train.model import build_model
from bptt.train.optimiser import Optimiser
from bptt.train.trivial import Trivial, measure_lagged
from bptt.train.truncation import Truncation

pytest.importorskip("torch")
pytest.importorskip("safetensors")
RANDOM = np.random.default_rng(16)
N, TAU, N_X, N_O = 5, 7, 2, 3
X = RANDOM.normal(size=(N, TAU, N_X)).astype(np.float32)
LENGTHS = np.array([7, 4, 6, 2, 7])
KNOWN = RANDOM.random((N, TAU, N_O)) < 0.6
USEFUL = (np.arange(TAU) < LENGTHS[:, None])[..., None]
REAL = RANDOM.normal(size=(N, TAU, N_O)).astype(np.float32)
BINARY = RANDOM.random((N, TAU, N_O)) < 0.4
WHOLE = Truncation(None, None)


def read(folder, missing="error", **arrays):
    np.savez(folder / "a.npz", **arrays)
    request = DataRequest((folder / "a.npz",), table=TableRequest(missing=missing))
    return open_data(request)


def files(target):
    """The same gaps, said in each way that there is."""
    y = REAL if target == "real" else BINARY
    yield {"y": np.where(KNOWN, y, 0).astype(y.dtype), "mask": KNOWN}, "error"
    if target == "real":
        yield {"y": np.where(KNOWN, y, np.nan).astype(np.float32)}, "mask"
    else:
        yield {"y": np.where(KNOWN, y, -100)}, "error"


def losses_of(o, y, target):
    if target == "real":
        return (o - y) ** 2 / N_O
    return np.logaddexp(0, o) - y * o


@pytest.mark.parametrize("target", ["real", "multi-hot"])
def test_loss_and_gradient_are_those_of_the_known_elements_alone(tmp_path, target):
    y = REAL if target == "real" else BINARY
    counts = KNOWN & USEFUL
    for arrays, missing in files(target):
        data = read(tmp_path, missing, x=X, lengths=LENGTHS, **arrays)
        assert data.form.target == target
        options = TrainingOptions(cell="gru", n_h=4, n_b=N, held_out=0.2)
        task = sequence_task(data, options)
        model = build_model(options, task.form)
        p = model.init(task.form, options, "float64")
        whole = Batches(data.parts["whole"], N)
        lines = model.cell.text.split("L[t]")[0].splitlines()
        inputs = ("y:", "known:")  # that the loss alone reads
        network = Cell("\n".join(x for x in lines if not x.startswith(inputs)))
        lone = [
            network.forward(p, {"x": X[i, :n, None]}) for i, n in enumerate(LENGTHS)
        ]
        o, h = np.zeros((N, TAU, N_O)), np.zeros((N, TAU, 4))
        for i, n in enumerate(LENGTHS):
            o[i, :n], h[i, :n] = lone[i]["o"][:, 0], lone[i]["h"][:, 0]
        weight = counts.sum() / N_O
        expected = losses_of(o, y, target)[counts].sum() / weight
        found = evaluate(model, task.form, p, whole, WHOLE)
        assert found.loss == pytest.approx(expected, rel=1e-6)
        (window,) = plan_epoch(whole, 0, WHOLE)
        learner = Learner(model.cell, p, Optimiser("sgd", p, 1.0))
        before = {name: value.copy() for name, value in p.items()}
        learned, _ = learner.learn_window(whole, window, None)
        assert learned.loss == pytest.approx(expected, rel=1e-6)
        # The gradient on o is that of the known elements, and 0 on the others.
        slope = 2 * (o - y) / N_O if target == "real" else 1 / (1 + np.exp(-o)) - y
        slope = np.where(counts, slope, 0) / weight
        np.testing.assert_allclose(before["c"] - p["c"], slope.sum((0, 1)), atol=1e-7)
        by_hand = np.einsum("ito,ith->oh", slope, h)
        np.testing.assert_allclose(before["V"] - p["V"], by_hand, atol=1e-7)


@pytest.mark.parametrize("target", ["real", "multi-hot"])
def test_figures_and_the_trivial_predictor_count_known_elements(tmp_path, target):
    (arrays, missing), *_ = files(target)
    y, counts = (REAL if target == "real" else BINARY), KNOWN & USEFUL
    data = read(tmp_path, missing, x=X, lengths=LENGTHS, **arrays)
    whole = Batches(data.parts["whole"], 2)
    trivial = Trivial.of(whole, data.form, "mse" if target == "real" else "bce")
    n, total = counts.sum((0, 1)), (y * counts).sum((0, 1))
    if target == "real":
        np.testing.assert_allclose(trivial.o, total / n, rtol=1e-6)
        errors = (y - trivial.o)[counts]
        figures = {"rmse": np.sqrt((errors**2).mean()), "mae": np.abs(errors).mean()}
    else:
        np.testing.assert_allclose(1 / (1 + np.exp(-trivial.o)), (total + 1) / (n + 2))
        said = np.broadcast_to(trivial.o > 0, y.shape)[counts]
        figures = {"accuracy": (said == y[counts]).mean()}
    found = trivial.measure(whole)
    losses = losses_of(np.broadcast_to(trivial.o, y.shape), y, target)
    expected = losses[counts].sum() / (counts.sum() / N_O)
    assert found.loss == pytest.approx(expected, rel=1e-6)
    for name, value in figures.items():
        assert found.figures[name] == pytest.approx(value, rel=1e-6)


def test_one_target_per_sequence_has_gaps_of_its_own(tmp_path):
    y = np.array([[1.0, np.nan], [2.0, 5.0], [np.nan, 7.0], [4.0, 8.0]], np.float32)
    data = read(tmp_path, "mask", x=X[:4], y=y, lengths=LENGTHS[:4])
    assert not data.form.per_step
    trivial = Trivial.of(Batches(data.parts["whole"], 3), data.form, "mse")
    np.testing.assert_allclose(trivial.o, [7 / 3, 20 / 3], rtol=1e-6)
    block = Batches(data.parts["whole"], 4).read(np.arange(4), 0, 7)
    last = block.known[LENGTHS[:4] - 1, np.arange(4)]
    np.testing.assert_array_equal(last, np.isfinite(y))


def test_a_gap_in_one_column_leaves_the_targets_of_the_others(tmp_path):
    a = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    b = [10.0, None, 14.0, 13.0, None, None, 19.0, 21.0]
    lines = [f"{x},{'' if y is None else y}" for x, y in zip(a, b, strict=True)]
    (tmp_path / "two.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    data = open_data(
        DataRequest((tmp_path / "two.csv",), table=TableRequest(missing="mask"))
    )
    (known,) = data.parts["whole"].scored
    there = [[True, value is not None] for value in b[1:]]
    np.testing.assert_array_equal(known, there)
    np.testing.assert_array_equal(data.parts["whole"].x[0][:, 1],
                                  [10, 10, 14, 13, 13, 13, 19])  # fmt: skip
    options = TrainingOptions(held_out=0.3, standardise=False)
    task = make_task(data, options)
    naive = measure_lagged("naive", 0, task.parts["validation"], task.form)
    # Of 7 targets the last 2: 64 and 128 after 32 and 64; 19 and 21 after 13 and 19.
    errors = np.array([32.0, 64.0, 6.0, 2.0])
    assert naive.figures["mae"] == pytest.approx(errors.mean())
    standard = make_task(data, TrainingOptions(held_out=0.3))
    first = np.array([14.0, 13.0])  # b's targets that are there, of the first 5
    assert standard.form.y_mean[1] == pytest.approx(first.mean())
    assert standard.form.y_scale[1] == pytest.approx(first.std())


def test_several_targets_are_real_or_truths_and_a_gap_makes_no_class_real(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("x,p,q,k\n1,0,1,2\n2,1,,0\n3,1,0,\n4,0,1,1\n")

    def form_of(target):
        table = TableRequest(columns=("x",), target=target, missing="mask")
        data = open_data(DataRequest((file,), table=table))
        return data.form.target, data.form.n_o, data.parts["whole"]

    target, n_o, whole = form_of("k")
    assert (target, n_o) == ("class", 3)
    np.testing.assert_array_equal(whole.scored[0], [True, True, False, True])
    target, n_o, whole = form_of("p,q")
    assert (target, n_o) == ("multi-hot", 2)
    np.testing.assert_array_equal(whole.scored[0][:, 1], [True, False, True, True])
    assert form_of("p, k")[:2] == ("real", 2)


SERIES = np.cumsum(RANDOM.normal(size=(60, 2)), axis=0)


@pytest.fixture
def gapped(tmp_path):
    """Two columns of 60 rows, with gaps in the second alone."""
    lines = [f"{a:.3f},{'' if i % 5 == 2 else f'{b:.3f}'}" for i, (a, b) in
             enumerate(SERIES)]  # fmt: skip
    (tmp_path / "s.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    return tmp_path / "s.csv"


def test_a_run_on_series_with_gaps_is_measured_taken_up_and_exported(
    gapped, tmp_path, capsys
):
    run = str(tmp_path / "run")
    small = "--cell elman --n-h 4 --epochs 6 --validations 1 --n-b 2 --tau 8"
    asked = ["train", str(gapped), "--missing", "mask", *small.split(), "--out", run]
    for command in (asked, ["train", "--resume", run, "--epochs", "8"]):
        app(command, standalone_mode=False)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    app(["predict", run, str(gapped)], standalone_mode=False)
    app(["forecast", run, "--steps", "3"], standalone_mode=False)
    pytest.importorskip("onnx")
    for name in ("m.onnx", "m.h", "m.safetensors"):
        app(["export", run, str(tmp_path / name)], standalone_mode=False)
    model = load(tmp_path / "run")
    assert "known[t] * o[t]" in model.cell.text
    # Data without gaps is measured, and by hand.
    whole = tmp_path / "whole.csv"
    np.savetxt(whole, SERIES, "%.3f", ",", header="a,b", comments="")
    found = measure_run(tmp_path / "run", open_data(DataRequest((whole,))))
    p = model.predict(SERIES[:-1, None].astype(np.float32))[:, 0]
    rmse = np.sqrt(((p - SERIES[1:]) ** 2).mean())
    assert found.figures["rmse"] == pytest.approx(rmse, rel=1e-3)
    assert summary["windows"] > 0
    capsys.readouterr()


def test_a_model_that_met_no_gap_is_measured_on_data_that_has_some(
    gapped, tmp_path, quiet
):
    whole = tmp_path / "whole.csv"
    np.savetxt(whole, SERIES, "%.3f", ",", header="a,b", comments="")
    options = TrainingOptions(cell="elman", n_h=3, epochs=3, validations=1)
    train(open_data(DataRequest((whole,))), options, tmp_path / "run", quiet)
    table = TableRequest(missing="mask")
    data = open_data(DataRequest((gapped,), table=table))
    found = measure_run(tmp_path / "run", data)
    p = load(tmp_path / "run").predict(data.parts["whole"].x[0][:, None])[:, 0]
    known = np.arange(1, 60) % 5 != 2
    errors = np.concatenate([(p - SERIES[1:])[:, 0], (p - SERIES[1:])[known, 1]])
    assert found.figures["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-3)


def test_what_cannot_leave_an_element_out_says_so(tmp_path):
    (arrays, _), *_ = files("real")
    data = read(tmp_path, x=X, lengths=LENGTHS, **arrays)
    text = "h[t] = tanh(W @ h[t-1] + U @ x[t])\no[t] = V @ h[t]\n"
    (tmp_path / "own.cell").write_text(
        text + "L[t] = mse(o[t], y[t]) + 0.1 * sum(h[t])"
    )
    options = TrainingOptions(cell=str(tmp_path / "own.cell"), n_h=3, held_out=0.2)
    form = sequence_task(data, options).form
    with pytest.raises(CellNotTrainableError, match=r"known\[t\], 1 where an element"):
        build_model(options, form)
    (tmp_path / "own.cell").write_text(
        text + "L[t] = mse(known[t] * o[t], known[t] * y[t]) + 0.1 * sum(h[t])"
    )
    assert "known" in build_model(options, form).cell.graph.inputs
    with pytest.raises(BadRecordError, match=r"y is nan, step .* --missing mask"):
        read(tmp_path, x=X, y=np.where(KNOWN, REAL, np.nan).astype(np.float32))
    x = X.copy()
    x[1, 0] = np.nan
    with pytest.raises(BadRecordError, match="x is nan, step 1"):
        read(tmp_path, "mask", x=x, y=REAL)
    with pytest.raises(BadRecordError, match="mask holds int64 of shape"):
        read(tmp_path, x=X, y=np.where(KNOWN, BINARY, -100), mask=np.ones((3, 2), int))
