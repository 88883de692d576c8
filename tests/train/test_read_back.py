"""Targets that are read back (teacher forcing), in the units that training gave them.

A model that predicts from y must be measured, predict in Python and as a command alike.
"""

import csv

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.train import (
    DataRequest,
    TrainingOptions,
    load,
    measure_run,
    open_data,
    reads_of,
    train,
)
from bptt.train.data.text import PlainText
from bptt.train.errors import ForecastError
from bptt.train.predicting import read_like

pytest.importorskip("torch")
CELL = "h[t] = tanh(W @ h[t-1] + U @ x[t] + R @ y[t-1])\no[t] = c + V @ h[t]\n"
CELL += "L[t] = mse(o[t], y[t])\n"
N, TAU, N_X, N_O = 8, 6, 3, 2


def trained(folder, quiet, **arrays):
    (folder / "own.cell").write_text(CELL)
    np.savez(folder / "data.npz", **arrays)
    options = TrainingOptions(
        cell=str(folder / "own.cell"), n_h=4, n_b=5, epochs=3, held_out=0.3,
        standardise=True, learning_rate=0.05,
    )  # fmt: skip
    reads = reads_of(options.cell)
    data = open_data(DataRequest((folder / "data.npz",), reads=reads))
    train(data, options, folder / "run", quiet)
    return folder / "run", folder / "data.npz"


def test_predictions_are_those_that_are_measured(tmp_path, quiet):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, size=(N, TAU, N_X)).astype(np.float32)
    y = np.array([100, -40]) + np.array([10, 3]) * rng.normal(size=(N, TAU, N_O))
    run, path = trained(tmp_path, quiet, x=x, y=y.astype(np.float32))
    model = load(run)
    measured = measure_run(run, open_data(read_like(run, DataRequest((path,)))))
    given = {"x": np.moveaxis(x, 0, 1), "y": np.moveaxis(y, 0, 1)}
    p = np.moveaxis(model.predict(given), 1, 0)
    own = ((p - y) / np.array(model.form.y_scale)) ** 2
    assert measured.loss == pytest.approx(own.mean(), rel=1e-4)  # float32, seen 1e-7
    found = tmp_path / "p.csv"
    words = ["predict", str(run), str(path), "--out", str(found)]
    app(words, standalone_mode=False)
    rows = np.array(list(csv.reader(found.read_text().splitlines()))[1:], float)
    np.testing.assert_allclose(rows[:, 2:], p.reshape(-1, N_O), rtol=1e-4)


def test_a_forecast_without_the_targets_it_reads_is_refused(tmp_path, quiet):
    x = np.random.default_rng(1).normal(size=(N, TAU, N_X)).astype(np.float32)
    run, _ = trained(tmp_path, quiet, x=x)
    with pytest.raises(ForecastError, match="reads the targets of earlier steps"):
        load(run).forecast(np.moveaxis(x, 0, 1), 2)


@pytest.mark.parametrize(
    "text",
    [
        "h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = nll(softmax(c + V @ h[t]), y[t])",
        "h[t] = tanh(h[t-1] + U @ x[t] + R[:, y[t-1]]); o[t] = V @ h[t]; L[t] = NLL",
    ],
    ids=["scores without a name", "targets read back"],
)
def test_a_run_on_text_with_a_cell_that_cannot_write_has_no_sample(
    text, small_text, quiet, tmp_path
):
    nll = "nll(softmax(o[t]), y[t])"
    (tmp_path / "own.cell").write_text(
        text.replace("; ", "\n").replace("NLL", nll), encoding="utf-8"
    )
    words = PlainText(small_text.characters[:1500], source="words", n_files=1)
    options = TrainingOptions(cell=str(tmp_path / "own.cell"), n_h=5, n_b=3, tau=6)
    report = train(words, options, tmp_path / "run", quiet)
    assert report.sample is None
    assert np.isfinite(report.validation)
