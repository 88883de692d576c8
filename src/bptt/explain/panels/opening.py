"""Panels 0 and 1: what is shown, and the cell with the shape of everything in it."""

from __future__ import annotations

from collections.abc import Iterator

from bptt.check.instances import seeded_name
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, T, Value
from bptt.explain.algebra.shape import shape_of, show
from bptt.explain.context import Subject
from bptt.explain.delays import carried_by, starts_of
from bptt.explain.model import (
    Block,
    Cell,
    Chain,
    Equations,
    Link,
    Listing,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
    Typed,
)
from bptt.explain.prepare import has_indices
from bptt.language import print_graph
from bptt.step.graph import Graph

X, Y, LOSS = Value("x"), Value("y"), Value("L")  # any node; the total loss


def header(context: Subject) -> PagePanel:
    """Panel 0: source, conventions, the loss, the limit of the checks.

    What the checks of a cell with indices are is said before its cards.
    """
    graph = context.scope.graph
    kind = context.options.kind if graph.loss else "seeded"
    fields = {} if graph.loss else {"node": Value(seeded_name(graph), T)}
    sizes = context.shown.label.replace("tau", "τ")
    numbers = {"sizes": sizes, "seed": context.options.seed}
    return PagePanel("header", 0, Text("panel.header"), (
        Listing(context.source, "source"),
        Paragraph(_layout()),
        *_times(context.cell.graph),
        Paragraph(Text("header.two")),
        _derivatives(context),
        Paragraph(Text(f"header.loss.{kind}", fields)),
        Paragraph(Text("header.numbers", numbers)),
        *([] if has_indices(context.cell.graph) else [Paragraph(Text("header.limit"))]),
    ))  # fmt: skip


def _layout() -> Text:
    """How gradients and Jacobians are laid out."""
    one = e.Jacobian(e.Element(Y, ("i",)), e.Element(X, ("j",)))
    element = e.Element(e.Jacobian(Y, X), ("i", "j"))
    return Text("header.layout", {"x": X, "y": Y, "element": element, "each": one})


def _times(graph: Graph) -> Iterator[Paragraph]:
    """What t and tau are, and the states that a loop begins with."""
    yield Paragraph(Text("header.time"))
    carried = carried_by(graph)
    for kind, time in (("time-before", e.START), ("time-back", e.TAU.moved(1))):
        is_back = kind == "time-back"
        names = [name for name in graph.states if (name in graph.backward) == is_back]
        if names:
            reads = (carried.get(name, (name, 0)) for name in names)
            initial = tuple(Value(name, time.moved(by)) for name, by in reads)
            yield Paragraph(Text(f"header.{kind}", {"initial": initial}))


def _derivatives(context: Subject) -> ShownTable:
    """The one convention of ∂, d and ∇; the checker of formulas keeps it, too."""
    edge, total = e.Jacobian(Y, X), e.Jacobian(Y, X, total=True)
    ofs = (e.Nabla(X), e.Jacobian(LOSS, X), e.Jacobian(LOSS, X, total=True))
    kinds: dict[str, Cell] = {
        "immediate": edge, "inside": edge, "total": total,
        "gradient": Text("header.derivative.signs", {"signs": ofs}),
    }  # fmt: skip
    said = {kind: Text(f"header.derivative.{kind}", {"x": X, "y": Y}) for kind in kinds}
    places = None if has_indices(context.cell.graph) else _without_edge(context)
    if places is not None:
        fields = {"inside": said["inside"], "before": places[0], "after": places[1]}
        said["inside"] = Text("header.derivative.inside-as", fields)
    rows = tuple(TableRow((sign, said[kind])) for kind, sign in kinds.items())
    columns = tuple(Text(f"header.column-{column}") for column in ("sign", "meaning"))
    return ShownTable("derivatives", columns, rows)


def _without_edge(context: Subject) -> tuple[Value, Value] | None:
    """A state and itself a step on, which it reaches through other nodes alone."""
    derivation = context.derivation
    for state in context.cell.graph.states:
        readers = derivation.successors(state)
        if any(reader.name == state for reader in readers):
            continue
        for reader in readers:
            if reader.lag and state in _within_step(context, reader.name):
                return Value(state, T), Value(state, T.moved(reader.lag))
    return None


def _within_step(context: Subject, name: str) -> set[str]:
    """The nodes that a node reaches in its own step."""
    found, ahead = set(), [name]
    while ahead:
        for reader in context.derivation.successors(ahead.pop()):
            if reader.lag == 0 and reader.name not in found:
                found.add(reader.name)
                ahead.append(reader.name)
    return found


def cell(context: Subject) -> PagePanel:
    """Panel 1: every line typed, typeset, and the shapes of its parts."""
    blocks: list[Block] = [Paragraph(Text("cell.intro"))]
    scope, before = context.scope, context.cell.graph.definitions
    new = tuple(Value(n, T) for n in scope.graph.definitions if n not in before)
    if new:
        blocks.append(Paragraph(Text("cell.inner", {"names": new})))
    blocks += starts(context)
    typed = _typed_lines(context)
    rows: list[TableRow] = []
    for name in scope.graph.definitions:
        value, right = Value(name, T), context.derivation.equation(name)
        chain = context.checked(Chain((Link(value), Link(right))))
        text = Text("cell.line", {"typed": Typed(typed[name])})
        blocks.append(Equations(f"equation:{name}", chain, text))
        rows += [
            TableRow((part, show(shape_of(part, scope)), value))
            for part in _parts(right)
        ]
    columns = ("part", "shape", "of")
    titles = tuple(Text(f"cell.column-{column}") for column in columns)
    blocks.append(ShownTable("shapes", titles, tuple(rows), Text("cell.parts")))
    return PagePanel("cell", 1, Text("panel.cell"), tuple(blocks))


def starts(context: Subject) -> Iterator[Paragraph]:
    """What the names stand for by which a start that the cell writes is read."""
    for found in starts_of(context.cell.graph):
        fields = {
            "state": Value(found.state, T), "before": Value(found.before, T),
            "start": Value(found.start, T),
            "earlier": Value(found.state, T.moved(found.lag)),
            "flag": Value(found.flag, T),
        }  # fmt: skip
        key = "cell.start" if found.lag < 0 else "cell.start-back"
        yield Paragraph(Text(key, fields))


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
