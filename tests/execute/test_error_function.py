"""The error function of the kernels against mpmath: errors in ulp, tails, edges."""

import mpmath
import numpy as np
import pytest

from bptt.execute.codegen.error_function import erf
from bptt.execute.codegen.target import get_host_target, lower_target
from tests.execute.elementwise import compile_elementwise

BOUNDS = {np.float32: 2.5, np.float64: 2.0}  # those of the module's first lines


def sample(dtype):
    random = np.random.default_rng(7)
    small = np.ldexp(random.uniform(0.5, 1, 400), random.integers(-100, 0, 400))
    dense = [random.uniform(0, r, 800) for r in (1, 1.02, 2, 7)]
    points = np.concatenate([small, *dense, [1.0, np.nextafter(1, 2), 6.0, 30.0]])
    return (points * random.choice([-1.0, 1.0], points.size)).astype(dtype)


@pytest.mark.parametrize("level", ["host", "sse2"])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_the_error_stays_within_the_stated_bound(dtype, level):
    if level == "sse2" and get_host_target().vector_bytes != 64:
        pytest.skip("only a CPU that runs the older level")
    target = get_host_target() if level == "host" else lower_target(level)
    points = sample(dtype)
    found = compile_elementwise(erf, target, dtype)(points)
    worst = 0.0
    with mpmath.workprec(200):
        for x, y in zip(points.tolist(), found.tolist(), strict=True):
            exact = mpmath.erf(mpmath.mpf(x))
            spacing = mpmath.mpf(float(np.spacing(np.abs(dtype(float(exact))))))
            worst = max(worst, float(abs(mpmath.mpf(y) - exact) / spacing))
    assert worst <= BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
def test_edges(dtype):
    points = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6.5, -1e30], dtype)
    found = compile_elementwise(erf, get_host_target(), dtype)(points)
    np.testing.assert_array_equal(found, [0, -0.0, 1, -1, np.nan, 1, -1])
    assert np.signbit(found[1]) and not np.signbit(found[0])
