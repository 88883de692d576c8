"""Series that come with statsmodels, from the file to the forecast."""

import csv

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.train import read_summary
from bptt.train.errors import BadRecordError

pytest.importorskip("torch")
pytest.importorskip("pandas")
datasets = pytest.importorskip("statsmodels.datasets")


def bptt(*words):
    app([*map(str, words)], standalone_mode=False)


def test_sunspots_are_forecast_better_than_by_either_naive_forecast(tmp_path, capsys):
    table = datasets.sunspots.load_pandas().data
    table.to_csv(tmp_path / "sunspots.csv", index=False)
    asked = "--time YEAR --season 11 --split 0.7,0.15,0.15 --n-h 8 --epochs 120"
    how = "--learning-rate 0.02 --validations 1"
    run = tmp_path / "run"
    file = tmp_path / "sunspots.csv"
    bptt("train", file, *asked.split(), *how.split(), "--out", run)
    found = read_summary(run).record
    tested = found.baselines["test"]
    # Seen, after 200 epochs: 16.0 of the network, 29.3 and 34.8 of the naive ones.
    assert found.test["rmse"] < 22
    for name, figures in tested.items():
        assert found.test["rmse"] < 0.8 * figures["rmse"], name
    series = table["SUNACTIVITY"].to_numpy()
    n = round(len(series[:-1]) * 0.15)
    errors = series[-n:] - series[-n - 1 : -1]
    assert tested["naive forecast"]["rmse"] == pytest.approx(
        np.sqrt((errors**2).mean()), rel=1e-5
    )
    bptt("forecast", run, "--steps", 24, "--out", tmp_path / "f.csv")
    with (tmp_path / "f.csv").open() as stream:
        heads, *rows = csv.reader(stream)
    assert heads[2:] == [
        "SUNACTIVITY", "SUNACTIVITY naive", "SUNACTIVITY seasonal naive",
    ]  # fmt: skip
    values = np.array([row[2:] for row in rows], float)
    assert (values[:, 1] == series[-1]).all()
    np.testing.assert_allclose(values[:13, 2], [*series[-11:], *series[-11:-9]])
    assert values[:, 0].std() > 10  # it goes on to rise and fall
    capsys.readouterr()


def test_weekly_co2_with_its_gaps_is_refused_or_read_in_streams(tmp_path, capsys):
    table = datasets.co2.load_pandas().data
    table.to_csv(tmp_path / "co2.csv", index_label="date")
    given = ["train", tmp_path / "co2.csv", "--time", "date", "--out", tmp_path / "run"]
    with pytest.raises(BadRecordError, match="has 'co2' missing, line 8"):
        bptt(*given)
    more = "--missing mask --tau 64 --n-b 8 --n-h 4 --epochs 1 --split 0.8,0.1,0.1"
    bptt(*given, *more.split())
    assert "8 streams of training" in capsys.readouterr().out
    bptt("eval", tmp_path / "run", tmp_path / "co2.csv")
    n = table["co2"].to_numpy()[1:]
    assert f"(mean over {np.isfinite(n).sum():,} steps)" in capsys.readouterr().out
