"""Files to predict from hold x alone: what is said of them is what is said with y."""

import csv

import numpy as np
import pytest

pytest.importorskip("pandas")

from typer.testing import CliRunner

from bptt.cli.app import app

RNG = np.random.default_rng(0)
N, TAU, COLUMNS = 9, 7, 3
X = RNG.normal(size=(N, TAU, COLUMNS)).astype(np.float32)
WORDS = np.array(["high", "low", "none"])[RNG.integers(0, 3, N)]
LENGTHS = np.array([7, 3, 5, 7, 2, 6, 7, 4, 7])
SMALL = ("--n-h", "3", "--epochs", "1", "--held-out", "0.3")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def predictions(folder, data):
    out = folder / f"{data.stem}.predictions.csv"
    found = run("predict", folder / "run", data, "--out", out)
    assert found.exit_code == 0, found.output
    with out.open() as stream:
        return list(csv.reader(stream))


def write_table(path, **targets):
    columns = {"id": np.repeat(np.arange(N), TAU)}
    columns |= {name: X[..., c].ravel() for c, name in enumerate("abc")} | targets
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


TABLES = {
    "a word of a sequence": ("label", {"label": np.repeat(WORDS, TAU)}),
    "a class of a step": ("k", {"k": (X[..., 0] > 0).astype(int).ravel()}),
    "a number of a step": ("y", {"y": X[..., 1].ravel()}),
    "two truths": ("p,q", {"p": (X[..., 0] > 0).astype(int).ravel(),
                           "q": (X[..., 1] > 0).astype(int).ravel()}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_table_without_its_target_is_predicted(case, tmp_path):
    target, columns = TABLES[case]
    whole = write_table(tmp_path / "whole.csv", **columns)
    found = run("train", whole, "--group", "id", "--target", target, *SMALL,
                "--out", tmp_path / "run")  # fmt: skip
    assert found.exit_code == 0, found.output
    known = predictions(tmp_path, whole)
    assert len(known) > N
    bare = write_table(tmp_path / "bare.csv")
    assert predictions(tmp_path, bare) == known
    empty = write_table(
        tmp_path / "empty.csv", **dict.fromkeys(columns, np.full(N * TAU, ""))
    )
    assert predictions(tmp_path, empty) == known
    assert "column" in str(run("eval", tmp_path / "run", bare).exception)


ARRAYS = {
    "a class of a sequence": {"y": RNG.integers(0, 3, N), "lengths": LENGTHS},
    "truths of a step": {"y": RNG.random((N, TAU, 2)) < 0.5, "lengths": LENGTHS},
    "numbers of a step": {"y": RNG.normal(size=(N, TAU, 2))},
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_without_y_are_predicted(case, tmp_path):
    arrays = ARRAYS[case]
    whole, bare = tmp_path / "whole.npz", tmp_path / "bare.npz"
    np.savez(whole, x=X, **arrays)
    np.savez(bare, x=X, **{n: a for n, a in arrays.items() if n != "y"})
    found = run("train", whole, *SMALL, "--out", tmp_path / "run")
    assert found.exit_code == 0, found.output
    known = predictions(tmp_path, whole)
    assert len(known) > N
    assert predictions(tmp_path, bare) == known


def test_a_model_that_reads_targets_back_needs_them(tmp_path):
    cell = tmp_path / "back.cell"
    cell.write_text(
        "h[t] = tanh(W @ h[t-1] + U @ x[t] + R @ y[t-1])\n"
        "o[t] = V @ h[t]\nL[t] = mse(o[t], y[t])\n"
    )
    whole, bare = tmp_path / "whole.npz", tmp_path / "bare.npz"
    np.savez(whole, x=X, y=RNG.normal(size=(N, TAU, 2)))
    np.savez(bare, x=X)
    found = run("train", whole, "--cell", cell, *SMALL, "--out", tmp_path / "run")
    assert found.exit_code == 0, found.output
    found = run("predict", tmp_path / "run", bare)
    assert "x alone: this model reads x, y" in str(found.exception)
