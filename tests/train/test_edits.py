"""Run folders edited in every field: an error that says so, or a run, never a crash.

Every value of config.json, vocabulary.json, metrics.jsonl and of the JSON and the
tensors of a checkpoint is replaced by values of every other kind, removed and renamed,
and every file is cut, emptied, filled with rubbish and taken away. Whoever reads the
folder then either goes on or raises one of this package's errors.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bptt.errors import BpttError
from bptt.execute.dispatch import REFERENCE
from bptt.train import PlainText, TrainingOptions, measure_run, open_run, resume, train
from bptt.train import loop as loop_module
from bptt.train.checkpoint import BEST, LAST, path_of
from bptt.train.run_page import write_page
from tests.train.executed import EXECUTED

pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.numpy")

TEXT = PlainText("the cat sat on the mat. " * 8, source="lines", n_files=1)
OPTIONS = TrainingOptions(
    cell="book", n_h=3, n_b=2, tau=4, k1=3, epochs=2, held_out=0.2, validations=2,
    checkpoint_every=2, schedule="ReduceLROnPlateau", scheduler_options={"patience": 0},
)  # fmt: skip
WORD = PlainText("the cat", source="a word", n_files=1)
QUIET = Console(quiet=True)
LEARN = loop_module.Learner.learn_window
WRONG = [
    None, True, -1, 0, 3, 2.5, 10**30, 1e308, float("nan"), float("inf"), "", "text",
    "../../x", [], [1, "a"], {}, {"a": [None]}, [[[[0]]]],
]  # fmt: skip


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run in the middle of its second epoch, with a state to go on from."""
    folder = tmp_path_factory.mktemp("edits") / "run"

    def stop(self, dataset, window, state, number):
        if number == 42:
            raise KeyboardInterrupt
        return LEARN(self, dataset, window, state, number)

    with pytest.MonkeyPatch.context() as patch:
        for method in EXECUTED:
            patch.setitem(method.__kwdefaults__, "executor", REFERENCE)
        patch.setattr(loop_module.Learner, "learn_window", stop)
        with pytest.raises(KeyboardInterrupt):
            train(TEXT, OPTIONS, folder, QUIET)
        patch.undo()
    assert path_of(folder, BEST).is_file()
    return folder


@pytest.fixture(autouse=True)
def executor(monkeypatch):
    for method in EXECUTED:
        monkeypatch.setitem(method.__kwdefaults__, "executor", REFERENCE)


def survives(folder):
    """Go through everything that reads a folder; return what was refused.

    What `open_run` refuses it refuses at the door that all others go through too. A run
    that goes on stops after its next window.
    """
    refused = []

    def stop(self, dataset, window, state, number):
        os.kill(os.getpid(), signal.SIGINT)
        return LEARN(self, dataset, window, state, number)

    for use in (
        write_page,
        lambda f: "".join(open_run(f, LAST).write("the ", 2)),
        lambda f: measure_run(f, WORD),
        lambda f: resume(f, QUIET, TEXT),
    ):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop_module.Learner, "learn_window", stop)
                use(folder)
        except BpttError as error:
            refused.append(str(error))
            if len(refused) > 1 or use is not write_page:
                break
    return refused


def places(value, path=()):
    """Every place in nested JSON."""
    yield path
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value[:6])
        for key, item in pairs:
            yield from places(item, (*path, key))


def changed(value, path, new):
    """The value with one place replaced; new is REMOVED or RENAMED to do that."""
    if not path:
        return new
    key, *rest = path
    copied = dict(value) if isinstance(value, dict) else list(value)
    if rest or not isinstance(new, str) or new not in (REMOVED, RENAMED):
        copied[key] = changed(copied[key], rest, new)
    else:
        old = copied.pop(key)
        if new == RENAMED and isinstance(copied, dict):
            copied[f"{key}x"] = old
    return copied


REMOVED, RENAMED = "\0removed", "\0renamed"


def edits(value):
    """Each place with some of the wrong values in turn; with all of them on request."""
    step = 1 if os.environ.get("BPTT_ALL_EDITS") else 6
    for i, path in enumerate(places(value)):
        for new in (*WRONG[i % step :: step], *([REMOVED, RENAMED] if path else [])):
            yield path, new, changed(value, path, new)


def check_every(folder, tmp_path, value, write, at_least):
    """Try every edit of a value; the fault, if there is one, says which it was."""
    work = tmp_path / "work"
    n = refused = 0
    for path, new, edited in edits(value):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder, work)
        write(work, edited)
        n += 1
        try:
            refused += bool(survives(work))
        except Exception as error:
            raise AssertionError(f"{path} = {new!r}: {error!r}") from error
    assert n > at_least
    assert refused > n / 3  # a door that lets all through is none
    return n


def test_every_field_of_the_configuration(stopped, tmp_path):
    value = json.loads((stopped / "config.json").read_text())

    def write(folder, edited):
        (folder / "config.json").write_text(json.dumps(edited))

    check_every(stopped, tmp_path, value, write, 80)


