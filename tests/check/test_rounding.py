"""What rounding does to a gradient: it excuses what cancels, and no mistake."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

import bptt
from bptt.check import FAILED, NOT_CHECKED, check_instance, make_instance, rounding
from bptt.check.context import Trial
from bptt.check.probes import Moved
from bptt.check.rounding import (
    EXACT,
    FINEST,
    LAST_PLACES,
    NO_DIGITS,
    NOT_FINITE,
    Roundings,
    measured,
    settled,
    spread,
)
from bptt.step.ops import TABLE
from tests.check.test_check import scaled

# 1 - tanh(15 + ..)^2 is 1e-13, of which three digits are left.
CANCELS = """
    h[t] = tanh(U @ x[t])
    o[t] = 1e6 * tanh(15 + W @ h[t])
    L[t] = sum(o[t])
"""


def trial(text, seed=0):
    cell = bptt.Cell(text)
    return Trial(cell, make_instance(cell.graph, 1, seed), cell.gradient)


def test_a_gradient_that_cancels_fails_if_it_is_compared_to_itself(monkeypatch):
    monkeypatch.setattr(rounding, "LAST_PLACES", 0.0)
    assert not bptt.Cell(CANCELS).check(instances=1).passed


@pytest.mark.parametrize("factor", [1.001, 0.0, -1.0])
def test_a_wrong_gradient_that_cancels_is_caught(factor):
    cell = bptt.Cell("h[t] = tanh(U @ x[t])\nL[t] = 1e6 * sum(tanh(9 + W @ h[t]))")
    instance = make_instance(cell.graph, 1, 0)
    assert all(row.status != FAILED for row in check_instance(cell, instance))
    rows = check_instance(cell, instance, gradient=scaled(cell, factor))
    assert any(row.status == FAILED for row in rows)


def test_terms_are_as_large_as_what_was_subtracted():
    # The gradient of w is the sum over t of 1e4 - 1e4 (1 + u): that of terms of 1e4.
    big = trial("L[t] = sum(x[t] * w * 1.1e4 - (x[t] * 1.1e4) * tanh(w))")
    terms = LAST_PLACES / FINEST * big.rounding_of(Moved("parameter", "w")).max()
    assert 1e2 < terms < 1e6


@pytest.mark.parametrize("name", ["book", "gru", "lstm", "leaky", "cornn"])
def test_terms_of_what_does_not_cancel_are_about_as_large_as_the_gradient(name):
    """Up to the rounding of a few hundred operations, measured: 0.02 to 4 times."""
    found = trial(bptt.cells.get(name).canonical_text)
    for target in found.targets():
        terms = LAST_PLACES / FINEST * found.rounding_of(target).max()
        assert terms <= 10 * found.size_of(found.claimed(target))


def test_a_tie_stays_a_tie_and_whole_numbers_stay_whole():
    cell = bptt.Cell("L[t] = sum(maximum(minimum(w, x[t]), x[t]) * (t % 2 == 0))")
    instance = make_instance(cell.graph, 1, 0)
    gradients = Roundings(cell, instance).gradients
    assert spread([np.asarray(grad["w"]) for grad in gradients]).max() < 1e-14


def test_what_rounds_nothing_is_in_the_table():
    assert set(TABLE) >= EXACT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("g[t] = b; L[t] = sum(maximum(W @ g[t], W @ b) * x[t])", True),
        ("g[t] = b; L[t] = sum(relu(100 * (W @ g[t]) - 100 * (W @ b)) * x[t])", True),
        ("L[t] = sum(maximum(minimum(w, x[t]), x[t]))", False),
        ("L[t] = sum(maximum(W @ x[t], V @ x[t]) * y[t])", False),
        ("L[t] = sum(tanh(W @ x[t]))", False),
    ],
)
def test_what_rounding_decides_is_measured(text, expected):
    assert trial(text).prober.kinks.are_decided_by_rounding is expected


def test_a_wrong_gradient_of_a_cell_with_a_tie_everywhere_is_caught():
    cell = bptt.Cell("L[t] = sum(maximum(minimum(w, x[t]), x[t]) * (W @ y[t]))")
    instance = make_instance(cell.graph, 1, 0)
    rows = check_instance(cell, instance, gradient=scaled(cell, 1.001))
    assert any(row.status == FAILED for row in rows)


def moved_by(*noise):
    return lambda: np.array(noise)


@pytest.mark.parametrize(
    ("gap", "noise", "expected"),
    [
        (1e-13, 0.0, 1e-13),  # nobody asks
        (1e-9, 1e-10, 1e-9 / 5e3),  # 50 * 1e-10 is allowed, of terms of 5e3
        (1e-3, 1e-10, 1e-3 / 5e3),  # more than that is a mistake
        (1e-3, 1e-3, NO_DIGITS),  # a gap that rounding makes, of what is all rounding
        (1.0, 1e-3, 1.0),  # and one that it does not make
        (1e-3, np.nan, NO_DIGITS),
        (np.nan, 1.0, np.inf),
        (np.inf, 1.0, np.inf),
    ],
)
def test_a_gap_is_compared_to_measured_rounding(gap, noise, expected):
    found = np.array([gap])
    error = measured(found, np.zeros(1), 1.0, moved_by(noise))
    assert error == expected or error == pytest.approx(expected)


@pytest.mark.parametrize("tolerance", [1e-10, 1e-12, 1e-13])
def test_a_tolerance_allows_the_rounding_that_another_allows(tolerance):
    """5e-9 of rounding is allowed with every tolerance."""

    def error(gap):
        found = np.array([gap])
        return measured(found, np.zeros(1), 1.0, moved_by(1e-10), tolerance)

    assert error(4e-9) <= tolerance < error(6e-9)


@pytest.mark.parametrize("tolerance", [1e-10, 1e-12])
@pytest.mark.parametrize("noise", [1e-8, 1e-7, 1e-5, 1e-3])
def test_no_gap_that_is_larger_is_better(noise, tolerance):
    """A gap that rounding does not make fails, whatever smaller ones are."""
    outcomes = [
        measured(np.array([gap]), np.zeros(1), 1.0, moved_by(noise), tolerance)
        for gap in np.geomspace(noise, 1e4 * noise, 40)
    ]
    failed = [not isinstance(e, str) and e > tolerance for e in outcomes]
    assert failed == sorted(failed)
    assert failed[-1]
    assert not failed[0]


@pytest.mark.parametrize(
    ("oracle", "noise"),
    [([1.0, np.inf], (0.0, np.nan)), ([1.0, 0.0], (0.0, 1.0)),
     ([1.0, 5.0], (1e-17, np.inf)), ([1.0, np.nan], (1e-9, np.nan))],
)  # fmt: skip
def test_an_element_without_digits_excuses_no_other(oracle, noise):
    right = np.array(oracle)
    wrong = right + np.array([1e-3, 0.0])
    assert measured(wrong, right, 1.0, moved_by(*noise)) > FINEST
    assert measured(wrong[::-1], right[::-1], 1.0, moved_by(*noise[::-1])) > FINEST


def test_a_slope_is_that_of_the_first_steps_that_agree():
    slopes = [np.array([1.0, 5.0, 1e20]), np.array([1.0, 2.0, 1e60]),
              np.array([1.0, 2.0, 1e120]), np.array([0.0, 2.0, 1e180])]  # fmt: skip
    np.testing.assert_array_equal(settled(slopes, 2.0), [1.0, 2.0, np.nan])


def test_a_slope_that_cancels_settles_and_one_that_is_lost_does_not():
    slopes = [np.array([3e-17, 0.022, 0.0]), np.array([-1e-17, 0.0, 0.0]),
              np.array([2e-17, 0.0, 0.0]), np.array([1e-17, 0.0, 0.0])]  # fmt: skip
    np.testing.assert_array_equal(settled(slopes, 1.0), [3e-17, np.nan, 0.0])


def test_a_gradient_that_a_pole_beside_it_makes_nan_is_asked_for_alone():
    """0 times the infinite gradient of a probability of 1 says nothing of x."""
    found = trial("p[t] = sigmoid(50 + W @ x[t]); L[t] = bce(p[t], y[t])")
    with np.errstate(all="ignore"):
        assert np.isnan(found.full.inputs["x"]).any()
        claimed = found.claimed(Moved("input", "x"))
        moved = found.rounding_of(Moved("input", "x"))
    right = (1 - found.instance.inputs["y"]) @ found.instance.params["W"]
    np.testing.assert_allclose(claimed, right, rtol=1e-12)
    assert moved.max() < 1e-12


@pytest.mark.parametrize("factor", [1.001, -1.0, np.nan])
def test_a_wrong_gradient_beside_a_pole_is_caught(factor):
    cell = bptt.Cell("p[t] = sigmoid(50 + W @ x[t]); L[t] = bce(p[t], y[t])")
    instance = make_instance(cell.graph, 1, 0)
    rows = check_instance(cell, instance)
    assert all(row.status != FAILED for row in rows)
    assert any(row.note == NOT_FINITE for row in rows if row.status == NOT_CHECKED)
    rows = check_instance(cell, instance, gradient=scaled(cell, factor))
    assert any(row.status == FAILED for row in rows)


def test_a_nan_that_only_what_is_under_test_makes_is_caught():
    """As memory that nobody wrote, read where everything is asked for at once."""
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = mse(h[t], y[t])")

    def gradient(params, inputs, **options):
        right = cell.gradient(params, inputs, **options)
        if len(options.get("nodes", ())) < 2:
            return right

        class Unwritten:
            loss, inputs = right.loss, right.inputs
            initial, copies = right.initial, right.copies
            nodes = MappingProxyType({n: np.nan * v for n, v in right.nodes.items()})

            def __getitem__(self, name):
                return right[name] * (np.nan if name == "U" else 1)

        return Unwritten()

    instance = make_instance(cell.graph, 1, 0)
    rows = check_instance(cell, instance, gradient=gradient)
    failed = {(row.what, row.how) for row in rows if row.status == FAILED}
    assert ("∇_h^(t)", "complex step, each node moved") in failed
    assert ("∇_U", "whichever nodes are asked for") in failed


def test_what_is_not_finite_is_not_compared_and_the_rest_is():
    right, none = np.array([1.0, np.nan, np.inf]), lambda: np.zeros(3)
    assert measured(right, right, 1.0, none) == NOT_FINITE
    assert measured(np.array([1.1, 0.0, 0.0]), right, 1.0, none) == pytest.approx(0.1)
    assert measured(np.full(3, np.nan), right, 1.0, none) == np.inf
    assert measured(right[:2], right, 1.0, none) == np.inf


def planted(cell, change):
    """The gradient of a cell, changed: of what kind and name, the array."""

    class Table(dict):
        def __init__(self, kind, table):
            super().__init__({n: change(kind, n, np.array(table[n])) for n in table})

    def gradient(params, inputs, **options):
        right = cell.gradient(params, inputs, **options)

        class Wrong:
            loss, copies, initial = right.loss, right.copies, right.initial
            nodes, inputs = Table("node", right.nodes), Table("input", right.inputs)

            def __getitem__(self, name):
                return change("parameter", name, np.array(right[name]))

        return Wrong()

    return gradient


def failures(text, change, number=1):
    cell = bptt.Cell(text)
    instance = make_instance(cell.graph, number, 0)
    rows = check_instance(cell, instance, gradient=planted(cell, change))
    return {row.what for row in rows if row.status == FAILED}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_wrong_gradient_beside_a_deviation_that_is_0_is_caught(number):
    text = """
        alpha: ()
        h[t] = alpha + 0 * (W @ x[t])
        L[t] = sqrt(mean((h[t] - mean(h[t])) ** 2)) + mse(V @ x[t], y[t])
    """

    def change(kind, name, array):
        return 2 * array if name == "V" else array

    assert "∇_V" in failures(text, change, number)


def test_the_finite_elements_of_a_gradient_with_poles_are_compared():
    text = """
        z[t] = [50 + W @ x[t]; V @ x[t]]
        p[t] = sigmoid(z[t])
        L[t] = bce(p[t], y[t])
    """

    def doubled(kind, name, array):
        if (kind, name) != ("node", "p"):
            return array
        return np.where(np.isfinite(array), 2 * array, array)

    assert "∇_p^(t)" in failures(text, doubled)


def test_a_gradient_that_is_nan_without_a_reason_is_caught():
    text = "h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = mse(h[t], y[t])"

    def change(kind, name, array):
        return np.full_like(array, np.nan) if (kind, name) == ("node", "h") else array

    assert "∇_h^(t)" in failures(text, change)


def test_one_wrong_element_that_cancels_elsewhere_is_caught():
    text = """
        z[t] = W @ x[t]
        m[t] = mean(z[t])
        L[t] = nll(softmax(z[t] - m[t]), k[t])
    """

    def change(kind, name, array):
        if (kind, name) == ("node", "m"):
            array[1, 0] += 3.0
        return array

    assert "∇_m^(t)" in failures(text, change)


@pytest.mark.parametrize("shift", [640, 690, 700])
def test_a_slope_that_underflows_fails_no_right_gradient_and_passes_no_0(shift):
    text = f"p[t] = sigmoid(W @ x[t] - {shift}); L[t] = -mean(log(p[t]))"
    assert bptt.Cell(text).check(instances=1).failures == ()

    def change(kind, name, array):
        return 0 * array if name == "W" else array

    assert "∇_W" in failures(text, change)
