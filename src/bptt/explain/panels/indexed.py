"""A cell with indices: its equations, a card for every gradient, and numbers.

    S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])
    grad_S[t, j] = outer(grad_o[t, j], q[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T

Formulas are text in a terminal, as the language writes them, and typeset elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bptt.explain.context import Subject
from bptt.explain.indices.cards import IndexedCards
from bptt.explain.model import (
    Cards,
    Equations,
    Listing,
    PagePanel,
    Paragraph,
    ShownTable,
    Text,
    Typed,
)
from bptt.explain.panels import opening, unrolled
from bptt.language.printer import print_graph
from bptt.step.shapes import Array

MOST = 40  # numbers of an array that are all written


def panels(context: Subject) -> list[PagePanel]:
    """What a document shows of such a cell before the ledger."""
    return [
        opening.header(context), _cell(context), _network(context),
        _derivation(context), _values(context), _paths(context),
    ]  # fmt: skip


def _cell(context: Subject) -> PagePanel:
    """The equations, inner nodes named, each typed and typeset."""
    graph, before = context.scope.graph, context.cell.graph.definitions
    new = tuple(Typed(name) for name in graph.definitions if name not in before)
    inner = [Paragraph(Text("cell.inner", {"names": new}))] if new else []
    return PagePanel("cell", 1, Text("panel.cell"), (
        Paragraph(Text("indexed.cell")), *inner, *opening.starts(context),
        Listing(print_graph(graph), "equations"),
        Paragraph(Text("indexed.equations")),
        *(Equations(f"equation:{name}", chain)
          for name, chain in IndexedCards(graph, context.points).equations()),
    ))  # fmt: skip


def _network(context: Subject) -> PagePanel:
    """The network in time, which a page draws."""
    kind = "back" if context.scope.graph.backward else "forward"
    command = Typed("bptt explain ... --figure unrolled")
    return PagePanel("network", 2, Text("panel.graph"), (
        Paragraph(Text(f"indexed.network-{kind}", {"command": command})),
    ))  # fmt: skip


def _paths(context: Subject) -> PagePanel:
    """How many paths lead from each parameter to L, and what they add up to."""
    found = unrolled.paths(context)
    return PagePanel("ways", 6, found.title, (
        *(replace(block, id="ways") if isinstance(block, ShownTable) else block
          for block in found.blocks),
        Paragraph(Text("indexed.missing")),
    ))  # fmt: skip


def _derivation(context: Subject) -> PagePanel:
    """The cards."""
    groups = IndexedCards(context.scope.graph, context.points).groups()
    return PagePanel("derivation", 3, Text("panel.derivation"), (
        Paragraph(Text("derivation.intro")), Paragraph(Text("indexed.notation")),
        Paragraph(Text("indexed.checked", {"instances": len(context.points)})),
        Cards(groups),
    ))  # fmt: skip


def _values(context: Subject) -> PagePanel:
    """The numbers of one step."""
    t = min(2, context.shown.tau)
    return PagePanel("numbers", 5, Text("panel.numbers"), (
        Paragraph(Text("indexed.values", {"t": t})),
        Listing("\n".join(_numbers(context, t)), "values"),
    ))  # fmt: skip


def _numbers(context: Subject, t: int) -> Iterator[str]:
    """Values and gradients at one step; of an array its indices come first."""
    graph = context.shown.graph
    hidden = context.cell.graph.times.hidden
    for name in context.scope.graph.definitions:
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
