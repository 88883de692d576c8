"""A finished run that learns on, and a run that begins with another's parameters."""

import json

import numpy as np
import pytest

from bptt.train import BEST, PlainText, TrainingOptions, resume, train
from bptt.train.errors import OptionError, StartError
from bptt.train.run_folder import read_metrics, read_run

pytest.importorskip("torch")
pytest.importorskip("safetensors")

TEXT = PlainText("the cat sat on the mat. " * 30, source="lines", n_files=1)
BASE = {"cell": "elman", "n_h": 5, "n_b": 3, "tau": 8, "held_out": 0.1}


def test_a_finished_run_with_more_epochs_is_the_longer_run(tmp_path, quiet):
    """With a constant rate nothing else tells how long a run was to be."""
    options = TrainingOptions(**BASE, epochs=2, schedule="constant", optimiser="adam")
    train(TEXT, options, tmp_path / "short", quiet)
    report = resume(tmp_path / "short", quiet, TEXT, epochs=4)
    longer = TrainingOptions(**BASE, epochs=4, schedule="constant")
    train(TEXT, longer, tmp_path / "long", quiet)
    short, long = (read_run(tmp_path / name) for name in ("short", "long"))
    for name, value in long.parameters.items():
        np.testing.assert_array_equal(short.parameters[name], value)
    assert short.options == longer
    assert report.n_windows == read_metrics(tmp_path / "long")[-1]["window"]
    with pytest.raises(OptionError, match="more than the 4 the run was begun with"):
        resume(tmp_path / "short", quiet, TEXT, epochs=4)


def test_a_run_out_of_patience_and_a_fixed_schedule_are_not_extended(tmp_path, quiet):
    options = TrainingOptions(**BASE, epochs=9, learning_rate=5.0, patience=1)
    train(TEXT, options, tmp_path / "run", quiet)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(OptionError, match="a run whose patience is not over"):
        resume(tmp_path / "run", quiet, TEXT, epochs=10)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    options = TrainingOptions(**BASE, schedule="OneCycleLR")
    train(TEXT, options, tmp_path / "cycle", quiet)
    with pytest.raises(OptionError, match="OneCycleLR was made for 1"):
        resume(tmp_path / "cycle", quiet, TEXT, epochs=10)


def test_a_run_begins_with_the_best_parameters_of_another(tmp_path, quiet):
    train(TEXT, TrainingOptions(**BASE, epochs=4), tmp_path / "one", quiet)
    best = read_run(tmp_path / "one", BEST)
    other = PlainText("a cat sat on a mat. zebra " * 40, source="others", n_files=1)
    start = str(tmp_path / "one")
    tiny = TrainingOptions(**BASE, start=start, learning_rate=1e-30)
    train(other, tiny, tmp_path / "two", quiet)
    two = read_run(tmp_path / "two")
    for name, value in best.parameters.items():
        np.testing.assert_allclose(two.parameters[name], value, rtol=1e-6)
    assert two.vocabulary == best.vocabulary
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert config["options"]["start"] == start
    wide = TrainingOptions(**BASE | {"n_h": 6}, start=start)
    with pytest.raises(
        StartError, match=r"has shape \(5, 12\) there and \(6, 12\) here"
    ):
        train(other, wide, tmp_path / "three", quiet)
    assert not (tmp_path / "three").exists()
