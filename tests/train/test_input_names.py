"""Arrays that bear the names of inputs: padding, ranks, and names that are taken."""

import csv
import re

import numpy as np
import pytest

from bptt import Cell
from bptt.cli.app import app
from bptt.train import read_sequences, reads_of
from bptt.train.data.array_names import CLASS_WEIGHTS, ENDINGS
from bptt.train.errors import BadRecordError

N, TAU, N_X, N_K = 3, 4, 2, 5
LENGTHS = np.array([4, 2, 3])
CELL = (
    "h[t] = tanh(W @ h[t-1] + U @ x[t] + E[:, k[t]] + Q @ q[t] + R @ m)\nm: n_m = input"
)
EACH = "h[t] = tanh(W @ h[t-1] + U @ x[t])"
ONCE = (
    "o: n_o\nh[t] = tanh(b + W @ h[t-1] + U @ x[t])\no = c + V @ h[tau]\n"
    "L = nll(softmax(o), y)"
)


def arrays():
    rng = np.random.default_rng(2)
    return {
        "x": rng.normal(size=(N, TAU, N_X)), "y": rng.integers(0, 2, (N, TAU)),
        "k": rng.integers(0, N_K, (N, TAU)), "q": rng.normal(size=(N, TAU, 6)),
        "m": rng.normal(size=(N, 7)), "lengths": LENGTHS,
    }  # fmt: skip


def read(folder, text=CELL, **given):
    np.savez(folder / "data.npz", **given)
    return read_sequences("data", [folder / "data.npz"], reads=reads_of(Cell(text)))


PADDING = {"x": np.nan, "y": -7, "k": -1, "q": np.inf}


@pytest.mark.parametrize("name", PADDING)
def test_what_lies_beyond_a_length_does_not_matter(name, tmp_path):
    plain, padded = arrays(), arrays()
    padded[name][1, LENGTHS[1] :] = PADDING[name]
    one, two = (read(tmp_path, **given).parts["whole"] for given in (plain, padded))
    for i in range(N):
        np.testing.assert_array_equal(one.x[i], two.x[i])
        np.testing.assert_array_equal(one.y[i], two.y[i])
        for other in ("k", "q", "m"):
            np.testing.assert_array_equal(one.others[other][i], two.others[other][i])


@pytest.mark.parametrize(
    ("name", "where", "value", "said"),
    [
        ("k", (1, 1), -1, "record 1 (counted from 0) k holds -1, step 2; entries"),
        ("k", (2, 0), 2**31, "record 2 (counted from 0) k holds 2147483648, step 1;"),
        ("q", (2, 2, 5), np.nan, "record 2 (counted from 0) q is nan, step 3"),
        ("m", (1, 3), np.inf, "record 1 (counted from 0) m is inf"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_step(
    name, where, value, said, tmp_path
):
    given = arrays()
    given[name][where] = value
    with pytest.raises(BadRecordError, match=re.escape(said)):
        read(tmp_path, **given)


@pytest.mark.parametrize(
    "x", [np.ones(7), np.ones(()), np.ones((N, TAU, N_X, 2)), np.array(3)]
)
@pytest.mark.parametrize("g", [np.ones(7), np.ones((N, TAU))])
def test_x_of_another_rank_is_named(x, g, tmp_path):
    text = "g: () \nh[t] = tanh(W @ h[t-1] + U @ x[t] * g[t])"
    said = re.escape(f"x has shape {x.shape}")
    with pytest.raises(BadRecordError, match=said):
        read(tmp_path, text, x=x, g=g, y=g)


@pytest.mark.parametrize("name", ["yaw", "taw", "y2", "years"])
def test_the_target_is_the_next_x_whatever_other_inputs_are_called(name, tmp_path):
    text = f"{name}: ()\nh[t] = tanh(W @ h[t-1] + U @ (x[t] * {name}[t]))"
    x = arrays()["x"]
    data = read(tmp_path, text, x=x, **{name: np.ones((N, TAU))})
    assert data.horizon == 1
    np.testing.assert_array_equal(data.parts["whole"].y[0], x[0, 1:])
    for ending in ENDINGS[1:]:
        given = {f"x{ending}": x, f"{name}{ending}": np.ones((N, TAU))}
        assert read(tmp_path, text, **given).horizon == 1
        assert read(tmp_path, text, **given, **{f"y{ending}": x}).horizon is None


@pytest.mark.parametrize(
    "name", ["lengths", "mask", "weights", CLASS_WEIGHTS, "mask_val", "y_test"]
)
def test_an_input_with_a_name_that_is_taken_is_refused(name, tmp_path):
    text = f"{name}: ()\nh[t] = tanh(W @ h[t-1] + U @ (x[t] * {name}[t]))"
    given = {"x": arrays()["x"], "y": arrays()["y"], name: np.ones((N, TAU))}
    said = f"the cell reads an input {name}; give the input another name"
    with pytest.raises(BadRecordError, match=said):
        read(tmp_path, text, **given)


@pytest.mark.parametrize("text", [EACH, ONCE])
def test_one_prediction_of_a_sequence_is_of_its_last_step(text, tmp_path):
    pytest.importorskip("torch")
    np.savez(tmp_path / "a.npz", x=arrays()["x"], y=[0, 1, 1], lengths=LENGTHS)
    (tmp_path / "own.cell").write_text(text)
    cell, file, run, found = (
        str(tmp_path / one) for one in ("own.cell", "a.npz", "run", "p.csv")
    )
    small = ["--n-h=3", "--held-out=0.4", "--out", run]
    app(["train", file, "--cell", cell, *small], standalone_mode=False)
    app(["predict", run, file, "--out", found], standalone_mode=False)
    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))[1:]
    assert [row[:2] for row in rows] == [["1", "4"], ["2", "2"], ["3", "3"]]
