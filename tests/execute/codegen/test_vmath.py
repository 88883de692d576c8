"""The elementary functions against higher precision: errors in ulp, tails, edges."""

import mpmath
import numpy as np
import pytest

from bptt.execute.codegen import vmath
from bptt.execute.codegen.target import get_host_target, lower_target
from tests.execute.elementwise import compile_elementwise

# function: (bound float32, bound float64, NumPy in higher precision, mpmath)
BOUNDS = {
    "exp": (1.5, 1.5, np.exp, mpmath.exp),
    "expm1": (2.0, 2.0, np.expm1, mpmath.expm1),
    "tanh": (3.0, 3.0, np.tanh, mpmath.tanh),
    "sigmoid": (2.5, 2.5, None, lambda x: 1 / (1 + mpmath.exp(-x))),
    "log": (1.0, 1.0, np.log, mpmath.log),
    "log1p": (1.0, 1.0, np.log1p, mpmath.log1p),
    "softplus": (2.0, 2.0, None, lambda x: mpmath.log1p(mpmath.exp(x))),
    "sqrt": (0.5, 0.5, np.sqrt, mpmath.sqrt),
    "sin": (1.0, 1.0, np.sin, mpmath.sin),
    "cos": (1.0, 1.0, np.cos, mpmath.cos),
}
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan]


def get_levels():
    host = get_host_target()
    if host.vector_bytes == 64:
        return [host, lower_target("avx2"), lower_target("sse2")]
    return [host]


def name_level(target):
    return f"{target.cpu}-{target.vector_bytes}"


def wide_oracle(name):
    """The function in a wider NumPy type, written so that no tail cancels."""
    if name == "sigmoid":
        return lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    if name == "softplus":
        return lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return BOUNDS[name][2]


def sample(dtype, name):
    """Every exponent many times, and dense points where the functions change."""
    info = np.finfo(dtype)
    random = np.random.default_rng(7)
    low, high = info.minexp - info.nmant, info.maxexp
    exponents = np.repeat(np.arange(low, high), 40)
    sizes = np.ldexp(random.uniform(0.5, 1, exponents.size), exponents + 1)
    sizes = np.where(np.isinf(sizes.astype(dtype)), 1.0, sizes)
    signs = random.choice([-1.0, 1.0], sizes.size)
    dense = [random.uniform(-r, r, 20000) for r in (1e-3, 0.5, 1, 3, 12, 40, 110, 750)]
    near_one = 1 + random.uniform(-1e-4, 1e-4, 4000)
    points = np.concatenate([sizes * signs, *dense, near_one, near_one - 1])
    points = points[np.abs(points) <= float(info.max)].astype(dtype)
    if name in {"log", "sqrt"}:
        points = np.abs(points)
    if name == "log1p":
        points = np.where(points <= -1, np.abs(points), points)
    if name in {"sin", "cos"}:
        points = points[np.abs(points) < 1e6]
    return points


def ulp_error(got, true):
    """|got - true| in units of the spacing of got's type at true."""
    dtype = got.dtype
    with np.errstate(all="ignore"):
        rounded = true.astype(dtype)
        both = (got == rounded) | (np.isnan(got) & np.isnan(true))
        size = np.minimum(
            np.abs(rounded), np.ldexp(dtype.type(1), np.finfo(dtype).maxexp - 1)
        )
        spacing = np.spacing(size).astype(true.dtype)
        return np.where(both, 0, np.abs(got.astype(true.dtype) - true) / spacing)


@pytest.mark.parametrize("target", get_levels(), ids=name_level)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BOUNDS)
def test_error_stays_within_the_stated_bound(name, dtype, target):
    wide = np.float64 if dtype == np.float32 else np.longdouble
    if np.finfo(wide).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("no wider type on this machine; mpmath tests the same below")
    points = sample(dtype, name)
    got = compile_elementwise(getattr(vmath, name), target, dtype)(points)
    with np.errstate(all="ignore"):
        true = wide_oracle(name)(points.astype(wide))
    errors = ulp_error(got, true)
    worst = int(np.argmax(errors))
    bound = BOUNDS[name][0 if dtype == np.float32 else 1]
    assert errors[worst] <= bound, (points[worst], got[worst], true[worst])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BOUNDS)
