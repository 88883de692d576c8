"""An error that nobody foresaw: one line, a file with the details, no traceback."""

import re
import sys
from pathlib import Path

import pytest

from bptt.cli import app as app_module
from bptt.errors import BpttError


def run(monkeypatch, capsys, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(app_module, "app", fail)
    monkeypatch.setattr(sys, "argv", ["bptt", "train", "book.txt"])
    with pytest.raises(SystemExit) as ended:
        app_module.main()
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    "error",
    [
        KeyError("n_h"),
        MemoryError(),
        RecursionError("too deep"),
        OSError(5, "broken"),
        FileNotFoundError(2, "No such file", "/of/our/own.toml"),
    ],
)
def test_an_error_nobody_foresaw_is_one_line_and_a_file(monkeypatch, capsys, error):
    code, shown = run(monkeypatch, capsys, error)
    assert code == 70
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert shown.err.count("\n") == 1
    assert type(error).__name__ in shown.err
    assert "Please report it as CONTRIBUTING.md says" in shown.err
    file = Path(re.search(r"The details are in (\S+\.txt)\.", shown.err)[1])
    details = file.read_text()
    file.unlink()
    assert "Traceback" in details
    assert "command: ['bptt', 'train', 'book.txt']" in details
    assert "numpy 2" in details


def test_a_mistake_stays_its_own_message(monkeypatch, capsys):
    code, shown = run(monkeypatch, capsys, BpttError("--n-h 0: expected more."))
    assert code == 2
    assert shown.err == "bptt: --n-h 0: expected more.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "refuses: No space left on device. C"),
        (OSError(36, "File name too long", "x" * 5000), "xxx': File name too long. Ch"),
        (PermissionError(13, "Permission denied", "/a/b"), "refuses '/a/b': Permissio"),
        (IsADirectoryError(21, "Is a directory", "book.txt"), "refuses 'book.txt': Is"),
    ],
)
def test_what_the_system_refuses_is_one_line(monkeypatch, capsys, error, said):
    code, shown = run(monkeypatch, capsys, error)
    assert code == 2
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert len(shown.err) < 300
    assert "not foreseen" not in shown.err


def test_details_that_cannot_be_written_are_said_to_be_so(monkeypatch, capsys):
    def refuse(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    code, shown = run(monkeypatch, capsys, KeyError("n_h"))
    assert code == 70
    assert "could not be written (No space left on device)" in shown.err


def test_an_interruption_ends_with_130(monkeypatch, capsys):
    code, shown = run(monkeypatch, capsys, KeyboardInterrupt())
    assert (code, shown.err) == (130, "bptt: stopped\n")


def test_contributing_says_how_to_report():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    assert "## Reporting an error" in text


def test_an_interrupted_command_says_that_it_stopped(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("bptt.cli.cells.make_list", interrupted)
    monkeypatch.setattr(sys, "argv", ["bptt", "cells"])
    with pytest.raises(SystemExit) as ended:
        app_module.main()
    assert ended.value.code == app_module.INTERRUPTED
    assert capsys.readouterr().err == "bptt: stopped\n"
