"""Panel 5: one parameter, tau copies: what each step contributes, and their sum."""

from __future__ import annotations

import numpy as np

from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.html.charts import bar, heat_map, line_chart
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.values import show_number, side_by_side
from bptt.explain.html.words import plain, word, words
from bptt.page.tags import Markup, join, tag
from bptt.step.shapes import Array
from bptt.unrolled import Place, Unrolled

CHARTS = 4  # parameters whose two derivatives are drawn
TWO = ("total", "immediate")  # the entries of both


def sharing_panel(page: PageContext) -> Markup:
    """The heat map, the running sums, the cancellation, the two derivatives."""
    copies = {name: contributions(page, name) for name in page.graph.parameters}
    if not copies:
        return Markup("")
    norms = {name: _norms(parts) for name, parts in copies.items()}
    labels = {name: page.name(name, None) for name in norms}
    return join(
        heat_map(norms, word("sharing-heat"), labels=labels, now=page.first),
        _cancellation(page, copies, norms),
        tag("h3", word("sharing-running")),
        *(_running(page, name, parts) for name, parts in copies.items()),
        _derivatives(page),
    )  # fmt: skip


def contributions(page: PageContext, name: str) -> Array:
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
    page: PageContext, copies: dict[str, Array], norms: dict[str, Array]
) -> Markup:
    heads = ("sharing-parameter", "sharing-norm", "sharing-sum-norms", "sharing-index")
    rows = []
    for name, parts in copies.items():
        index = cancellation(parts)
        rows.append(
            tag(
                "tr",
                tag("td", page.name(name, None)),
                tag(
                    "td",
                    show_number(float(np.linalg.norm(parts.sum(axis=0)))),
                    class_="n",
                ),
                tag("td", show_number(float(norms[name].sum())), class_="n"),
                tag("td", f"{index:.2f}  ", bar(index), class_="n"),
            )
        )
    table = tag("table", tag("thead", tag("tr", *(tag("th", word(h), scope="col")
                                                  for h in heads))),
                tag("tbody", *rows))  # fmt: skip
    return join(tag("div", table, class_="scroll"),
                tag("p", word("sharing-index-note"), class_="note"))  # fmt: skip


def _running(page: PageContext, name: str, parts: Array) -> Markup:
    """The copy's gradient at t, the sum from tau down to t, and the whole."""
    alone = dict(enumerate(parts, start=1))
    values, eq = page.writer.values, page.writer.eq
    return side_by_side(
        values.widget(f"G:{name}", alone, join(word("sharing-step"), " ",
                                               eq(Nabla(Value(name, T)))),
                      is_secondary=True),
        "→", values.running(f"R:{name}", f"G:{name}", alone, word("sharing-sum")),
        "→", values.still(parts.sum(axis=0), join(word("sharing-all"), " ",
                                                  eq(Nabla(Value(name))))),
    )  # fmt: skip


def _derivatives(page: PageContext) -> Markup:
    """Immediate and total derivative of the first state by its parameters, as norms."""
    states = [name for name in page.graph.states if name in page.graph.definitions]
    if not states:
        return Markup("")
    state = states[0]
    norms = two_derivatives(page.unrolled, state)
    chosen = sorted(norms, key=lambda name: -float(norms[name][1].max()))[:CHARTS]
    shown = []
    for name in page.graph.parameters:
        if name not in chosen:
            continue
        immediate, total = norms[name]
        caption = word("sharing-derivatives", state=page.name(state, None),
                       parameter=page.name(name, None))  # fmt: skip
        title = plain("sharing-derivatives", state=state, parameter=name)[page.lang]
        chart = line_chart(
            dict(zip(page.said(*TWO), (total, immediate), strict=True)), title,
            now=page.first, is_log=False, width=430.0, height=190.0,
        )  # fmt: skip
        key = key_of(*TWO)
        shown.append(tag("figure", chart, tag("figcaption", caption, key)))
    return tag("div", *shown, class_="two")


def key_of(*names: str) -> Markup:
    """The lines of a chart and what they are, in the order they are drawn."""
    items = [
        tag("li", tag("svg", tag("path", d="M0 6h26", class_=f"curve s{i}"), width=30.0,
                      height=12.0, class_="chart sample", aria_hidden="true"),
            word(name) if name in words() else name)
        for i, name in enumerate(names)
    ]  # fmt: skip
    return tag("ul", *items, class_="legend")


def two_derivatives(unrolled: Unrolled, state: str) -> dict[str, tuple[Array, Array]]:
    """‖∂h^(t)/∂W^(t)‖ and ‖dh^(t)/dW‖ for every t, by parameter; none that is all 0.

    dh^(t)/dW is the sum over s <= t of the derivatives by the copies W^(s).
    """
    names = [place.name for place in unrolled.places if place.kind == "parameter"]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for t in range(1, unrolled.tau + 1):
        by_copy = _derivatives_of(unrolled, unrolled.place(state, t))
        for name in names:
            parts = {
                s: by_copy.get(Place("copy", name, s), 0.0) for s in range(1, t + 1)
            }
            total = np.linalg.norm(np.asarray(sum(parts.values())))
            found[name].append(
                (float(np.linalg.norm(np.asarray(parts[t]))), float(total))
            )
    return {
        name: (np.array([a for a, _ in rows]), np.array([b for _, b in rows]))
        for name, rows in found.items()
        if any(total for _, total in rows)
    }


def _derivatives_of(unrolled: Unrolled, target: Place) -> dict[Place, Array]:
    """The total derivative of a place by everything before it, (size, *shape)."""
    size = int(np.size(unrolled.values[target]))
    shape = np.shape(unrolled.values[target])
    grads: dict[Place, Array] = {target: np.eye(size).reshape(size, *shape)}
    for place in unrolled.visit_order():
        if place not in grads:
            continue
        for edge in unrolled.predecessors(place):
            if edge.is_cut:
                continue
            grad = grads[place]
            part = (
                grad
                if edge.array is None
                else np.tensordot(grad, edge.array, axes=grad.ndim - 1)
            )
            grads[edge.source] = (
                grads[edge.source] + part if edge.source in grads else part
            )
    return grads
