"""The table of operations: one row per operation, and everything that is true of it.

Each row says how the operation is written, its shape rule, its meaning in NumPy (`f`),
its backward rule *in graph operations* (`bprop`), what that rule reads ("x" an input,
"y" the output), its LaTeX, its domain and where it has a kink. `bprop(g, y, *xs)`
returns one entry per input slot, None for "no gradient"; it builds graph, so a
derivative can be differentiated again. Undoing a broadcast is the driver's business
(`bprop.py`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bptt.step import meanings as m
from bptt.step import shapes as s
from bptt.step.erf import erf
from bptt.step.graph import Node, Operand, as_node
from bptt.step.linear import linear_rows
from bptt.step.operation import (
    INDEX,
    POSITIVE,
    PROBABILITY,
    REAL_LINE,
    Activation,
    Gradients,
    Op,
    identity,
    kink_at_whole,
    kink_at_zero,
    kink_of_max,
    kink_where_equal,
)
from bptt.step.places import IndexPlace, PlaceTerm, read_place, write_place
from bptt.step.product import others_product
from bptt.step.shapes import Shape
from bptt.step.table import Table


def apply(name: str, *operands: Operand, data: Hashable = None) -> Node:
    """A node of the operation `name`, its shape from the table."""
    nodes = tuple(as_node(operand) for operand in operands)
    return Node(name, nodes, infer(name, nodes, data, s.unify_strict), data)


def infer(name: str, nodes: tuple[Node, ...], data: Any, unify: s.Unify) -> Shape:
    """The shape of the operation's result by its rule."""
    if name in ("fill", "one_hot", "one_hot_of"):
        return tuple(data)
    if name in ("scatter", "total_scatter"):
        return (nodes[0].shape[0], *data)
    if name == "at":
        return _read_shape(nodes[0], data, unify)
    if name == "put":
        return (data[0].dim, *nodes[0].shape)
    return TABLE[name].shape(unify, *(node.shape for node in nodes))


def _read_shape(x: Node, place: IndexPlace, unify: s.Unify) -> Shape:
    if not x.shape:
        raise s.ShapeRuleError("rank", "a scalar has no places")
    unify(x.shape[0], place.dim)
    return x.shape[1:]


# ----- builders that backward rules use by name -----


def transpose(a: Node) -> Node:
    """A^T."""
    return a.inputs[0] if a.op == "transpose" else apply("transpose", a)


def matvec(a: Node, x: Node) -> Node:
    """A x."""
    return apply("matvec", a, x)


def dot(x: Node, y: Node) -> Node:
    """x . y."""
    return apply("dot", x, y)


def fill(g: Node, shape: Shape) -> Node:
    """A scalar repeated over a shape."""
    return apply("fill", g, data=shape) if shape else g


def fill_mean(g: Node, shape: Shape) -> Node:
    """A scalar spread evenly over a shape: the backward of `mean`."""
    return fill(g / count(shape), shape)


def count(shape: Shape) -> Node:
    """The number of elements of a shape, as a scalar."""
    sizes = [Node("size", data=dim) for dim in shape]
    result = sizes[0]
    for size in sizes[1:]:
        result = result * size
    return result


def where(condition: Node, x: Operand, y: Operand) -> Node:
    """x where the condition is not 0, else y."""
    return apply("where", condition, x, y)


def at(x: Node, place: IndexPlace) -> Node:
    """The elements of x at a place, for every value of its indices."""
    return apply("at", x, data=place)


def whole_shape(x: Node) -> Shape:
    """The shape of x at all values of its indices: their dimensions, then its own."""
    return (*dict(x.indices).values(), *x.shape)


def held_input(x: Node, name: str) -> Node:
    """An input in the place of x, whose numbers are those of `whole_shape`."""
    leaf = Node("input", (), whole_shape(x), name)
    for index, dim in x.indices:
        leaf = at(leaf, IndexPlace(dim, (PlaceTerm(index, dim),)))
    return leaf


