"""Panel 5: one parameter, tau copies: what each step contributes, and their sum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.explain.expr import Gradient, T, Value
from bptt.explain.html.charts import bar, heat_map, line_chart
from bptt.explain.html.panels.page_context import Context, tspans
from bptt.explain.html.tags import Markup, join, tag
from bptt.explain.html.values import show_number, side_by_side
from bptt.explain.html.words import plain, word

Array = NDArray[Any]


def sharing_panel(page: Context) -> Markup:
    """The heat map, the running sums, the cancellation, the two derivatives."""
    copies = {name: contributions(page, name) for name in page.graph.parameters}
    if not copies:
        return Markup("")
    norms = {name: _norms(parts) for name, parts in copies.items()}
    heat = heat_map(
        norms, plain("sharing-heat")["en"], now=page.first,
        labels={name: tspans(name) for name in norms},
    )  # fmt: skip
    return join(
        tag("figure", tag("div", heat, class_="scroll"),
            tag("figcaption", word("sharing-heat"))),
        _cancellation(page, copies, norms),
        tag("h3", word("sharing-running")),
        *(_running(page, name, parts) for name, parts in copies.items()),
        _derivatives(page),
    )  # fmt: skip


def contributions(page: Context, name: str) -> Array:
    """∇ of every copy of a parameter, (tau, *shape)."""
    steps = range(1, page.tau + 1)
    return np.array([page.unrolled.grad(page.unrolled.place(name, t)) for t in steps])


def _norms(parts: Array) -> Array:
    return np.asarray(np.linalg.norm(parts.reshape(len(parts), -1), axis=1))


def cancellation(parts: Array) -> float:
    """‖sum‖ / sum of ‖.‖ over steps: 1 if all agree, 0 if they cancel."""
    total = float(_norms(parts).sum())
    return float(np.linalg.norm(parts.sum(axis=0))) / total if total else 1.0


def _cancellation(
    page: Context, copies: dict[str, Array], norms: dict[str, Array]
) -> Markup:
    heads = ("sharing-parameter", "sharing-norm", "sharing-sum-norms", "sharing-index")
    rows = []
    for name, parts in copies.items():
        index = cancellation(parts)
        rows.append(tag(
            "tr", tag("td", page.name(name, None)),
            tag("td", show_number(float(np.linalg.norm(parts.sum(axis=0)))), class_="num"),
            tag("td", show_number(float(norms[name].sum())), class_="num"),
            tag("td", f"{index:.2f}  ", bar(index), class_="num"),
        ))  # fmt: skip
    table = tag("table", tag("thead", tag("tr", *(tag("th", word(h), scope="col")
                                                  for h in heads))),
                tag("tbody", *rows))  # fmt: skip
    return join(tag("div", table, class_="scroll"),
                tag("p", word("sharing-index-note"), class_="note"))  # fmt: skip


def _running(page: Context, name: str, parts: Array) -> Markup:
    """The copy's gradient at t, the sum from tau down to t, and the whole."""
    alone = dict(enumerate(parts, start=1))
    sums = {t: parts[t - 1 :].sum(axis=0) for t in alone}
    values, eq = page.writer.values, page.writer.eq
    return side_by_side(
        values.widget(f"G:{name}", alone, join(word("sharing-step"), " ",
                                               eq(Gradient(Value(name, T))))),
        "→", values.widget(f"R:{name}", sums, word("sharing-sum")),
        "→", values.still(parts.sum(axis=0), join(word("sharing-all"), " ",
                                                  eq(Gradient(Value(name))))),
    )  # fmt: skip


def _derivatives(page: Context) -> Markup:
    """Immediate and total derivative of the first state by its parameters, as norms."""
    states = [name for name in page.graph.states if name in page.graph.definitions]
    if not states:
        return Markup("")
    state, shown = states[0], []
    for name in page.graph.parameters:
        both = [_two_derivatives(page, state, name, t) for t in range(1, page.tau + 1)]
        immediate, total = (np.array(values) for values in zip(*both, strict=True))
        if not np.any(total):
            continue
        caption = word("sharing-derivatives", state=page.name(state, None),
                       parameter=page.name(name, None))  # fmt: skip
        title = plain("sharing-derivatives", state=state, parameter=name)["en"]
        chart = line_chart({"total": total, "immediate": immediate}, title,
                           now=page.first, is_log=False, width=430.0, height=190.0)  # fmt: skip
        shown.append(tag("figure", chart, tag("figcaption", caption, key_of("total", "immediate"))))
    return tag("div", *shown, class_="two")


def key_of(*names: str) -> Markup:
    """The lines of a chart and what they are, in the order they are drawn."""
    items = [
        tag("li", tag("svg", tag("path", d="M0 6h26", class_=f"s{i}"), width=30.0,
                      height=12.0, class_="chart sample", aria_hidden="true"), word(name))
        for i, name in enumerate(names)
    ]  # fmt: skip
    return tag("ul", *items, class_="legend")


def _two_derivatives(
    page: Context, state: str, name: str, t: int
) -> tuple[float, float]:
    """‖∂h^(t)/∂W^(t)‖ and ‖dh^(t)/dW‖ = ‖sum over s <= t of dh^(t)/dW^(s)‖."""
    point = page.document.shown
    parts = [point.jacobian((state, t), (name, s), total=True) for s in range(1, t + 1)]
    total = float(np.linalg.norm(np.sum(parts, axis=0)))
    return float(np.linalg.norm(parts[-1])), total
