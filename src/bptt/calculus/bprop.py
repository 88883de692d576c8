"""Back-propagation, symbol to symbol: a step graph in, its adjoint graph out.

    for every node, from the last to the first:  grad = sum over its consumers of
    bprop(grad of the consumer)                       (Goodfellow et al., Algorithm 6.5)

Two departures from the book's Algorithm 6.6: one gradient per input *slot*, not per
variable (h * h reads one variable in two slots), and a loop in reverse topological
order instead of recursion. Time enters through two mirror rules and nothing else: the
gradient of a value read one step later is the value, one step later, of a gradient; and
a static value used at every step receives the total over steps and batch rows.

Non-goals: choosing an order of evaluation, removing dead code, numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bptt.step import ops
from bptt.step.graph import Node, constant, name_of, shift, shift_of, walk


def carry_name(name: str, lag: int, order: int = 1) -> str:
    """The definition that holds the gradient of the reads `name[t + lag]` at step t."""
    return f"carry{_suffix(order)}({name}[{lag:+d}])"


def grad_name(name: str, order: int = 1) -> str:
    """The definition that holds the gradient of the definition `name`."""
    return f"grad{_suffix(order)}({name})"


def _suffix(order: int) -> str:
    return "" if order == 1 else str(order)


@dataclass(frozen=True)
class Adjoint:
    """The gradient of a graph's total loss, as graph.

    totals: per static leaf asked for, its gradient (static);
    nodes: per definition or input asked for, its gradient at each step (timed);
    definitions: carries and node gradients that shifts may refer to;
    carried: per (name, lag), the definition with the gradient of those reads.
    """

    totals: Mapping[str, Node]
    nodes: Mapping[str, Node]
    definitions: Mapping[str, Node]
    carried: Mapping[tuple[str, int], str]


@dataclass
class _Driver:
    """State of one backward pass over a graph."""

    definitions: Mapping[str, Node]
    wanted: tuple[Node, ...]  # not a set: a program is the same in every process
    live: set[Node]
    order: int
    grads: dict[Node, list[Node]] = field(default_factory=dict)
    new_definitions: dict[str, Node] = field(default_factory=dict)
    carried: dict[tuple[str, int], str] = field(default_factory=dict)

    def give(self, node: Node, grad: Node) -> None:
        """Add a contribution to a node's gradient, undoing broadcasts here only."""
        if node in self.live:
            self.grads.setdefault(node, []).append(unbroadcast(grad, node))

    def sum(self, node: Node) -> Node | None:
        """The gradient of a node: its contributions added (in parallel)."""
        terms = [to_extent(term, node) for term in self.grads.get(node, ())]
        if not terms:
            return None
        result = terms[0]
        for term in terms[1:]:
            result = result + term
        return result


def unbroadcast(grad: Node, node: Node) -> Node:
    """Sum a gradient down to the shape and the indices of the node it belongs to."""
    own = dict(node.indices)
    for name, _ in grad.indices:
        if name not in own:
            grad = ops.sum_index(grad, name)
    if grad.shape != node.shape:
        down = ops.fill(grad, node.shape) if node.shape else ops.sum_features(grad)
        grad = down
    known = dict(grad.indices)
    for name, dim in node.indices:
        if name not in known:
            grad = ops.apply("index_fill", grad, data=(name, dim))
    return grad


def to_extent(grad: Node, node: Node) -> Node:
    """Total a timed gradient of a static node; spread a static one of a timed node."""
    if grad.timed and not node.timed:
        return ops.apply("total", grad, data=grad.rank + len(grad.indices))
    if node.timed and not grad.timed:
        return ops.apply("spread", grad)
    return grad


