"""The commands that a run tells a person to type are found by a shell."""

import os
import shlex
import subprocess

import pytest

from bptt.train.program import call


@pytest.fixture
def environment(tmp_path):
    """A program in an environment that is not active, and the working folder."""
    program = tmp_path / "of mine" / "bin" / "bptt"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho ran $#\n")
    program.chmod(0o755)
    return program


def test_a_program_that_the_path_lacks_is_called_as_it_was_started(
    environment, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.defpath)
    for started in ("of mine/bin/bptt", str(environment)):
        monkeypatch.setattr("sys.argv", [started, "train"])
        command = call("train", "--resume", "runs/a b")
        assert command == f'"{started}" train --resume "runs/a b"'
        if os.name == "posix":
            ran = subprocess.check_output(shlex.split(command), text=True)
            assert ran == "ran 3\n"


def test_a_program_on_the_path_has_its_short_name(environment, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(environment), "train"])
    monkeypatch.setenv("PATH", str(environment.parent))
    assert call("eval", "runs/1") == "bptt eval runs/1"


def test_another_program_of_that_name_on_the_path_is_not_meant(
    environment, tmp_path, monkeypatch
):
    other = tmp_path / "other/bptt"
    other.parent.mkdir()
    other.write_bytes(environment.read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(environment.parent))
    monkeypatch.setattr("sys.argv", [str(other)])
    assert call() == str(other)


@pytest.mark.parametrize(
    ("started", "program"),
    [
        ("/a/bptt/__main__.py", "python -m bptt"),
        ("/a/ipykernel_launcher.py", "bptt"),
        ("mine.py", "bptt"),
        ("", "bptt"),
        ("bptt", "bptt"),
    ],
)
def test_started_as_a_module_from_a_notebook_or_from_a_script(
    started, program, monkeypatch
):
    monkeypatch.setattr("sys.argv", [started])
    assert call("sample", "runs/1") == f"{program} sample runs/1"