def put(x: Node, place: IndexPlace, kept: tuple[str, ...] = ()) -> Node:
    """The transpose of `at`; `kept` names indices of the place that stay indices."""
    return apply("put", x, data=(place, kept))


def sum_index(x: Node, name: str) -> Node:
    """The sum over an index."""
    return apply("index_sum", x, data=(name, dict(x.indices)[name]))


def _bprop_at(g: Node, y: Node, x: Node) -> Gradients:
    place: IndexPlace = y.data  # type: ignore[assignment]
    own = {name for name, _ in x.indices}
    if place.is_plain or not place.terms:
        return (put(g, place, tuple(n for n in place.names if n in own)),)
    # Solved for one index: x[l+k] was read, so the gradient of x[p] is that of p - k.
    term, others = place.solve()
    g = at(put(g, place.of(term)), others)
    for name in place.names:
        if name != term.name and name not in own:
            g = sum_index(g, name)
    return (put(g, place.own),)


def _bprop_put(g: Node, y: Node, x: Node) -> Gradients:
    data: Any = y.data
    return (at(g, replace(data[0], label="")),)


def mean(x: Node) -> Node:
    """The mean over the core axes."""
    return apply("mean", x, data=x.rank)


def sum_features(x: Node) -> Node:
    """The sum over the core axes."""
    return apply("sum", x, data=x.rank) if x.rank else x


def stop_gradient(x: Node) -> Node:
    """x with its gradient stopped."""
    return apply("stop_gradient", x)


# ----- backward rules that need more than a line -----


def _bprop_pow(g: Node, y: Node, x: Node, p: Node) -> Gradients:
    if p.op == "constant":
        if p.data == 0.0:
            return None, None  # 1 for every x: 0 * x ** -1 would be NaN at 0
        return (g * x if p.data == 2.0 else g * x ** (as_node(p) - 1.0)) * p, None
    # As in torch and JAX: where 0 * x ** -1 or 0 * log(0) stands, the limit 0.
    base = where(p, g * p * x ** (p - 1.0), 0.0)
    return base, where(x, g * y * apply("log", x), 0.0)


def _bprop_maximum(g: Node, y: Node, x: Node, z: Node) -> Gradients:
    # On a tie each side gets half, as in torch and JAX.
    x_share = where(
        apply("greater", x, z), 1.0, where(apply("greater", z, x), 0.0, 0.5)
    )
    return g * x_share, g * (1.0 - x_share)


def _bprop_minimum(g: Node, y: Node, x: Node, z: Node) -> Gradients:
    x_share = where(
        apply("greater", z, x), 1.0, where(apply("greater", x, z), 0.0, 0.5)
    )
    return g * x_share, g * (1.0 - x_share)


def _bprop_max(g: Node, y: Node, x: Node) -> Gradients:
    # Equal largest elements share the gradient, as in torch.amax and JAX.
    is_largest = apply("greater_equal", x, y)
    return (g * is_largest / sum_features(is_largest),)


def _bprop_layer_norm(g: Node, y: Node, x: Node) -> Gradients:
    centred = x - mean(x)
    variance = mean(centred * centred)
    eps: Any = y.data
    scale = 1.0 / apply("sqrt", variance + float(eps))
    return ((g - mean(g) - y * mean(g * y)) * scale,)


def _bprop_nll(g: Node, y: Node, p: Node, index: Node) -> Gradients:
    return -g * apply("one_hot", index, data=p.shape) / p, None


def _bprop_nll_logits(g: Node, y: Node, o: Node, index: Node) -> Gradients:
    return g * (apply("softmax", o) - apply("one_hot", index, data=o.shape)), None


def _bprop_nll_soft_logits(g: Node, y: Node, o: Node, q: Node) -> Gradients:
    spread = apply("softmax", o) * sum_features(q) - q
    return g * spread, -g * apply("log_softmax", o)


def _bprop_bce(g: Node, y: Node, p: Node, q: Node) -> Gradients:
    odds = apply("log", 1.0 - p) - apply("log", p)
    return g * (p - q) / (p * (1.0 - p)), g * odds