def test_every_entry_of_the_vocabulary(stopped, tmp_path):
    value = json.loads((stopped / "vocabulary.json").read_text())

    def write(folder, edited):
        (folder / "vocabulary.json").write_text(json.dumps(edited))

    check_every(stopped, tmp_path, value, write, 15)


@pytest.mark.parametrize("kind", ["training_", "validation_", "gradient_norms"])
def test_every_field_of_the_metrics(stopped, tmp_path, kind):
    lines = (stopped / "metrics.jsonl").read_text().splitlines()
    (at, *_) = [i for i, line in enumerate(lines) if kind in line]

    def write(folder, edited):
        changed_lines = [*lines[:at], json.dumps(edited), *lines[at + 1 :]]
        (folder / "metrics.jsonl").write_text("\n".join(changed_lines) + "\n")

    work = tmp_path / "work"
    shutil.copytree(stopped, work)
    n = 0
    for path, new, edited in edits(json.loads(lines[at])):
        write(work, edited)
        try:
            write_page(work)
        except BpttError:
            n += 1
        except Exception as error:
            raise AssertionError(f"{path} = {new!r}: {error!r}") from error
    assert n > 5


def read_parts(file):
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return header, content[8 + size :]


def write_parts(file, header, body):
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_every_number_of_a_checkpoint(stopped, tmp_path):
    header, body = read_parts(path_of(stopped, LAST))
    value = json.loads(header["__metadata__"]["bptt"])

    def write(folder, edited):
        metadata = {**header["__metadata__"], "bptt": json.dumps(edited)}
        write_parts(path_of(folder, LAST), {**header, "__metadata__": metadata}, body)

    check_every(stopped, tmp_path, value, write, 80)


def test_every_entry_of_a_checkpoints_header(stopped, tmp_path):
    header, body = read_parts(path_of(stopped, LAST))
    names = ["__metadata__", "parameter/W", "state/h"]
    names += [name for name in header if name.startswith("optimiser")][:2]
    few = {name: header[name] for name in names}

    def write(folder, edited):
        if isinstance(edited, dict):
            edited = {**{n: e for n, e in header.items() if n not in names}, **edited}
        write_parts(path_of(folder, LAST), edited, body)

    check_every(stopped, tmp_path, few, write, 20)


def test_every_tensor_of_a_checkpoint(stopped, tmp_path):
    content = path_of(stopped, LAST).read_bytes()
    header, _ = read_parts(path_of(stopped, LAST))
    tensors = safetensors.load(content)
    work = tmp_path / "work"
    shutil.copytree(stopped, work)
    for name, tensor in tensors.items():
        for new in (
            np.full_like(tensor, np.nan), tensor.astype(np.int32), tensor[None],
            tensor.astype(np.float16), np.zeros((0,), np.float32), np.ones((2, 5)),
            tensor.astype(bool),
        ):  # fmt: skip
            shutil.rmtree(work)
            shutil.copytree(stopped, work)
            given = {**tensors, name: np.ascontiguousarray(new)}
            saved = safetensors.save(given, metadata=header["__metadata__"])
            path_of(work, LAST).write_bytes(saved)
            try:
                refused = survives(work)
            except Exception as error:
                raise AssertionError(f"{name} is {new!r}: {error!r}") from error
            is_same = new.dtype == tensor.dtype and new.shape == tensor.shape
            assert refused or (is_same and not np.isnan(new).any()), (name, new.dtype)


RUBBISH = {
    "empty": b"",
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "no text": b"\xff\xfe{}",
    "one number": b"1" * 10_000,
    "null": b"null",
    "a line": b"h[t] = h[t]\n",
}
FILES = [
    "cell.cell", "config.json", "vocabulary.json", "metrics.jsonl",
    "last.safetensors", "best.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_filled_with_rubbish_cut_and_taken_away(stopped, tmp_path, name):
    work = tmp_path / "work"
    shutil.copytree(stopped, work)
    content = (stopped / name).read_bytes()
    cuts = {f"cut at {i}": content[: len(content) * i // 7] for i in range(7)}
    for what, new in (RUBBISH | cuts).items():
        shutil.rmtree(work)
        shutil.copytree(stopped, work)
        (work / name).write_bytes(new)
        try:
            survives(work)
        except Exception as error:
            raise AssertionError(f"{name}, {what}: {error!r}") from error
    (work / name).unlink()
    survives(work)
    (work / name).mkdir()
    survives(work)


def test_a_checkpoints_name_does_not_lead_out_of_the_folder(stopped, tmp_path):
    outside = tmp_path / "x.safetensors"
    outside.write_bytes(path_of(stopped, LAST).read_bytes())
    for name in (str(tmp_path / "x"), "../x", "", ".", "last.safetensors"):
        with pytest.raises(BpttError, match=r"--checkpoint .*: expected one of last,"):
            open_run(Path(stopped), name)
