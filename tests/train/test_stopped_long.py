"""A stopped run of long data: nothing is measured, and it goes on all the same."""

import json
import os
import signal
from dataclasses import replace
from io import StringIO
from math import inf, isnan
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from bptt.train import TrainingOptions, resume, train
from bptt.train import finish as finish_module
from bptt.train import full_batch as full_batch_module
from bptt.train import loop as loop_module
from bptt.train import session as session_module
from bptt.train.data.sequences import Batches, Sequences
from bptt.train.data.windows import count_steps
from bptt.train.processes import ALONE
from bptt.train.report import UNMEASURED, in_sentence
from tests.train.test_resume import (
    BASE,
    TEXT,
    assert_same_run,
    interrupt_after,
)
from tests.train.test_resume import sequences as sequences  # noqa: PLC0414

pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.fixture
def everything_is_long(monkeypatch):
    """Every part is longer than what Ctrl-C waits for."""
    monkeypatch.setattr(session_module, "FEW_STEPS", -1)
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
    assert stopped.unmeasured == ("validation", "references")
    assert in_sentence(stopped.unmeasured) in stopped.remarks
    assert "Not measured after Ctrl-C" in printed(stopped)
    assert ("bits per character" in printed(stopped)) == (windows == 17)
    summary = json.loads((tmp_path / "stopped" / "summary.json").read_text())
    assert summary["last"]["loss"] is None
    assert summary["best"]["loss"] == (None if windows == 2 else stopped.best)
    assert (tmp_path / "stopped" / "report.html").is_file()
    ended = resume(tmp_path / "stopped", quiet, TEXT)
    assert ended.validation == straight.validation
    assert ended.baselines == straight.baselines
    assert not ended.unmeasured
    assert not [one for one in ended.remarks if "Ctrl-C" in one]
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_stopped_run_of_many_sequences_measures_no_test_part(
    sequences, tmp_path, quiet, monkeypatch, everything_is_long
):
    options = TrainingOptions(**BASE | {"tau": None, "k1": 3, "k2": 6, "test": 0.1})
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 5)
    stopped = train(sequences, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert stopped.tested is None
    assert stopped.unmeasured == tuple(UNMEASURED)
    assert resume(tmp_path / "stopped", quiet, sequences).tested is not None


def windows_with_validation(patch):
    """The windows after which the held-out part is measured, as a run goes on."""
    due, validate = [], session_module.validate

    def noted(*given, is_last_word=False):
        if not is_last_word:
            due.append(given[2].windows)
        return validate(*given, is_last_word=is_last_word)

    patch.setattr(session_module, "validate", noted)
    return due


def interrupt_within(patch, module, number):
    """Ctrl-C as the `number`-th measurement of a part by a module begins."""
    measure, calls = module.evaluate_part, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return measure(*given)

    patch.setattr(module, "evaluate_part", interrupted)


@pytest.mark.parametrize(
    ("where", "number"), [("before", 2), ("within", 2), ("within", -1)]
)
def test_a_long_validation_that_is_due_is_owed_until_the_run_goes_on(
    where, number, tmp_path, quiet, monkeypatch, everything_is_long
):
    """Ctrl-C in the window before one, or within one; also the last one of a run."""
    options = TrainingOptions(**BASE)
    with monkeypatch.context() as patch:
        due = windows_with_validation(patch)
        straight = train(TEXT, options, tmp_path / "straight", quiet)
    number %= len(due) + 1
    with monkeypatch.context() as patch:
        if where == "within":
            interrupt_within(patch, session_module, number)
        else:
            last = due[number - 1]
            interrupt_after(patch, loop_module, "Learner", "learn_window", last)
        stopped = train(TEXT, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert stopped.n_windows == due[number - 1]
    assert isnan(stopped.validation)
    assert stopped.unmeasured == ("validation", "references")
    with monkeypatch.context() as patch:  # once more, before it has paid
        interrupt_within(patch, session_module, 1)
        assert resume(tmp_path / "stopped", quiet, TEXT).was_interrupted
    ended = resume(tmp_path / "stopped", quiet, TEXT)
    assert ended.validation == straight.validation
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_short_validation_that_is_due_is_made(tmp_path, quiet, monkeypatch):
    options = TrainingOptions(**BASE)
    with monkeypatch.context() as patch:
        due = windows_with_validation(patch)
        straight = train(TEXT, options, tmp_path / "straight", quiet)
    interrupt_within(monkeypatch, session_module, 2)
    stopped = train(TEXT, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert stopped.n_windows == due[1] + 1
    assert not isnan(stopped.validation)
    assert not stopped.unmeasured
    ended = resume(tmp_path / "stopped", quiet, TEXT)
    assert ended.validation == straight.validation
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_the_measurements_at_the_end_are_left_at_once_and_made_later(
    sequences, tmp_path, monkeypatch
):
    options = TrainingOptions(**BASE | {"tau": None, "k1": 3, "k2": 6, "test": 0.1})
    console = Console(width=200, file=StringIO())
    with monkeypatch.context() as patch:
        interrupt_within(patch, finish_module, 1)
        with pytest.raises(KeyboardInterrupt):
            train(sequences, options, tmp_path / "run", console)
    said = console.file.getvalue()
    assert "All that was learned is saved; what is left to measure, this" in said
    assert f"train --resume {tmp_path / 'run'}" in said
    ended = resume(tmp_path / "run", console, sequences)
    assert not ended.was_interrupted
    assert ended.tested is not None


def test_a_long_test_part_alone_is_told(sequences, tmp_path, quiet, monkeypatch):
    is_soon = session_module.is_soon_measured
    monkeypatch.setattr(
        finish_module, "is_soon_measured",
        lambda setting, part, meter: part != "test" and is_soon(setting, part, meter),
    )  # fmt: skip
    options = TrainingOptions(**BASE | {"tau": None, "k1": 3, "k2": 6, "test": 0.1})
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 5)
    stopped = train(sequences, options, tmp_path / "stopped", quiet)
    assert not isnan(stopped.validation)
    assert stopped.unmeasured == ("test", "references")
    assert "a few seconds: the test part, predictors without" in printed(stopped)


def test_a_loss_that_is_no_number_is_shown_and_not_called_unmeasured(
    tmp_path, quiet, monkeypatch
):
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 2)
    stopped = train(TEXT, TrainingOptions(**BASE), tmp_path / "stopped", quiet)
    diverged = replace(stopped, last=replace(stopped.last, loss=float("nan")))
    assert "this network (book)" in printed(diverged)
    assert "Not measured" not in printed(diverged)


@pytest.mark.parametrize("target", ["step", "sequence"])
def test_what_ctrl_c_waits_for_is_counted_in_steps(target):
    """Of 300 sequences of 70 steps, a target at each step or one at the last alone."""
    n, tau = 300, 70
    x = [np.zeros((tau, 2), np.float32)] * n
    y = [np.zeros(tau if target == "step" else (), int)] * n
    data = Batches(Sequences(x, y, per_step=target == "step"), 8)
    count = n * tau if target == "step" else n
    counted = count_steps(data), session_module._count_targets(data)
    assert counted == (n * tau, count)
    parts = {"validation": data, "training": data}
    for seconds, is_soon in ((0.9, True), (1.1, False)):
        # Training that takes all of it in so many times two seconds.
        speed = count / (2 * seconds)
        setting = SimpleNamespace(task=SimpleNamespace(parts=parts), processes=ALONE)
        meter = SimpleNamespace(status=SimpleNamespace(speed=speed))
        found = session_module.is_soon_measured(setting, "validation", meter)
        assert found == is_soon


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


def test_a_long_validation_of_lbfgs_is_left_and_its_round_done_again(
    sequences, tmp_path, quiet, monkeypatch, everything_is_long
):
    monkeypatch.setattr(full_batch_module, "ROUND", 4)
    options = TrainingOptions(**BASE | {"tau": None, "optimiser": "lbfgs", "epochs": 8})
    straight = train(sequences, options, tmp_path / "straight", quiet)
    for number in (2, 1):
        with monkeypatch.context() as patch:
            interrupt_within(patch, session_module, number)
            if number == 2:
                stopped = train(sequences, options, tmp_path / "stopped", quiet)
            else:
                stopped = resume(tmp_path / "stopped", quiet, sequences)
        assert stopped.was_interrupted
        assert isnan(stopped.validation)
    ended = resume(tmp_path / "stopped", quiet, sequences)
    assert ended.validation == straight.validation


def test_a_short_part_is_measured(tmp_path, quiet, monkeypatch):
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 2)
    stopped = train(TEXT, TrainingOptions(**BASE), tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert not isnan(stopped.validation)
    assert not stopped.unmeasured
