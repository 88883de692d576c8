"""Small singular values against mpmath: right, or said to be noise."""

import numpy as np
import pytest

import bptt
from bptt.flow.graded import log_values
from bptt.flow.words import power

mpmath = pytest.importorskip("mpmath")
RANDOM = np.random.default_rng(0)
Q = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]
W = RANDOM.normal(size=(6, 6)) / 3
JORDAN = 0.9 * np.eye(6) + 5 * np.diag(np.ones(5), 1)


def exact_logs(factors):
    """Of the product of all factors, in 150 digits; -inf below 1e-140 of it."""
    with mpmath.workdps(150):
        product = mpmath.eye(len(factors[0]))
        for factor in factors:
            product = mpmath.matrix(factor.tolist()) * product
        values = mpmath.svd_r(product, compute_uv=False)
        floor = values[0] * mpmath.mpf(10) ** -140
        return np.array(
            [float(mpmath.log(v)) if v > floor else -np.inf for v in values]
        )


@pytest.mark.parametrize(
    ("factors", "tolerance"),
    [
        ([RANDOM.normal(size=(6, 6)) / 2 for _ in range(40)], 1e-11),
        ([W] * 60, 1e-11),
        ([np.diag(RANDOM.uniform(0, 1, 6) ** 4) @ W for _ in range(30)], 1e-6),
        ([np.diag(10.0 ** -np.arange(6)) @ Q] * 9, 1e-11),
        ([np.diag([1e-20, 2e-20, 1.0])] * 3, 1e-12),
        # Not normal, in a basis where no zero is exact.
        ([Q @ JORDAN @ Q.T] * 40, 1e-6),
        ([0.9 * Q] * 100, 1e-11),
    ],
    ids=["random", "constant", "saturated", "graded", "diagonal", "jordan", "rotation"],
)
def test_logarithms_of_every_singular_value_are_right(factors, tolerance):
    found = log_values(factors, len(factors[0]))
    assert found.shape == (len(factors) + 1, len(factors[0]))
    # what a change of the last bit of each element does to one of 6 values
    np.testing.assert_allclose(found[-1], exact_logs(factors), atol=tolerance)
    middle = len(factors) // 2
    np.testing.assert_allclose(
        found[middle], exact_logs(factors[:middle]), atol=tolerance
    )


def test_what_rounding_took_is_not_resolved():
    """Three values are right, one of 1e-3 too, two lie below the last bit of J."""
    factors = [Q @ np.diag([1, 1, 1, 1e-15, 1e-17, 1e-3]) @ Q.T] * 3
    found = log_values(factors, 6)[-1]
    np.testing.assert_allclose(found[:4], exact_logs(factors)[:4], atol=1e-10)
    assert np.isnan(found[4:]).all()


def test_an_exact_zero_is_zero_and_everything_else_stays_right():
    """A unit without a slope: -inf, and the others as without it."""
    factors = [np.diag([1.0, 1, 0, 1]) @ RANDOM.normal(size=(4, 4)) for _ in range(5)]
    found = log_values(factors, 4)[-1]
    np.testing.assert_allclose(found[:3], exact_logs(factors)[:3], atol=1e-11)
    assert found[3] == -np.inf or np.isnan(found[3])


def test_a_cell_shows_values_that_no_plain_product_has():
    """diag(0.9, 1e-5) over 100 steps: 0.9^100 and 1e-500."""
    cell = bptt.Cell("h[t] = W @ h[t-1] + x[t]\nL[t] = sum(h[t])")
    flow = cell.flow({"W": np.diag([0.9, 1e-5])}, {"x": np.ones((100, 2, 2))})
    logs = flow.numbers.log_singular_values[0]
    np.testing.assert_allclose(logs, 100 * np.log([0.9, 1e-5]), rtol=1e-12)
    np.testing.assert_allclose(flow.numbers.exponents, np.log([0.9, 1e-5]), rtol=1e-12)
    assert flow.numbers.singular_values[0, 1] == 0.0
    assert "1.0e-500" in str(flow)
    assert power(np.log(10) * -500) == "1.0e-500"


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_finite_gradient_never_gives_a_number_that_is_none(scale):
    """Squares of these numbers leave the range of 64 bits; no norm or cosine does."""
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = sum(h[t])")
    params = cell.init(n_x=2, n_h=3, seed=1)
    x = {"x": RANDOM.normal(size=(9, 2, 2))}
    plain = cell.flow(params, x)
    flow = cell.flow(params, x, weights=np.full(9, scale))
    np.testing.assert_allclose(flow.lags / scale, plain.lags, rtol=1e-12)
    for name, norms in flow.copies.items():
        np.testing.assert_allclose(norms / scale, plain.copies[name], rtol=1e-9)
        assert flow.cancellation[name] == pytest.approx(plain.cancellation[name])
    for mine, theirs in zip(flow.truncations, plain.truncations, strict=True):
        assert mine.cosine == pytest.approx(theirs.cosine, abs=1e-12)
        assert mine.ratio == pytest.approx(theirs.ratio, rel=1e-12)


def test_a_gradient_that_float32_rounds_to_0_is_reported_where_it_dies():
    cell = bptt.Cell("h[t] = W @ h[t-1] + x[t]\nL[t] = sum(h[t])")
    only_last = np.zeros(60)
    only_last[-1] = 1.0
    params = {"W": np.float32(0.1) * np.eye(2, dtype=np.float32)}
    x = {"x": np.ones((60, 2, 2), np.float32)}
    flow = cell.flow(params, x, weights=only_last)
    # 0.1^45 is the smallest number of float32: at step 14 it is 0.1^46
    assert (flow.underflow.t, flow.underflow.name) == (14, "h")
    assert flow.underflow.steps == 14
    assert flow.underflow.exact == pytest.approx(np.float32(0.1).item() ** 46, rel=1e-6)
    assert flow.diagnoses[0].kind == "underflow"
    wide = {"W": params["W"].astype(float)}
    assert cell.flow(wide, {"x": x["x"].astype(float)}).underflow is None
