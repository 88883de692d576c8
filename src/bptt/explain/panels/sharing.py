"""Panel 5: the copies of a parameter, and immediate against total derivative."""

from __future__ import annotations

import numpy as np

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, TAU, Nabla, T, Value
from bptt.explain.context import Subject
from bptt.explain.model import (
    Block,
    Chain,
    Equations,
    Link,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)


def sharing(context: Subject) -> PagePanel:
    """What every step contributes to every parameter, and how far it cancels."""
    steps = range(1, context.shown.tau + 1)
    columns = [Text("sharing.column-parameter")]
    columns += [Text("sharing.column-step", {"t": t}) for t in steps]
    columns += [Text("sharing.column-sum"), Text("sharing.column-cancel")]
    rows = tuple(_row(context, name) for name in context.scope.graph.parameters)
    blocks: list[Block] = [
        Paragraph(Text("sharing.intro")),
        ShownTable("contributions", tuple(columns), rows, Text("sharing.norms")),
    ]
    blocks += _immediate(context)
    return PagePanel("sharing", 5, Text("panel.sharing"), tuple(blocks))


def _row(context: Subject, name: str) -> TableRow:
    point = context.shown
    parts = [point.gradient(name, t) for t in range(1, point.tau + 1)]
    norms = [float(np.linalg.norm(part)) for part in parts]
    whole = float(np.linalg.norm(point.gradient(name, None)))
    index = whole / sum(norms) if sum(norms) else 1.0
    return TableRow((Nabla(Value(name)), *norms, whole, index))


def _immediate(context: Subject) -> list[Block]:
    """d state/d parameter is the sum over copies; ∂ state/∂ its last copy is one."""
    graph, derivation = context.scope.graph, context.derivation
    pairs = (
        (state, parameter)
        for state in graph.states
        if state in graph.definitions and derivation.rank(state) == 1
        for parameter in graph.parameters
        if derivation.rank(parameter) == 1
    )
    state, parameter = next(pairs, ("", ""))
    if not state:
        return []
    value, copies = Value(state, T), Value(parameter, e.Time("s"))
    # With a loop that runs from tau to 1, a state may depend on every step.
    last = TAU if graph.backward else T
    chain = Chain((
        Link(e.Jacobian(value, Value(parameter), total=True)),
        Link(
            e.Sigma("s", FIRST, last, e.Jacobian(value, copies, total=True)),
            Text("reason.copies"),
        ),
    ))  # fmt: skip
    fields = {"state": value, "parameter": Value(parameter)}
    text = Text("sharing.immediate", fields)
    return [Equations("immediate", context.checked(chain), text)]