def build_grad(
    definitions: Mapping[str, Node],
    seeds: Mapping[Node, Node],
    targets: Iterable[Node],
    shifts: Iterable[tuple[str, int]] = (),
    order: int = 1,
) -> Adjoint:
    """The gradient of sum over t, batch and seeds of <seed, node>, for the targets.

    definitions: every named node, the input leaves that shifts may refer to included;
    seeds: node -> gradient that arrives at it from outside (∇_{L^(t)} L = w_t);
    targets: parameter and input leaves, and named nodes, whose gradient is wanted;
    shifts: further (name, lag) reads whose gradient is wanted (an initial state's);
    order: 2 when `definitions` already hold a gradient, so that names stay apart.

    A node takes part if the loss depends on it and it depends on a target: an ancestor
    test, through time, not a parent test (Goodfellow et al., after 10.28).
    """
    wanted = tuple(dict.fromkeys(targets))
    nodes = list(walk([*definitions.values(), *seeds, *wanted]))
    live = _live(nodes, definitions, seeds, set(wanted), set(shifts))
    driver = _Driver(definitions, wanted, live, order)
    for node, seed in seeds.items():
        driver.give(node, seed)
    for node in _later_reads(nodes, live):
        name, lag = shift_of(node)
        source = definitions[name]
        carry = driver.carried.setdefault((name, lag), carry_name(name, lag, order))
        if source in live:
            driver.give(source, shift(carry, -lag, node.shape))
    results: dict[Node, Node] = {}
    for node in reversed(nodes):
        grad = driver.sum(node) if node in live else None
        if grad is not None:
            results[node] = _propagate(driver, node, grad)
    _define_carries(driver, nodes, results)
    return _adjoint(driver, results)


def _live(
    nodes: list[Node],
    definitions: Mapping[str, Node],
    seeds: Mapping[Node, Node],
    wanted: set[Node],
    shifts: set[tuple[str, int]],
) -> set[Node]:
    """Nodes that the loss depends on and that depend on a target, through time."""
    downward = _close_down(set(seeds), nodes, definitions)
    reads = {n for n in nodes if n.op == "shift" and shift_of(n) in shifts}
    return downward & _close_up(wanted | reads, nodes, definitions)


def _reads(node: Node, definitions: Mapping[str, Node]) -> tuple[Node, ...]:
    if node.op == "shift":
        return (definitions[shift_of(node)[0]],)
    if node.op == "stop_gradient":
        return ()
    return node.inputs


def _close_down(
    found: set[Node], nodes: list[Node], definitions: Mapping[str, Node]
) -> set[Node]:
    """Add what members read, until the edges through time settle."""
    before = -1
    while before != len(found):
        before = len(found)
        for node in reversed(nodes):
            if node in found:
                found.update(_reads(node, definitions))
    return found


def _close_up(
    found: set[Node], nodes: list[Node], definitions: Mapping[str, Node]
) -> set[Node]:
    """Add what reads a member, until the edges through time settle."""
    before = -1
    while before != len(found):
        before = len(found)
        for node in nodes:
            if any(child in found for child in _reads(node, definitions)):
                found.add(node)
    return found


def _later_reads(nodes: list[Node], live: set[Node]) -> list[Node]:
    """One live shift leaf per (name, lag)."""
    leaves: dict[tuple[str, int], Node] = {}
    for node in nodes:
        if node.op == "shift" and node in live:
            leaves.setdefault(shift_of(node), node)
    return list(leaves.values())


def _propagate(driver: _Driver, node: Node, grad: Node) -> Node:
    if node.op == "named":
        name = grad_name(name_of(node), driver.order)
        grad = ops.apply("named", grad, data=name)
        driver.new_definitions[name] = grad
    if node.inputs and any(child in driver.live for child in node.inputs):
        slots = ops.TABLE[node.op].bprop(grad, node, *node.inputs)
        for child, part in zip(node.inputs, slots, strict=True):
            if part is not None:
                driver.give(child, part)
    return grad


def _define_carries(
    driver: _Driver, nodes: list[Node], results: Mapping[Node, Node]
) -> None:
    by_read: dict[tuple[str, int], list[Node]] = {}
    for node in nodes:
        if node.op == "shift" and node in results:
            by_read.setdefault(shift_of(node), []).append(results[node])
    for read, name in driver.carried.items():
        # Read only where no gradient passes (a comparison): the carry is zero.
        terms = by_read.get(read) or [_zero(driver.definitions[read[0]])]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        driver.new_definitions[name] = ops.apply("named", total, data=name)


def _zero(node: Node) -> Node:
    return ops.apply("spread", ops.fill(constant(0.0), node.shape))


def _adjoint(driver: _Driver, results: Mapping[Node, Node]) -> Adjoint:
    totals: dict[str, Node] = {}
    timed: dict[str, Node] = {}
    for node in filter(results.__contains__, driver.wanted):
        name = name_of(node)
        if node.timed:
            timed[name] = results[node]
        else:
            totals[name] = results[node]
    return Adjoint(totals, timed, driver.new_definitions, driver.carried)
