"""A stopped run of long data: nothing is measured, and it goes on all the same."""

import json
from io import StringIO
from math import inf, isnan

import pytest
from rich.console import Console

from bptt.execute.dispatch import REFERENCE
from bptt.train import TrainingOptions, resume, train
from bptt.train import full_batch as full_batch_module
from bptt.train import loop as loop_module
from bptt.train import session as session_module
from bptt.train.report import UNMEASURED
from tests.train.executed import EXECUTED
from tests.train.test_resume import (
    BASE,
    TEXT,
    assert_same_run,
    interrupt_after,
)
from tests.train.test_resume import sequences as sequences  # noqa: PLC0414

pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)


@pytest.fixture
def everything_is_long(monkeypatch):
    """Every part is longer than what Ctrl-C waits for."""
    monkeypatch.setattr(session_module, "FEW_ITEMS", -1)
    monkeypatch.setattr(session_module, "LAST_SECONDS", 0.0)


def printed(report):
    console = Console(width=200, file=StringIO())
    console.print(report)
    return console.file.getvalue()


@pytest.mark.parametrize("windows", [2, 17])
def test_a_stopped_run_of_a_long_text_is_not_measured_and_goes_on(
    windows, tmp_path, quiet, monkeypatch, everything_is_long
):
    """Before the first validation, and after some."""
    options = TrainingOptions(**BASE)
    straight = train(TEXT, options, tmp_path / "straight", quiet)
    with monkeypatch.context() as patch:
        interrupt_after(patch, loop_module, "Learner", "learn_window", windows)
        stopped = train(TEXT, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert isnan(stopped.validation)
    assert stopped.baselines is None
    assert (stopped.best == inf) == (windows == 2)
    assert UNMEASURED in stopped.remarks
    assert "Not measured after Ctrl-C" in printed(stopped)
    assert ("bits per character" in printed(stopped)) == (windows == 17)
    summary = json.loads((tmp_path / "stopped" / "summary.json").read_text())
    assert summary["last"]["loss"] is None
    assert summary["best"]["loss"] == (None if windows == 2 else stopped.best)
    assert (tmp_path / "stopped" / "report.html").is_file()
    ended = resume(tmp_path / "stopped", quiet, TEXT)
    assert ended.validation == straight.validation
    assert ended.baselines == straight.baselines
    assert UNMEASURED not in ended.remarks
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_stopped_run_of_many_sequences_measures_no_test_part(
    sequences, tmp_path, quiet, monkeypatch, everything_is_long
):
    options = TrainingOptions(**BASE | {"tau": None, "k1": 3, "k2": 6, "test": 0.1})
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 4)
    stopped = train(sequences, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert stopped.tested is None
    assert resume(tmp_path / "stopped", quiet, sequences).tested is not None


def test_a_stopped_run_of_lbfgs_is_not_measured(
    sequences, tmp_path, quiet, monkeypatch, everything_is_long
):
    monkeypatch.setattr(full_batch_module, "ROUND", 4)
    options = TrainingOptions(
        **BASE | {"tau": None, "optimiser": "lbfgs", "epochs": 10}
    )
    interrupt_after(monkeypatch, full_batch_module, "Meter", "add", 6)
    stopped = train(sequences, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert isnan(stopped.validation)
    assert stopped.best < inf  # of the round before
    assert not isnan(resume(tmp_path / "stopped", quiet, sequences).validation)


def test_a_short_part_is_measured(tmp_path, quiet, monkeypatch):
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 2)
    stopped = train(TEXT, TrainingOptions(**BASE), tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert not isnan(stopped.validation)
    assert UNMEASURED not in stopped.remarks
