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
    over,
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


@pytest.mark.parametrize(
    ("gap", "noise", "expected"),
    [
        (1e-13, 0.0, 1e-13),  # nobody asks
        (1e-9, 1e-10, 1e-9 / 5e3),  # 50 * 1e-10 is allowed, of terms of 5e3
        (1e-3, 1e-10, 1e-3 / 5e3),  # more than that is a mistake
        (1e-3, 1e-3, NO_DIGITS),  # a gap that rounding makes, of what is all rounding
        (1.0, 1e-3, 1e-6),  # and one that it does not make
        (1e-3, np.nan, NO_DIGITS),
        (np.inf, 1.0, np.inf),
    ],
)
def test_a_gap_is_compared_to_measured_rounding(gap, noise, expected):
    assert over(gap, 1.0, lambda: np.array([noise])) == expected


def test_a_finer_tolerance_allows_no_less_rounding():
    """Where 5e-9 of rounding is allowed, it is with every tolerance."""
    for tolerance in (1e-12, 1e-13):
        found = over(4e-9, 1.0, lambda: np.array([1e-10]), tolerance)
        assert found <= tolerance
        assert over(6e-9, 1.0, lambda: np.array([1e-10]), tolerance) > tolerance


def test_a_slope_is_that_of_the_first_steps_that_agree():
    slopes = [np.array([1.0, 5.0, 1e20]), np.array([1.0, 2.0, 1e60]),
              np.array([1.0, 2.0, 1e120]), np.array([0.0, 2.0, 1e180])]  # fmt: skip
    np.testing.assert_array_equal(settled(slopes), [1.0, 2.0, np.nan])


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
    assert not measured(np.full(3, np.nan), right, 1.0, none) <= 1e-12
    assert measured(right[:2], right, 1.0, none) == np.inf
