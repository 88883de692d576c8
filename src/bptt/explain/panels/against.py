"""Panel 9: against the book and other libraries; panel 10: try to break it."""

from __future__ import annotations

from dataclasses import replace

from bptt.explain.algebra.expr import Nabla, Value
from bptt.explain.book import ALL, INNER, LAST, ONCE, WEIGHTS, Bounds
from bptt.explain.context import Subject
from bptt.explain.formula.mistakes import Outcome, outcomes
from bptt.explain.instances import shown_point
from bptt.explain.model import (
    PASSED,
    Block,
    Cell,
    Chain,
    Link,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)
from bptt.explain.notation.parse import parse

# Equation number, as printed, here, bounds of t, verdict.
PRINTED: tuple[tuple[str, str, str, Bounds, str], ...] = (
    ("10.17", "partial(L, L[t])", "{weight}", ALL, "same"),
    ("10.18", "{times}(y_hat[t] - one_hot(y[t], n_o))", "grad_o[t]", ALL, "same"),
    ("10.19", "V.T @ grad_o[tau]", "grad_h[tau]", LAST, "same"),
    ("10.20",
     "partial(h[t+1], h[t]).T @ grad_h[t+1] + partial(o[t], h[t]).T @ grad_o[t]",
     "grad_h[t]", INNER, "same"),
    ("10.21", "W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]",
     "W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]", INNER, "order"),
    ("10.22", "sum(t, 1, tau, grad_o[t])", "grad_c", ONCE, "renamed"),
    ("10.23", "sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t])", "grad_b", ONCE, "same"),
    ("10.24", "sum(t, 1, tau, grad_o[t] @ h[t].T)", "grad_V", ONCE, "renamed"),
    ("10.25",
     "sum(t, 1, tau, sum(i, n_h, grad_h[t,i] * partial(h[t,i], W[t])))", "grad_W",
     ONCE, "same"),
    ("10.26", "sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ h[t-1].T)", "grad_W",
     ONCE, "same"),
    ("10.27",
     "sum(t, 1, tau, sum(i, n_h, grad_h[t,i] * partial(h[t,i], U[t])))", "grad_U",
     ONCE, "same"),
    ("10.28", "sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ x[t].T)", "grad_U", ONCE,
     "same"),
)  # fmt: skip
COLUMNS = ("number", "book", "ours", "verdict")
# Here: torch.nn.RNN and Keras' SimpleRNN; docs/notation.md has the whole table.
NAMES: tuple[tuple[str, str | Text, str | Text], ...] = (
    ("U", "weight_ih_l0", Text("against.kernel")),
    ("W", "weight_hh_l0", Text("against.recurrent-kernel")),
    ("b", "bias_ih_l0 + bias_hh_l0", "bias"),
    ("V", Text("against.linear-weight"), Text("against.dense-kernel")),
    ("c", Text("against.linear-bias"), Text("against.dense-bias")),
)
GATES = {
    frozenset("ifgq"): ("ifgq", "i, f, g, o", "i, f, c, o"),
    frozenset("zrn"): ("zrn", "r, z, n", "z, r, h"),
}


def against(context: Subject) -> PagePanel:
    """The book's equations beside ours, and the names of other libraries."""
    blocks: list[Block] = []
    if context.is_book:
        blocks += [Paragraph(Text("against.intro")), _book_table(context)]
        blocks += _printed(context)
    else:
        blocks.append(Paragraph(Text("against.no-book")))
    names = _name_rows(context)
    if names:
        titles = tuple(Text(f"against.column-{c}") for c in ("here", "torch", "keras"))
        blocks.append(ShownTable("names", titles, names, Text("against.names")))
    return PagePanel("against", 9, Text("panel.against"), tuple(blocks))


def _book_table(context: Subject) -> ShownTable:
    rows = tuple(_book_row(context, *line) for line in PRINTED)
    titles = tuple(Text(f"against.column-{column}") for column in COLUMNS)
    return ShownTable("book", titles, rows)


def _book_row(
    context: Subject, number: str, printed: str, ours: str, bounds: Bounds, verdict: str
) -> TableRow:
    weights = WEIGHTS[context.options.kind]
    theirs = parse(printed.format(**weights), context.scope)
    mine = parse(ours.format(**weights), context.scope)
    chain = context.checked(Chain((Link(mine), Link(theirs)), *bounds))
    check = chain.links[1].tree
    if verdict != "order":
        is_right = chain.status == PASSED
        text = Text(f"against.{verdict}") if is_right else Text("label.failed")
        mark = "good" if is_right else "bad"
        return TableRow((number, theirs, mine, text), mark, check)
    (outcome,) = (o for o in _outcomes(context) if o.variant.id == "printed")
    text = Text("against.order", {"shapes": outcome.shape_problem})
    return TableRow((number, theirs, mine, text), "bad", check)


def _printed(context: Subject) -> list[Block]:
    (outcome,) = (o for o in _outcomes(context) if o.variant.id == "printed")
    fields = {
        "gradient": Nabla(Value("W")), "error": f"{outcome.error:.2f}",
        "cosine": f"{outcome.cosine:.3f}",
    }  # fmt: skip
    return [
        Paragraph(Text("against.printed")),
        Paragraph(Text("against.trap", fields)),
        Paragraph(Text("against.conjecture")),
    ]


def _outcomes(context: Subject) -> tuple[Outcome, ...]:
    """On the numbers shown, with the book's sum."""
    options = replace(context.options, reduction="sum", weights=None)
    return outcomes(shown_point(context.scope, options))


def _name_rows(context: Subject) -> tuple[TableRow, ...]:
    scope = context.scope
    rows: list[TableRow] = []
    for name, torch, keras in NAMES:
        if name in scope.graph.parameters:
            rows.append(TableRow((Value(name), torch, keras)))
    nodes = frozenset(n for n in scope.graph.definitions if len(n) == 1)
    for gates, (order, torch_order, keras_order) in GATES.items():
        if not gates <= nodes:
            continue
        for stem, torch_name, keras_name in (
            ("U", "weight_ih_l0", "kernel"), ("W", "weight_hh_l0", "recurrent_kernel"),
        ):  # fmt: skip
            found = tuple(Value(f"{stem}_{gate}") for gate in order
                          if f"{stem}_{gate}" in scope.graph.parameters)  # fmt: skip
            rows.append(TableRow((
                Text("against.list", {"items": found}),
                f"{torch_name} [{torch_order}]", f"{keras_name}ᵀ [{keras_order}]",
            )))  # fmt: skip
    return tuple(rows)


def break_it(context: Subject) -> PagePanel | None:
    """Panel 10: the usual mistakes, followed through all steps."""
    if not context.is_book:
        return None
    columns = ("variant", "formula", "shape", "w", "u", "cosine")
    titles = tuple(Text(f"break.column-{column}") for column in columns)
    rows = tuple(_break_row(outcome) for outcome in _outcomes(context))
    return PagePanel("break", 10, Text("panel.break"), (
        Paragraph(Text("break.intro")),
        ShownTable("mistakes", titles, rows),
        Paragraph(Text("break.own")),
    ))  # fmt: skip


def _break_row(outcome: Outcome) -> TableRow:
    fit = "one-dimensional" if outcome.shape_problem else "fits"
    cells: tuple[Cell, ...] = (
        Text(f"break.{outcome.variant.id}"), outcome.formula, Text(f"break.{fit}"),
        outcome.error, outcome.error_of_u, outcome.cosine,
    )  # fmt: skip
    return TableRow(cells, "good" if outcome.variant.id == "right" else "bad")
