"""A cell with all of it written at every step, for readers who know steps alone.

What `times` added stands there as equations of its own, and an input without time is
one of every step.
"""

from __future__ import annotations

from dataclasses import replace

from bptt.language.printer import print_graph
from bptt.step.graph import Graph, Node, Times, shift_of, walk


def stepwise_text(graph: Graph) -> str:
    """The equations of every step, those that no line has included."""
    return print_graph(replace(graph, times=Times()))


def open_loss_text(graph: Graph) -> str:
    """The same, but a loss after the last step is one of every step.

    What counts is then its value at the last step: reduction "last". Definitions that
    nothing else reads go.
    """
    if not graph.ends_in_loss:
        return stepwise_text(graph)
    assert graph.loss is not None
    masked = graph.definitions[graph.loss]
    opened = Node("named", (masked.inputs[0].inputs[1],), (), graph.loss)
    definitions = {**graph.definitions, graph.loss: opened}
    read = {
        shift_of(node)[0] if node.op == "shift" else node.data
        for name, root in definitions.items()
        for node in walk(root.inputs)
        if node.op == "shift" or (node.op == "named" and node.data != name)
    }
    hidden = graph.times.hidden
    kept = {n: d for n, d in definitions.items() if n not in hidden or n in read}
    states = {shift_of(n)[0] for n in walk(kept.values()) if n.op == "shift"}
    return stepwise_text(replace(
        graph, definitions=kept, states=tuple(s for s in graph.states if s in states),
        backward=graph.backward & states,
    ))  # fmt: skip