def _bprop_bce_logits(g: Node, y: Node, o: Node, q: Node) -> Gradients:
    # sigmoid(o) - q, in a form that keeps the digits of a small one: q = 1 and o = 16
    # give 1.1e-7, which 1 - sigmoid(16) loses in float32.
    wrong = (1.0 - q) * apply("sigmoid", o) - q * apply("sigmoid", -o)
    return g * wrong, -g * o


def _bprop_mse(g: Node, y: Node, o: Node, q: Node) -> Gradients:
    scaled = 2.0 * g / count(o.shape) if o.shape else 2.0 * g
    return scaled * (o - q), scaled * (q - o)


def _bprop_lookup(g: Node, y: Node, a: Node, index: Node) -> Gradients:
    return apply("scatter", g, index, data=a.shape[1:]), None


def _bprop_total_outer(g: Node, y: Node, e: Node, x: Node) -> Gradients:
    return matvec(g, x), matvec(transpose(g), e)


def _bprop_never(g: Node, y: Node, *xs: Node) -> Gradients:
    raise NotImplementedError("made by simplification, after differentiation")


TWO = (REAL_LINE, REAL_LINE)
SUM, PRODUCT, UNARY, POWER, CALL = 10, 20, 30, 40, 100

# The columns in order: name, arity, shape, f, bprop, reads, latex, the rest by name.
_ROWS = (
    # --- arithmetic, element by element ---
    Op("add", 2, s.elementwise, np.add, lambda g, y, a, b: (g, g), "",
       "{0} + {1}", "infix", SUM, TWO),
    Op("sub", 2, s.elementwise, np.subtract, lambda g, y, a, b: (g, -g), "",
       "{0} - {1}", "infix", SUM, TWO),
    Op("mul", 2, s.elementwise, np.multiply, lambda g, y, a, b: (g * b, g * a), "x",
       r"{0} \odot {1}", "infix", PRODUCT, TWO),
    Op("div", 2, s.elementwise, np.divide, lambda g, y, a, b: (g / b, -g * y / b), "xy",
       r"\frac{{{0}}}{{{1}}}", "infix", PRODUCT, (REAL_LINE, POSITIVE)),
    Op("pow", 2, s.elementwise, np.power, _bprop_pow, "xy",
       "{0}^{{{1}}}", "infix", POWER, (POSITIVE, (-2.0, 2.0))),
    Op("neg", 1, s.elementwise, np.negative, lambda g, y, x: (-g,), "",
       "-{0}", "infix", UNARY),
    Op("maximum", 2, s.elementwise, m.maximum, _bprop_maximum, "x",
       r"\max\left({0}, {1}\right)", domain=TWO, kink=kink_where_equal),
    Op("minimum", 2, s.elementwise, m.minimum, _bprop_minimum, "x",
       r"\min\left({0}, {1}\right)", domain=TWO, kink=kink_where_equal),
    Op("greater", 2, s.elementwise, m.greater, lambda g, y, a, b: (None, None), "",
       r"\mathbf{{1}}_{{{0} > {1}}}", "infix", 5, TWO, kink_where_equal),
    Op("greater_equal", 2, s.elementwise, m.greater_equal,
       lambda g, y, a, b: (None, None), "",
       r"\mathbf{{1}}_{{{0} \ge {1}}}", "infix", 5, TWO, kink_where_equal),
    Op("where", 3, s.elementwise, m.where,
       lambda g, y, c, a, b: (None, where(c, g, 0.0), where(c, 0.0, g)), "x",
       r"\operatorname{{where}}\left({0}, {1}, {2}\right)",
       domain=((-1.0, 1.0), REAL_LINE, REAL_LINE), kink=lambda c, a, b: np.abs(c)),
    # --- functions, element by element ---
    # (1 - y)(1 + y), not 1 - y*y: near |y| = 1 the square loses digits of y (float32,
    # x near 4.7: 9e-5 against 9e-8 relative, given the rounded y).
    Op("tanh", 1, s.elementwise, np.tanh,
       lambda g, y, x: (g * ((1.0 - y) * (1.0 + y)),), "y", r"\tanh\left({0}\right)",
       activation=Activation(lambda y: (1 - y) * (1 + y), 1.0)),
    Op("sigmoid", 1, s.elementwise, m.sigmoid, lambda g, y, x: (g * (y * (1.0 - y)),),
       "y", r"\sigma\left({0}\right)",
       activation=Activation(lambda y: y * (1 - y), 0.25)),
    Op("relu", 1, s.elementwise, m.relu,
       lambda g, y, x: (where(apply("greater", x, 0.0), g, 0.0),), "x",
       r"\operatorname{{relu}}\left({0}\right)", kink=kink_at_zero,
       activation=Activation(lambda y: np.asarray(y > 0, float), 1.0)),
    Op("softplus", 1, s.elementwise, m.softplus,
       lambda g, y, x: (g * apply("sigmoid", x),), "x",
       r"\zeta\left({0}\right)",
       # sigmoid(a) = 1 - exp(-y)
       activation=Activation(lambda y: np.asarray(-np.expm1(-y)), 1.0)),
    Op("exp", 1, s.elementwise, np.exp, lambda g, y, x: (g * y,), "y",
       r"\exp\left({0}\right)"),
    Op("log", 1, s.elementwise, np.log, lambda g, y, x: (g / x,), "x",
       r"\log\left({0}\right)", domain=(POSITIVE,)),
    Op("sqrt", 1, s.elementwise, np.sqrt, lambda g, y, x: (0.5 * g / y,), "y",
       r"\sqrt{{{0}}}", domain=(POSITIVE,)),
    Op("sin", 1, s.elementwise, np.sin, lambda g, y, x: (g * apply("cos", x),), "x",
       r"\sin\left({0}\right)"),
    Op("cos", 1, s.elementwise, np.cos, lambda g, y, x: (-g * apply("sin", x),), "x",
       r"\cos\left({0}\right)"),
    Op("abs", 1, s.elementwise, m.absolute, lambda g, y, x: (g * apply("sign", x),),
       "x", r"\left|{0}\right|", kink=kink_at_zero),
    Op("sign", 1, s.elementwise, m.sign, lambda g, y, x: (None,), "",
       r"\operatorname{{sign}}\left({0}\right)", kink=kink_at_zero),
    Op("floor", 1, s.elementwise, m.floor, lambda g, y, x: (None,), "",
       r"\operatorname{{floor}}\left({0}\right)", kink=kink_at_whole),
    Op("round", 1, s.elementwise, m.nearest, lambda g, y, x: (None,), "",
       r"\operatorname{{round}}\left({0}\right)",
       kink=lambda x: kink_at_whole(x + 0.5)),
    Op("expm1", 1, s.elementwise, np.expm1, lambda g, y, x: (g * (y + 1.0),), "y",
       r"\left(\exp\left({0}\right) - 1\right)"),
    Op("erf", 1, s.elementwise, erf,
       lambda g, y, x: (g * (1.1283791670955126 * apply("exp", -(x * x))),), "x",
       r"\operatorname{{erf}}\left({0}\right)"),
    Op("with_derivative", 2, s.elementwise, m.with_derivative,
       lambda g, y, v, x: (None, g), "",
       r"\operatorname{{replaced}}\left({0}, {1}\right)", domain=TWO),
    Op("stop_gradient", 1, s.same, identity, lambda g, y, x: (None,), "",
       r"\operatorname{{stop}}\left({0}\right)"),
    # --- over the features of a vector ---
    Op("softmax", 1, s.vector, m.softmax, lambda g, y, x: (y * (g - dot(g, y)),), "y",
       r"\operatorname{{softmax}}\left({0}\right)"),
    Op("log_softmax", 1, s.vector, m.log_softmax,
       lambda g, y, x: (g - apply("exp", y) * sum_features(g),), "y",
       r"\log\operatorname{{softmax}}\left({0}\right)"),
    Op("logsumexp", 1, s.only_vector, m.log_sum_exp,
       lambda g, y, x: (g * apply("softmax", x),), "x",
       r"\log\sum_i \exp {0}_i"),
    Op("layer_norm", 1, s.vector, m.layer_norm, _bprop_layer_norm, "xy",
       r"\operatorname{{LN}}\left({0}\right)", data="value"),
    Op("max", 1, s.only_vector, m.largest, _bprop_max, "xy",
       r"\operatorname{{largest}}\left({0}\right)", kink=kink_of_max),
    Op("cumsum", 1, s.vector, m.cumsum,
       lambda g, y, x: (sum_features(g) - apply("cumsum", g) + g,), "",
       r"\operatorname{{cumsum}}\left({0}\right)"),
    Op("sum", 1, s.reduction, m.total_of, lambda g, y, x: (fill(g, x.shape),), "",
       r"\sum_i {0}_i", data="rank"),
    Op("mean", 1, s.reduction, m.mean_of, lambda g, y, x: (fill_mean(g, x.shape),), "",
       r"\operatorname{{mean}}\left({0}\right)", data="rank"),
    Op("dot", 2, s.dot, m.dot, lambda g, y, a, b: (g * b, g * a), "x",
       r"{0}^\top {1}", domain=TWO),
    Op("fill", 1, s.same, m.fill, lambda g, y, x: (sum_features(g),), "",
       r"{0}\,\mathbf{{1}}", "", data="dims"),
    # --- matrices ---
    Op("matvec", 2, s.matvec, m.matvec,
       lambda g, y, a, x: (apply("outer", g, x), matvec(transpose(a), g)), "x",
       "{0} {1}", "infix", PRODUCT, TWO),
    Op("matmul", 2, s.matmul, np.matmul,
       lambda g, y, a, b: (apply("matmul", g, transpose(b)),
                           apply("matmul", transpose(a), g)), "x",
       "{0} {1}", "infix", PRODUCT, TWO),
    Op("outer", 2, s.outer, m.outer,
       lambda g, y, a, b: (matvec(g, b), matvec(transpose(g), a)), "x",
       r"{0} {1}^\top", domain=TWO),
    Op("transpose", 1, s.transpose, m.transpose, lambda g, y, a: (transpose(g),), "",
       r"{0}^\top", "infix", 90),
    Op("lower_part", 1, s.matrix, m.lower_part,
       lambda g, y, a: (apply("lower_part", g),), "",
       r"\operatorname{{lower}}\left({0}\right)"),
    Op("lookup", 2, s.lookup, m.lookup, _bprop_lookup, "x",
       "{0}_{{:,{1}}}", "infix", 90, (REAL_LINE, INDEX)),
    Op("scatter", 2, s.same, m.scatter,
       lambda g, y, e, i: (apply("lookup", g, i), None), "x",
       r"{0}\,\mathbf{{e}}_{{{1}}}^\top", "", domain=(REAL_LINE, INDEX), data="dims"),
    Op("one_hot", 1, s.same, m.one_hot, lambda g, y, i: (None,), "",
       r"\mathbf{{1}}_{{{0}}}", "", domain=(INDEX,), data="dims"),
    # --- losses, in nats (mse: mean square) ---
    Op("nll", 2, s.indexed_loss, m.nll, _bprop_nll, "x",
       r"-\log {0}_{{{1}}}", domain=(PROBABILITY, INDEX)),
    Op("nll_logits", 2, s.indexed_loss, m.nll_logits, _bprop_nll_logits, "x",
       r"-\log\operatorname{{softmax}}\left({0}\right)_{{{1}}}", "",
       domain=(REAL_LINE, INDEX)),
    Op("nll_soft", 2, s.pairwise_loss, m.nll_soft,
       lambda g, y, p, q: (-g * q / p, -g * apply("log", p)), "x",
       r"-\sum_i {1}_i \log {0}_i", domain=(PROBABILITY, PROBABILITY)),
    Op("nll_soft_logits", 2, s.pairwise_loss, m.nll_soft_logits,
       _bprop_nll_soft_logits, "x",
       r"-\sum_i {1}_i \log\operatorname{{softmax}}\left({0}\right)_i", "",
       domain=(REAL_LINE, PROBABILITY)),
    Op("bce", 2, s.pairwise_loss, m.bce, _bprop_bce, "x",
       r"\operatorname{{bce}}\left({0}, {1}\right)",
       domain=(PROBABILITY, PROBABILITY), data="rank"),
    Op("bce_logits", 2, s.pairwise_loss, m.bce_logits,
       _bprop_bce_logits, "x",
       r"\operatorname{{bce}}\left(\sigma\left({0}\right), {1}\right)", "",
       domain=(REAL_LINE, PROBABILITY), data="rank"),
    Op("mse", 2, s.pairwise_loss, m.mse, _bprop_mse, "x",
       r"\operatorname{{mse}}\left({0}, {1}\right)", domain=TWO, data="rank"),
    # --- names, and the passage between a step and the whole sequence ---
    Op("named", 1, s.same, identity, lambda g, y, x: (g,), "", "{data}", ""),
    Op("spread", 1, s.same, identity, lambda g, y, x: (g,), "", "{0}", ""),
    Op("total", 1, s.same, m.total, lambda g, y, x: (g,), "",
       r"\sum_t {0}", "", data="rank"),
    Op("total_outer", 2, s.outer, m.total_outer, _bprop_total_outer, "x",
       r"\sum_t {0} {1}^\top", "", domain=TWO),
    Op("total_scatter", 2, s.same, m.total_scatter,
       lambda g, y, e, i: (apply("lookup", g, i), None), "x",
       r"\sum_t {0}\,\mathbf{{e}}_{{{1}}}^\top", "",
       domain=(REAL_LINE, INDEX), data="dims"),
)  # fmt: skip

