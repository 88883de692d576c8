"""Every row of the table of operations: its value, its gradient, its derivative again."""

import mpmath
import numpy as np
import pytest

from bptt import bprop, ops
from bptt.graph import Node, walk
from bptt.ops import OPS, dims_of

TAU, N_B = 2, 3
SIZES = {"n": 4, "m": 5}
STEP = 1e-30
V, M, S, I = ("n",), ("n", "m"), (), "index"  # noqa: E741

# row -> variants of its inputs' shapes (I: integers below the dimension that counts)
VARIANTS = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "maximum", "minimum", "greater",
                     "greater_equal"), [(V, V), (S, V), (V, S), (M, M), (S, M), (S, S)]),
    "where": [(V, V, V), (S, V, V), (V, S, V), (V, V, S), (M, M, S)],
    **dict.fromkeys(("neg", "tanh", "sigmoid", "relu", "softplus", "exp", "log", "sqrt",
                     "sin", "cos", "abs", "sign", "stop_gradient", "named", "spread"),
                    [(S,), (V,), (M,)]),
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm"), [(V,)]),
    **dict.fromkeys(("sum", "mean"), [(V,), (M,)]),
    "fill": [(S,)],
    "dot": [(V, V)],
    "matvec": [(M, ("m",))],
    "matmul": [(M, ("m", "n"))],
    "outer": [(V, ("m",))],
    "transpose": [(M,)],
    "lookup": [(M, I)],
    "scatter": [(V, I)],
    "one_hot": [(I,)],
    **dict.fromkeys(("nll", "nll_logits"), [(V, I)]),
    **dict.fromkeys(("nll_soft", "nll_soft_logits"), [(V, V)]),
    **dict.fromkeys(("bce", "bce_logits", "mse"), [(V, V), (S, S), (M, M)]),
    "total": [(S,), (V,), (M,)],
    "total_outer": [(V, ("m",))],
    "total_scatter": [(V, I)],
}  # fmt: skip
CASES = [(name, shapes) for name, variants in VARIANTS.items() for shapes in variants]
NO_GRADIENT = {"greater", "greater_equal", "sign", "one_hot"}
# The number that an index counts up to: columns of a look-up, else the vector's size.
COUNTED = {"lookup": "m", "scatter": "m", "one_hot": "n", "total_scatter": "m"}


def numbers(shape):
    return tuple(SIZES[dim] for dim in shape)


def data_of(name, shapes):
    """What the node carries beside its inputs."""
    kind = OPS[name].data
    if name == "fill":
        return ("n",)
    if kind == "dims":
        return (COUNTED[name],)
    if name == "layer_norm":
        return 1e-3
    if name == "named":
        return "h"
    return len(shapes[0]) if kind == "rank" else None


def build(name, shapes):
    """The row's node on timed inputs x0, x1, ..."""
    leaves = tuple(
        Node("input", (), () if shape == I else shape, f"x{slot}")
        for slot, shape in enumerate(shapes)
    )
    return ops.apply(name, *leaves, data=data_of(name, shapes)), leaves


def values_of(name, shapes, seed=0, dtype=np.float64):
    """A value per input within the row's domain, (tau, n_b, *shape)."""
    rng = np.random.default_rng(seed)
    arrays = {}
    domains = OPS[name].domain
    for slot, (shape, domain) in enumerate(zip(shapes, domains, strict=True)):
        if shape == I:
            limit = SIZES[COUNTED.get(name, "n")]
            arrays[f"x{slot}"] = rng.integers(0, limit, (TAU, N_B))
        else:
            low, high = domain
            value = rng.uniform(low, high, (TAU, N_B, *numbers(shape)))
            if name == "where" and slot == 0:
                value = np.sign(np.maximum(value, 0))
            arrays[f"x{slot}"] = value.astype(dtype)
    return arrays


def evaluate(root, arrays):
    """The meaning of a graph by the table's own functions."""
    done = {}
    dtype = next((a.dtype for a in arrays.values() if a.dtype.kind in "fc"), np.float64)
    dtype = np.dtype(np.float64 if np.dtype(dtype).kind == "c" else dtype)
    for node in walk([root]):
        op = OPS.get(node.op)
        if op is None:
            if node.op == "constant":
                done[node] = dtype.type(node.data)
            elif node.op == "size":
                done[node] = dtype.type(SIZES[node.data])
            else:
                done[node] = arrays[str(node.data)]
            continue
        taken = [done[child] for child in node.inputs]
        if op.is_elementwise:
            taken = [
                a.reshape(a.shape + (1,) * (node.rank - c.rank)) if c.timed else a
                for a, c in zip(taken, node.inputs, strict=True)
            ]
        extra = (node.data,) if op.data else ()
        if op.data == "dims":
            extra = (numbers(dims_of(node)),)
        value = np.asarray(op.f(*taken, *extra))
        if node.op == "spread" and not node.inputs[0].timed:
            value = np.broadcast_to(value, (TAU, N_B, *numbers(node.shape)))
        done[node] = value
    return done[root]


