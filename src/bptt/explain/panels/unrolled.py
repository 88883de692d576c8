"""Panels 2, 6 and 7 as tables: the graph in time, its paths, how far gradients travel.

The page draws the same; these tables are what stands in for the pictures elsewhere.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from bptt.check.rounding import largest
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.algebra.point import Point
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.model import (
    Block,
    Cell,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)
from bptt.explain.verdict import error_of
from bptt.explain.verify import FLOOR
from bptt.step.shapes import Array
from bptt.unrolled.places import Place

MOST_PATHS = 60  # one by one; more are added up in groups of one lag


def graph(context: Subject) -> PagePanel:
    """Panel 2: every node, the nodes that read it, and its numbers in the visit."""
    order = {place: i for i, place in enumerate(context.shown.graph.visit_order())}
    rows = []
    for name in reversed(list(context.scope.graph.definitions)):
        places = [Place("node", name, t) for t in range(context.shown.tau, 0, -1)]
        visits = ", ".join(str(order[place]) for place in places)
        cells = (Value(name, T), _readers(context, name, is_last=False),
                 _readers(context, name, is_last=True), visits)  # fmt: skip
        rows.append(TableRow(cells))
    intro = "graph.intro-back" if context.scope.graph.backward else "graph.intro"
    titles = _titles("graph", "node", "successors", "last", "visits")
    return PagePanel("graph", 2, Text("panel.graph"), (
        Paragraph(Text(intro)), ShownTable("graph", titles, tuple(rows)),
    ))  # fmt: skip


def _readers(context: Subject, name: str, *, is_last: bool) -> Cell:
    found: tuple[object, ...] = tuple(
        Value(s.name, T.moved(s.lag))
        for s in context.derivation.successors(name)
        if not (is_last and s.lag > 0)
    )
    maker = CardMaker(context.derivation, context.scope, context.options)
    if any(term.successor is None for term in maker.terms(name)):
        found += (Value("L"),)
    if not found:
        return Text("graph.nothing")
    return Text("against.list", {"items": found})


def _titles(panel: str, *columns: str) -> tuple[Text, ...]:
    return tuple(Text(f"{panel}.column-{column}") for column in columns)


# Some hundred products of up to 20 factors, added up: rounding of each, and no more.
PATHS_TOLERANCE = 1e-11


def paths(context: Subject) -> PagePanel:
    """Panel 6: how many paths lead from each parameter to L, and what they sum to."""
    shown, rows = context.shown, []
    for name in context.scope.graph.parameters:
        place = shown.graph.place(name)
        found = shown.graph.paths(place, MOST_PATHS)
        right = shown.graph.grad(place)
        size = max(largest(right), FLOOR * shown.largest_gradient) or 1.0
        apart = partial(_paths_apart, place)
        error = error_of(
            apart(shown), np.zeros_like(right), size, shown, apart, PATHS_TOLERANCE
        )
        lag = max((path.lag or 0 for path in found), default=0)
        said: Cell = Text("label.not-checked")
        has_failed = False
        if not isinstance(error, str):
            has_failed, said = not error <= PATHS_TOLERANCE, f"{error:.0e}"
        cells = (Value(name), shown.graph.count_paths(place), lag, said)
        rows.append(TableRow(cells, "bad" if has_failed else "", has_failed=has_failed))
    titles = (
        Text("sharing.column-parameter"),
        *_titles("paths", "count", "longest", "error"),
    )
    return PagePanel("paths", 6, Text("panel.paths"), (
        Paragraph(Text("paths.intro")), ShownTable("paths", titles, tuple(rows)),
    ))  # fmt: skip


def _paths_apart(place: Place, point: Point) -> Array:
    """What the paths from a place sum to, less its gradient."""
    found = point.graph.paths(place, MOST_PATHS)
    total = sum((path.product for path in found), np.zeros(()))
    return np.asarray(total - point.graph.grad(place))


def flow(context: Subject) -> PagePanel:
    """Panel 7: the gradient of every state, split into injected and arrived."""
    graph = context.scope.graph
    blocks: list[Block] = [Paragraph(Text("flow.intro"))]
    for name in graph.states:
        if name in graph.definitions and context.derivation.rank(name) < 2:
            rows = tuple(
                _flow_row(context, name, t) for t in range(context.shown.tau, 0, -1)
            )
            caption = Text("flow.caption", {"node": Value(name, T)})
            arrived = "past" if name in graph.backward else "future"
            titles = _titles("flow", "t", "total", "now", arrived)
            blocks.append(ShownTable(f"flow:{name}", titles, rows, caption))
    return PagePanel("flow", 7, Text("panel.flow"), tuple(blocks))


def _flow_row(context: Subject, name: str, t: int) -> TableRow:
    maker = CardMaker(context.derivation, context.scope, context.options)
    norms = []
    for is_carried in (False, True):
        values = [
            evaluate(term.filled, context.shown, t)
            for term in maker.terms(name)
            if term.is_future == is_carried and 1 <= t + term.lag <= context.shown.tau
        ]
        total = sum(values[1:], values[0]) if values else np.zeros(())
        norms.append(float(np.linalg.norm(total)))
    whole = evaluate(Nabla(Value(name, T)), context.shown, t)
    return TableRow((t, float(np.linalg.norm(whole)), *norms))
