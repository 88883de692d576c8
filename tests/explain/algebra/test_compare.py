"""Comparisons of values that rounding alone tells apart."""

import numpy as np
import pytest

from bptt.explain.algebra.compare import exceeds, meaning_of, reaches

ULP = float(np.finfo(np.float64).eps)
A, B = np.array([0.3, 0.3, 0.3]), np.array([0.3 + ULP, 0.2, 0.4])


def test_a_tie_but_for_rounding_is_a_tie():
    np.testing.assert_array_equal(exceeds(A, B), [0, 1, 0])
    np.testing.assert_array_equal(exceeds(B, A), [0, 0, 1])
    np.testing.assert_array_equal(reaches(A, B), [1, 1, 0])
    np.testing.assert_array_equal(reaches(B, A), [1, 0, 1])


def test_infinite_values_are_no_ties():
    low, high = np.array([-np.inf, 1.0, np.inf]), np.array([1.0, np.inf, np.inf])
    with np.errstate(invalid="ignore"):  # of an instance's numbers, too
        np.testing.assert_array_equal(exceeds(high, low), [1, 1, 0])
        np.testing.assert_array_equal(reaches(low, high), [0, 0, 1])


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        ("sign", [ULP, -ULP, 0.1, -0.1], [0, 0, 1, -1]),
        ("floor", [2 - 2 * ULP, 2.0, 2.1, -0.1], [2, 2, 2, -1]),
        ("round", [0.5 - ULP, 0.5 + ULP, 1.5 - ULP, 0.6], [0, 0, 2, 1]),
    ],
)
def test_what_jumps_does_not_jump_for_rounding(function, at, expected):
    np.testing.assert_array_equal(meaning_of(function)(np.array(at)), expected)


def test_the_first_of_the_largest_but_for_rounding_is_the_largest():
    rows = np.array([[0.3 - ULP, 0.3, 0.1], [0.1, 0.2, 0.2 + ULP]])
    np.testing.assert_array_equal(meaning_of("argmax")(rows), [0, 1])


def test_a_condition_that_is_0_but_for_rounding_is_not_met():
    found = meaning_of("where")(np.array([ULP, 0.1]), np.ones(2), np.zeros(2))
    np.testing.assert_array_equal(found, [0, 1])
