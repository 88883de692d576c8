"""Panels 0 and 1: what is shown, and the cell with the shape of everything in it."""

from __future__ import annotations

from collections.abc import Iterator

from bptt.check.instances import seeded_name
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, T, Value
from bptt.explain.algebra.shape import shape_of, show
from bptt.explain.context import Subject
from bptt.explain.model import (
    Block,
    Chain,
    Equations,
    Link,
    Listing,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)
from bptt.language import print_graph


def header(context: Subject) -> PagePanel:
    """Panel 0: source, conventions, the loss, the limit of the checks."""
    graph = context.scope.graph
    kind = context.options.kind if graph.loss else "seeded"
    fields = {} if graph.loss else {"node": Value(seeded_name(graph), T)}
    numbers = {"sizes": context.shown.label, "seed": context.options.seed}
    return PagePanel("header", 0, Text("panel.header"), (
        Listing(context.cell.text.strip(), "source"),
        Paragraph(Text("header.layout")),
        Paragraph(Text("header.time")),
        *([Paragraph(Text("header.time-back"))] if graph.backward else []),
        Paragraph(Text("header.two")),
        _derivatives(),
        Paragraph(Text(f"header.loss.{kind}", fields)),
        Paragraph(Text("header.numbers", numbers)),
        Paragraph(Text("header.limit")),
    ))  # fmt: skip


def _derivatives() -> ShownTable:
    """The one convention of ∂, d and ∇; the checker of formulas keeps it, too."""
    signs = {"immediate": "∂y/∂x", "inside": "∂y/∂x", "total": "dy/dx",
             "gradient": "∇_x L, ∂L/∂x, dL/dx"}  # fmt: skip
    rows = tuple(
        TableRow((sign, Text(f"header.derivative.{kind}")))
        for kind, sign in signs.items()
    )
    columns = tuple(Text(f"header.column-{column}") for column in ("sign", "meaning"))
    return ShownTable("derivatives", columns, rows)


def cell(context: Subject) -> PagePanel:
    """Panel 1: every line typed, typeset, and the shapes of its parts."""
    blocks: list[Block] = [Paragraph(Text("cell.intro"))]
    scope, before = context.scope, context.cell.graph.definitions
    new = tuple(Value(n, T) for n in scope.graph.definitions if n not in before)
    if new:
        blocks.append(Paragraph(Text("cell.inner", {"names": new})))
    typed = _typed_lines(context)
    rows: list[TableRow] = []
    for name in scope.graph.definitions:
        value, right = Value(name, T), context.derivation.equation(name)
        chain = context.checked(Chain((Link(value), Link(right))))
        text = Text("cell.line", {"typed": typed[name]})
        blocks.append(Equations(f"equation:{name}", chain, text))
        rows += [
            TableRow((part, show(shape_of(part, scope)), value))
            for part in _parts(right)
        ]
    columns = ("part", "shape", "of")
    titles = tuple(Text(f"cell.column-{column}") for column in columns)
    blocks.append(ShownTable("shapes", titles, tuple(rows), Text("cell.parts")))
    return PagePanel("cell", 1, Text("panel.cell"), tuple(blocks))


def _typed_lines(context: Subject) -> dict[str, str]:
    """The line that defines each node, as the language writes it."""
    lines = print_graph(context.scope.graph).splitlines()
    found = {}
    for name in context.scope.graph.definitions:
        found[name] = next(line for line in lines if line.startswith(f"{name}[t] ="))
    return found


def _parts(expr: Expr) -> Iterator[Expr]:
    """The sub-expressions of a right-hand side, each once, the whole first."""
    seen: set[Expr] = set()
    for part in e.walk(expr):
        if part not in seen and not isinstance(part, e.Number):
            seen.add(part)
            yield part
