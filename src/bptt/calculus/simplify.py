"""Rewrites that keep the value: identities, shared subexpressions, stable losses.

    x + 0 -> x      1 * x -> x      0 * x -> 0      -(-x) -> x      (A^T)^T -> A
    total(g x^T) -> one matrix product      nll(softmax(o), y) -> log-sum-exp form

Non-goals: reordering sums (that is `recurrence.py`), factoring, anything that changes
where a value overflows. 0 * x -> 0 is only applied where x's shape needs no broadcast;
it drops a NaN or infinity that x may hold, which is what an absent gradient means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

from bptt.step.graph import Node, constant, is_constant, rebuild, rewrite
from bptt.step.places import IndexPlace, PlaceTerm

STABLE_LOSSES = {
    ("nll", "softmax"): "nll_logits",
    ("nll_soft", "softmax"): "nll_soft_logits",
    ("bce", "sigmoid"): "bce_logits",
}
FUSED_TOTALS = {"outer": "total_outer", "scatter": "total_scatter"}


def simplify(roots: Mapping[str, Node], keep: Collection[str] = ()) -> dict[str, Node]:
    """The same named roots, rewritten; equal subexpressions become one node.

    keep: names whose gradient is asked for; a stable loss is not looked for through
    them, since that would cut them out of the path to the loss.
    """
    shared: dict[Hashable, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        return _share(shared, _identities(_stabilise(rebuild(node, inputs), keep)))

    new = rewrite(roots.values(), step)
    return {name: new[root] for name, root in roots.items()}


def _share(shared: dict[Hashable, Node], node: Node) -> Node:
    # order-free: an address tells two nodes apart, and nothing else.
    key = (node.op, tuple(id(child) for child in node.inputs), node.shape, node.data)
    return shared.setdefault(key, node)


def _stabilise(node: Node, keep: Collection[str]) -> Node:
    """nll(softmax(o), y) and its kin, never as the log of a rounded probability."""
    if node.op not in {loss for loss, _ in STABLE_LOSSES}:
        return node
    probability = node.inputs[0]
    while probability.op == "named" and probability.data not in keep:
        probability = probability.inputs[0]
    stable = STABLE_LOSSES.get((node.op, probability.op))
    if stable is None:
        return node
    return Node(stable, (probability.inputs[0], node.inputs[1]), node.shape, node.data)


def _identities(node: Node) -> Node:
    rule = _RULES.get(node.op)
    return node if rule is None else rule(node)


def _fits(candidate: Node, node: Node) -> bool:
    """Whether `candidate` may stand for `node`: same shape, indices, extent in time."""
    return (
        candidate.shape == node.shape
        and candidate.indices == node.indices
        and candidate.timed == node.timed
    )


def _zero(node: Node) -> Node:
    is_plain = not (node.shape or node.indices or node.timed)
    return constant(0.0) if is_plain else node


def _add(node: Node) -> Node:
    a, b = node.inputs
    if is_constant(b, 0.0) and _fits(a, node):
        return a
    if is_constant(a, 0.0) and _fits(b, node):
        return b
    if b.op == "neg" and a.shape == b.shape:
        return a - b.inputs[0]
    return _fold(node, lambda x, y: x + y)


def _sub(node: Node) -> Node:
    a, b = node.inputs
    if is_constant(b, 0.0) and _fits(a, node):
        return a
    if is_constant(a, 0.0) and _fits(b, node):
        return _neg(-b)
    return _fold(node, lambda x, y: x - y)


def _mul(node: Node) -> Node:
    a, b = node.inputs
    for one, other in ((a, b), (b, a)):
        if is_constant(one, 1.0) and _fits(other, node):
            return other
        if is_constant(one, -1.0) and _fits(other, node):
            return _neg(-other)
        if is_constant(one, 0.0):
            return _zero(node)
    return _fold(node, lambda x, y: x * y)


def _div(node: Node) -> Node:
    a, b = node.inputs
    return a if is_constant(b, 1.0) and _fits(a, node) else node


def _pow(node: Node) -> Node:
    base, exponent = node.inputs
    return base if is_constant(exponent, 1.0) and _fits(base, node) else node


def _neg(node: Node) -> Node:
    (x,) = node.inputs
    if x.op == "neg":
        return x.inputs[0]
    return constant(-_number(x)) if x.op == "constant" else node


def _transpose(node: Node) -> Node:
    (a,) = node.inputs
    return a.inputs[0] if a.op == "transpose" else node


def _total(node: Node) -> Node:
    (x,) = node.inputs
    if x.op == "outer" and x.indices:
        return _total_at(node)
    fused = None if x.indices else FUSED_TOTALS.get(x.op)
    if fused is not None and all(child.timed for child in x.inputs):
        return Node(fused, x.inputs, x.shape, x.data)
    return node


def _total_at(node: Node) -> Node:
    """The sum of g_j x^T for every j, where one has no index, as one product over rows.

    What is summed need not be kept at every step: n_j times as much as the parameter.
    Of g x_j^T it is the transpose, of the sum of x_j g^T.
    """
    g, x = node.inputs[0].inputs
    g, x = _unfilled(g, x), _unfilled(x, g)
    if not (g.timed and x.timed) or (g.indices and x.indices):
        return node
    if x.indices:
        turned = Node("outer", (x, g), (*x.shape, *g.shape))
        total = _total_at(Node("total", (turned,), turned.shape, node.data))
        return Node("transpose", (total,), node.shape)
    places = [IndexPlace(dim, (PlaceTerm(name, dim),)) for name, dim in g.indices]
    for place in reversed(places):
        g = Node("put", (g,), (place.dim, *g.shape), (place, ()))
    shape = (*g.shape, *x.shape)
    total = Node("total_outer_at", (g, x), shape, g.rank)
    for place in places:
        total = Node("at", (total,), total.shape[1:], place)
    return total


def _unfilled(node: Node, other: Node) -> Node:
    """A factor before it is repeated for indices that the other factor has."""
    names = dict(other.indices)
    while node.op == "index_fill" and node.data[0] in names:  # type: ignore[index]
        node = node.inputs[0]
    return node


def _number(node: Node) -> float:
    assert isinstance(node.data, float)
    return node.data


def _fold(node: Node, operation: Callable[[float, float], float]) -> Node:
    a, b = node.inputs
    if a.op == b.op == "constant":
        return constant(operation(_number(a), _number(b)))
    return node


_RULES = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "neg": _neg,
    "transpose": _transpose,
    "total": _total,
}
