"""What the benchmark of torch models says of rows whose numbers are known."""

import json

import pytest

pytest.importorskip("torch")

from benchmarks import models


def test_the_report_divides_torchs_time_by_ours():
    rows = [
        {"model": "m", "threads": 2, "seconds": {"bptt": 0.020, "torch.nn": 0.050}},
        {"overhead": models.SMALL, "threads": 1,
         "seconds": {"bptt": 130e-6, "torch.nn": 400e-6, "bare": 50e-6}},
    ]  # fmt: skip
    text = models.write_models(rows)
    assert "| m | 2 | 50.0 | 20.0 | 2.50 |" in text
    assert "130 us" in text
    assert "results 80 us (target: 60); torch.nn 400 us" in text


def test_both_models_train_alike(monkeypatch):
    small = {"n_tokens": 9, "n_x": 6, "n_h": 8, "tau": 7, "n_b": 3}
    name = "character model, GRU"
    make, _ = models.MODELS[name]
    monkeypatch.setitem(models.MODELS, name, (make, small))
    row = models.measure_model(name, {"threads": 1, "rounds": 1, "seconds": 0})
    assert json.loads(json.dumps(row))["sizes"] == small
    assert set(row["seconds"]) == {"bptt", "torch.nn"}


def test_different_losses_stop_the_benchmark(monkeypatch):
    steps = iter([lambda: 1.0, lambda: 1.1])
    monkeypatch.setattr(models, "make_step", lambda *_: next(steps))
    with pytest.raises(models.DisagreementError, match=r"loss 1.0 differs from 1.1"):
        models.measure_model("character model, GRU", {"threads": 1})
