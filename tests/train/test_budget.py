"""`--memory` and `--checkpoint` of a run: the same figures, or a clear no in time."""

import json
import re

import numpy as np
import pytest

from bptt.cli.app import app
from bptt.execute.compile import lowerings
from bptt.execute.kernels import stretches
from bptt.train.errors import IgnoredOptionError, OptionError

pytest.importorskip("torch")
pytest.importorskip("safetensors")
RANDOM = np.random.default_rng(2)
TAU = 45
HOW = "--held-out 0.2 --n-h 6 --n-b 3 --epochs 2 --validations 1"


@pytest.fixture
def sequences(tmp_path):
    x = RANDOM.normal(size=(15, TAU, 3)).astype(np.float32)
    y = RANDOM.normal(size=(15, TAU, 2)).astype(np.float32)
    lengths = RANDOM.integers(2, TAU, 15)
    np.savez(tmp_path / "a.npz", x=x, y=y, lengths=lengths)
    return tmp_path / "a.npz"


def bptt(*words):
    app([*map(str, words)], standalone_mode=False)


def figures(run):
    """Every record but times, and apart the norms, which are written as 4 digits."""
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    norms = [r.pop("gradient_norms") for r in records if "gradient_norms" in r]
    return [
        {name: value for name, value in record.items() if "second" not in name}
        for record in records
    ], norms


@pytest.mark.parametrize("cell", ["gru", "lstm", "leaky"])
def test_a_run_that_keeps_some_states_has_the_figures_of_one_that_keeps_all(
    cell, sequences, tmp_path, monkeypatch, capsys
):
    plans = []
    finish = stretches.StretchedCall.finish

    def noted(self, *given):
        finish(self, *given)
        plans.append(self.plan)

    monkeypatch.setattr(stretches.StretchedCall, "finish", noted)
    words = ("train", sequences, "--cell", cell, *HOW.split(), "--out")
    bptt(*words, tmp_path / "whole")
    assert not plans
    expected, norms = figures(tmp_path / "whole")
    assert any("gradient_norm" in record for record in expected)
    for limit in (("checkpoint", "sqrt"), ("checkpoint", 4), ("memory", "3MB")):
        run = tmp_path / f"{limit[0]}-{limit[1]}"
        bptt(*words, run, f"--{limit[0]}", limit[1])
        found, same = figures(run)
        assert found == expected
        for ours, theirs in zip(same, norms, strict=True):
            for kind in ("states", "copies"):
                for name, values in theirs[kind].items():
                    np.testing.assert_allclose(ours[kind][name], values, rtol=2e-4)
        assert plans
        for plan in plans:
            assert 0 < plan.measured <= plan.predicted
            assert limit[0] == "checkpoint" or plan.predicted <= 3_000_000
            if limit[1] == 4:
                assert plan.slots <= 4
        if limit[1] == "sqrt":
            assert max(len(plan.cuts) for plan in plans) > 4
        plans.clear()
    capsys.readouterr()


def test_a_budget_too_small_names_the_least_before_there_is_a_folder(
    sequences, tmp_path, capsys
):
    """The report on norms takes 8 rows, a window 3: the number holds for both."""
    words = ("train", sequences, "--cell", "lstm", *HOW.split(), "--out")
    with pytest.raises(OptionError, match="--memory 1KB: expected at least") as error:
        bptt(*words, tmp_path / "run", "--memory", "1KB")
    assert not (tmp_path / "run").exists()
    least = int(
        re.search(r"at least ([\d,]+) bytes", str(error.value))[1].replace(",", "")
    )
    with pytest.raises(OptionError, match=f"{least:,}"):
        bptt(*words, tmp_path / "run", "--memory", least - 1)
    bptt(*words, tmp_path / "run", "--memory", least)
    assert (tmp_path / "run" / "summary.json").is_file()
    capsys.readouterr()


@pytest.mark.parametrize("n_b", [8, 11])
def test_a_budget_holds_for_every_epoch(n_b, tmp_path, capsys):
    """The longest sequence is in another batch each time, a smaller one in epoch 0.

    It is not among the rows of the report on norms, which are at most 8.
    """
    random = np.random.default_rng(5)
    lengths = np.full(24, 10)
    lengths[-4:] = 170
    x = random.normal(size=(24, 170, 3)).astype(np.float32)
    y = random.normal(size=(24, 170, 2)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=y, lengths=lengths)
    words = ("train", tmp_path / "a.npz", "--cell", "lstm", "--n-h", 6, "--n-b", n_b,
             "--held-out", 0.1, "--validations", 1, "--epochs", 5, "--seed", 28,
             "--out", tmp_path / "run")  # fmt: skip
    with pytest.raises(OptionError) as error:
        bptt(*words, "--memory", "1KB")
    least = re.search(r"at least ([\d,]+) bytes", str(error.value))[1]
    bptt(*words, "--memory", least.replace(",", ""))
    assert (tmp_path / "run" / "summary.json").is_file()
    capsys.readouterr()


@pytest.mark.parametrize("limit", ["--checkpoint sqrt", "--memory 3MB"])
def test_a_cell_that_numpy_runs_is_refused_before_there_is_a_folder(
    limit, sequences, tmp_path, monkeypatch
):
    monkeypatch.delitem(lowerings.LOWERINGS, "tanh")
    flag = limit.split()[0]
    words = ("--cell", "lstm", "--n-h", 9, "--held-out", 0.2, *limit.split())
    with pytest.raises(
        IgnoredOptionError,
        match=rf"{flag}: it would be ignored, for kernels have no form for .*tanh.*, "
        r"so this cell runs in NumPy, which keeps every value\. Leave it out\.",
    ):
        bptt("train", sequences, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ("--checkpoint half", OptionError, "from 1, sqrt or optimal"),
        ("--checkpoint 0", OptionError, "--checkpoint 0: expected"),
        ("--checkpoint best", IgnoredOptionError, "best says where --resume begins"),
        ("--checkpoint 3 --memory 3MB", IgnoredOptionError, "best schedule that fits"),
        ("--memory lots", OptionError, "--memory lots: expected a number of bytes"),
    ],
)
def test_mistakes(words, error, text, sequences, tmp_path):
    with pytest.raises(error, match=text):
        bptt("train", sequences, *words.split(), "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
