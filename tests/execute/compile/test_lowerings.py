"""The second table of operations: complete, and equal to the first one's meaning."""

import numpy as np
import pytest

from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.compile import lowerings
from bptt.step.graph import Node, as_node
from bptt.step.ops import OPS
from tests.execute.elementwise import compile_elementwise

HOST = get_host_target()
INF, NAN = np.inf, np.nan
SPECIAL = (0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
EXACT = (
    "add", "sub", "mul", "div", "neg", "maximum", "minimum", "greater",
    "greater_equal", "where", "relu", "abs", "sign", "sqrt",
)  # fmt: skip
POWERS = (0.5, -0.5, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0, 1.5, 5.0)


def test_every_elementwise_operation_has_a_lowering():
    wanted = {name for name, op in OPS.items() if op.is_elementwise}
    assert set(lowerings.LOWERINGS) == wanted
    assert wanted >= lowerings.COSTLY


def points(name, dtype):
    """All pairs or triples of special values, and many values of the domain."""
    op = OPS[name]
    rng = np.random.default_rng(0)
    dense = [rng.uniform(low, high, 4000) for low, high in op.domain]
    if name not in EXACT:
        return [d.astype(dtype) for d in dense]
    grid = np.meshgrid(*[SPECIAL] * op.arity)
    return [
        np.concatenate([g.ravel(), d]).astype(dtype)
        for g, d in zip(grid, dense, strict=True)
    ]


@pytest.mark.parametrize("level", ["host", "sse2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", lowerings.LOWERINGS)
def test_each_lowering_means_what_the_table_says(name, dtype, level):
    """Selections and roundings exactly, NaN and infinities included; others by ulp."""
    if level == "sse2" and HOST.vector_bytes != 64:
        pytest.skip("only a CPU that runs the older level")
    if level == "sse2" and name not in EXACT:
        pytest.skip("test_vmath holds the bounds of every level")
    target = HOST if level == "host" else lower_target(level)
    apply = compile_elementwise(
        lowerings.LOWERINGS[name], target, dtype, OPS[name].arity
    )
    arguments = points(name, dtype)
    found = apply(*arguments)
    with np.errstate(all="ignore"):
        expected = np.asarray(OPS[name].f(*arguments), dtype)
    if name == "relu":
        # The reference multiplies -inf by 0 and gives NaN; the kernel gives 0.
        assert found[arguments[0] == -INF].tolist() == [0.0]
        expected[arguments[0] == -INF] = 0
    if name in EXACT:
        np.testing.assert_array_equal(found, expected)
        return
    unit = np.finfo(dtype).eps * np.maximum(np.abs(expected), np.finfo(dtype).tiny)
    # Twice the largest bound of `vmath`, plus NumPy's own error. sin and cos are
    # rounded near their zeros relative to 1.
    scale = np.maximum(unit, np.finfo(dtype).eps) if name in ("sin", "cos") else unit
    assert (np.abs(found - expected) <= 8 * scale).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", POWERS)
def test_a_power_with_a_constant_exponent(exponent, dtype):
    node = Node("pow", (Node("parameter", (), (), "x"), as_node(exponent)))

    def emit(e, x):
        return lowerings.lower(e, node, [x, e.constant(exponent)])

    apply = compile_elementwise(emit, HOST, dtype)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.05, 8, 3000)
    if exponent == int(exponent):
        x = np.concatenate([x, -x])
    x = np.concatenate([x, [0.0, INF, NAN, 1.0]]).astype(dtype)
    with np.errstate(all="ignore"):
        expected = np.power(x, dtype(exponent))
    found = apply(x)
    is_finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    # Three products and a quotient, half a unit each, and the general power's bound.
    np.testing.assert_allclose(
        found[is_finite], expected[is_finite], rtol=8 * np.finfo(dtype).eps, atol=0
    )
