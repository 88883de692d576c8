"""The rest of the table at special points: two inputs, reductions, losses, kinks.

Values and derivatives against mpmath; what cannot be differentiated there by taking
differences of 400 bits has its derivative written down. An error is measured in
rounding units of the largest of the result and the terms that are summed for it.
"""

import itertools

import mpmath
import numpy as np
import pytest

from bptt import Cell
from bptt.step.ops import TABLE
from tests.execute.test_special_points import UNARY

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
mpf, INF = mpmath.mpf, mpmath.inf
STEP = mpmath.mpf(10) ** -70
EXECUTORS = ("reference", "llvm")


@pytest.fixture(autouse=True)
def _precise():
    with mpmath.workprec(900):
        yield


def _total(values):
    return sum(values, mpf(0))


def _largest(values):
    return max(abs(v) for v in values)


def _softmax(x):
    top = max(x)
    powers = [mpmath.exp(max(v - top, mpf(-5000))) for v in x]
    return [p / _total(powers) for p in powers]


def _log_sum(x):
    top = max(x)
    return top + mpmath.log(_total(mpmath.exp(max(v - top, mpf(-5000))) for v in x))


def _norm(x):
    mean = _total(x) / len(x)
    spread = _total((v - mean) ** 2 for v in x) / len(x) + mpf("1e-5")
    return [(v - mean) / mpmath.sqrt(spread) for v in x]


def _running(x):
    return [_total(x[: n + 1]) for n in range(len(x))]


def _half_even(x):
    return mpmath.nint(x)


SMALL = 1e-30
MILD = (0.0, -0.0, SMALL, -SMALL, 0.3, -1.0, 2.5, 12.0, -12.0)
WIDE = (*MILD, 50.0, -120.0, 1e30, -1e30)
PAIRS = tuple(itertools.product((0.0, -0.0, SMALL, -1.5, 3.0, 1e30, -1e30), repeat=2))
DISTINCT = tuple(pair for pair in PAIRS if pair[0] != pair[1])
NO_ZERO = tuple((a, b) for a, b in PAIRS if abs(b) in (1.5, 3.0))
VECTORS = tuple(
    (a, b, c) for a, b, c in itertools.product((0.0, SMALL, 0.5, -12.0, 50.0), repeat=3)
    if len({a, b, c}) == 3 or a == b == c
)  # fmt: skip
APART = tuple(v for v in VECTORS if len(set(v)) == 3)
FAR = ((800.0, -800.0, 0.0), (1e30, -1e30, 0.0), (1e30, 0.0, 3.0))

