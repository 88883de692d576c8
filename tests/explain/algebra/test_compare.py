"""Comparisons of values that rounding alone tells apart."""

import numpy as np

from bptt.explain.algebra.compare import exceeds, reaches, settled

ULP = float(np.finfo(np.float64).eps)
A, B = np.array([0.3, 0.3, 0.3]), np.array([0.3 + ULP, 0.2, 0.4])


def test_a_tie_but_for_rounding_is_a_tie():
    np.testing.assert_array_equal(exceeds(A, B), [0, 1, 0])
    np.testing.assert_array_equal(exceeds(B, A), [0, 0, 1])
    np.testing.assert_array_equal(reaches(A, B), [1, 1, 0])
    np.testing.assert_array_equal(reaches(B, A), [1, 0, 1])


def test_a_tie_is_settled_for_either_side_and_nothing_else_is():
    with settled((1.0, 0.0)):
        np.testing.assert_array_equal(exceeds(A, B), [1, 1, 0])
        np.testing.assert_array_equal(exceeds(B, A), [0, 0, 1])
    with settled((0.0, 1.0)):
        np.testing.assert_array_equal(exceeds(A, B), [0, 1, 0])
        np.testing.assert_array_equal(exceeds(B, A), [1, 0, 1])
    np.testing.assert_array_equal(exceeds(A, B), [0, 1, 0])
