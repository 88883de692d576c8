"""The value of every operation, against high precision or by hand."""

import mpmath
import numpy as np
import pytest

from bptt.step.ops import OPS

mpmath.mp.dps = 340  # 1 + exp(-745) needs 324 digits


def mp_softmax(xs):
    top = [mpmath.exp(x) for x in xs]
    return [v / mpmath.fsum(top) for v in top]


EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "expm1": mpmath.expm1,
    "erf": mpmath.erf,
    "exp": mpmath.exp, "log": mpmath.log, "sqrt": mpmath.sqrt,
    "sin": mpmath.sin, "cos": mpmath.cos,
}  # fmt: skip
# The largest error seen is below half of each bound, in units in the last place.
ULP = {"tanh": 4, "sigmoid": 4, "softplus": 4, "exp": 2, "log": 4, "sqrt": 1, "sin": 2,
       "cos": 2, "expm1": 2, "erf": 4}  # fmt: skip


def points(name, dtype):
    """Near 0, in the middle, and into both tails."""
    small = [10.0**-k for k in (1, 2, 4, 8, 16, 30)]
    middle = list(np.linspace(0.05, 10, 41))
    tail = [12.0, 16.5, 20.0, 30.0, 60.0, 80.0]
    if dtype == np.float64:
        tail += [200.0, 500.0, 700.0]
    grid = np.array([*small, *middle, *tail], dtype)
    if name in ("log", "sqrt"):
        return grid
    if name in ("exp", "expm1") and dtype == np.float32:
        grid = grid[grid < 85]
    return np.concatenate([-grid, [dtype(0)], grid])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT)
def test_a_transcendental_value_is_right_to_a_few_units_in_the_last_place(name, dtype):
    x = points(name, dtype)
    with np.errstate(under="ignore"):
        found = OPS[name].f(x)
    assert found.dtype == dtype
    tiny = np.finfo(dtype).tiny
    for at, value in zip(x, found, strict=True):
        exact = EXACT[name](mpmath.mpf(float(at)))
        if abs(exact) < tiny:
            assert abs(value) <= 2 * tiny
            continue
        unit = np.spacing(np.abs(dtype(float(exact))))
        error = abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(float(unit))
        assert error <= ULP[name], (name, at, value, float(error))


def test_zero_is_kept_exactly():
    for name, value in {
        "tanh": 0,
        "sin": 0,
        "sigmoid": 0.5,
        "exp": 1,
        "cos": 1,
    }.items():
        assert OPS[name].f(np.zeros(2)).tolist() == [value, value]


@pytest.mark.parametrize("offset", [0.0, 500.0, -800.0])
@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_softmax_and_the_losses_on_it_are_right_at_any_offset(offset, spread):
    rng = np.random.default_rng(0)
    o = (offset + spread * rng.standard_normal(7)).round(3)
    q = rng.dirichlet(np.ones(7))
    probability = mp_softmax([mpmath.mpf(float(v)) for v in o])
    logs = [mpmath.log(p) for p in probability]
    exact = np.array([float(p) for p in probability])
    # Relative to the exponent's own rounding: |o - max| ulp each.
    bound = 1e-15 * (4 + np.ptp(o) + abs(offset))
    np.testing.assert_allclose(OPS["softmax"].f(o), exact, rtol=bound, atol=1e-300)
    log_exact = np.array([float(v) for v in logs])
    total = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(float(v))) for v in o))
    found = OPS["logsumexp"].f(o)
    assert float(found) == pytest.approx(float(total), rel=1e-15, abs=1e-15)
    found = OPS["log_softmax"].f(o)
    np.testing.assert_allclose(found, log_exact, rtol=1e-14, atol=1e-13 + bound)
    for index in range(7):
        loss = OPS["nll_logits"].f(o, np.array(index))
        assert float(loss) == pytest.approx(float(-logs[index]), rel=1e-14, abs=bound)
    soft = -mpmath.fsum(mpmath.mpf(float(a)) * b for a, b in zip(q, logs, strict=True))
    found = OPS["nll_soft_logits"].f(o, q)
    assert float(found) == pytest.approx(float(soft), rel=1e-13, abs=bound)


@pytest.mark.parametrize("o", [-745.0, -40.0, -1e-9, 0.0, 1e-9, 0.7, 40.0, 745.0])
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_the_stable_cross_entropy_never_takes_the_log_of_a_rounded_probability(o, y):
    p = 1 / (1 + mpmath.exp(-mpmath.mpf(o)))
    exact = -(y * mpmath.log(p) + (1 - y) * mpmath.log(1 - p))
    with np.errstate(under="ignore"):
        found = float(OPS["bce_logits"].f(np.array([o]), np.array([y]), 1))
    assert found == pytest.approx(float(exact), rel=4e-16, abs=1e-307)


