"""Every operation at special points: value and derivative against mpmath, to a bound.

Both executors, both element types: zeros of both signs, subnormal and tiny values,
where functions saturate or overflow, infinities, kinks. Bounds: docs/accuracy.md.
"""

import mpmath
import numpy as np
import pytest

from bptt import Cell

# NumPy says of log(0) and exp(800) that they are infinite.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
INF = mpmath.inf


@pytest.fixture(autouse=True)
def _precise():
    with mpmath.workprec(400):
        yield


POINTS = (0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 12.0,
          -12.0, 16.0, -16.0, 50.0, -50.0, 120.0, -120.0, 800.0, -800.0, 1e30, -1e30,
          np.inf, -np.inf)  # fmt: skip


def _logistic(x):
    return mpmath.mpf(x >= 0) if abs(x) > 5000 else 1 / (1 + mpmath.exp(-x))


def _exp(x):
    return (INF if x > 0 else mpmath.mpf(0)) if abs(x) > 5000 else mpmath.exp(x)


def _softplus(x):
    return (x if x > 0 else mpmath.mpf(0)) if abs(x) > 5000 else mpmath.log1p(_exp(x))


def _sech2(x):
    return mpmath.mpf(0) if abs(x) > 5000 else mpmath.sech(x) ** 2


def _sign(x):
    return mpmath.sign(x)


# In the text: the value, the derivative, the least and the largest point tried, and the
# bounds of value and derivative: units in the last place, and rounding units of 1. A
# derivative made from the rounded value (tanh, sigmoid) has an error of that rounding.
UNARY = {
    "tanh(x[t])": (mpmath.tanh, _sech2, -INF, INF, 4, (8, 2)),
    "sigmoid(x[t])": (_logistic, lambda x: _logistic(x) * _logistic(-x), -INF, INF, 4,
                      (8, 2)),
    "relu(x[t])": (lambda x: max(x, mpmath.mpf(0)), lambda x: mpmath.mpf(x > 0), -INF,
                   INF, 0, (0, 0)),
    "softplus(x[t])": (_softplus, _logistic, -INF, INF, 4, (4, 0)),
    "exp(x[t])": (_exp, _exp, -INF, INF, 2, (2, 0)),
    "log(x[t])": (lambda x: mpmath.log(x) if x else -INF, lambda x: 1 / x if x else INF,
                  0, INF, 2, (1, 0)),
    "sqrt(x[t])": (mpmath.sqrt, lambda x: 0.5 / mpmath.sqrt(x) if x else INF, 0, INF, 1,
                   (3, 0)),
    "sin(x[t])": (mpmath.sin, mpmath.cos, -1000, 1000, 2, (2, 0)),
    "cos(x[t])": (mpmath.cos, lambda x: -mpmath.sin(x), -1000, 1000, 2, (2, 0)),
    "abs(x[t])": (abs, _sign, -INF, INF, 0, (0, 0)),
    "x[t] ** 0": (lambda x: mpmath.mpf(1), lambda x: mpmath.mpf(0), -INF, INF, 0,
                  (0, 0)),
    "x[t] ** 1": (lambda x: x, lambda x: mpmath.mpf(1), -INF, INF, 0, (0, 0)),
    "x[t] ** 2": (lambda x: x * x, lambda x: 2 * x, -INF, INF, 2, (2, 0)),
    "x[t] ** 3": (lambda x: x**3, lambda x: 3 * x * x, -1e9, 1e9, 4, (4, 0)),
    "x[t] ** 0.5": (mpmath.sqrt, lambda x: 0.5 / mpmath.sqrt(x) if x else INF, 0, INF,
                    2, (4, 0)),
    "x[t] ** p": (lambda x: x ** mpmath.mpf(0.75),
                  lambda x: mpmath.mpf(0.75) * x ** mpmath.mpf(-0.25) if x else INF,
                  0, 1e20, 2, (4, 0)),
    "1 / x[t]": (lambda x: 1 / x, lambda x: -1 / (x * x), 1e-9, 1e9, 1, (4, 0)),
    "maximum(x[t], 0)": (lambda x: max(x, mpmath.mpf(0)),
                         lambda x: (_sign(x) + 1) / 2, -INF, INF, 0, (0, 0)),
    "minimum(x[t], 0)": (lambda x: min(x, mpmath.mpf(0)),
                         lambda x: (1 - _sign(x)) / 2, -INF, INF, 0, (0, 0)),
    "where(x[t] > 0, 2 * x[t], 3 * x[t])":
        (lambda x: 2 * x if x > 0 else 3 * x,
         lambda x: mpmath.mpf(2 if x > 0 else 3), -INF, INF, 1, (0, 0)),
}  # fmt: skip


