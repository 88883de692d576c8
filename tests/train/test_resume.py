"""A run that was stopped goes on as if it had never been, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bptt.execute.dispatch import REFERENCE
from bptt.train import PlainText, TrainingOptions, resume, train
from bptt.train import full_batch as full_batch_module
from bptt.train import loop as loop_module
from bptt.train.checkpoint import BEST, LAST, path_of, read_checkpoint
from bptt.train.data.sequence_files import read_sequences
from bptt.train.errors import (
    DamagedCheckpointError,
    DataChangedError,
    FolderNotWritableError,
    FullBatchError,
    OptionError,
    UnknownOptimiserError,
)
from bptt.train.run_folder import read_metrics
from tests.train.executed import EXECUTED

pytest.importorskip("torch")
pytest.importorskip("safetensors")
resource = pytest.importorskip("resource")

TEXT = PlainText(
    "the cat sat on the mat, the dog ran. " * 30, source="lines", n_files=1
)
# The book's cell keeps the kernels few; what is saved does not depend on the cell.
BASE = {"cell": "book", "n_h": 5, "n_b": 3, "tau": 8, "epochs": 2, "held_out": 0.1}
OPTIONS = TrainingOptions(**BASE, checkpoint_every=5)
CASES = {
    "adam, cosine": {},
    "momentum, k1 < k2": {
        "optimiser": "sgd",
        "optimiser_options": {"momentum": 0.9},
        "k1": 3,
    },
    "a scheduler, both clips, decay": {
        "optimiser": "adamw",
        "weight_decay": 0.1,
        "schedule": "ReduceLROnPlateau",
        "scheduler_options": {"patience": 0},
        "clip_value": 0.05,
    },
}


@pytest.fixture(autouse=True)
def executor(monkeypatch, request):
    """NumPy runs these steps, except where kernels are asked for: what is saved does
    not depend on it, and nothing needs to be compiled.
    """
    if "with_kernels" not in request.keywords:
        for method in EXECUTED:
            monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    random = np.random.default_rng(0)
    lengths = random.integers(3, 9, 24)
    x = random.normal(size=(24, 8, 2)).astype(np.float32)
    y = random.integers(0, 3, (24, 8))
    file = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(file, x=x, y=y, lengths=lengths)
    return read_sequences(str(file), [file])


def assert_same_run(first, second):
    """Everything in the last checkpoints, and every record but the seconds."""
    a, b = (read_checkpoint(folder, LAST) for folder in (first, second))
    assert a.position == b.position
    for name in a.parameters:
        np.testing.assert_array_equal(a.parameters[name], b.parameters[name])
    np.testing.assert_equal(a.optimiser, b.optimiser)
    np.testing.assert_equal(a.state, b.state)
    assert without_seconds(first) == without_seconds(second)
    a, b = (read_checkpoint(folder, BEST) for folder in (first, second))
    assert a.position == b.position
    for name in a.parameters:
        np.testing.assert_array_equal(a.parameters[name], b.parameters[name])


def without_seconds(folder):
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in read_metrics(folder)
    ]


def interrupt_after(monkeypatch, module, kind, method, calls):
    """SIGINT after so many calls of a method."""
    original = getattr(getattr(module, kind), method)
    left = [calls]

    def counted(*arguments):
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(getattr(module, kind), method, counted)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.with_kernels] if not i else [])
        for i, case in enumerate(CASES)
    ],
)
def test_an_interrupted_run_is_saved_and_goes_on(case, tmp_path, quiet, monkeypatch):
    options = TrainingOptions(**BASE | CASES[case])
    straight = train(TEXT, options, tmp_path / "straight", quiet)
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 17)
    stopped = train(TEXT, options, tmp_path / "stopped", quiet)
    assert stopped.was_interrupted
    assert stopped.n_items < straight.n_items
    ended = resume(tmp_path / "stopped", quiet, TEXT)
    assert not ended.was_interrupted
    assert ended.n_items == straight.n_items
    assert ended.validation == straight.validation
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_sequences_go_on_in_the_same_order(sequences, tmp_path, quiet, monkeypatch):
    options = TrainingOptions(**BASE | {"tau": None, "k1": 3, "k2": 6, "test": 0.1})
    straight = train(sequences, options, tmp_path / "straight", quiet)
    interrupt_after(monkeypatch, loop_module, "Learner", "learn_window", 19)
    assert train(sequences, options, tmp_path / "stopped", quiet).was_interrupted
    ended = resume(tmp_path / "stopped", quiet, sequences)
    assert ended.test == straight.test
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_lbfgs_goes_on_from_the_round_that_was_stopped(
    sequences, tmp_path, quiet, monkeypatch
):
    monkeypatch.setattr(full_batch_module, "ROUND", 4)
    options = TrainingOptions(
        **BASE | {"tau": None, "optimiser": "lbfgs", "epochs": 10}
    )
    straight = train(sequences, options, tmp_path / "straight", quiet)
    first, *_, last = [
        r["training_nats_per_step"]
        for r in read_metrics(tmp_path / "straight")
        if "training_nats_per_step" in r
    ]
    assert last < 0.9 * first
    interrupt_after(monkeypatch, full_batch_module, "Meter", "add", 6)
    assert train(sequences, options, tmp_path / "stopped", quiet).was_interrupted
    assert resume(tmp_path / "stopped", quiet, sequences).best == straight.best
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_lbfgs_of_a_text_and_options_of_lbfgs_say_what_there_is(
    sequences, tmp_path, quiet
):
    options = TrainingOptions(**BASE, optimiser="LBFGS")
    with pytest.raises(UnknownOptimiserError, match="for sequence files --optimiser"):
        train(TEXT, options, tmp_path / "run", quiet)
    options = TrainingOptions(
        **BASE, optimiser="lbfgs", optimiser_options={"history": 3}
    )
    with pytest.raises(FullBatchError, match="--optimiser lbfgs: takes no options"):
        train(sequences, options, tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_early_stopping_counts_on_and_a_run_that_is_over_stays_over(tmp_path, quiet):
    options = TrainingOptions(
        **BASE | {"learning_rate": 1e-12, "patience": 2, "schedule": "constant"}
    )
    report = train(TEXT, options, tmp_path / "run", quiet)
    assert not report.was_interrupted
    checkpoint = read_checkpoint(tmp_path / "run", LAST)
    assert checkpoint.numbers["meter"]["bad_validations"] == 2
    again = resume(tmp_path / "run", quiet, TEXT)
    assert (again.n_items, again.best) == (report.n_items, report.best)


def test_killed_at_random_moments_twenty_times_it_ends_as_if_never_stopped(tmp_path):
    ended = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed.py"), tmp_path, "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    kills, positions = map(int, ended.stdout.split())
    assert kills == 20
    assert positions > 3  # the kills did not all come before the first checkpoint
    assert_same_run(tmp_path / "straight", tmp_path / "killed")


# ----- a disk that is full, a checkpoint that is damaged, data that has changed -----


@pytest.fixture
def stopped(tmp_path, quiet, monkeypatch):
    """A run stopped by SIGINT after window 23, with a best and a last checkpoint."""
    with monkeypatch.context() as patch:
        interrupt_after(patch, loop_module, "Learner", "learn_window", 23)
        train(TEXT, OPTIONS, tmp_path / "run", quiet)
    return tmp_path / "run"


def test_a_full_disk_is_an_error_that_leaves_the_last_checkpoint(stopped, quiet):
    before = path_of(stopped, LAST).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files may grow to this size only: the system refuses the write, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(FolderNotWritableError, match="File too large"):
            resume(stopped, quiet, TEXT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path_of(stopped, LAST).read_bytes() == before
    assert not [p for p in stopped.iterdir() if p.name.endswith(".part")]
    assert not resume(stopped, quiet, TEXT).was_interrupted


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error_that_names_it(stopped, quiet):
    stopped.chmod(0o555)
    try:
        with pytest.raises(FolderNotWritableError, match="Permission denied"):
            resume(stopped, quiet, TEXT)
    finally:
        stopped.chmod(0o755)


@pytest.mark.parametrize("name", ["os.fsync", "tempfile.mkstemp"])
def test_a_write_that_fails_stops_the_run_and_it_can_go_on(
    stopped, quiet, tmp_path, name
):
    before = path_of(stopped, LAST).read_bytes()

    def fail(*_, **__):
        raise OSError(30, "Read-only file system")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name, fail)
        with pytest.raises(FolderNotWritableError, match="Read-only file system"):
            resume(stopped, quiet, TEXT)
    assert path_of(stopped, LAST).read_bytes() == before
    straight = train(TEXT, OPTIONS, tmp_path / "straight", quiet)
    assert resume(stopped, quiet, TEXT).validation == straight.validation
    assert_same_run(tmp_path / "straight", stopped)


def test_from_the_best_checkpoint_a_run_goes_on_when_the_last_is_cut(
    stopped, quiet, tmp_path
):
    last = path_of(stopped, LAST)
    last.write_bytes(last.read_bytes()[:-7])
    with pytest.raises(DamagedCheckpointError, match="--checkpoint best"):
        resume(stopped, quiet, TEXT)
    train(TEXT, OPTIONS, tmp_path / "straight", quiet)
    resume(stopped, quiet, TEXT, checkpoint=BEST)
    assert_same_run(tmp_path / "straight", stopped)


def test_other_data_is_refused(stopped, quiet):
    other = PlainText(TEXT.characters[:-1] + "!", TEXT.source, 1)
    with pytest.raises(DataChangedError, match="is not what this run was trained on"):
        resume(stopped, quiet, other)


def test_data_that_was_no_file_has_to_be_given(stopped, quiet):
    with pytest.raises(OptionError, match="expected the run's DATA"):
        resume(stopped, quiet)


def test_the_record_of_an_interruption_is_for_the_person_alone(stopped):
    last, final = read_metrics(stopped)[-2:]
    assert "validation_bits_per_character" in last
    assert "best_bits_per_character" in final
    saved = read_checkpoint(stopped, LAST).numbers
    text = (stopped / "metrics.jsonl").read_bytes()[: saved["metrics_length"]]
    records = [json.loads(line) for line in text.splitlines()]
    assert records[-1]["window"] == 23
    assert "training_bits_per_character" in records[-1]
