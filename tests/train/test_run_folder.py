"""Run folders: what is written comes back, and damage is named."""

import json

import numpy as np
import pytest

from bptt.train import checkpoint as checkpoint_module
from bptt.train import run_folder
from bptt.train.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    Position,
    path_of,
    read_checkpoint,
    write_checkpoint,
)
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import (
    DamagedCheckpointError,
    DamagedRunError,
    FolderInUseError,
    FolderNotWritableError,
    RunNotFoundError,
)
from bptt.train.run_folder import Metrics, create_run, read_metrics, read_run

pytest.importorskip("safetensors")
TEXT = "h[t] = tanh(W @ h[t-1] + U @ x[t])\n"
VOCABULARY = Vocabulary(("\n", " ", '"', "\\", "é", "🙂"))
START = Checkpoint(
    parameters={
        "W": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
        "alpha": np.array(0.5),
    },
    optimiser={
        "optimiser": {
            "state": {0: {"step": np.array(3.0), "nothing": None}},
            "param_groups": [{"betas": (0.9, 0.99), "params": [0, 1]}],
        }
    },
    position=Position(2, 7),
    state={"h": np.arange(4.0).reshape(2, 2)},
    numbers={"best": float("inf"), "windows": 9},
)


def make_run(folder):
    create_run(folder, TEXT, {"options": {"tau": 3}}, VOCABULARY, START)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "runs" / "one")


def test_everything_comes_back(folder):
    run = read_run(folder)
    assert run.cell_text == TEXT
    assert run.config == {"options": {"tau": 3}}
    assert run.options.tau == 3
    assert run.vocabulary == VOCABULARY
    np.testing.assert_array_equal(run.parameters["W"], [[0, 3], [1, 4], [2, 5]])
    assert run.parameters["W"].dtype == np.float32
    assert run.parameters["alpha"].shape == ()
    assert run.parameters["alpha"] == 0.5
    run.parameters["W"][0, 0] = 1.0  # not read-only


def test_a_checkpoint_keeps_numbers_keys_and_tuples_as_they_were(folder):
    found = read_checkpoint(folder, LAST)
    assert found.position == Position(2, 7)
    assert found.numbers == START.numbers
    np.testing.assert_array_equal(found.state["h"], [[0, 1], [2, 3]])
    state = found.optimiser["optimiser"]
    assert state["param_groups"] == [{"betas": (0.9, 0.99), "params": [0, 1]}]
    assert list(state["state"]) == [0]
    assert state["state"][0]["nothing"] is None
    assert state["state"][0]["step"] == 3.0


def test_the_folder_holds_what_is_documented(folder):
    assert {p.name for p in folder.iterdir()} == {
        "cell.cell",
        "config.json",
        "metrics.jsonl",
        "last.safetensors",
        "vocabulary.json",
    }
    assert [p.name for p in folder.parent.iterdir()] == ["one"]


def test_a_folder_in_use_is_refused(folder):
    with pytest.raises(FolderInUseError, match="the folder is not empty"):
        make_run(folder)


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    assert read_run(make_run(tmp_path / "run")).parameters


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FolderNotWritableError, match="Read-only file system"):
        make_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_on_disk_line_by_line(folder):
    with Metrics(folder) as metrics:
        metrics.write({"window": 1})
        metrics.write({"window": 2})
        assert read_metrics(folder) == [{"window": 1}, {"window": 2}]


def test_metrics_are_cut_to_the_checkpoint_also_inside_a_line(folder):
    with Metrics(folder) as metrics:
        metrics.write({"window": 1})
        length = metrics.sync()
        metrics.write({"window": 2})
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"wind')
    with Metrics(folder, length) as metrics:
        metrics.write({"window": 20})
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["window"] for line in lines] == [1, 20]


def test_metrics_shorter_than_the_checkpoint_says_are_refused(folder):
    with pytest.raises(DamagedRunError, match="has 0 bytes, but the checkpoint was"):
        Metrics(folder, 10)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunNotFoundError, match="no such folder") as caught:
        read_run(tmp_path / "nowhere")
    assert "nowhere" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["cell.cell", "config.json", "vocabulary.json", "last.safetensors"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(RunNotFoundError, match=f"there is no {name} in it"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
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


def test_options_that_are_none_are_named(folder):
    (folder / "config.json").write_text('{"options": {"tao": 3}}')
    with pytest.raises(DamagedRunError, match="has no options of a run"):
        _ = read_run(folder).options


def test_a_checkpoint_cut_anywhere_is_an_error_that_names_the_other_one(folder):
    write_checkpoint(folder, BEST, START)
    content = path_of(folder, LAST).read_bytes()
    for length in [0, 5, *range(8, len(content), 97), len(content) - 1]:
        path_of(folder, LAST).write_bytes(content[:length])
        with pytest.raises(DamagedCheckpointError) as caught:
            read_checkpoint(folder, LAST)
        assert "last.safetensors': is not a whole safetensors file" in str(caught.value)
        assert "can go on from its other checkpoint: --checkpoint best." in str(
            caught.value
        )
    assert read_checkpoint(folder, BEST).position == START.position


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04pickle", "is not a whole safetensors file"),
        (None, "is not a checkpoint of this version"),
        (b"", "is not a whole safetensors file"),
    ],
)
def test_what_is_no_checkpoint_says_so_without_another(folder, content, reason):
    if content is None:
        safetensors = checkpoint_module.import_safetensors()
        content = safetensors.save({"W": np.zeros(3)})
    path_of(folder, LAST).write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=reason) as caught:
        read_checkpoint(folder, LAST)
    assert "There is no other checkpoint" in str(caught.value)


def test_a_checkpoint_without_a_part_says_so(folder):
    content = path_of(folder, LAST).read_bytes()
    content = content.replace(b'\\"has_state\\"', b'\\"has_stuff\\"')
    path_of(folder, LAST).write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="lacks a part of a checkpoint"):
        read_checkpoint(folder, LAST)


def test_the_name_of_the_report_is_documented():
    assert run_folder.REPORT_FILE in run_folder.__doc__
