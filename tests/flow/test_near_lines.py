"""Words near a line: the same at every tau, or said to be near in one of them."""

import numpy as np
import pytest

import bptt
from bptt.flow.growth import Growth
from bptt.flow.pace import apart, pace_of, usual

GAINS = bptt.Cell("h[t] = g[t] * (W @ h[t-1]) + x[t]; L[t] = sum(h[t] ** 2)")
KEEP = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = sum((V @ h[t]) ** 2)")
TAUS = (25, 60, 150)


def words(run):
    """The word at every tau, and the lines that it is near to."""
    found = []
    for tau in TAUS:
        flow = run(tau)
        kinds = [d.kind for d in flow.diagnoses if d.severity != "note"]
        near = [d.kind for d in flow.diagnoses if d.kind.startswith("near-")]
        assert ("Near a line: " in flow.verdict) == bool(near)
        assert ("接近界线" in flow.text("zh")) == bool(near)
        found.append((kinds[0] if kinds else "healthy", near))
    return found


def with_gains(per_step, tau, seed):
    """An orthogonal W times random gains: e^per_step on average."""
    rng = np.random.default_rng(seed)
    W = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    gains = np.exp(per_step + 0.2 * rng.normal(size=(max(TAUS), 4, 5)))
    x = rng.normal(size=gains.shape)
    return GAINS.flow({"W": W}, {"g": gains[:tau], "x": x[:tau]}, spectrum="leading")


def with_tanh(scale, tau, seed):
    rng = np.random.default_rng(seed)
    params = {
        "W": scale * rng.normal(size=(7, 7)) / np.sqrt(7), "U": rng.normal(size=(7, 3)),
        "V": rng.normal(size=(2, 7)),
    }  # fmt: skip
    x = rng.normal(size=(max(TAUS), 4, 3))
    return KEEP.flow(params, {"x": x[:tau]}, spectrum="leading")


NEAR = [
    *((with_gains, rate, seed) for seed, rate in enumerate(
        (-0.72, -0.69, -0.66, -0.49, -0.46, -0.43, 0.0, 0.02, 0.04, 0.08, 0.2))),
    *((with_tanh, scale, seed) for seed, scale in enumerate((0.8, 1, 1.6, 2.2, 2.6))),
]  # fmt: skip


@pytest.mark.parametrize(("make", "scale", "seed"), NEAR)
def test_a_word_that_changes_with_the_steps_is_said_to_be_near(make, scale, seed):
    found = words(lambda tau: make(scale, tau, seed))
    if len({word for word, _ in found}) > 1:
        assert any(near for _, near in found)


def test_far_from_every_line_nothing_is_near():
    for rate, word in ((-2.0, "vanishing"), (-0.2, "healthy"), (0.3, "exploding")):
        assert words(lambda tau, r=rate: with_gains(r, tau, 0)) == [(word, [])] * 3


def test_half_of_the_rows_may_explode():
    """Two and two: neither half is apart from the other, and the mean is below 0."""
    gains = np.full((60, 4, 5), 0.6)
    gains[:, 2:] = 1.25
    x = np.random.default_rng(0).normal(size=gains.shape)
    flow = GAINS.flow({"W": np.eye(5)}, {"g": gains, "x": x})
    assert flow.diagnoses[0].kind == "exploding-rows"
    assert flow.diagnoses[0].numbers["count"] == 2


@pytest.mark.parametrize("n_b", [3, 8, 32])
def test_one_row_is_apart_and_noise_is_not(n_b):
    rng = np.random.default_rng(n_b)
    rows = 0.05 * rng.normal(size=n_b)
    assert apart(rows, 0.05).sum() == 0
    rows[1] = 2.0
    assert np.flatnonzero(apart(rows, 0.05)).tolist() == [1]


def test_the_error_of_the_batch_is_that_of_its_windows():
    """Independent windows of known spread: the error of a mean of 1200 of them."""
    rng = np.random.default_rng(1)
    windows = 20 * (0.1 + 0.05 * rng.normal(size=(200, 6)))
    rates = 0.1 + 0.05 / np.sqrt(200) * rng.normal(size=6)
    pace = pace_of([Growth(20, np.arange(0, 4000, 20), windows, rates)], 20)
    assert pace.spread == pytest.approx(0.05, rel=0.05)  # of 1194 degrees of freedom
    error = pace.error_of(pace.log_growth / 20)
    # Of 6 rows the spread is known within a factor of 2, but one time in 100.
    assert 0.5 < error / (0.05 / np.sqrt(1200)) < 2
    assert pace.batch_growth == pytest.approx(windows.mean())
    assert not pace.is_near(pace.batch, error, 0.04) and pace.is_near(0.045, 0.0, 0.04)


def test_a_mean_of_rows_of_which_some_pass_nothing():
    nothing = -np.inf
    assert usual(np.array([1.0, nothing, 3.0])) == 2.0
    assert usual(np.array([1.0, nothing, nothing])) == nothing
