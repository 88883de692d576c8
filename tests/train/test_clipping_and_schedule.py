"""Clipping keeps the direction; the rate rises and falls as documented."""

import numpy as np
import pytest

from bptt.train.clipping import clip_by_global_norm, clip_by_value, global_norm
from bptt.train.schedule import FLOOR, WARM_UP, rate_factor


def test_one_factor_scales_every_gradient_to_the_limit():
    gradients = {"W": np.array([[3.0]]), "b": np.array([0.0, 4.0])}
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose(clipped["W"], [[0.6]], rtol=1e-15)
    np.testing.assert_allclose(clipped["b"], [0.0, 0.8], rtol=1e-15)
    np.testing.assert_array_equal(gradients["W"], [[3.0]])


def test_a_small_gradient_is_left_alone():
    gradients = {"W": np.array([3.0, 4.0])}
    clipped, norm = clip_by_global_norm(gradients, 5.0)
    assert norm == 5.0
    assert clipped["W"] is gradients["W"]


def test_the_norm_is_summed_in_float64_and_the_dtype_stays():
    gradients = {"W": np.full(10_000, 3e18, np.float32)}  # squares overflow float32
    clipped, norm = clip_by_global_norm(gradients, 1.0)
    assert norm == pytest.approx(3e20)
    assert clipped["W"].dtype == np.float32
    assert global_norm(clipped) == pytest.approx(1.0, rel=1e-6)


def test_clipping_by_value_limits_every_element_and_keeps_the_dtype():
    gradients = {"W": np.array([[3.0, -0.25], [-7.0, 0.5]], np.float32)}
    clipped = clip_by_value(gradients, 0.5)
    assert clipped["W"].tolist() == [[0.5, -0.25], [-0.5, 0.5]]
    assert clipped["W"].dtype == np.float32
    assert clip_by_value(gradients, np.inf)["W"] is gradients["W"]


def test_the_cosine_rises_falls_and_ends_at_the_floor():
    factors = [rate_factor("cosine", i, 1000) for i in range(1000)]
    top = int(1000 * WARM_UP) - 1
    assert factors[0] == pytest.approx(1 / 20)
    assert factors[top] == 1.0
    assert factors[-1] == pytest.approx(FLOOR)
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[top + 490] == pytest.approx((1 + FLOOR) / 2, abs=1e-3)


def test_constant_is_constant():
    assert {rate_factor("constant", i, 7) for i in range(7)} == {1.0}
