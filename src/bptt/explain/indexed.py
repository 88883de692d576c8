"""A cell with indices: its gradient as equations, as the language writes them.

    S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])
    grad_S[t, j] = outer(grad_o[t, j], q[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T
    grad_W_k[j] = sum(t, outer(grad_k[t, j], x[t]))

They are printed from the graph that is computed. Each line is read back as it stands,
and compared with the unrolled graph; there are no cards or drawings of such a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bptt.calculus.bprop import carry_name, grad_name
from bptt.calculus.program import Request, gradient_at, gradient_of, gradient_program
from bptt.check.instances import seeded_name
from bptt.explain.context import Subject
from bptt.explain.indexed_check import check_line
from bptt.explain.model import (
    FAILED,
    LISTED,
    Listing,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
    show_error,
)
from bptt.explain.panels import opening
from bptt.explain.places import free_letters, spread, tidy
from bptt.language.joined import joined_text
from bptt.language.print_indices import label_of, place_text, with_places
from bptt.language.printer import ATOM, Writer, print_graph
from bptt.step.graph import (
    Graph,
    Node,
    name_of,
    rebuild,
    shift,
    shift_of,
    terms_of,
    unnamed,
)
from bptt.step.ops import INDEX_OPS, TABLE
from bptt.step.shapes import Array

SUMS = {"total": "{}", "total_outer": "outer({}, {})"}
MOST = 40  # numbers of an array that are all written
LONGEST = 600  # letters of a line
NEW_INDEX = "'"  # what a place has for a name where a gradient is read elsewhere


def panels(context: Subject) -> list[PagePanel]:
    """What a document shows of such a cell before the ledger."""
    graph, header = context.cell.graph, opening.header(context)
    kept = tuple(
        block
        for block in header.blocks
        if not (isinstance(block, Paragraph) and block.text.id == "header.limit")
    )
    lines = gradient_lines(graph)
    return [
        replace(header, blocks=kept),
        PagePanel("cell", 1, Text("panel.cell"), (
            Paragraph(Text("indexed.cell")), Listing(print_graph(graph), "equations"),
        )),
        PagePanel("derivation", 3, Text("panel.derivation"), (
            Paragraph(Text("indexed.gradient")),
            Listing("\n".join(lines), "gradient"),
            Paragraph(Text("indexed.checked", {"instances": len(context.points)})),
            _checks(context, lines),
            Paragraph(Text("indexed.values", {"t": _step(context)})),
            Listing("\n".join(_numbers(context)), "values"),
            Paragraph(Text("indexed.missing")),
        )),
    ]  # fmt: skip


def _checks(context: Subject, lines: list[str]) -> ShownTable:
    """Every equation as it is shown, against the unrolled graph."""
    rows = []
    for line in lines:
        check = check_line(line, context.cell.graph, context.points)
        shown = check.note or Text(f"indexed.{check.status}")
        error = "" if check.error is None else show_error(check.error)
        has_failed = check.status == FAILED
        rows.append(TableRow(
            (line.partition(" = ")[0], shown, error), "bad" if has_failed else "",
            check, has_failed=has_failed,
        ))  # fmt: skip
    columns = ("of", "result", "error")
    titles = tuple(Text(f"indexed.column-{column}") for column in columns)
    return ShownTable(LISTED, titles, tuple(rows))


def _step(context: Subject) -> int:
    return min(2, context.shown.tau)


def _numbers(context: Subject) -> Iterator[str]:
    """Values and gradients at one step; of an array its indices come first."""
    graph, t = context.shown.graph, _step(context)
    hidden = context.cell.graph.times.hidden
    for name in context.cell.graph.definitions:
        if name not in hidden:
            place = graph.place(name, t)
            yield _written_out(f"{name}[{t}]", graph.values[place])
            yield _written_out(f"grad_{name}[{t}]", graph.grad(place))


def _written_out(name: str, value: Array) -> str:
    text = np.array2string(
        np.asarray(value), precision=4, suppress_small=True, threshold=MOST, edgeitems=2
    )
    lead = f"{name} = "
    return lead + text.replace("\n", "\n" + " " * len(lead))


def gradient_lines(graph: Graph) -> list[str]:
    """One equation a line: of every definition from the last on, then of parameters."""
    return list(_lines(graph))


def _lines(graph: Graph) -> Iterator[str]:
    seeds = () if graph.loss else (seeded_name(graph),)
    names = tuple(graph.definitions)
    roots = gradient_program(graph, Request(names, seeds=seeds)).roots
    reader = _Reader(roots, {grad_name(n): f"grad_{n}" for n in names})
    found = {f"grad_{n}[t]": roots.get(gradient_at(n)) for n in reversed(names)}
    found |= {f"grad_{n}": roots.get(gradient_of(n)) for n in graph.parameters}
    for target, root in found.items():
        if root is None:
            yield f"{target} = 0"
        else:
            yield from _written(target, reader.read(unnamed(root)), graph)
    for name, carry in reader.kept.items():
        yield _line(f"{name}[t]", reader.read(unnamed(roots[carry])), graph)


def _written(target: str, body: Node, graph: Graph) -> Iterator[str]:
    """The line of a gradient; one for each place where a place alone has one."""
    parts = terms_of(body)
    if not all(map(_is_one_place, parts)):
        yield _line(target, body, graph)
        return
    for part in parts:
        data: Any = part.data
        place = place_text(data[0])
        yield _line(with_places(target, (place,)), part.inputs[0], graph)


def _is_one_place(node: Node) -> bool:
    data: Any = node.data
    return node.op == "put" and not data[0].terms and not data[0].dims


def _line(target: str, body: Node, graph: Graph) -> str:
    places, body = spread(body)
    body = tidy(body, graph)
    line = f"{with_places(target, places)} = {_Gradients(graph).text(body)}"
    line = line.replace(NEW_INDEX, free_letters(graph)[0])
    if len(line) <= LONGEST:
        return line
    start = line.partition(" = ")[0]
    return f"{start} = ...  # {len(line)} letters: name the parts of its equation"


@dataclass(frozen=True)
class _Reader:
    """Reads a gradient's definition: other gradients by name.

    What is carried from step to step is put in its place; kept: the carries that read
    themselves, which stay, by the name that they are given.
    """

    roots: Mapping[str, Node]
    gradients: Mapping[str, str]
    kept: dict[str, str] = field(default_factory=dict)

    def read(self, node: Node, by: int = 0) -> Node:
        """An expression at step t + by."""
        if node.op == "named":
            name = self.gradients.get(name_of(node), name_of(node))
            return _value(name, by, node)
        if node.op in ("seed", "weight"):
            name = f"incoming_{node.data}" if node.op == "seed" else "weight"
            return _value(name, by, node)
        if node.op == "input":
            return _value(name_of(node), by, node)
        if node.op == "shift":
            return self._shifted(node, by)
        if not node.inputs:
            return node
        return rebuild(node, tuple(self.read(child, by) for child in node.inputs))

    def _shifted(self, node: Node, by: int) -> Node:
        name, lag = shift_of(node)
        source = name.partition("(")[2].partition("[")[0]
        if name not in (carry_name(source, -1), carry_name(source, 1)):
            return _value(self.gradients.get(name, name), by + lag, node)
        if self._reads_itself(name):
            self.kept[f"carried_{source}"] = name
            return _value(f"carried_{source}", by + lag, node)
        return self.read(unnamed(self.roots[name]), by + lag)

    def _reads_itself(self, carry: str) -> bool:
        """Whether a carry reads itself, or others that read it."""
        waiting, seen = [carry], set[str]()
        while waiting:
            for node in _own(unnamed(self.roots[waiting.pop()])):
                name = str(shift_of(node)[0])
                if name == carry:
                    return True
                if name.startswith("carry(") and name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return False


def _value(name: str, lag: int, node: Node) -> Node:
    if lag:
        return shift(name, lag, node.shape)
    return Node("input", (), node.shape, name)


def _own(node: Node) -> Iterator[Node]:
    """What an expression reads at other steps; nothing behind a name."""
    if node.op == "shift":
        yield node
    elif node.op != "named":
        for child in node.inputs:
            yield from _own(child)


# ----- how it is written -----


@dataclass(frozen=True)
class _Gradients(Writer):
    """Also writes what only a gradient has: sums over steps, and places written."""

    def bound(self, node: Node) -> tuple[str, int]:
        """The text of a node and how tightly it binds."""
        if node.op == "spread":
            return self.bound(node.inputs[0])
        if node.op in SUMS:
            terms = SUMS[node.op].format(*map(self.text, node.inputs))
            return f"sum(t, {terms})", ATOM
        if node.op == "at" and node.inputs[0].op == "total_outer_at":
            return self._outer(node.inputs[0]), ATOM
        joined = joined_text(node, self.text) if node.op == "put" else None
        if node.op == "put" and joined is None and not label_of(node):
            data: Any = node.data
            return f"put({place_text(data[0])}, {self.text(node.inputs[0])})", ATOM
        if node.inputs and node.op not in TABLE and node.op not in INDEX_OPS:
            return f"{node.op}({', '.join(map(self.text, node.inputs))})", ATOM
        return super().bound(node)

    def _outer(self, node: Node) -> str:
        """The outer product at one place, summed over steps."""
        left, right = (spread(child)[1] for child in node.inputs)
        return f"sum(t, outer({self.text(left)}, {self.text(right)}))"
