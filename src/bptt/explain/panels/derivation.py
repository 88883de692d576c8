"""Panel 3: the derivation, in cards; and panel 4: every edge."""

from __future__ import annotations

import itertools
from dataclasses import replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, TAU, Expr, Nabla, T, Value
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import shape_of, show
from bptt.explain.book import BookMaker
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.formula.backward import Pull, Rules
from bptt.explain.model import (
    Block,
    Card,
    Cards,
    Cell,
    Chain,
    Link,
    Matrices,
    PagePanel,
    Paragraph,
    ShownTable,
    TableRow,
    Text,
)
from bptt.explain.notation.numpy_code import numpy_code


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
        checked = context.verifier.card(
            replace(card, code=code_of(card, context.scope))
        )
        # The cards are about half of the work; see `build_document`.
        context.progress(0.1 + 0.4 * next(done) / count)
        return checked

    groups = tuple(
        replace(group, cards=tuple(map(check, group.cards))) for group in made
    )
    return PagePanel("derivation", 3, Text("panel.derivation"), (
        Paragraph(Text("derivation.intro")),
        Paragraph(Text("derivation.general")),
        _general(context),
        Paragraph(_skipped(context)),
        Cards(groups),
    ))  # fmt: skip


def code_of(card: Card, scope: Scope) -> str:
    """The card's own lines in NumPy; of an element's, its form as matrices."""
    matrices = [c for why in card.why if why.kind == "matrix" for c in why.chains]
    for chains in (card.chains, matrices):
        found = [
            numpy_code(c.links[0].expr, c.links[-1].expr, (c.first, c.last), scope)
            for c in chains if len(c.links) > 1
        ]  # fmt: skip
        if any(found):
            return "\n".join(filter(None, found))
    return ""


def _general(context: Subject) -> ShownTable:
    """The calls of the general algorithm beside the equations that they become."""
    graph, rules = context.scope.graph, Rules(context.derivation)
    weight = CardMaker(context.derivation, context.scope, context.options).weight(T)
    rows = [TableRow((Text("derivation.seed-call"), e.Number(1.0)))]
    for name in reversed(tuple(graph.definitions)):
        value, pulls, seed = Value(name, T), rules.pulls(name), rules.seed(name)
        terms = [e.at_step(pull.formula, T.moved(pull.lag)) for pull in pulls]
        calls = [_call(value, pull) for pull in pulls]
        if seed is not None:
            outside = Text("derivation.outside-call", {"node": value})
            is_loss = name == graph.loss
            total = Text("derivation.call", {
                "target": Value("L"), "node": value, "gradient": e.Number(1.0),
            })  # fmt: skip
            calls.insert(0, total if is_loss else outside)
            terms.append(weight if is_loss else seed)
        if not terms:
            continue
        lags = [pull.lag for pull in pulls]
        first = FIRST.moved(-min([0, *lags]))
        last = TAU.moved(-max([0, *lags]))
        links = Link(Nabla(value)), Link(e.total(*terms))
        check = context.checked(Chain(links, first, last)).links[1].tree
        text = Text("derivation.calls", {"node": value, "calls": tuple(calls)})
        rows.append(TableRow((text, e.total(*terms)), "", check))
    columns = tuple(Text(f"derivation.column-{c}") for c in ("call", "becomes"))
    return ShownTable("general", columns, tuple(rows))


def _call(value: Value, pull: Pull) -> Text:
    target = Value(pull.reader, T.moved(pull.lag))
    fields = {"target": target, "node": value, "gradient": Nabla(target)}
    return Text("derivation.call", fields)


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
