"""Run folders: what is written comes back, and damage is named."""

import json

import numpy as np
import pytest

from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import DamagedRunError, FolderInUseError, RunNotFoundError
from bptt.train.run_folder import (
    Metrics,
    new_folder,
    read_run,
    write_model,
    write_parameters,
)

pytest.importorskip("safetensors")
TEXT = "h[t] = tanh(W @ h[t-1] + U @ x[t])\n"
VOCABULARY = Vocabulary(("\n", " ", '"', "\\", "é", "🙂"))


@pytest.fixture
def folder(tmp_path):
    folder = new_folder(tmp_path / "runs" / "one")
    write_model(folder, TEXT, {"options": {"tau": 3}}, VOCABULARY)
    parameters = {
        "W": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
        "alpha": np.array(0.5),
    }
    write_parameters(folder, parameters)
    return folder


def test_everything_comes_back(folder):
    run = read_run(folder)
    assert run.cell_text == TEXT
    assert run.config == {"options": {"tau": 3}}
    assert run.vocabulary == VOCABULARY
    np.testing.assert_array_equal(run.parameters["W"], [[0, 3], [1, 4], [2, 5]])
    assert run.parameters["W"].dtype == np.float32
    assert run.parameters["alpha"].shape == ()
    assert run.parameters["alpha"] == 0.5
    run.parameters["W"][0, 0] = 1.0  # not read-only


def test_the_folder_holds_what_is_documented(folder):
    assert {p.name for p in folder.iterdir()} == {
        "cell.cell",
        "config.json",
        "metrics.jsonl",
        "params.safetensors",
        "vocabulary.json",
    }


def test_a_folder_in_use_is_refused(folder):
    with pytest.raises(FolderInUseError, match="the folder is not empty"):
        new_folder(folder)


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    assert new_folder(tmp_path / "run").is_dir()


def test_metrics_are_on_disk_line_by_line(folder):
    with Metrics(folder) as metrics:
        metrics.write({"window": 1})
        metrics.write({"window": 2})
        lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"window": 1}, {"window": 2}]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunNotFoundError, match="no such folder") as caught:
        read_run(tmp_path / "nowhere")
    assert "nowhere" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["cell.cell", "config.json", "vocabulary.json", "params.safetensors"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(RunNotFoundError, match=f"there is no {name} in it"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("params.safetensors", b"\x80\x04pickle", "is not a safetensors file"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"[]", "is not a JSON object"),
        ("vocabulary.json", b'["ab"]', "is not a list of different single characters"),
        ("vocabulary.json", b'["a", "a"]', "is not a list of different single"),
        ("cell.cell", b"\xff", "cannot be read as text"),
    ],
)
def test_damage_is_named(folder, name, content, reason):
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedRunError, match=reason) as caught:
        read_run(folder)
    assert name in str(caught.value)