def test_error_against_mpmath(name, dtype):
    points = sample(dtype, name)
    random = np.random.default_rng(3)
    points = random.choice(points[np.abs(points) < 800], 1500, replace=False)
    got = compile_elementwise(getattr(vmath, name), get_host_target(), dtype)(points)
    info = np.finfo(dtype)
    bound = BOUNDS[name][0 if dtype == np.float32 else 1]
    with mpmath.workprec({"sigmoid": 2500, "softplus": 1300}.get(name, 200)):
        for x, y in zip(points.tolist(), got.tolist(), strict=True):
            true = BOUNDS[name][3](mpmath.mpf(x))
            if np.isinf(y):
                assert abs(true) >= mpmath.mpf(float(info.max))
                continue
            exponent = true.exp + true.bc - 1 if true else -9999  # ⌊log₂ |true|⌋
            spacing = mpmath.ldexp(1, max(exponent, info.minexp) - info.nmant)
            assert abs(mpmath.mpf(y) - true) <= bound * spacing, (x, y)


@pytest.mark.parametrize("target", get_levels(), ids=name_level)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BOUNDS)
def test_zeros_infinities_and_nan_behave_as_in_numpy(name, dtype, target):
    if name in {"sin", "cos"} and target.vector_bytes == 16:
        pytest.skip("the C library")
    points = np.array(EDGES, dtype)
    got = compile_elementwise(getattr(vmath, name), target, dtype)(points)
    with np.errstate(all="ignore"):
        true = wide_oracle(name)(points)
    np.testing.assert_array_equal(got, true)
    known = ~np.isnan(true)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(true[known]))


@pytest.mark.parametrize("name", ["log", "log1p"])
def test_logarithms_below_their_domain_are_nan(name):
    points = np.array([-1.5, -3e38, -np.inf, -2], np.float32)
    apply = compile_elementwise(getattr(vmath, name), get_host_target(), np.float32)
    assert np.isnan(apply(points)).all()


def test_log1p_has_its_pole_at_minus_one():
    apply = compile_elementwise(vmath.log1p, get_host_target(), np.float64)
    assert apply(np.array([-1.0]))[0] == -np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_saturates_to_exactly_one(dtype):
    points = np.array([20, 25, 1e3, 1e30, np.inf], dtype)
    apply = compile_elementwise(vmath.tanh, get_host_target(), dtype)
    assert (apply(points) == 1).all() and (apply(-points) == -1).all()


@pytest.mark.parametrize("target", get_levels(), ids=name_level)
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_agree_with_numpy_for_nan_too(name, target):
    values = np.array([0, 1, -1, np.inf, -np.inf, np.nan, 2.5], np.float32)
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    got = compile_elementwise(getattr(vmath, name), target, np.float32, 2)(x, y)
    np.testing.assert_array_equal(got, getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_agrees_with_numpy(dtype):
    random = np.random.default_rng(1)
    x, y = random.uniform(0.01, 9, 500), random.uniform(-6, 6, 500)
    x, y = x.astype(dtype), y.astype(dtype)
    got = compile_elementwise(vmath.power, get_host_target(), dtype, 2)(x, y)
    true = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    assert ulp_error(got, true).max() <= 1.0


def test_where_agrees_with_numpy_for_nan_too():
    condition = np.array([0, -0.0, 1, -2, np.nan, np.inf], np.float32)
    x, y = np.arange(6, dtype=np.float32), -np.arange(6, dtype=np.float32)
    apply = compile_elementwise(vmath.where, get_host_target(), np.float32, 3)
    np.testing.assert_array_equal(apply(condition, x, y), np.where(condition, x, y))
