"""The explanation's blocks as HTML; the page writes no sentence of its own here."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.html.held import listed
from bptt.explain.html.values import side_by_side
from bptt.explain.html.words import word
from bptt.explain.html.writer import ColouredLatex, PageWriter, arrow_of
from bptt.page.tags import Markup, join, tag

TALL = 16  # rows above which a table scrolls in a box of its own
BADGES = {
    m.PASSED: "badge", m.FAILED: "badge failed", m.NOT_CHECKED: "badge not",
}  # fmt: skip
STATUS = {m.PASSED: "card", m.FAILED: "card failed", m.NOT_CHECKED: "card not"}


def write_block(writer: PageWriter, block: m.Block) -> Markup:
    """Any block."""
    if isinstance(block, m.Paragraph):
        return tag("p", writer.text(block.text))
    if isinstance(block, m.Listing):
        return tag("pre", tag("code", block.text), tabindex=0)
    if isinstance(block, m.ShownTable):
        return _table(writer, block)
    if isinstance(block, m.Equations):
        lead = None if block.text is None else tag("p", writer.text(block.text))
        return join(lead, writer.chain(block.chain))
    if isinstance(block, m.Matrices):
        return _matrices(writer, block)
    return join(*(_group(writer, group) for group in block.groups))


def _table(writer: PageWriter, table: m.ShownTable) -> Markup:
    checks = any(row.check is not None for row in table.rows)
    heads = [writer.text(column) for column in table.columns]
    if checks:
        heads.append(word("check"))
    body = [
        tag(
            "tr",
            *(_cell(writer, value) for value in row.cells),
            (
                tag(
                    "td",
                    "" if row.check is None else writer.check(row.check),
                    class_="n",
                )
                if checks
                else None
            ),
            class_=row.mark or None,
        )
        for row in table.rows
    ]
    caption = (
        None if table.caption is None else tag("caption", writer.text(table.caption))
    )
    shown = tag(
        "table",
        caption,
        tag("thead", tag("tr", *(tag("th", h, scope="col") for h in heads))),
        tag("tbody", *body),
        id=f"table-{table.id}",
    )
    tall = len(table.rows) > TALL
    return tag("div", shown, class_="tall" if tall else "scroll", tabindex=0)


def _cell(writer: PageWriter, value: Any) -> Markup:
    is_number = isinstance(value, int | float)
    return tag("td", writer.cell(value), class_="n" if is_number else None)


def _matrices(writer: PageWriter, block: m.Matrices) -> Markup:
    parts: list[Any] = []
    for i, expr in enumerate(block.exprs):
        if i and block.relation:  # the first is what the others make
            parts.append("=" if i == 1 else "·")
        found = writer.by_step(expr, block.first, block.last)
        parts.append(writer.values.widget(f"m:{block.id}:{i}", found, writer.eq(expr)))
    return side_by_side(*parts)


# ----- cards -----


def _group(writer: PageWriter, group: m.Group) -> Markup:
    cards = [_card(writer, card) for card in group.cards]
    head = tag(
        "summary",
        writer.text(group.title),
        tag("span", str(len(cards)), class_="tagged"),
    )
    return tag(
        "details", head, *cards, class_="group", open=True, id=f"group-{group.id}"
    )


def _card(writer: PageWriter, card: m.Card) -> Markup:
    status = card.status
    tags = [
        tag("span", word("equation-number", number=card.number), class_="tagged")
        if card.number else None,
        tag("span", word("question", number=card.question), class_="tagged q")
        if card.question else None,
        tag("span", word("not-checked"), class_="tagged q")
        if status == m.NOT_CHECKED else None,
        tag("span", writer.text(card.open_note), class_="tagged")
        if status == m.NOT_CHECKED and card.open_note else None,
    ]  # fmt: skip
    head = tag("div", tag("h3", writer.text(card.title)), *tags, class_="head")
    if status == m.FAILED:
        body: list[Any] = [tag("p", word("card-failed"))]
    else:
        body = _body(writer, card)
    return tag(
        "article", head, writer.long(*body), class_=STATUS[status],
        id=f"card-{card.id}",
        data_boundary=card.boundary or None, data_node=card.node or None,
        data_lights=" ".join(_lights(writer, card)) or None,
    )  # fmt: skip


def _body(writer: PageWriter, card: m.Card) -> list[Any]:
    asks = (
        None if card.asks is None else tag("p", writer.text(card.asks), class_="asks")
    )
    body: list[Any] = [
        asks,
        tag("p", writer.text(card.claim), class_="claim"),
        *_coloured(writer, card),
        tag(
            "p",
            tag("b", writer.text(m.Text("label.reason"))),
            " ",
            writer.text(card.reason),
            class_="reason",
        ),
    ]
    if card.why:
        inner = [_why(writer, why) for why in card.why]
        body.append(
            tag(
                "details",
                tag("summary", writer.text(m.Text("label.why"))),
                *inner,
                class_="more",
                open=True,
                # The answer to a reader's question is open from the start.
                data_closed=not card.question,
            )
        )
    if card.code:
        body.append(tag("pre", tag("code", card.code), class_="numpy", tabindex=0))
    if card.shapes:
        body.append(_shapes(writer, card.shapes))
    if card.wrong is not None:
        label = tag("b", writer.text(m.Text(f"label.{card.wrong_label}")))
        body.append(tag("p", label, " ", writer.text(card.wrong), class_="wrong"))
    return body


def _coloured(writer: PageWriter, card: m.Card) -> list[Markup]:
    """A card's own chains; of a node's, the factors in the colours of its arrows."""
    writer.colours = ColouredLatex() if card.node else None
    chains = []
    for chain in card.chains:
        chains += [writer.chain(chain), _shares(writer, card, chain)]
    writer.colours = None
    return [chain for chain in chains if chain is not None]


def _shares(writer: PageWriter, card: m.Card, chain: m.Chain) -> Markup | None:
    """How much of a node's gradient comes from now, and how much from the future."""
    last = chain.links[-1].expr
    if not card.node or chain.letters or not isinstance(last, e.Sum):
        return None
    named: dict[str, e.Expr] = {}
    for way in ("later", "now"):
        terms = [term for term in last.terms if _way(term) == way]
        if not terms:
            return None
        named[way] = e.total(*terms)
    parts: list[Any] = []
    for way, expr in {**named, "whole": chain.links[0].expr}.items():
        found = writer.by_step(expr, chain.first, chain.last)
        norms = {t: np.linalg.norm(value) for t, value in found.items()}
        key = f"share:{card.id}:{chain.first}:{way}"
        whence = "earlier" if way == "later" and _is_earlier(expr) else way
        parts.append(writer.values.widget(key, norms, word(f"share-{whence}")))
    return side_by_side(tag("span", word("share"), class_="note"), *parts)