def differences(found, true, dtype):
    """|found - true| in units in the last place, and in rounding units of 1."""
    info = np.finfo(dtype)
    if mpmath.isnan(true) or np.isnan(found):
        return (0, 0) if mpmath.isnan(true) and np.isnan(found) else (INF, INF)
    if abs(true) > mpmath.mpf(float(info.max)) * (1 + mpmath.mpf(float(info.eps))):
        return (0, 0) if np.isinf(found) and (found > 0) == (true > 0) else (INF, INF)
    if np.isinf(found):
        near = abs(true) > mpmath.mpf(float(info.max)) * (1 - 4 * float(info.eps))
        return (0, 0) if near else (INF, INF)
    gap = abs(mpmath.mpf(float(found)) - true)
    smallest = mpmath.mpf(float(info.smallest_subnormal))
    exponent = int(mpmath.floor(mpmath.log(abs(true), 2))) if true else -99999
    ulp = max(mpmath.ldexp(1, exponent - info.nmant), smallest)
    return gap / ulp, gap / float(info.eps)


def points_of(low, high, dtype):
    tiny = float(np.finfo(dtype).smallest_subnormal)
    every = (*POINTS, 3 * tiny, -3 * tiny, float(np.finfo(dtype).tiny))
    # A function of what is not negative is not asked for 1 / -0 or sqrt(-0).
    every = [p for p in every if low < 0 or not np.signbit(p)]
    values = [p for p in every if low <= p <= high and (not p or abs(p) >= tiny)]
    return np.asarray(values, dtype)


@pytest.mark.parametrize("executor", ["reference", "llvm"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", UNARY)
def test_values_and_derivatives(text, dtype, executor):
    value, slope, low, high, bound, (ulps, units) = UNARY[text]
    points = points_of(low, high, dtype)
    exponent = "p: ()\n" if text.endswith("p") else ""
    cell = Cell(f"x: (n_x)\n{exponent}o[t] = u * ({text})")
    params = {"u": np.ones(len(points), dtype)}
    if "p" in cell.parameters:
        params["p"] = np.asarray(0.75, dtype)
    x = points.reshape(1, 1, -1)
    grad = cell.gradient(
        params, {"x": x}, seeds={"o": np.ones_like(x)}, input_gradient=True,
        executor=executor,
    )  # fmt: skip
    found = zip(points, grad.run["o"].ravel(), grad.inputs["x"].ravel(), strict=True)
    for point, y, dx in found:
        x = mpmath.mpf(float(point))
        assert differences(y, value(x), dtype)[0] <= bound, (point, y)
        relative, absolute = differences(dx, slope(x), dtype)
        assert relative <= ulps or absolute <= units, (point, dx)


LOGITS = (-120.0, -50.0, -16.0, -12.0, -1.0, -1e-30, 0.0, 1e-4, 1.0, 12.0, 16.0, 50.0,
          120.0, 1e30, -1e30)  # fmt: skip


@pytest.mark.parametrize("executor", ["reference", "llvm"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25, 0.9990234375])
def test_a_sure_and_right_logit_keeps_its_small_loss(y, dtype, executor):
    """8 roundings of the terms' size: none of them cancels where y is 0 or 1."""
    cell = Cell("o: (n_o)\no[t] = u * x[t]\nL[t] = bce(sigmoid(o[t]), y[t])")
    for logit in LOGITS:
        x = np.full((1, 1, 1), logit, dtype)
        given = {"x": x, "y": np.full((1, 1, 1), y, dtype)}
        u = np.ones(1, dtype)
        grad = cell.gradient({"u": u}, given, nodes=("o",), executor=executor)
        o, p = mpmath.mpf(float(x[0, 0, 0])), mpmath.mpf(y)
        loss = (1 - p) * _softplus(o) + p * _softplus(-o)
        assert differences(dtype(grad.loss), loss, dtype)[0] <= 8, logit
        terms = (1 - p) * _logistic(o), p * _logistic(-o)
        gap = abs(mpmath.mpf(float(grad.nodes["o"][0, 0, 0])) - (terms[0] - terms[1]))
        smallest = mpmath.mpf(float(np.finfo(dtype).smallest_subnormal))
        eps = float(np.finfo(dtype).eps)
        assert gap <= max(8 * eps * sum(terms), smallest), logit


@pytest.mark.parametrize("executor", ["reference", "llvm"])
def test_a_power_that_parameters_give_has_no_nan_at_zero(executor):
    """0 ** p: slope 0 for p = 0 and p = 2, 1 for p = 1; in p itself 0, as in JAX."""
    cell = Cell("p: (n_x)\nx: (n_x)\no[t] = x[t] ** p")
    x = np.zeros((2, 1, 3))
    grad = cell.gradient(
        {"p": np.array([0.0, 1.0, 2.0])}, {"x": x}, seeds={"o": np.ones_like(x)},
        input_gradient=True, executor=executor,
    )  # fmt: skip
    np.testing.assert_array_equal(grad.inputs["x"][0, 0], [0, 1, 0])
    np.testing.assert_array_equal(grad["p"], [0, 0, 0])