def gradients(root, leaves, seed_name="g"):
    """The adjoint of <seed, root> for every real leaf, as graph."""
    if root.timed:
        start = Node("seed", (), root.shape, seed_name)
    else:
        start = Node("parameter", (), root.shape, seed_name)
    adjoint = bprop.build_grad({}, {root: start}, leaves)
    return {leaf.data: adjoint.nodes.get(leaf.data) for leaf in leaves}


def seed_value(root, seed=7, dtype=np.float64):
    rng = np.random.default_rng(seed)
    lead = (TAU, N_B) if root.timed else ()
    return rng.standard_normal((*lead, *numbers(root.shape))).astype(dtype)


def complex_step(root, arrays, name, weight):
    """d<weight, root>/d arrays[name], element by element."""
    expected = np.zeros(arrays[name].shape)
    for place in np.ndindex(expected.shape):
        stepped = {
            n: a.astype(complex) if a.dtype.kind == "f" else a
            for n, a in arrays.items()
        }
        stepped[name][place] += 1j * STEP
        expected[place] = (evaluate(root, stepped) * weight).sum().imag / STEP
    return expected


def assert_gradient(root, leaves, arrays, tolerance=1e-12):
    """Every slot's gradient against the complex step; returns those that exist."""
    g = seed_value(root)
    found = gradients(root, leaves)
    for name, node in found.items():
        if arrays[name].dtype.kind != "f":
            assert node is None
            continue
        expected = complex_step(root, arrays, name, g)
        value = np.zeros(expected.shape)
        if node is not None:
            value = evaluate(node, {**arrays, "g": g})
        scale = 1 + np.abs(expected).max()
        np.testing.assert_allclose(
            value, expected, rtol=tolerance, atol=tolerance * scale
        )
    return {name: node for name, node in found.items() if node is not None}


def test_every_row_has_a_case():
    assert set(VARIANTS) == set(OPS)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_the_gradient_equals_the_complex_step(name, shapes):
    if name == "stop_gradient":
        root, leaves = build(name, shapes)
        assert gradients(root, leaves) == {"x0": None}
        return
    root, leaves = build(name, shapes)
    found = assert_gradient(root, leaves, values_of(name, shapes))
    assert bool(found) == (name not in NO_GRADIENT)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_the_second_derivative_equals_the_complex_step(name, shapes):
    if name in NO_GRADIENT or name == "stop_gradient":
        return
    root, leaves = build(name, shapes)
    arrays = values_of(name, shapes, seed=1)
    arrays["g"] = seed_value(root)
    for node in gradients(root, leaves).values():
        if node is None or not node.timed:
            continue
        weight = seed_value(node, seed=8)
        again = bprop.build_grad({}, {node: Node("seed", (), node.shape, "v")}, leaves)
        for leaf in leaves:
            if arrays[leaf.data].dtype.kind != "f":
                continue
            expected = complex_step(node, arrays, leaf.data, weight)
            second = again.nodes.get(leaf.data)
            value = np.zeros(expected.shape)
            if second is not None:
                value = evaluate(second, {**arrays, "v": weight})
            scale = 1 + np.abs(expected).max()
            np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11 * scale)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_a_gradient_one_thousandth_too_large_is_caught(name, shapes):
    root, leaves = build(name, shapes)
    arrays = values_of(name, shapes)
    for slot, node in gradients(root, leaves).items():
        if node is None:
            continue
        g = seed_value(root)
        value = 1.001 * evaluate(node, {**arrays, "g": g})
        expected = complex_step(root, arrays, slot, g)
        assert not np.allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_reads_says_what_the_backward_rule_reads(name, shapes):
    """`x` an input, `y` the output, for the variant whose rule reads the most."""
    read = set()
    for variant in VARIANTS[name]:
        root, leaves = build(name, variant)
        seed = Node("seed", (), root.shape, "g")
        slots = [s for s in OPS[name].bprop(seed, root, *leaves) if s is not None]
        # The walk stops at the output: what y was made from is not read again.
        stack, seen = list(slots), set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node is root:
                read.add("y")
            elif node in leaves:
                read.add("x")
            else:
                stack.extend(node.inputs)
    assert read == set(OPS[name].reads)


