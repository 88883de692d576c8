"""Panel 4: one card per kind of edge, with its numbers and its transposed use."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.picture.drawn import Arrow
from bptt.explain.html.picture.svg import shape_text
from bptt.explain.html.values import side_by_side
from bptt.explain.html.words import word
from bptt.page.tags import Markup, join, tag
from bptt.unrolled import Edge, Place


def edges_panel(page: PageContext) -> Markup:
    """All cards, the direct edges first."""
    cards = [_card(page, card, arrows) for card, arrows in page.arrows.items()
             if not _is_elsewhere(arrows[-1])]  # fmt: skip
    return join(tag("p", word("edges-intro")), *cards)


def _is_elsewhere(arrow: Arrow) -> bool:
    """A parameter across folded nodes contributes what it does on its direct edge."""
    return arrow.kind.lag is None and bool(arrow.across)


def _card(page: PageContext, card: str, arrows: list[Arrow]) -> Markup:
    arrow = arrows[-1]
    form = page.labels.form(arrow)
    equation = None
    if form is not None:
        general = page.writer.eq(page.labels.general(arrow))
        equation = page.writer.eq(form)
        equation = equation if _axes(arrow) > 2 else join(general, " = ", equation)
    head = tag(
        "summary",
        tag("span", page.ends(arrow), class_="ends"),
        equation,
        "  ",
        None
        if arrow.jacobian is None
        else tag("span", shape_text(arrow), class_="tagged"),
    )
    if arrow.jacobian is None:
        body = _cut(page, arrow)
    else:
        body = _body(page, card, arrows)
        if page.writer.values.is_brief:  # its numbers are the script's in any case
            body = page.writer.later(body)
    return tag("details", head, body, class_="more edge", data_edge=card, open=True,
               data_closed=True)  # fmt: skip


def _cut(page: PageContext, arrow: Arrow) -> Markup:
    source = page.name(arrow.kind.source, arrow.kind.lag)
    return tag("p", word("edge-cut", source=source))


def _body(page: PageContext, card: str, arrows: list[Arrow]) -> Markup:
    arrow = arrows[-1]
    is_array = _axes(arrow) > 2
    parts: list[Any] = []
    if is_array:
        shape = shape_text(arrow)
        parts.append(tag("p", word("edge-slices", axes=str(_axes(arrow)), shape=shape)))
        parts.append(_use(page, card, arrows))
        return join(*parts)
    if len(arrow.across) > 1:
        ends = (
            page.name(arrow.kind.source, arrow.kind.lag),
            page.name(arrow.kind.target),
        )
        parts.append(
            tag("p", word("edge-sum", source=ends[0], target=ends[1]), class_="note")
        )
    jacobians = {a.t: a.matrix for a in arrows}
    parts.append(side_by_side(
        page.writer.values.widget(f"J:{card}", jacobians, is_secondary=True),
        *_factors(page, card, arrows),
    ))  # fmt: skip
    parts += [tag("h4", word("edge-use")), _use(page, card, arrows)]
    if arrow.jacobian is not None and np.ndim(arrow.jacobian) == 2:
        parts.append(_singular(page, card, arrows))
    return join(*parts)


def _axes(arrow: Arrow) -> int:
    return len(arrow.out_dims) + len(arrow.in_dims)


def _factors(page: PageContext, card: str, arrows: list[Arrow]) -> list[Any]:
    """= J_outer J_inner, where one node is folded away across the arrow."""
    if len(arrows[-1].across) != 1:
        return []
    middle = arrows[-1].across[0]
    outer, inner = {}, {}
    for arrow in arrows:
        node = page.unrolled.place(middle, arrow.t)
        outer[arrow.t] = _edge(page, node, arrow.target).jacobian
        inner[arrow.t] = _edge(page, arrow.source, node).jacobian
    if np.ndim(inner[arrows[-1].t]) > 2:
        return []
    kind = arrows[-1].kind
    source = Value(kind.source, T.moved(kind.lag or 0))
    symbols = (
        e.Jacobian(Value(kind.target, T), Value(middle, T)),
        e.Jacobian(Value(middle, T), source),
    )
    widgets = [
        page.writer.values.widget(
            f"F{i}:{card}", found, page.writer.eq(symbol), is_secondary=True
        )
        for i, (found, symbol) in enumerate(zip((outer, inner), symbols, strict=True))
    ]
    return ["=", widgets[0], "·", widgets[1]]


def _edge(page: PageContext, source: Place, target: Place) -> Edge:
    return next(
        edge for edge in page.unrolled.predecessors(target)
        if (edge.source.name, edge.source.t) in ((source.name, source.t),
                                                 (source.name, target.t))
    )  # fmt: skip


def _use(page: PageContext, card: str, arrows: list[Arrow]) -> Markup:
    """J^T g = what the source receives."""
    arrow = arrows[-1]
    unrolled = page.unrolled
    target = Value(arrow.target.name, None if arrow.target.t is None else T)
    grads = {a.t: unrolled.grad(a.target) for a in arrows}
    carried = {a.t: a.carried for a in arrows}
    general = page.labels.general(arrow)
    values = page.writer.values
    result = values.widget(f"G:{card}", carried, is_secondary=True)
    incoming = values.widget(f"E:{card}", grads, page.writer.eq(Nabla(target)),
                             is_secondary=True)  # fmt: skip
    if _axes(arrow) > 2:
        return side_by_side(incoming, "↦", result)
    if values.is_brief:
        turned = page.writer.eq(e.Transpose(general))
    else:
        matrices = {a.t: a.matrix for a in arrows}
        turned = values.transposed(f"T:{card}", f"J:{card}", matrices)
    return side_by_side(turned, "·", incoming, "=", result)


def _singular(page: PageContext, card: str, arrows: list[Arrow]) -> Markup:
    found = {a.t: np.linalg.svd(a.matrix, compute_uv=False)[None]
             for a in arrows if a.matrix is not None}  # fmt: skip
    head = join(word("edge-singular"), tag("span", str(page.first), data_now=True))
    return side_by_side(
        tag("span", head, class_="note"),
        page.writer.values.widget(f"S:{card}", found, is_secondary=True),
    )
