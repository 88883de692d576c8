"""Panel 3: the derivation, in cards; and panel 4: every edge."""

from __future__ import annotations

import itertools
from dataclasses import replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import TAU, Expr, Nabla, T, Value
from bptt.explain.algebra.shape import shape_of, show
from bptt.explain.book import BookMaker
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.model import (
    Block,
    Card,
    Cards,
    Cell,
    Matrices,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)


def derivation(context: Subject) -> PagePanel:
    """The cards of the two phases, every link checked."""
    maker: BookMaker | CardMaker
    if context.is_book:
        maker = BookMaker(context.scope, context.options)
    else:
        maker = CardMaker(context.derivation, context.scope, context.options)
    made = [group for group in maker.groups() if group.cards]
    count, done = sum(len(group.cards) for group in made), itertools.count(1)

    def check(card: Card) -> Card:
        checked = context.verifier.card(card)
        # The cards are about half of the work; see `build_document`.
        context.progress(0.1 + 0.4 * next(done) / count)
        return checked

    groups = tuple(
        replace(group, cards=tuple(map(check, group.cards))) for group in made
    )
    return PagePanel("derivation", 3, Text("panel.derivation"), (
        Paragraph(Text("derivation.intro")),
        Paragraph(_skipped(context)),
        Cards(groups),
    ))  # fmt: skip


def _skipped(context: Subject) -> Text:
    """Inputs without a gradient that training needs, and why."""
    found: dict[str, Text] = {}
    for skipped in context.shown.graph.skipped():
        place = skipped.place
        if place.kind == "input" and place.name not in found:
            is_integer = place.name in context.shown.graph.integers
            kind = "integer" if is_integer else "input"
            node = Value(place.name, T)
            found[place.name] = Text(f"derivation.skipped-{kind}", {"node": node})
    if not found:
        return Text("derivation.none-skipped")
    return Text("derivation.skipped", {"places": tuple(found.values())})


def edges(context: Subject) -> PagePanel:
    """Panel 4: the Jacobian of every edge, its shape, and its use going back."""
    rows, matrices = [], []
    for name in context.scope.graph.definitions:
        for reading, pulled in context.derivation.pulled(name, _grad(name)).items():
            if pulled is None:
                continue
            jacobian = context.derivation.jacobian(name, reading)
            rows.append(_edge_row(context, name, reading.value, jacobian, pulled))
            if isinstance(jacobian, e.Product) and not reading.is_parameter:
                target = Value(name, T)
                symbol = e.Jacobian(target, reading.value)
                matrices.append(Matrices(
                    f"edge:{reading.name}:{name}", (symbol, *jacobian.factors), "@"
                ))  # fmt: skip
    if context.is_book:
        matrices.append(_hidden_to_hidden())
    titles = tuple(
        Text(f"edges.column-{column}")
        for column in ("edge", "jacobian", "shape", "back")
    )
    blocks: list[Block] = [
        Paragraph(Text("edges.intro")),
        ShownTable("edges", titles, tuple(rows)),
    ]
    if matrices:
        blocks += [Paragraph(Text("edges.factors")), *matrices]
    return PagePanel("edges", 4, Text("panel.edges"), tuple(blocks))


def _grad(name: str) -> Nabla:
    return Nabla(Value(name, T))


def _edge_row(
    context: Subject, name: str, source: Value, jacobian: Expr | None, pulled: Expr
) -> TableRow:
    target = Value(name, T)
    arrow = Text("edges.arrow", {"source": source, "target": target})
    is_matrix = context.derivation.rank(source.name) == 2
    shown: Cell = Text("edges.three" if is_matrix else "edges.through")
    shape = ""
    if jacobian is not None:
        shown, shape = jacobian, show(shape_of(jacobian, context.scope))
    return TableRow((arrow, shown, shape, pulled))


def _hidden_to_hidden() -> Matrices:
    """∂h^(t+1)/∂h^(t) = diag(1 - h^2) W: diagonal times dense is dense."""
    later = Value("h", T.moved(1))
    slope = e.minus(e.Number(1.0), e.Power(later, e.Number(2.0)))
    symbol = e.Jacobian(later, Value("h", T))
    factors = (symbol, e.Diag(slope), Value("W"))
    return Matrices("edge:h:h", factors, "@", last=TAU.moved(-1))
