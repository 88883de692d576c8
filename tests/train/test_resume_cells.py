"""A run of every cell of the library, stopped and taken up again, with kernels.

Its kernels are compiled again for a fresh cell, and must give the same bits. One is
stopped as Ctrl-C stops it, another killed at random moments.
BPTT_EVERY_CELL=1 tries every cell; a usual run those whose plans once differed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bptt
from bptt.train import PlainText, TrainingOptions, resume, train
from bptt.train import loop as loop_module
from tests.execute.fingerprints import allocate_junk
from tests.train.test_resume import assert_same_run, interrupt_after

pytest.importorskip("torch")
pytest.importorskip("safetensors")

EVERY = tuple(bptt.cells.names())
CELLS = EVERY if os.environ.get("BPTT_EVERY_CELL") else ("gru",)
TEXT = PlainText("the cat sat on the mat, the dog ran. " * 12, source="x", n_files=1)


@pytest.mark.parametrize("name", CELLS)
def test_a_run_taken_up_by_fresh_kernels_ends_with_the_same_bits(
    name, tmp_path, quiet, monkeypatch
):
    options = TrainingOptions(
        cell=name, n_h=4, n_b=3, tau=8, epochs=2, held_out=0.1, checkpoint_every=5
    )
    train(TEXT, options, tmp_path / "straight", quiet)
    junk = allocate_junk(1)
    with monkeypatch.context() as patch:
        interrupt_after(patch, loop_module, "Learner", "learn_window", 7)
        assert train(TEXT, options, tmp_path / "stopped", quiet).was_interrupted
    junk += allocate_junk(2)
    assert not resume(tmp_path / "stopped", quiet, TEXT).was_interrupted
    assert junk
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


@pytest.mark.parametrize("name", CELLS)
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(name, tmp_path):
    program = Path(__file__).with_name("killed.py")
    ended = subprocess.run(
        [sys.executable, program, tmp_path, "1", name, "4"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[0] == "4"
    assert_same_run(tmp_path / "straight", tmp_path / "killed")
