"""A cell's equations with a remedy written into them: a leak, or normalisation."""

from __future__ import annotations

from collections.abc import Mapping

from bptt.engine import Engine
from bptt.flow.maps import cut_at_states
from bptt.language import open_loss_text, print_graph
from bptt.language.printer import Writer
from bptt.step.graph import Graph, Node, Times, name_of, terms_of, walk
from bptt.step.ops import OPS


def engines_of(text: str) -> tuple[Engine, Engine]:
    """What `FlowSetting` holds of a cell: as it is written, and with an open loss."""
    source = Engine(text)
    if source.graph.times == Times():
        return source, source
    return source, Engine(open_loss_text(source.graph))


def leaky_text(graph: Graph, share: float) -> str:
    """Every state keeps 1 - share of itself:  h = (1 - share) h_before + share (...).

    Returns: "" where a state's equation is of several lines or indices.
    """
    lines: dict[str, str] = {}
    for name in cut_at_states(graph).states:
        body = Writer(graph).text(graph.definitions[name].inputs[0])
        before = f"{name}[t{graph.lag(name):+d}]"
        lines[name] = f"{1 - share!r} * {before} + {share!r} * ({body})"
    return _with_lines(graph, lines)


def normalised_text(graph: Graph) -> str:
    """Layer normalisation of what enters every function that makes a state.

    f(b + W h + U x) becomes f(b + layer_norm(W h + U x)) (Ba et al., arXiv:1607.06450).
    Returns: "" where no such function is found.
    """
    lines: dict[str, str] = {}
    states = cut_at_states(graph).states
    for node in walk(graph.definitions[name] for name in states):
        if node.op != "named" or node.rank != 1 or node.indices:
            continue
        body = node.inputs[0]
        known = OPS.get(body.op)
        if known is None or known.activation is None:
            continue
        argument = body.inputs[0]
        if "layer_norm(" in Writer(graph).text(argument):
            continue
        if argument.op == "named" and name_of(argument) not in graph.states:
            lines[name_of(argument)] = _normalised(graph, argument.inputs[0])
        elif Writer(graph).text(body).startswith(f"{body.op}("):
            lines[name_of(node)] = f"{body.op}({_normalised(graph, argument)})"
    return _with_lines(graph, lines)


def _normalised(graph: Graph, node: Node) -> str:
    writer, terms = Writer(graph), terms_of(node)
    timed = " + ".join(writer.inside(n, OPS["add"].precedence) for n in terms
                       if n.timed)  # fmt: skip
    still = [writer.inside(n, OPS["add"].precedence) for n in terms if not n.timed]
    return " + ".join([*still, f"layer_norm({timed})"])


def _with_lines(graph: Graph, lines: Mapping[str, str]) -> str:
    """The canonical text with other right sides; "" if a name has not one line."""
    old, left = print_graph(graph).split("\n"), dict(lines)
    for number, line in enumerate(old):
        target, _, _ = line.partition(" = ")
        name = target.removesuffix("[t]")
        if target.endswith("[t]") and name in left:
            old[number] = f"{target} = {left.pop(name)}"
    return "" if left or not lines else "\n".join(old)
