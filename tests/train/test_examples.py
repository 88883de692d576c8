"""The data of the reproductions is what their tasks say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

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
