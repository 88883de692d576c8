"""`bptt doctor` says what is there, and that a wrong kernel is wrong."""

import re
import subprocess
import sys

import pytest
import typer

from bptt.cli import doctor as module


def test_the_doctor_names_what_is_there_and_ends_with_one_line():
    ended = subprocess.run(
        [sys.executable, "-m", "bptt", "doctor"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    *table, line = ended.stdout.strip().splitlines()
    for name in ("bptt", "Python", "numpy", "llvmlite", "CPU", "system", "threads",
                 "cache", "self-test"):  # fmt: skip
        assert any(row.startswith(name) for row in table), name
    assert re.search(r"vectors of (128|256|512) bits", line)
    assert "test passed" in line
    assert all(len(row) <= 80 for row in table)


def test_the_doctor_says_what_was_set(monkeypatch, tmp_path):
    monkeypatch.setenv("BPTT_THREADS", "3")
    monkeypatch.setenv("BPTT_CACHE", "off")
    monkeypatch.setattr(module.os, "cpu_count", lambda: 5)
    facts = dict(module._machine())
    assert facts["threads"].startswith("3 of 5 CPUs, BPTT_THREADS=3")
    assert facts["cache"] == "off (BPTT_CACHE)"
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes/a.code").write_bytes(bytes(120_000))
    monkeypatch.setenv("BPTT_CACHE", str(tmp_path / "codes"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dict(module._machine())["cache"] == "1 files, 0.1 MB, ~/codes"
    monkeypatch.setenv("BPTT_CACHE", str(tmp_path / "codes/a.code"))  # no folder
    found = dict(module._machine())["cache"]
    assert found == "0 files, 0.0 MB, ~/codes/a.code; NOTHING CAN BE KEPT THERE"


def test_a_wrong_kernel_fails_the_test(monkeypatch, capsys):
    cell = module.cells.lstm
    right = type(cell).gradient

    def wrong(self, *arguments, executor, **options):
        found = right(self, *arguments, executor=executor, **options)
        if executor == module.COMPILED:
            found = {name: found[name].copy() for name in self.parameters}
            found["W_f"][1, 2] += 1e-9 * abs(found["W_f"]).max()
        return found

    monkeypatch.setattr(type(cell), "gradient", wrong)
    with pytest.raises(typer.Exit):
        module.doctor()
    assert "FAILED" in capsys.readouterr().out
