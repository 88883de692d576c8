"""Each rewrite, and what it must leave alone."""

import pytest

from bptt.calculus.simplify import simplify
from bptt.step.graph import Node, constant
from bptt.step.ops import apply

x = Node("input", (), ("n",), "x")
z = Node("input", (), ("n",), "z")
s = Node("input", (), (), "s")
w = Node("parameter", (), ("n",), "w")
k = Node("input", (), (), "k")
A = Node("parameter", (), ("n", "m"), "A")
alpha = Node("parameter", (), (), "alpha")


def simple(node, **options):
    return simplify({"root": node}, **options)["root"]


SAME = {
    "x + 0": (x + 0, x), "0 + x": (0 + x, x), "x - 0": (x - 0, x), "0 - x": (0 - x, -x),
    "x * 1": (x * 1, x), "1 * x": (1 * x, x), "x * -1": (x * -1, -x), "x / 1": (x / 1,
    x),
    "x ** 1": (x**1, x), "-(-x)": (apply("neg", -x), x), "0 - (0 - x)": (0 - (0 - x),
    x),
    "x + (-z)": (x + (-z), x - z), "-(2)": (-constant(2), constant(-2)),
    "2 + 3": (constant(2) + 3, constant(5)), "2 - 3": (constant(2) - 3, constant(-1)),
    "2 * 3": (constant(2) * 3, constant(6)), "(x * 1) + 0": (x * 1 + 0, x),
    "A^T^T": (apply("transpose", apply("transpose", A)), A),
    "0 * alpha": (0 * alpha, constant(0)),
}  # fmt: skip


def text(node):
    inside = ", ".join(text(child) for child in node.inputs)
    return f"{node.op}:{node.data}({inside})"


@pytest.mark.parametrize("case", SAME)
def test_an_identity_is_applied(case):
    before, after = SAME[case]
    assert text(simple(before)) == text(after)


KEPT = {
    "a scalar zero is not the vector": 0 * x,
    "a sum that broadcasts": s + Node("constant", (), (), 0.0) * x,
    "x - x is not folded": x - x,
    "a division by a vector": x / z,
    "a power of a scalar base": constant(2.0) ** x,
}


@pytest.mark.parametrize("case", KEPT)
def test_what_would_change_a_shape_or_a_value_is_kept(case):
    assert simple(KEPT[case]).shape == ("n",)
    assert simple(KEPT[case]).timed
    assert text(simple(KEPT[case])) == text(KEPT[case])


def test_a_static_value_does_not_take_the_place_of_a_timed_one():
    node = apply("spread", alpha) * 1
    assert simple(node).timed


def test_equal_expressions_become_one_node():
    node = simple(apply("tanh", x + z) * apply("tanh", x + z))
    assert node.inputs[0] is node.inputs[1]
    assert simple(x + z) is not simple(z + x)


@pytest.mark.parametrize(
    ("loss", "inner", "target", "stable"),
    [("nll", "softmax", k, "nll_logits"), ("nll_soft", "softmax", z, "nll_soft_logits"),
     ("bce", "sigmoid", z, "bce_logits")],
)  # fmt: skip
def test_a_loss_of_a_probability_is_taken_of_its_logits(loss, inner, target, stable):
    probability = apply("named", apply(inner, x), data="p")
    data = 1 if loss == "bce" else None
    node = apply(loss, probability, target, data=data)
    assert text(simple(node)) == text(apply(stable, x, target, data=data))
    assert simple(node, keep=("p",)).op == loss
    other = apply(loss, apply("exp", x), target, data=data)
    assert simple(other).op == loss


def test_a_total_of_outer_products_is_one_matrix_product():
    y = Node("input", (), ("m",), "y")
    node = apply("total", apply("outer", x, y), data=2)
    assert text(simple(node)) == text(Node("total_outer", (x, y), ("n", "m")))
    static = apply("total", apply("outer", w, y), data=2)
    assert simple(static).op == "total"


def test_a_total_of_scattered_columns_is_a_segment_sum():
    node = apply("total", apply("scatter", x, k, data=("m",)), data=2)
    assert simple(node).op == "total_scatter"
    assert simple(node).shape == ("n", "m")
