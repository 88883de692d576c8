"""Composite operations to the primitives that kernels have.

    softmax(x)  ->  m = row_max(x);  e = exp(x - m);  e * (1 / row_sum(e))

Three primitives exist only here: `row_sum` and `row_max` of a vector, and `pick`, the
element of a vector at an index. Everything else is an operation of the table. Equal
subexpressions become one node, so a softmax and its log share their reductions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from bptt.step import ops
from bptt.step.graph import Node, constant, rebuild, rewrite

REDUCTIONS = frozenset({"row_sum", "row_max", "pick"})
# Of which an element is a sum, or a maximum, over elements.
SUMS = frozenset({"row_sum", "row_max", "matvec", "matmul", "index_sum"})


class NotCompilableError(Exception):
    """The kernels have no form for something; the message says what, for the user."""


def expand(roots: Mapping[str, Node]) -> dict[str, Node]:
    """The same named roots in primitives."""
    shared: dict[Hashable, Node] = {}

    def share(node: Node) -> Node:
        # order-free: an address tells two nodes apart, and nothing else.
        key = (node.op, tuple(map(id, node.inputs)), node.shape, node.data)
        return shared.setdefault(key, node)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        node = rebuild(node, inputs)
        rule = _RULES.get(node.op) if node.timed else None
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


_RULES: dict[str, Callable[[Node], Node]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": lambda node: _log_sum_exp(node.inputs[0]),
    "layer_norm": _layer_norm,
    "sum": lambda node: _row_sum(node.inputs[0]),
    "max": lambda node: _row("row_max", node.inputs[0]),
    "cumsum": _cumsum,
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