@pytest.mark.parametrize("name", [n for n, v in VARIANTS.items() if len(v[0]) > 1])
def test_one_variable_in_every_slot(name):
    same = [v for v in VARIANTS[name] if len(set(v)) == 1 and v[0] != I]
    if name == "matmul":
        same = [(("n", "n"), ("n", "n"))]
    if name in ("outer", "total_outer"):
        same = [(V, V)]
    for shapes in same:
        leaf = Node("input", (), shapes[0], "x0")
        arity = OPS[name].arity
        root = ops.apply(name, *(leaf,) * arity, data=data_of(name, shapes))
        domain = max((d for d in OPS[name].domain if d), key=lambda d: d[0])
        rng = np.random.default_rng(3)
        array = rng.uniform(*domain, (TAU, N_B, *numbers(shapes[0])))
        g = seed_value(root)
        found = gradients(root, (leaf,))["x0"]
        value = np.zeros(array.shape)
        if found is not None:
            value = evaluate(found, {"x0": array, "g": g})
        if OPS[name].kink is not None:
            # A kink everywhere: half of each side, and their sum is what x gets.
            assert name in ("greater", "greater_equal", "maximum", "minimum", "where")
            expected = g if name not in NO_GRADIENT else np.zeros(array.shape)
            np.testing.assert_array_equal(value, expected)
            continue
        expected = complex_step(root, {"x0": array}, "x0", g)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.kink is not None])
@pytest.mark.parametrize("side", [-0.25, 0.25])
def test_the_gradient_on_each_side_of_a_kink(name, side):
    """Against a central difference that does not cross the kink: exact for these."""
    arity = OPS[name].arity
    root, leaves = build(name, (V,) * arity)
    rng = np.random.default_rng(5)
    arrays = {f"x{i}": rng.standard_normal((TAU, N_B, 4)) for i in range(arity)}
    if name in ("relu", "abs", "sign", "where"):
        arrays["x0"] = np.full((TAU, N_B, 4), side)
    else:
        arrays["x0"] = arrays["x1"] + side
    assert OPS[name].kink(*arrays.values()) == pytest.approx(0.25)
    g = seed_value(root)
    for slot, node in gradients(root, leaves).items():
        ahead = {**arrays, slot: arrays[slot] + 0.125}
        behind = {**arrays, slot: arrays[slot] - 0.125}
        slope = (evaluate(root, ahead) - evaluate(root, behind)) * 4 * g
        value = 0 * g if node is None else evaluate(node, {**arrays, "g": g})
        np.testing.assert_allclose(value, slope, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_float32_stays_float32(name, shapes):
    root, leaves = build(name, shapes)
    arrays = values_of(name, shapes, dtype=np.float32)
    arrays["g"] = seed_value(root, dtype=np.float32)
    value = evaluate(root, arrays)
    assert value.dtype == np.float32
    for node in gradients(root, leaves).values():
        if node is not None:
            assert evaluate(node, arrays).dtype == np.float32


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_nothing_conjugates(name, shapes):
    """f(x + iε) = f(x) + iε f'(x): the real part stays, the imaginary has f's sign."""
    if name in ("greater", "greater_equal", "sign", "one_hot"):
        return
    root, leaves = build(name, shapes)
    arrays = values_of(name, shapes)
    rng = np.random.default_rng(11)
    by = {
        n: rng.standard_normal(a.shape)
        for n, a in arrays.items()
        if a.dtype.kind == "f" and (name, n) != ("where", "x0")
    }
    small = 1e-5
    stepped = {n: a + 1j * small * by[n] if n in by else a for n, a in arrays.items()}
    ahead = {n: a + small * by[n] if n in by else a for n, a in arrays.items()}
    behind = {n: a - small * by[n] if n in by else a for n, a in arrays.items()}
    slope = (evaluate(root, ahead) - evaluate(root, behind)) / 2
    np.testing.assert_allclose(
        evaluate(root, stepped).imag, slope, rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("name", OPS)
def test_the_latex_template_takes_the_inputs(name):
    names = [chr(ord("p") + slot) for slot in range(OPS[name].arity)]
    text = OPS[name].latex.format(*names, data="h")
    if name != "named":
        assert all(letter in text for letter in names)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")


# ----- values, to high precision -----

mpmath.mp.dps = 340  # 1 + exp(-745) needs 324 digits


def mp_softmax(xs):
    top = [mpmath.exp(x) for x in xs]
    return [v / mpmath.fsum(top) for v in top]


EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "exp": mpmath.exp, "log": mpmath.log, "sqrt": mpmath.sqrt,
    "sin": mpmath.sin, "cos": mpmath.cos,
}  # fmt: skip
# The largest error seen is below half of each bound, in units in the last place.
ULP = {"tanh": 4, "sigmoid": 4, "softplus": 4, "exp": 2, "log": 4, "sqrt": 1, "sin": 2,
       "cos": 2}  # fmt: skip


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
    if name == "exp" and dtype == np.float32:
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
    elsewhere |= {"bce_logits", "layer_norm"}
    assert tested | elsewhere == set(OPS)


def test_layer_norm_by_high_precision():
    x, eps = np.array([3.0, -1.0, 0.25, 1e-3, 7.0]), 1e-3
    xs = [mpmath.mpf(float(v)) for v in x]
    mean = mpmath.fsum(xs) / 5
    variance = mpmath.fsum((v - mean) ** 2 for v in xs) / 5
    exact = [float((v - mean) / mpmath.sqrt(variance + mpmath.mpf(eps))) for v in xs]
    np.testing.assert_allclose(OPS["layer_norm"].f(x, eps), exact, rtol=4e-16 * 4)