OPS = Table("OPS", "step/ops.py", {row.name: row for row in _ROWS})

# What the brackets of a name become; reductions and integers beside them.
_INDEX_ROWS = (
    Op("at", 1, s.same, read_place, _bprop_at, "",
       "{0}", "", data="place"),
    Op("put", 1, s.same, write_place, _bprop_put, "",
       "{0}", "", data="place"),
    Op("index_sum", 1, s.same, m.sum_axis, lambda g, y, x: (g,), "",
       r"\sum_{{{data}}} {0}", "", data="axis"),
    Op("index_fill", 1, s.same, m.fill_axis, lambda g, y, x: (g,), "",
       "{0}", "", data="axis"),
    Op("total_outer_at", 2, s.outer_at, m.total_outer_at, _bprop_never, "",
       r"\sum_t {0} {1}^\top", "", domain=TWO, data="rank"),
    Op("prod", 1, s.only_vector, m.product,
       lambda g, y, x: (g * others_product(x, apply),), "x",
       r"\prod_i {0}_i"),
    Op("argmax", 1, s.only_vector, m.first_largest, lambda g, y, x: (None,), "",
       r"\operatorname{{argmax}}\left({0}\right)", kink=kink_of_max),
    Op("one_hot_of", 1, s.same, m.one_hot_of, lambda g, y, k: (None,), "",
       r"\mathbf{{1}}_{{{0}}}", "", data="dims"),
    Op("diag", 1, s.diag, m.diag, lambda g, y, x: (apply("diagonal", g),), "",
       r"\operatorname{{diag}}\left({0}\right)", ""),
    Op("diagonal", 1, s.diagonal, m.diagonal, lambda g, y, a: (apply("diag", g),), "",
       r"\operatorname{{diagonal}}\left({0}\right)"),
)  # fmt: skip

INDEX_OPS: dict[str, Op] = {
    row.name: row for row in (*_INDEX_ROWS, *linear_rows(apply))
}
TABLE: Mapping[str, Op] = ChainMap(INDEX_OPS, OPS)
