"""What whole numbers count: one dimension has one size, and not every entry occurs."""

import csv

import numpy as np
import pytest
from rich.console import Console

from bptt.cli.app import app
from bptt.train import DataRequest, TrainingOptions, load, open_data, reads_of, train
from bptt.train.errors import CellNotTrainableError

pytest.importorskip("torch")
N, TAU, N_X = 8, 5, 3
QUIET = Console(quiet=True)
VECTORS = "h[t] = tanh(W @ h[t-1] + U @ x[t]){also}\n"
TOKENS = "h[t] = tanh(W @ h[t-1] + E[:, x[t]]{also})\n"
LOSS = "L[t] = nll(softmax(c + V @ h[t]), y[t])\n"
SCORED = "o[t] = c + V @ h[t]\nL[t] = nll(softmax(o[t]), y[t])\n"


def up_to(largest, *more, seed=0):
    """Whole numbers of which the largest occurs in the first sequence."""
    found = np.random.default_rng(seed).integers(0, largest + 1, (N, TAU, *more))
    found[0, 0] = largest
    return found


X = np.random.default_rng(1).normal(size=(N, TAU, N_X))
FITTING = {
    "classes of 7, of which 6 occur": (
        f"V: (7, n_h); c: 7\n{VECTORS}{LOSS}",
        {"x": X, "y": up_to(5)}, {"V": (7, 4), "c": (7,)},
    ),
    "tokens of 9, of which 6 occur": (
        f"E: (n_h, 9)\n{TOKENS}", {"x": up_to(5), "y": up_to(2)}, {"E": (4, 9)},
    ),
    "tokens x of more entries than k": (
        f"{TOKENS.replace('{also}', ' + E[:, k[t]]')}",
        {"x": up_to(5), "k": up_to(4), "y": up_to(2)}, {"E": (4, 6)},
    ),
    "tokens x of fewer entries than k": (
        f"{TOKENS.replace('{also}', ' + E[:, k[t]]')}",
        {"x": up_to(3), "k": up_to(7), "y": up_to(2)}, {"E": (4, 8)},
    ),
    "tokens x of more entries than classes": (
        f"E: (n_h, n_v); V: (n_v, n_h); c: n_v\n{TOKENS}{SCORED}",
        {"x": up_to(5), "y": up_to(2)}, {"E": (4, 6), "V": (6, 4)},
    ),
    "k counts a vector with more columns": (
        "g: n_v\nh[t] = tanh(W @ h[t-1] + U @ x[t] + E @ g[t] + E[:, k[t]])\n",
        {"x": X, "g": np.ones((N, TAU, 7)), "k": up_to(4), "y": up_to(2)},
        {"E": (4, 7)},
    ),
}  # fmt: skip


def options(folder, text):
    (folder / "own.cell").write_text(text.replace("{also}", ""))
    cell = str(folder / "own.cell")
    return TrainingOptions(cell=cell, n_h=4, n_b=4, held_out=0.3, validations=1)


def read(folder, chosen, **arrays):
    np.savez(folder / "data.npz", **arrays)
    reads = reads_of(chosen.cell)
    return open_data(DataRequest((folder / "data.npz",), reads=reads))


@pytest.mark.parametrize("kind", FITTING)
def test_a_dimension_may_count_more_than_occurs(kind, tmp_path):
    text, arrays, shapes = FITTING[kind]
    chosen = options(tmp_path, text)
    report = train(read(tmp_path, chosen, **arrays), chosen, tmp_path / "run", QUIET)
    assert np.isfinite(report.validation)
    parameters = load(tmp_path / "run").parameters
    assert {name: parameters[name].shape for name in shapes} == shapes


def test_an_entry_that_did_not_occur_can_be_measured_and_is_predicted(tmp_path):
    chosen = options(tmp_path, f"V: (7, n_h); c: 7\n{VECTORS}{SCORED}")
    train(read(tmp_path, chosen, x=X, y=up_to(5)), chosen, tmp_path / "run", QUIET)
    np.savez(tmp_path / "more.npz", x=X, y=up_to(6))
    run, more, found = (str(tmp_path / n) for n in ("run", "more.npz", "p.csv"))
    app(["eval", run, more], standalone_mode=False)
    app(["predict", run, more, "--out", found], standalone_mode=False)
    heads, *rows = csv.reader((tmp_path / "p.csv").read_text().splitlines())
    assert heads == ["sequence", "step", *(f"y{i}" for i in range(7))]
    sums = np.array(rows, float)[:, 2:].sum(axis=1)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "arrays", "said"),
    [
        (f"V: (5, n_h); c: 5\n{VECTORS}{LOSS}", {"x": X, "y": up_to(5)},
         "its y counts to 4, and the data's to 5"),
        (f"E: (n_h, 4)\n{TOKENS}", {"x": up_to(5), "y": up_to(2)},
         "its x counts to 3, and the data's to 5"),
        (FITTING["k counts a vector with more columns"][0],
         {"x": X, "g": np.ones((N, TAU, 7)), "k": up_to(8), "y": up_to(2)},
         "g and k share the size n_v, and the data has 7 for g and 9 for k"),
    ],
)  # fmt: skip
def test_more_entries_than_the_cell_has_are_refused(text, arrays, said, tmp_path):
    chosen = options(tmp_path, text)
    data = read(tmp_path, chosen, **arrays)
    with pytest.raises(CellNotTrainableError, match=said):
        train(data, chosen, tmp_path / "run", QUIET)