# By operation: the text with x (and y), its meaning for lists, points, and the bound in
# rounding units of the larger of the result and of `terms`.
ROWS = {
    "neg": ("-x[t]", lambda x: [-v for v in x], [(v,) for v in WIDE], 0),
    "floor": ("floor(x[t])", lambda x: [mpmath.floor(v) for v in x],
              [(0.0,), (2.5,), (-2.5,), (-SMALL,), (SMALL,), (7.0,), (-7.0,)], 0),
    "round": ("round(x[t])", lambda x: [_half_even(v) for v in x],
              [(0.0,), (2.5,), (3.5,), (-2.5,), (-0.4,), (SMALL,), (7.0,)], 0),
    "sign": ("sign(x[t])", lambda x: [mpmath.sign(v) for v in x],
             [(v,) for v in WIDE], 0),
    "expm1": ("expm1(x[t])", lambda x: [mpmath.expm1(v) for v in x],
              [(v,) for v in (*MILD, 50.0, -120.0, 1e-8)], 4),
    "erf": ("erf(x[t])", lambda x: [mpmath.erf(v) for v in x],
            [(v,) for v in (*MILD, 5.0, -6.0, 1e-8)], 4),
    "softmax": ("softmax(x[t])", _softmax, VECTORS + FAR, 8),
    "log_softmax": ("log_softmax(x[t])", lambda x: [v - _log_sum(x) for v in x],
                    VECTORS + FAR, 8),
    "logsumexp": ("logsumexp(x[t])", lambda x: [_log_sum(x)], VECTORS + FAR, 8),
    "layer_norm": ("layer_norm(x[t])", _norm, APART, 40),
    "max": ("max(x[t])", lambda x: [max(x)], APART + FAR, 0),
    "cumsum": ("cumsum(x[t])", _running, VECTORS + FAR, 4),
    "sum": ("sum(x[t])", lambda x: [_total(x)], VECTORS + FAR, 4),
    "mean": ("mean(x[t])", lambda x: [_total(x) / len(x)], VECTORS + FAR, 4),
    "prod": ("prod(x[t])", lambda x: [x[0] * x[1] * x[2]], VECTORS, 4),
    "argmax": ("argmax(x[t])", lambda x: [mpf(x.index(max(x)))], APART + FAR, 0),
    "stop_gradient": ("stop_gradient(x[t]) + 0 * x[t]", list,
                      [(v,) for v in MILD], 0),
}  # fmt: skip
WITHOUT_SLOPE = ("floor", "round", "sign", "argmax", "stop_gradient")
TWO = {
    "add": ("x[t] + y[t]", lambda x, y: x + y, PAIRS, 1),
    "sub": ("x[t] - y[t]", lambda x, y: x - y, PAIRS, 1),
    "mul": ("x[t] * y[t]", lambda x, y: x * y, PAIRS, 1),
    "div": ("x[t] / y[t]", lambda x, y: x / y, NO_ZERO, 3),
    "greater": ("where(x[t] > y[t], x[t], 3 * y[t])",
                lambda x, y: x if x > y else 3 * y, DISTINCT, 1),
    "greater_equal": ("where(x[t] >= y[t], x[t], 3 * y[t])",
                      lambda x, y: x if x >= y else 3 * y, DISTINCT, 1),
    "with_derivative": ("with_derivative(y[t] * 1, x[t]) + y[t] - stop_gradient(y[t])",
                        None, ((0.5, 3.0), (0.0, SMALL)), 1),
    "pow": ("x[t] ** y[t]", lambda x, y: x**y,
            ((1.0, 0.0), (SMALL, 0.5), (3.0, -1.5), (0.5, SMALL), (3.0, 3.0)), 8),
    "mse": ("mse(x[t], y[t])", lambda x, y: (x - y) ** 2,
            [pair for pair in PAIRS if 1e30 not in map(abs, pair)], 4),
    "dot": ("dot(x[t], y[t])", lambda x, y: x * y, PAIRS, 2),
}  # fmt: skip
CLASSES = {
    "nll": ("nll(exp(x[t]), k[t])", lambda x: -x[1]),
    "nll_logits": ("nll(softmax(x[t]), k[t])", lambda x: _log_sum(x) - x[1]),
    "nll_soft": ("nll(exp(x[t]), q)", lambda x: -(x[0] / 4 + 3 * x[1] / 4)),
    "nll_soft_logits": ("nll(softmax(x[t]), q)",
                        lambda x: _log_sum(x) - (x[0] / 4 + 3 * x[1] / 4)),
    "bce": ("bce(exp(x[t]), q)", lambda x: _total(
        -(a * v + (1 - a) * mpmath.log(1 - mpmath.exp(v)))
        for v, a in zip(x, (mpf("0.25"), mpf("0.75"), mpf(0)), strict=True))),
}  # fmt: skip
LOGITS = ((-0.5, -0.25, -3.0), (-12.0, -SMALL, -1.0), (-50.0, -16.0, -0.25))
# Rows that move values, or are sums of products whose terms are tried above; each has
# an exact test of its own (tests/step/test_meanings.py, tests/calculus).
ELSEWHERE = frozenset((
    "fill", "matvec", "matmul", "outer", "transpose", "lower_part", "lookup", "scatter",
    "one_hot", "named", "spread", "total", "total_outer", "total_scatter", "at", "put",
    "index_sum", "index_fill", "total_outer_at", "one_hot_of", "diag", "diagonal",
    "inverse", "solve", "solve_columns", "cholesky", "expm",
))  # fmt: skip
# `maximum`, `bce(sigmoid(..))` and what one input has: test_special_points.py.
IN_THE_OTHER = frozenset((
    "tanh", "sigmoid", "relu", "softplus", "exp", "log", "sqrt", "sin", "cos", "abs",
    "maximum", "minimum", "where", "bce_logits",
))  # fmt: skip


