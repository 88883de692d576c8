"""Step graph to text: the canonical form, which parses back to the same graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bptt.language.print_indices import (
    index_lines,
    indexed_text,
    labelled_lines,
    split_target,
    with_places,
)
from bptt.step.graph import Graph, Initial, Node, Times, name_of, shift_of
from bptt.step.ops import OPS, TABLE
from bptt.step.shapes import Shape

INFIX = {
    "add": " + ", "sub": " - ", "mul": " * ", "div": " / ", "pow": " ** ",
    "matvec": " @ ", "matmul": " @ ", "greater": " > ", "greater_equal": " >= ",
}  # fmt: skip
ATOM = 1000
WRITTEN_AS = {"nll_soft": "nll", "solve_columns": "solve"}


def print_graph(graph: Graph) -> str:
    """Declarations that inference needs, then one equation a line."""
    writer = Writer(graph)
    lines = [*index_lines(graph), *_declarations(graph)]
    lines += labelled_lines(graph, writer.text)
    lines += filter(None, map(writer.equation, graph.definitions))
    return "\n".join(lines) + "\n"


def print_node(node: Node) -> str:
    """One expression; a definition inside it is printed by its name."""
    return Writer().text(node)


@dataclass(frozen=True)
class Writer:
    """Writes expressions of a graph, as they stand in one of three places.

    is_late: in an equation after the last step, where a definition is read at tau;
    is_inside: in a sum over t there, where it is read at t again.
    """

    graph: Graph | None = None
    is_late: bool = False
    is_inside: bool = False

    @property
    def times(self) -> Times:
        """What the graph's definitions were written for."""
        return Times() if self.graph is None else self.graph.times

    def equation(self, name: str) -> str:
        """The line of a definition; none for one that no line has."""
        assert self.graph is not None
        body = self.graph.definitions[name].inputs[0]
        written = self.times.hidden.get(name, ())
        if name in self.times.wholes:
            return ""
        if written and written[0] == "place":
            places, body = split_target(body)
            target = with_places(self._hidden(name), places)
            is_once = name in self.times.once
            return f"{target} = {replace(self, is_late=is_once).text(body)}"
        if written:
            if written[0] != "start":
                return ""
            places, body = split_target(body)
            target = with_places(f"{written[1]}[{written[2]}]", places)
            return f"{target} = {self.text(body)}"
        if self.times.end_loss and name == self.graph.loss:
            return f"{name}[t] = {self.text(body.inputs[0])}"
        if name not in self.times.once:
            places, body = split_target(body)
            return f"{with_places(f'{name}[t]', places)} = {self.text(body)}"
        places, body = split_target(body)
        target, late = with_places(name, places), replace(self, is_late=True)
        if name == self.times.end_loss:
            return f"{self.graph.loss} = {late.text(body)}"
        if name == self.graph.loss:  # counted at the last step alone
            body = body.inputs[1]
        return f"{target} = {late.text(body)}"

    def text(self, node: Node) -> str:
        """One expression."""
        return self.bound(node)[0]

    def inside(self, node: Node, needed: int) -> str:
        """An expression that must bind as tightly as `needed`, or stand in brackets."""
        text, binding = self.bound(node)
        return text if binding >= needed else f"({text})"

    def bound(self, node: Node) -> tuple[str, int]:
        """The text of a node and how tightly it binds."""
        if node.op == "constant":
            assert isinstance(node.data, float)
            binding = OPS["neg"].precedence if node.data < 0 else ATOM
            return repr(node.data), binding
        if node.op == "parameter":
            return name_of(node), ATOM
        if node.op in ("input", "named"):
            return self._value(name_of(node)), ATOM
        if node.op == "shift":
            return self._shifted(*shift_of(node)), ATOM
        indexed = indexed_text(node, self.text, lambda n: self.inside(n, ATOM))
        if indexed is not None:
            is_sum = node.op == "size" and "+" in indexed
            return indexed, TABLE["add"].precedence if is_sum else ATOM
        if node.op == "diag":
            return f"diag({self.text(node.inputs[0])})", ATOM
        number = _of_number(self, node)
        if number:
            return number, ATOM
        if node.op == "fill":
            return _call(self, node, *node.shape), ATOM
        binding = TABLE[node.op].precedence
        if node.op in INFIX:
            return _infix(self, node, binding), binding
        if node.op == "neg":
            return "-" + self.inside(node.inputs[0], binding), binding
        if node.op == "transpose":
            return self.inside(node.inputs[0], ATOM) + ".T", ATOM
        if node.op == "lookup":
            matrix, index = node.inputs
            return f"{self.inside(matrix, ATOM)}[:, {self.text(index)}]", ATOM
        return _call(self, node), ATOM

    def _value(self, name: str) -> str:
        """A definition or an input at the step where the equation stands."""
        if name in self.times.hidden:
            return self._hidden(name)
        if name in self.times.once or name in self.times.row_inputs:
            return name
        return f"{name}[tau]" if self.is_late and not self.is_inside else f"{name}[t]"

    def _shifted(self, name: str, lag: int) -> str:
        written = self.times.hidden.get(name, ())
        if written and written[0] == "lag":
            return f"{written[1]}[t{int(written[2]) + lag:+d}]"
        return f"{name}[t{lag:+d}]"

    def _hidden(self, name: str) -> str:
        """What a definition that no line has was written as."""
        assert self.graph is not None
        kind, *rest = self.times.hidden[name]
        if kind == "place":
            step = "" if name in self.times.once else "t, "
            return f"{rest[0]}[{step}{rest[1]}]"
        body = self.graph.definitions[name].inputs[0]
        if kind == "lag":
            return f"{rest[0]}[t{int(rest[1]):+d}]"
        if kind == "clock":
            return "tau" if self.is_late and not self.is_inside else "t"
        if kind == "tau":
            source = self.times.hidden.get(rest[0], ("",))[0]
            if source == "clock":
                return "tau"
            if source or rest[0] in self.times.once:
                return self._value(rest[0])
            return f"{rest[0]}[tau]"
        _, body = split_target(body)
        if kind == "softmax":  # exp(u - max) / sum
            inner = body.inputs[0].inputs[0].inputs[0]
        else:
            inner = body.inputs[1 if kind == "sum" else 2]
        return f"{kind}(t, {replace(self, is_inside=True).text(inner)})"