def _way(term: e.Expr) -> str:
    """Whether a term reads a gradient of the next step."""
    grads = [part for part in e.walk(term) if isinstance(part, e.Nabla)]
    return arrow_of(grads[-1].of) if grads else "now"


def _is_earlier(terms: e.Expr) -> bool:
    """Whether gradients of the step before are read: of a loop that reads t + 1."""
    times = (part.of.time for part in e.walk(terms) if isinstance(part, e.Nabla))
    return any(time is not None and time.offset < 0 for time in times)


def _why(writer: PageWriter, why: m.Why) -> Markup:
    head = tag("p", writer.text(why.text))
    chains = []
    for chain in why.chains:
        first = chain.links[0].expr
        if why.kind == "match" and isinstance(first, e.Transpose):
            assert isinstance(first.of, e.Jacobian)
            writer.colours = ColouredLatex(arrow_of(first.of.target))
        chains.append(writer.chain(chain, with_numbers=False))
        writer.colours = None
    return tag("div", head, *chains, class_=f"why-{why.kind}")


def _shapes(writer: PageWriter, notes: tuple[m.ShapeNote, ...]) -> Markup:
    """The symbols of a card, those of one shape together."""
    by_shape: dict[tuple[str | int, ...], list[Markup]] = {}
    for note in notes:
        by_shape.setdefault(note.shape, []).append(writer.eq(note.symbol))
    lines = [tag("li", listed(symbols), " : ", _shape(shape))
             for shape, symbols in by_shape.items()]  # fmt: skip
    return tag("ul", *lines, class_="shapes")


def _shape(shape: tuple[str | int, ...]) -> Markup:
    return join(*_between([_dim(part) for part in shape]))


def _dim(dim: str | int) -> Any:
    base, _, label = str(dim).partition("_")
    return join(tag("i", base), tag("sub", label)) if label else str(dim)


def _between(parts: list[Any]) -> list[Any]:
    return [part for dim in parts for part in (" × ", dim)][1:]


def _lights(writer: PageWriter, card: m.Card) -> list[str]:
    """The cards of the edges that a card speaks of, as the picture names them."""
    found = []
    for source, lag, target, after in card.edges:
        end = target or "L"  # the one edge that leaves the last step's node
        step = f"[t{lag - after:+d}]" if lag != after else "[t]"
        is_parameter = writer.point.scope.kind(source) == "parameter"
        found.append(f"{source}{'' if is_parameter else step}>{end}")
    return found
