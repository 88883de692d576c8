"""Name the inner nodes that a derivation needs to speak of.

    L[t] = nll(softmax(o[t]), y[t])      ->  y_hat[t] = softmax(o[t])
                                             L[t] = nll(y_hat[t], y[t])
    h[t] = tanh(layer_norm(W @ h[t-1]))  ->  h_1[t] = W @ h[t-1]
                                             h_2[t] = layer_norm(h_1[t])
                                             h[t] = tanh(h_2[t])

The values and gradients of every node that was there before stay what they were.
"""

from __future__ import annotations

from dataclasses import replace

from bptt.errors import ArgumentError
from bptt.step.graph import Graph, Node, rebuild, rewrite, walk
from bptt.step.ops import INDEX_OPS

WHOLE = frozenset({"softmax", "log_softmax", "layer_norm"})
WITHOUT_CARDS = frozenset({*INDEX_OPS, "eye", "fill", "index"})
LOSSES = frozenset({"nll", "nll_soft"})


class IndexedCellError(ArgumentError):
    """A figure of Jacobians or paths is asked for of a cell with indices."""


def has_indices(graph: Graph) -> bool:
    """Whether a cell has indices, or takes parts of vectors."""
    nodes = walk(graph.definitions.values())
    return bool(graph.indices) or any(node.op in WITHOUT_CARDS for node in nodes)


def refuse_indices(graph: Graph) -> None:
    """Say of a cell with indices, or parts of vectors, what cannot be done with it.

    Raises: IndexedCellError.
    """
    for node in walk(graph.definitions.values()):
        if node.op in WITHOUT_CARDS and not graph.indices:
            raise IndexedCellError(
                "the cell puts vectors together, takes parts of them or counts their "
                "places; of such a cell there is the figure `unrolled`. explain() "
                "derives its gradient card by card"
            )
    for name in graph.indices:
        raise IndexedCellError(
            f"the cell has the index {name}; of such a cell there is the figure "
            "`unrolled`. explain() derives its gradient card by card; write one head "
            "without an index to see the rest"
        )


def prepare(graph: Graph) -> Graph:
    """The graph with a name for every softmax, every layer norm, and what they take.

    Raises: IndexedCellError.
    """
    refuse_indices(graph)
    names = _new_names(graph)
    if not names:
        return graph

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        new = rebuild(node, inputs)
        if node in names:
            return Node("named", (new,), new.shape, names[node])
        return new

    new = rewrite(graph.definitions.values(), step)
    definitions: dict[str, Node] = {}
    for name, root in graph.definitions.items():
        for node in walk([root]):
            if node in names:
                definitions.setdefault(names[node], new[node])
        definitions[name] = new[root]
    return replace(graph, definitions=definitions)


def _new_names(graph: Graph) -> dict[Node, str]:
    """A name for every inner node that needs one, in forward order."""
    taken = {*graph.definitions, *graph.parameters, *graph.inputs}
    found: dict[Node, str] = {}
    for name, root in graph.definitions.items():
        nodes = list(walk([root]))
        for node in nodes:
            if node.op not in WHOLE:
                continue
            (argument,) = node.inputs
            if argument.inputs and argument.op != "named" and argument not in found:
                found[argument] = free_name(name, taken)
            if not _is_named(node, graph) and node not in found:
                found[node] = _probability(node, nodes, taken) or free_name(name, taken)
    return found


def _is_named(node: Node, graph: Graph) -> bool:
    return any(root.inputs[0] is node for root in graph.definitions.values())


def _probability(node: Node, nodes: list[Node], taken: set[str]) -> str:
    """y_hat for the softmax that a loss compares with y; "" where that does not fit."""
    for user in nodes:
        if user.op in LOSSES and user.inputs[0] is node:
            name = f"{user.inputs[1].data}_hat"
            if user.inputs[1].op == "input" and name not in taken:
                taken.add(name)
                return name
    return ""


def free_name(name: str, taken: set[str]) -> str:
    """NAME_1, NAME_2, ...: the first that is not taken, which it then is."""
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"
