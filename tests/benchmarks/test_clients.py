"""The benchmark of other people's programs: what it compares, what it leaves out."""

import sys

import pytest

pytest.importorskip("torch")

import torch
from benchmarks.timing import DisagreementError

import bptt.torch
from benchmarks import client_programs, clients


def test_a_row_has_both_and_the_losses_agree(monkeypatch):
    seen = []

    def note(model):
        clients.convert(model)
        seen.extend(type(part) for part in model.modules())

    monkeypatch.setitem(clients.CHANGES, clients.AFTER, note)
    row = clients.measure("character model", 1)
    assert bptt.torch.LSTM in seen
    assert row["steps"] == 20
    before, after = row[clients.BEFORE], row[clients.AFTER]
    assert row["ratio"] == before["cpu_s"] / after["cpu_s"]
    assert clients.write_row(row).startswith("| character model | 20 |")
    assert clients.geometric_mean([row, row]) == pytest.approx(row["ratio"])


def test_programs_that_end_elsewhere_stop_the_run(monkeypatch):
    def spoil(model):
        with torch.no_grad():
            model["lstm"].weight_hh_l0.mul_(2)

    monkeypatch.setitem(clients.CHANGES, clients.AFTER, spoil)
    with pytest.raises(DisagreementError, match="character model: the losses"):
        clients.measure("character model", 1)


def test_what_is_not_installed_is_left_out_by_name(monkeypatch, capsys):
    def make(change):
        import a_library_that_nobody_has  # noqa: F401

    monkeypatch.setitem(client_programs.PROGRAMS, "Lightning", (make, True))
    monkeypatch.setattr(clients, "bind_process", lambda _: None)
    arguments = ["clients", "--clients", "Lightning", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    threads = torch.get_num_threads()
    try:
        assert clients.main() == 0
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert "| Lightning | not run: No module named 'a_library_that_nobody_has'" in out
