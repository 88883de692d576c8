"""Several processes, started by torchrun as a person starts them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from bptt.execute.dispatch import REFERENCE
from bptt.train import SeveralProcessesError, TrainingOptions, resume, train, training
from bptt.train.checkpoint import LAST, read_checkpoint
from bptt.train.errors import RunInUseError
from bptt.train.processes import Processes, _Group
from bptt.train.run_folder import hold_run, read_metrics

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.train import distributed
from tests.train.executed import EXECUTED


def torchrun(*arguments, restarts=0, fails=False):
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node", "2", "--max-restarts", str(restarts),
            "--monitor-interval", "0.1",
            Path(distributed.__file__), *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (ended.returncode == 0) != fails, ended.stderr[-3000:]
    return ended.stdout


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """The folder of what two processes learn, and what they say."""
    folder = tmp_path_factory.mktemp("two")
    return folder, torchrun("learn", folder)


@pytest.fixture
def together(learnt):
    return learnt[0]


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)


def assert_close(first, second):
    a, b = (read_checkpoint(folder, LAST) for folder in (first, second))
    assert a.position == b.position
    assert a.parameters.keys() == b.parameters.keys()
    for name in a.parameters:
        # float32 sums of two parts in another order, over at most 30 steps.
        np.testing.assert_allclose(
            a.parameters[name], b.parameters[name], rtol=2e-5, atol=2e-6
        )


def figures(folder, prefix):
    return [
        value
        for record in read_metrics(folder)
        for name, value in record.items()
        if name.startswith(prefix) and isinstance(value, float)
    ]


def test_two_processes_learn_what_one_does_on_the_same_global_batch(together, tmp_path):
    train(distributed.TEXT, distributed.OPTIONS, tmp_path / "one", Console(quiet=True))
    assert_close(together / "learn", tmp_path / "one")
    for prefix in ("training_", "validation_", "gradient_norm"):
        ours, theirs = (
            figures(together / "learn", prefix),
            figures(tmp_path / "one", prefix),
        )
        assert len(ours) == len(theirs) > 2
        np.testing.assert_allclose(ours, theirs, rtol=2e-4)


def test_ragged_batches_with_fewer_rows_than_processes_do_too(together, tmp_path):
    given = {**vars(distributed.OPTIONS), "tau": None, "k1": 3, "held_out": 0.13}
    options = TrainingOptions(**given)
    data = distributed.sequences(together)
    train(data, options, tmp_path / "one", Console(quiet=True))
    assert_close(together / "sequences", tmp_path / "one")


def test_after_the_death_of_a_process_both_go_on_from_the_checkpoint(together):
    torchrun("killed", together, restarts=1)
    assert_close(together / "killed", together / "learn")
    windows = [r["window"] for r in read_metrics(together / "killed")
               if "gradient_norm" in r]  # fmt: skip
    assert windows == list(range(1, len(windows) + 1))


def test_the_test_part_is_measured_with_the_best_parameters_by_all(learnt, tmp_path):
    options = replace(distributed.OPTIONS, test=0.2)
    alone = train(distributed.TEXT, options, tmp_path / "one", Console(quiet=True))
    printed = learnt[1].split()
    assert len(printed) == 2
    assert printed[0] == printed[1]
    np.testing.assert_allclose(float(printed[0]), alone.test, rtol=2e-4)


def test_a_process_that_hangs_ends_the_run_with_a_message(tmp_path):
    said = torchrun("hangs", tmp_path, fails=True)
    assert "process 0 waits for the others, and for 3 s no word came." in said
    assert "The run goes on from its last checkpoint with --resume" in said
    assert read_checkpoint(tmp_path / "hangs", LAST).position.window > 0


def test_two_cannot_go_on_with_one_run_at_once(tmp_path):
    options = replace(distributed.OPTIONS, epochs=1)
    train(distributed.TEXT, options, tmp_path / "one", Console(quiet=True))
    with (
        hold_run(tmp_path / "one"),
        pytest.raises(RunInUseError, match="another process is going on with this run"),
    ):
        resume(tmp_path / "one", Console(quiet=True), distributed.TEXT)
    resume(tmp_path / "one", Console(quiet=True), distributed.TEXT)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_together_the_processes_have_each_row_once(n, monkeypatch):
    monkeypatch.setattr(_Group, "__init__", lambda self, silence: None)
    rows = np.random.default_rng(0).permutation(100)[:n]
    seen = []
    for rank in range(3):
        process = _Group(1.0)
        process.rank, process.size = rank, 3
        share = process.share(rows)
        assert len(share.rows) > 0
        np.testing.assert_array_equal(rows[share.places], share.rows)
        if share.counts:
            seen += share.rows.tolist()
    assert seen == rows.tolist()


def test_l_bfgs_is_refused_where_there_are_several():
    options = TrainingOptions(**{**vars(distributed.OPTIONS), "optimiser": "lbfgs"})
    several = Processes()
    several.size = 2
    with pytest.raises(SeveralProcessesError, match="L-BFGS runs in one"):
        training._is_full_batch(options, SimpleNamespace(kind="sequences"), several)


def test_alone_a_process_has_every_row_and_sums_are_what_they_were():
    rows = np.array([4, 2])
    alone = Processes()
    assert alone.share(rows).rows is rows
    assert alone.add({"a": rows})["a"] is rows
