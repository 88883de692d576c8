"""Composite operations to the primitives that kernels have.

    softmax(x)  ->  m = row_max(x);  e = exp(x - m);  e * (1 / row_sum(e))

Three primitives exist only here: `row_sum` and `row_max` of a vector, and `pick`, the
element of a vector at an index. Everything else is an operation of the table. Equal
subexpressions become one node, so a softmax and its log share their reductions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

from bptt.step import ops
from bptt.step.graph import Node, constant, rebuild, rewrite
from bptt.step.places import IndexPlace
from bptt.step.product import all_places, new_index
from bptt.step.product import number_of as index_number
from bptt.step.shapes import number_of

REDUCTIONS = frozenset({"row_sum", "row_max", "pick"})
# Of which an element is a sum, or a maximum, over elements.
SUMS = frozenset({"row_sum", "row_max", "matvec", "matmul", "index_sum"})


class NotCompilableError(Exception):
    """The kernels have no form for something; the message says what, for the user."""


def expand(roots: Mapping[str, Node], sizes: Mapping[str, int]) -> dict[str, Node]:
    """The same named roots in primitives."""
    shared: dict[Hashable, Node] = {}

    def share(node: Node) -> Node:
        # order-free: an address tells two nodes apart, and nothing else.
        key = (node.op, tuple(map(id, node.inputs)), node.shape, node.data)
        return shared.setdefault(key, node)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """What one operation is in primitives, shared with whatever is alike."""
        node = rebuild(node, inputs)
        data: Any = node.data
        if node.op == "at" and (data.dims or data.is_wrapped):
            place = data.with_numbers(lambda dim: number_of(dim, sizes))
            place = replace(place, dim=number_of(data.dim, sizes))
            return share(Node("at", inputs, node.shape, place))
        rule = _RULES.get(node.op) if node.timed else None
        if node.timed and node.op == "prod":
            return _share_all(
                _product(node, number_of(inputs[0].shape[0], sizes)), share
            )
        return share(node) if rule is None else _share_all(rule(node), share)

    new = rewrite(roots.values(), step)
    return {name: new[root] for name, root in roots.items()}


def _share_all(root: Node, share: Callable[[Node], Node]) -> Node:
    return rewrite([root], lambda node, inputs: share(rebuild(node, inputs)))[root]


def _row(op: str, x: Node, *more: Node) -> Node:
    return Node(op, (x, *more))


def _row_sum(x: Node) -> Node:
    return _row("row_sum", x) if x.rank else x


def _mean(x: Node) -> Node:
    return _row_sum(x) / ops.count(x.shape)


def _shifted(x: Node) -> tuple[Node, Node]:
    """exp(x - max) and its sum."""
    decay = ops.apply("exp", x - _row("row_max", x))
    return decay, _row_sum(decay)


def _softmax(node: Node) -> Node:
    decay, total = _shifted(node.inputs[0])
    return decay * (1.0 / total)


def _log_sum_exp(x: Node) -> Node:
    _, total = _shifted(x)
    return ops.apply("log", total) + _row("row_max", x)


def _log_softmax(node: Node) -> Node:
    (x,) = node.inputs
    return x - _log_sum_exp(x)


def _cumsum(node: Node) -> Node:
    """A product with the lower triangle of ones: kernels have no order of elements."""
    (x,) = node.inputs
    ones = ops.fill(constant(1.0), (x.shape[0], x.shape[0]))
    return ops.matvec(ops.apply("lower_part", ones), x)


def _product(node: Node, size: int) -> Node:
    """Element times element: a product has no reduction of its own."""
    (x,) = node.inputs
    if size > LONGEST_PRODUCT:
        raise NotCompilableError(f"a product of more than {LONGEST_PRODUCT} elements")
    found = ops.at(x, IndexPlace(x.shape[0], (), 1))
    for number in range(2, size + 1):
        found = found * ops.at(x, IndexPlace(x.shape[0], (), number))
    return found


def _argmax(node: Node) -> Node:
    """The smallest number of a place whose element is the largest, from 0."""
    (x,) = node.inputs
    (term,) = new_index(x)
    place = all_places(term)
    largest = ops.apply("greater_equal", ops.at(x, place), _row("row_max", x))
    later = ops.where(largest, 1.0 - index_number(term), -ops.count(x.shape))
    return -_row("row_max", ops.put(later, place))


def _one_hot_of(node: Node) -> Node:
    (k,) = node.inputs
    (term,) = new_index(Node("fill", (k,), node.shape, node.shape))
    number = index_number(term) - 1.0
    here = ops.apply("greater_equal", k, number) * ops.apply("greater_equal", number, k)
    return ops.put(here, all_places(term))


def _solve(node: Node) -> Node:
    """With a static matrix a product with its inverse, made before the loops."""
    a, b = node.inputs
    if a.timed or a.indices:
        return node
    product = "matvec" if node.op == "solve" else "matmul"
    return ops.apply(product, ops.apply("inverse", a), b)


def _layer_norm(node: Node) -> Node:
    (x,) = node.inputs
    assert isinstance(node.data, float)
    centred = x - _mean(x)
    variance = _mean(centred * centred)
    return centred * (1.0 / ops.apply("sqrt", variance + node.data))


def _nll(node: Node) -> Node:
    p, index = node.inputs
    return -ops.apply("log", _row("pick", p, index))


def _nll_logits(node: Node) -> Node:
    o, index = node.inputs
    return _log_sum_exp(o) - _row("pick", o, index)


def _nll_soft(node: Node) -> Node:
    p, q = node.inputs
    return -_row_sum(q * ops.apply("log", p))


def _nll_soft_logits(node: Node) -> Node:
    o, q = node.inputs
    return _log_sum_exp(o) * _row_sum(q) - _row_sum(q * o)


def _bce(node: Node) -> Node:
    p, y = node.inputs
    log = ops.apply("log", p) * y + ops.apply("log", 1.0 - p) * (1.0 - y)
    return -_row_sum(log)


def _bce_logits(node: Node) -> Node:
    o, y = node.inputs
    # As `meanings.bce_logits` has it: a sure and right o keeps its small loss.
    excess = ops.where(ops.apply("greater", o, 0.0), (1.0 - y) * o, -y * o)
    return _row_sum(excess + ops.apply("softplus", -ops.apply("abs", o)))


def _mse(node: Node) -> Node:
    o, y = node.inputs
    squares = (o - y) * (o - y)
    return _mean(squares) if o.rank else squares


# Longer ones would be one operation of code for each element.
LONGEST_PRODUCT = 64

_RULES: dict[str, Callable[[Node], Node]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": lambda node: _log_sum_exp(node.inputs[0]),
    "layer_norm": _layer_norm,
    "sum": lambda node: _row_sum(node.inputs[0]),
    "max": lambda node: _row("row_max", node.inputs[0]),
    "cumsum": _cumsum,
    "argmax": _argmax,
    "solve": _solve,
    "solve_columns": _solve,
    "one_hot_of": _one_hot_of,
    "mean": lambda node: _mean(node.inputs[0]),
    "dot": lambda node: _row_sum(node.inputs[0] * node.inputs[1]),
    "nll": _nll,
    "nll_logits": _nll_logits,
    "nll_soft": _nll_soft,
    "nll_soft_logits": _nll_soft_logits,
    "bce": _bce,
    "bce_logits": _bce_logits,
    "mse": _mse,
}