def _of_number(writer: Writer, node: Node) -> str:
    """What a whole number that the cell hands on stands in, or nothing.

    `U[:, argmax(o[t])]`, `nll(p, k[t-2])`, and a copy of an integer input.
    """
    last = node.inputs[-1] if node.inputs else node
    if node.op == "argmax" and last.op == "one_hot":
        return writer.text(last.inputs[0])
    if last.op != "one_hot_of" or node.op not in ("matvec", "nll_soft"):
        return ""
    first, number = node.inputs[0], writer.text(last.inputs[0])
    if node.op == "matvec":
        return f"{writer.inside(first, ATOM)}[:, {number}]"
    return f"nll({writer.text(first)}, {number})"


def _infix(writer: Writer, node: Node, binding: int) -> str:
    left, right = node.inputs
    # ** binds to the right and binds tighter than a minus on its left.
    bounds = (binding + 1, binding) if node.op == "pow" else (binding, binding + 1)
    if node.op in ("greater", "greater_equal"):
        bounds = (binding + 1, binding + 1)
    return (
        writer.inside(left, bounds[0])
        + INFIX[node.op]
        + writer.inside(right, bounds[1])
    )


def _call(writer: Writer, node: Node, *more: object) -> str:
    arguments = [*(writer.text(child) for child in node.inputs), *map(str, more)]
    if TABLE[node.op].data == "value":
        arguments.append(f"eps={node.data!r}")
    return f"{WRITTEN_AS.get(node.op, node.op)}({', '.join(arguments)})"


def _declarations(graph: Graph) -> list[str]:
    """Every shape and initial value that the text alone would not say."""
    lines = [
        declaration(name, spec.shape, spec.initial)
        for name, spec in graph.parameters.items()
    ]
    lines += [
        declaration(
            name,
            spec.shape,
            Initial("input") if name in graph.times.row_inputs else spec.draw,
        )
        for name, spec in graph.inputs.items()
        if spec.index is None or name in graph.times.row_inputs
    ]
    lines += [
        declaration(name, graph.definitions[name].shape)
        for name in dict.fromkeys((*graph.states, *sorted(graph.times.wholes)))
        if name in graph.definitions and name not in graph.times.hidden
    ]
    return lines


def declaration(name: str, shape: Shape, initial: Initial | None = None) -> str:
    """`W: (n_h, n_x) = normal(0, 1)`, `b: n_h`."""
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