def test_every_operation_of_the_table_has_a_row():
    here = {*ROWS, *TWO, *CLASSES}
    assert here | ELSEWHERE | IN_THE_OTHER == set(TABLE)
    written = " ".join(UNARY)
    assert all(f"{name}(" in written for name in IN_THE_OTHER - {"bce_logits"})


def units(found, true, terms, dtype):
    """|found - true| in rounding units of the larger of the result and its terms."""
    gap = abs(mpf(float(found)) - true)
    size = max(abs(true), terms)
    smallest = mpf(float(np.finfo(dtype).smallest_subnormal))
    if gap <= smallest or abs(true) > float(np.finfo(dtype).max):
        return mpf(0)
    return gap / (size * mpf(float(np.finfo(dtype).eps)))


def slopes(meaning, point, seed):
    """The derivative of seed . meaning by differences that lose nothing at 900 bits."""
    found = []
    for number in range(len(point)):
        ends = []
        for sign in (1, -1):
            moved = list(point)
            moved[number] += sign * STEP
            values = meaning(moved)
            ends.append(_total(g * v for g, v in zip(seed, values, strict=True)))
        found.append((ends[0] - ends[1]) / (2 * STEP))
    return found


def exact(values, dtype):
    array = np.asarray(values, dtype)
    return array, [mpf(float(v)) for v in array]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ROWS)
def test_of_one_input(name, dtype, executor):
    text, meaning, points, bound = ROWS[name]
    cell = Cell(f"x: n_x\no[t] = u * ({text})\nu: ()")
    for point in points:
        x, true = exact(point, dtype)
        value = meaning(true)
        seed = np.array([1.0, -0.5, 0.25][: len(value)], dtype)
        g = seed.reshape(1, 1, -1) if cell.nodes["o"] else seed.reshape(1, 1)
        grad = cell.gradient(
            {"u": np.ones((), dtype)}, {"x": x[None, None]}, seeds={"o": g},
            input_gradient=True, executor=executor,
        )  # fmt: skip
        terms = _largest(true) if name not in ("softmax", "prod", "erf") else mpf(0)
        for found, v in zip(grad.run["o"].ravel(), value, strict=True):
            assert units(found, v, terms, dtype) <= bound, (point, found, v)
        expected = [mpf(0)] * len(true)
        if name not in WITHOUT_SLOPE:
            expected = slopes(meaning, true, [mpf(float(v)) for v in seed])
        spread = 1 + max(abs(a - b) for a in true for b in true if abs(a - b) < 5000)
        for found, v in zip(grad.inputs["x"].ravel(), expected, strict=True):
            gap = units(found, v, mpf(0), dtype)
            one = units(found, v, max(map(abs, value)) + 1, dtype)
            assert gap <= 8 + spread or one <= max(4, bound), (point, found, v)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TWO)
