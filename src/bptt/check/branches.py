"""Which branch of a `where` makes a gradient NaN though it is not taken.

where(x > 0, sqrt(x), 0)      at x < 0 the gradient of sqrt is NaN, and 0 * NaN = NaN
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bptt.check.context import Trial
from bptt.check.kinks import observe
from bptt.check.ledger import FAILED, Row
from bptt.language.printer import print_node
from bptt.step.graph import Node, walk
from bptt.step.shapes import Array


def check_branches(context: Trial) -> Iterator[Row]:
    """One failed row per branch that is not finite where it is not taken.

    Nothing is said of a cell whose gradients are numbers.
    """
    instance = context.instance
    grad = context.gradient(instance.params, instance.inputs, **instance.options)
    if not any(np.isnan(grad[name]).any() for name in instance.params):
        return
    found = [n for n in walk(context.graph.definitions.values()) if n.op == "where"]
    values = _values([part for node in found for part in node.inputs], context)
    for node in found:
        condition, *branches = node.inputs
        for branch, is_other in zip(branches, (True, False), strict=True):
            taken = values[condition] != 0
            is_idle, value = np.broadcast_arrays(taken != is_other, values[branch])
            bad = int((is_idle & ~np.isfinite(value)).sum())
            if bad and branch.op != "constant":
                yield Row(
                    print_node(node), "the branch not taken", None, 0.0, FAILED,
                    instance.number, instance.seed, note=_note(branch, bad, value.size),
                )  # fmt: skip


def _note(branch: Node, bad: int, n_all: int) -> str:
    text = print_node(branch)
    return (
        f"{text} is not finite at {bad} of {n_all} places where it is not taken, and "
        "its gradient there is 0 * NaN = NaN: give its argument a harmless value there "
        "by a `where` of its own"
    )


def _values(nodes: list[Node], context: Trial) -> dict[Node, Array]:
    """The values of nodes inside a step, (tau, n_b, *shape) with trailing ones."""
    names = {node: f"part {number}" for number, node in enumerate(nodes)}
    parts, graph = {name: node for node, name in names.items()}, context.graph
    values = observe(graph, parts, context.instance.bind(graph))
    found = {node: np.asarray(values[name]) for node, name in names.items()}
    rank = max((value.ndim for value in found.values()), default=0)
    return {
        node: value.reshape(value.shape + (1,) * (rank - value.ndim))
        for node, value in found.items()
    }