def test_the_remaining_values_by_hand():
    x, y = np.array([1.5, -2.0, 0.0]), np.array([0.5, -2.0, 3.0])
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    i = np.array(1)
    expected = [
        (("add", x, y), [2, -4, 3]),
        (("sub", x, y), [1, 0, -3]),
        (("mul", x, y), [0.75, 4, 0]),
        (("div", x, y), [3, 1, 0]),
        (("neg", x), [-1.5, 2, 0]),
        (("abs", x), [1.5, 2, 0]),
        (("pow", abs(x), y), [1.5**0.5, 0.25, 0]),
        (("maximum", x, y), [1.5, -2, 3]),
        (("minimum", x, y), [0.5, -2, 0]),
        (("greater", x, y), [1, 0, 0]),
        (("greater_equal", x, y), [1, 1, 0]),
        (("where", x, y, -y), [0.5, -2, -3]),
        (("relu", x), [1.5, 0, 0]),
        (("sign", x), [1, -1, 0]),
        (("stop_gradient", x), x),
        (("floor", x), [1, -2, 0]),
        (("round", np.array([1.5, -2.5, 0.4])), [2, -2, 0]),
        (("with_derivative", x, y), x),
        (("max", x), 1.5),
        (("cumsum", x), [1.5, -0.5, -0.5]),
        (("lower_part", a), [[1, 0, 0], [4, 5, 0]]),
        (("sum", x, 1), -0.5),
        (("mean", x, 1), -0.5 / 3),
        (("sum", a, 2), 21),
        (("mean", a, 2), 3.5),
        (("dot", x, y), 4.75),
        (("matvec", a, x), [-2.5, -4]),
        (("matmul", a, a.T), [[14, 32], [32, 77]]),
        (("transpose", a), a.T),
        (("outer", x[:2], y[:2]), [[0.75, -3], [-1, 4]]),
        (("lookup", a, i), [2, 5]),
        (("scatter", x[:2], i, (3,)), [[0, 1.5, 0], [0, -2, 0]]),
        (("one_hot", i, (3,)), [0, 1, 0]),
        (("fill", np.array(2.0), (3,)), [2, 2, 2]),
        (("nll", np.array([0.5, 0.25]), i), np.log(4)),
        (("mse", x, y, 1), 10 / 3),
        (("nll_soft", np.array([0.5, 0.25]), np.array([0.5, 0.5])), 1.5 * np.log(2)),
        (("bce", np.array([0.5, 0.25]), np.array([1.0, 0.0]), 1), np.log(2 / 0.75)),
        (("total", np.ones((2, 3, 4)), 1), [6] * 4),
        (("named", x), x),
        (("spread", x), x),
        (("total_outer", np.ones((2, 3, 2)), np.ones((2, 3, 1))), [[6], [6]]),
        (
            ("total_scatter", np.ones((3, 1, 2)), np.array([[1], [0], [1]]), (4,)),
            [[1, 2, 0, 0], [1, 2, 0, 0]],
        ),
    ]
    for (name, *arguments), value in expected:
        found = OPS[name].f(*arguments)
        np.testing.assert_allclose(found, value, rtol=1e-15, atol=0, err_msg=name)
    tested = {name for (name, *_), _ in expected} | set(EXACT)
    elsewhere = {"softmax", "log_softmax", "nll_logits", "nll_soft_logits"}
    elsewhere |= {"bce_logits", "layer_norm", "logsumexp"}
    missing = sorted(set(OPS) - tested - elsewhere)
    assert missing == [], "operations without a value tested here"
    assert tested | elsewhere <= set(OPS)


def test_layer_norm_by_high_precision():
    x, eps = np.array([3.0, -1.0, 0.25, 1e-3, 7.0]), 1e-3
    xs = [mpmath.mpf(float(v)) for v in x]
    mean = mpmath.fsum(xs) / 5
    variance = mpmath.fsum((v - mean) ** 2 for v in xs) / 5
    exact = [float((v - mean) / mpmath.sqrt(variance + mpmath.mpf(eps))) for v in xs]
    np.testing.assert_allclose(OPS["layer_norm"].f(x, eps), exact, rtol=4e-16 * 4)


@pytest.mark.parametrize("name", ["relu", "softplus"])
def test_infinities_and_nan_pass_as_in_the_limit(name):
    found = OPS[name].f(np.array([-np.inf, np.inf, np.nan]))
    np.testing.assert_array_equal(found, [0.0, np.inf, np.nan])