def test_of_two_inputs(name, dtype, executor):
    text, meaning, points, bound = TWO[name]
    cell = Cell(f"x: 1\ny: 1\nu: ()\no[t] = u * ({text})")
    for point in points:
        (a, b), (x, y) = exact(point, dtype)
        seed = np.ones((1, 1, *cell.nodes["o"]), dtype)
        grad = cell.gradient(
            {"u": np.ones((), dtype)},
            {"x": a.reshape(1, 1, 1), "y": b.reshape(1, 1, 1)},
            seeds={"o": seed}, input_gradient=True, executor=executor,
        )  # fmt: skip
        found = [grad.run["o"], grad.inputs["x"], grad.inputs["y"]]
        if meaning is None:  # the value of y, the slope 1 in x and in y
            expected = [y, mpf(1), mpf(1)]
        else:
            both = slopes(lambda p, f=meaning: [f(*p)], [x, y], [mpf(1)])
            expected = [meaning(x, y), *both]
        for array, true in zip(found, expected, strict=True):
            gap = units(array.ravel()[0], true, mpf(0), dtype)
            assert gap <= bound or abs(true) < float(np.finfo(dtype).tiny), point


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("point", LOGITS)
def test_of_a_class(name, dtype, executor, point):
    """The loss to 8 units of its terms; its slope to 8 and to the spread of exp."""
    text, meaning = CLASSES[name]
    declared = "q: n_x\n" if "q" in text else ""
    loss = text.replace("x[t]", "o[t]")
    cell = Cell(f"{declared}x: n_x\nu: ()\no[t] = u * x[t]\nL[t] = {loss}")
    x, true = exact(point, dtype)
    params = {"u": np.ones((), dtype), "q": np.array([0.25, 0.75, 0.0], dtype)}
    if name == "bce":  # 1 - exp(-tiny) is 0: the loss is infinite, and so is it here
        true = [min(v, mpf(-0.25)) for v in true]
        x = np.minimum(x, dtype(-0.25))
    inputs = {"x": x[None, None]}
    if "k" in cell.inputs:
        inputs["k"] = np.ones((1, 1), int)
    params = {n: v for n, v in params.items() if n in cell.parameters}
    grad = cell.gradient(params, inputs, nodes=("o",), executor=executor)
    assert units(grad.loss, meaning(true), _largest(true), dtype) <= 8
    expected = slopes(lambda p: [meaning(p)], true, [mpf(1)])
    for found, v in zip(grad.nodes["o"].ravel(), expected, strict=True):
        assert units(found, v, mpf(1), dtype) <= 8, (found, v)


TIES = {
    "max(x[t])": [0.5, 0.5, 0.0],
    "min(x[t])": [0.0, 0.0, 1.0],
    "sum(elu(x[t] - x[t]))": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("text", TIES)
def test_equal_largest_elements_share_the_gradient(text, executor):
    cell = Cell(f"x: n_x\no[t] = u * ({text})\nu: ()")
    x = np.array([2.0, 2.0, -1.0])[None, None]
    grad = cell.gradient({"u": np.ones(())}, {"x": x}, seeds={"o": np.ones((1, 1))},
                         input_gradient=True, executor=executor)  # fmt: skip
    np.testing.assert_array_equal(grad.inputs["x"].ravel(), TIES[text])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("text", "slope"), [
    ("elu(x[t])", 1.0), ("celu(x[t], 2)", 1.0),
    ("selu(x[t])", 1.0507009873554805 * 1.6732632423543772), ("silu(x[t])", 0.5),
    ("gelu(x[t])", 0.5), ("softsign(x[t])", 1.0), ("mish(x[t])", 0.6),
    ("leaky_relu(x[t])", 0.01), ("hardsigmoid(x[t])", 1 / 6),
])  # fmt: skip
def test_activations_at_zero_have_the_slope_of_torch(text, slope, executor):
    cell = Cell(f"x: n_x\nu: ()\no[t] = u * ({text})")
    x = np.array([0.0, -0.0])[None, None]
    grad = cell.gradient({"u": np.ones(())}, {"x": x}, seeds={"o": np.ones((1, 1, 2))},
                         input_gradient=True, executor=executor)  # fmt: skip
    np.testing.assert_allclose(grad.inputs["x"].ravel(), slope, rtol=1e-15)
