"""`bptt flow` of a new cell and of a saved model."""

import numpy as np
import pytest

import bptt as library
from bptt.train.checkpoint import Checkpoint
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import create_run
from tests.cli.command import bptt

TEXT = "the cat sat on the mat. " * 20 + "\n"


def test_a_cell_gets_a_read_out_and_a_page(tmp_path):
    command = "flow elman --tau 9 --rows 2 --n-h 5 --seed 3 --out flow.html"
    ended = bptt(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "Gradient flow: loss" in ended.stdout
    assert "elman; random inputs, 2 rows of 9 steps; n_h = 5" in ended.stdout
    assert "float64; seed 3" in ended.stdout
    assert "written: flow.html" in ended.stdout
    page = (tmp_path / "flow.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "random inputs, 2 rows of 9 steps" in page


def test_the_text_is_in_chinese_where_asked_and_judged_at_the_lag_given(tmp_path):
    command = "flow lstm --tau 12 --rows 2 --n-h 5 --lang zh --lag 40"
    ended = bptt(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "梯度往回传 40 步" in ended.stdout
    ended = bptt("flow", "elman", "--tau", "4", "--lang", "fr", cwd=tmp_path)
    assert ended.returncode == 2
    assert "language 'fr': a flow is written in en and zh" in ended.stderr


def test_a_cell_with_inputs_that_are_drawn_runs(tmp_path):
    (tmp_path / "noisy.cell").write_text(
        "m: n_h = dropout(0.5)\nh[t] = tanh(m[t] * (W @ h[t-1]) + U @ x[t])\n"
    )
    ended = bptt("flow", "noisy.cell", "--tau", "4", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "4 rows of 4 steps" in ended.stdout


def test_a_trained_model_reads_a_text(tmp_path):
    pytest.importorskip("safetensors")
    cell = library.cells.gru.with_tokens().with_readout()
    vocabulary = Vocabulary.build(TEXT)
    n = len(vocabulary)
    params = cell.init(n_x=n, n_o=n, n_h=6, seed=2, dtype="float32")
    config = {"options": TrainingOptions().to_json()}
    create_run(tmp_path / "run", cell.text, config, vocabulary, Checkpoint(params))
    (tmp_path / "text.txt").write_text(TEXT)
    command = "flow run --text text.txt --tau 12 --rows 3"
    ended = bptt(*command.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr

    # three rows from the start, the middle and the end of the text
    length = len(TEXT) - 13
    tokens = np.stack(
        [vocabulary.encode(TEXT[s : s + 13]) for s in (0, length // 2, length)], axis=1
    )
    inputs = {"x": tokens[:-1], "y": tokens[1:]}
    loss = cell.forward(params, inputs, reduction="mean").loss
    assert "run; 3 rows of 12 steps of text.txt" in ended.stdout
    assert f"Gradient flow: loss {loss:.5g}" in ended.stdout


def test_a_missing_cell_is_a_mistake(tmp_path):
    ended = bptt("flow", "nothing", cwd=tmp_path)
    assert ended.returncode == 2
    assert "cell 'nothing': neither a built-in cell nor a file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_of_sequences_is_not_given_a_text(tmp_path):
    pytest.importorskip("safetensors")
    cell = library.cells.elman
    params = cell.init(n_x=2, n_h=3, dtype="float32")
    options = TrainingOptions().to_json()
    config = {"options": options, "data": {"kind": "sequences"}}
    create_run(tmp_path / "run", cell.text, config, None, Checkpoint(params))
    ended = bptt("flow", "run", cwd=tmp_path)
    assert ended.returncode == 2
    assert "run was trained on sequences, not on text" in ended.stderr
