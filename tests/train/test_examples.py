"""The data of the reproductions is what their tasks say."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from bptt.train import read_sequences

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_the_sum_is_that_of_the_two_marked_numbers_one_in_each_half():
    x, y = load("adding_problem")["make_sequences"](50, 9, seed=1)
    values, marks = x[..., 0], x[..., 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :4].sum(axis=1) == 1).all()
    assert (marks[:, 4:].sum(axis=1) == 1).all()
    np.testing.assert_allclose(y[:, 0], (values * marks).sum(axis=1), rtol=1e-6)
    assert values.min() >= 0
    assert values.max() < 1


def test_ten_symbols_are_asked_for_at_the_end_and_nothing_before():
    x, y = load("copy_memory")["make_sequences"](20, 30, seed=1)
    assert x.shape == y.shape == (20, 50)
    np.testing.assert_array_equal(y[:, -10:], x[:, :10])
    assert x[:, :10].max() < 8
    assert (y[:, :-10] == 8).all()
    assert (x == 9).sum(axis=1).tolist() == [1] * 20
    assert (x[:, 39] == 9).all()  # ten steps before the end: the first answer is at 40
    assert (x[:, 40:] == 8).all()


def test_every_string_is_one_of_the_embedded_reber_grammar():
    example = load("reber_grammar")
    x, y, lengths = example["make_sequences"](200, seed=1)
    edges, symbols = example["EDGES"], example["SYMBOLS"]
    seen = set()
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(x[row, 1:n], y[row, : n - 1])
        text = "".join(symbols[token] for token in [*x[row, :n], y[row, n - 1]])
        assert text[0] + text[-1] == "BE"
        assert text[1] == text[-2]
        seen.add(text[1])
        state = 0
        for symbol in text[2:-2]:
            follows = dict(edges[state])
            assert symbol in follows, text
            state = follows[symbol]
        assert state is None
    assert seen == {"T", "P"}


def test_the_digits_need_scikit_learn_alone():
    pytest.importorskip("sklearn")
    assert callable(load("sequential_digits")["main"])


def pieces(n, random):
    """Rolls of different lengths."""
    return [random.random((3 + i, 88)) < 0.05 for i in range(n)]


@pytest.mark.parametrize("kind", ["mat", "json"])
def test_rolls_of_a_collection_are_those_of_its_file(kind, tmp_path, monkeypatch):
    example, random = load("piano_rolls"), np.random.default_rng(4)
    parts = {"train": pieces(4, random), "valid": pieces(2, random),
             "test": pieces(3, random)}  # fmt: skip
    source, out = tmp_path / f"made up.{kind}", tmp_path / "rolls.npz"
    if kind == "mat":
        cells = {}
        for name, rolls in parts.items():
            cells[f"{name}data"] = cell = np.empty((1, len(rolls)), object)
            cell[0] = [roll.astype(np.uint8) for roll in rolls]
        pytest.importorskip("scipy.io").savemat(source, cells)
    else:
        chords = {n: [[(np.flatnonzero(step) + 21).tolist() for step in roll]
                      for roll in rolls] for n, rolls in parts.items()}  # fmt: skip
        source.write_text(json.dumps(chords))
    monkeypatch.setattr("sys.argv", ["piano_rolls.py", str(source), str(out)])
    example["main"]()
    found = np.load(out)
    for old, new in example["PARTS"].items():
        lengths = found[f"lengths_{new}"]
        assert lengths.tolist() == [len(roll) for roll in parts[old]]
        for row, n, roll in zip(found[f"x_{new}"], lengths, parts[old], strict=True):
            np.testing.assert_array_equal(row[:n], roll)
            assert not row[n:].any()
    assert len(read_sequences("rolls", [out]).parts["training"]) == 4


def test_a_note_is_in_the_steps_whose_beginning_it_sounds_at():
    roll = load("piano_rolls")["roll_of_notes"](
        [(21, 0.0, 1.5), (60, 0.5, 2.0), (61, 1.25, 1.75), (108, 2.0, 3.0), (5, 0, 1)]
    )
    keys = [(step, key + 21) for step, key in np.argwhere(roll).tolist()]
    assert roll.shape == (3, 88)
    assert keys == [(0, 21), (1, 21), (1, 60), (2, 108)]
