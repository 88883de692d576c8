"""Every row of the table of operations: its gradient, and its derivative again."""

import numpy as np
import pytest

from bptt.calculus import bprop
from bptt.step import ops
from bptt.step.graph import Node, walk
from bptt.step.operation import POSITIVE, REAL_LINE
from bptt.step.ops import OPS

TAU, N_B = 2, 3
SIZES = {"n": 4, "m": 5}
STEP = 1e-30
V, M, S, I = ("n",), ("n", "m"), (), "index"  # noqa: E741

# row -> variants of its inputs' shapes (I: integers below the dimension that counts)
VARIANTS = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "maximum", "minimum", "greater",
                     "greater_equal"),
                    ((V, V), (S, V), (V, S), (M, M), (S, M), (S, S))),
    "where": ((V, V, V), (S, V, V), (V, S, V), (V, V, S), (M, M, S)),
    **dict.fromkeys(("neg", "tanh", "sigmoid", "relu", "softplus", "exp", "log", "sqrt",
                     "sin", "cos", "abs", "sign", "stop_gradient", "named", "spread",
                     "floor", "round", "expm1", "erf"),
                    ((S,), (V,), (M,))),
    "with_derivative": ((V, V), (S, V), (V, S), (M, M)),
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "max", "cumsum",
                     "logsumexp"), ((V,),)),
    "lower_part": ((M,),),
    **dict.fromkeys(("sum", "mean"), ((V,), (M,))),
    "fill": ((S,),),
    "dot": ((V, V),),
    "matvec": ((M, ("m",)),),
    "matmul": ((M, ("m", "n")),),
    "outer": ((V, ("m",)),),
    "transpose": ((M,),),
    "lookup": ((M, I),),
    "scatter": ((V, I),),
    "one_hot": ((I,),),
    **dict.fromkeys(("nll", "nll_logits"), ((V, I),)),
    **dict.fromkeys(("nll_soft", "nll_soft_logits"), ((V, V),)),
    **dict.fromkeys(("bce", "bce_logits", "mse"), ((V, V), (S, S), (M, M))),
    "total": ((S,), (V,), (M,)),
    "total_outer": ((V, ("m",)),),
    "total_scatter": ((V, I),),
}  # fmt: skip
CASES = [(name, shapes) for name, variants in VARIANTS.items() for shapes in variants]
NO_GRADIENT = {"greater", "greater_equal", "sign", "floor", "round", "one_hot"}
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
            extra = (numbers(node.data),)
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
    missing = sorted(set(OPS) - set(VARIANTS))
    assert missing == [], "operations without a row in VARIANTS, tests/step/test_ops.py"
    assert set(VARIANTS) <= set(OPS)


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_the_gradient_equals_the_complex_step(name, shapes):
    if name == "stop_gradient":
        root, leaves = build(name, shapes)
        assert gradients(root, leaves) == {"x0": None}
        return
    root, leaves = build(name, shapes)
    found = assert_gradient(root, leaves, values_of(name, shapes))
    assert bool(found) == (name not in NO_GRADIENT)


SMOOTH = [(name, shapes) for name, shapes in CASES if OPS[name].kink is None]


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(("name", "shapes"), SMOOTH)
def test_the_gradient_at_0_equals_the_complex_step(name, shapes, zero):
    """Where the sign of an argument chooses between two forms of a smooth function."""
    root, leaves = build(name, shapes)
    arrays = values_of(name, shapes)
    domains = (*OPS[name].domain, *(REAL_LINE,) * len(leaves))
    for leaf, domain in zip(leaves, domains, strict=False):
        array = arrays[leaf.data]
        if array.dtype.kind == "f" and domain is not None and domain[0] < 0:
            array[..., :1] = zero
    if name not in ("stop_gradient", *NO_GRADIENT):
        assert_gradient(root, leaves, arrays)


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


def test_equal_largest_elements_share_the_gradient_of_max():
    root, leaves = build("max", (V,))
    arrays = {"x0": np.tile([2.0, -1.0, 2.0, 0.5], (TAU, N_B, 1))}
    arrays["g"] = seed_value(root)
    (gradient,) = gradients(root, leaves).values()
    expected = arrays["g"][..., None] * [0.5, 0, 0.5, 0]
    np.testing.assert_array_equal(evaluate(gradient, arrays), expected)


# Element by element: each element has a kink of its own, and two sides of it but for a
# root, which ends there.
KINKED = [
    name
    for name, op in OPS.items()
    if op.kink is not None and op.is_elementwise and op.domain != (POSITIVE,)
]


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("side", [-0.25, 0.25])
def test_the_gradient_on_each_side_of_a_kink(name, side):
    """Against a central difference that does not cross the kink: exact for these."""
    arity = OPS[name].arity
    root, leaves = build(name, (V,) * arity)
    rng = np.random.default_rng(5)
    arrays = {f"x{i}": rng.standard_normal((TAU, N_B, 4)) for i in range(arity)}
    if name in ("relu", "abs", "sign", "where", "floor"):
        arrays["x0"] = np.full((TAU, N_B, 4), side)
    elif name == "round":
        arrays["x0"] = np.full((TAU, N_B, 4), 0.5 + side)
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
    if name in NO_GRADIENT or name == "with_derivative":
        return
    root, _ = build(name, shapes)
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
