"""Step graph to text: the canonical form, which parses back to the same graph."""

from __future__ import annotations

from bptt.language.print_indices import (
    index_lines,
    indexed_text,
    split_target,
    with_places,
)
from bptt.step.graph import Graph, Initial, Node, name_of, shift_of
from bptt.step.ops import OPS
from bptt.step.shapes import Shape

INFIX = {
    "add": " + ", "sub": " - ", "mul": " * ", "div": " / ", "pow": " ** ",
    "matvec": " @ ", "matmul": " @ ", "greater": " > ", "greater_equal": " >= ",
}  # fmt: skip
ATOM = 1000
WRITTEN_AS = {"nll_soft": "nll"}


def print_graph(graph: Graph) -> str:
    """Declarations that inference needs, then one equation a line."""
    lines = [*index_lines(graph), *_declarations(graph)]
    for name, node in graph.definitions.items():
        places, body = split_target(node.inputs[0])
        lines.append(f"{with_places(f'{name}[t]', places)} = {print_node(body)}")
    return "\n".join(lines) + "\n"


def print_node(node: Node) -> str:
    """One expression; a definition inside it is printed by its name."""
    return _print(node)[0]


def _print(node: Node) -> tuple[str, int]:
    """The text of a node and how tightly it binds."""
    if node.op == "constant":
        assert isinstance(node.data, float)
        binding = OPS["neg"].precedence if node.data < 0 else ATOM
        return repr(node.data), binding
    if node.op == "parameter":
        return name_of(node), ATOM
    if node.op in ("input", "named"):
        return f"{name_of(node)}[t]", ATOM
    if node.op == "shift":
        name, lag = shift_of(node)
        return f"{name}[t{lag:+d}]", ATOM
    indexed = indexed_text(node, print_node)
    if indexed is not None:
        return indexed, ATOM
    if node.op == "diag":
        return f"diag({print_node(node.inputs[0])})", ATOM
    binding = OPS[node.op].precedence
    if node.op in INFIX:
        return _infix(node, binding), binding
    if node.op == "neg":
        return "-" + _inside(node.inputs[0], binding), binding
    if node.op == "transpose":
        return _inside(node.inputs[0], ATOM) + ".T", ATOM
    if node.op == "lookup":
        matrix, index = node.inputs
        return f"{_inside(matrix, ATOM)}[:, {_print(index)[0]}]", ATOM
    return _call(node), ATOM


def _infix(node: Node, binding: int) -> str:
    left, right = node.inputs
    # ** binds to the right and binds tighter than a minus on its left.
    bounds = (binding + 1, binding) if node.op == "pow" else (binding, binding + 1)
    if node.op in ("greater", "greater_equal"):
        bounds = (binding + 1, binding + 1)
    return _inside(left, bounds[0]) + INFIX[node.op] + _inside(right, bounds[1])


def _inside(node: Node, needed: int) -> str:
    text, binding = _print(node)
    return text if binding >= needed else f"({text})"


def _call(node: Node) -> str:
    arguments = [_print(child)[0] for child in node.inputs]
    if OPS[node.op].data == "value":
        arguments.append(f"eps={node.data!r}")
    return f"{WRITTEN_AS.get(node.op, node.op)}({', '.join(arguments)})"


def _declarations(graph: Graph) -> list[str]:
    """Every shape and initial value that the text alone would not say."""
    lines = [
        _declaration(name, spec.shape, spec.initial)
        for name, spec in graph.parameters.items()
    ]
    lines += [
        _declaration(name, spec.shape, spec.draw)
        for name, spec in graph.inputs.items()
        if spec.index is None
    ]
    lines += [
        _declaration(name, graph.definitions[name].shape, None)
        for name in graph.states
        if name in graph.definitions
    ]
    return lines


def _declaration(name: str, shape: Shape, initial: Initial | None) -> str:
    dims = ", ".join(map(str, shape))
    text = f"{name}: {dims if len(shape) == 1 else f'({dims})'}"
    if initial is None:
        return text
    if initial.rule == "constant":
        return f"{text} = {initial.arguments[0]!r}"
    numbers = ", ".join(map(repr, initial.arguments))
    return (
        f"{text} = {initial.rule}({numbers})" if numbers else f"{text} = {initial.rule}"
    )
