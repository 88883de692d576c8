"""Panel 7: how far gradients travel, measured; the verdict and what it rests on."""

from __future__ import annotations

import math

import numpy as np

from bptt.explain.html.charts import heat_map, line_chart
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.play import play_panel
from bptt.explain.html.panels.sharing_charts import key_of
from bptt.explain.html.values import show_number
from bptt.explain.html.words import plain, word
from bptt.flow import Flow, Verdict, measure
from bptt.flow.measure import EXPLODED, VANISHED
from bptt.page.tags import Markup, join, tag


def flow_panel(page: PageContext) -> Markup:
    """Verdict, norms, singular values, slopes, exponents."""
    if page.graph.backward:
        return tag("p", word("flow-backward"))
    flow = measure(page.graph, page.unrolled)
    if flow.verdict is Verdict.NO_STATE:
        return tag("p", word("verdict-no-state"), class_="verdict")
    charts = [*_norms(page, flow), _singular(page, flow), *_slopes(page, flow)]
    return join(
        _verdict(flow), tag("div", *charts, class_="two"), _saturation(page, flow),
        _exponents(flow), page.writer.later(play_panel(page)),
    )  # fmt: skip


def _verdict(flow: Flow) -> Markup:
    rate = flow.rate
    factor = math.exp(rate) if math.isfinite(rate) else 0.0
    thresholds = {"low": show_number(VANISHED, 1), "high": show_number(EXPLODED, 1)}
    largest = show_number(float(flow.singular_values[0, 0]))
    sentence = word(f"verdict-{flow.verdict}", tau=str(flow.tau), largest=largest,
                    **thresholds)  # fmt: skip
    rests = word("verdict-rate", rate=show_number(rate), factor=show_number(factor))
    return join(tag("p", tag("b", sentence), class_="verdict"), tag("p", rests))


def _norms(page: PageContext, flow: Flow) -> list[Markup]:
    figures = []
    for name in flow.states:
        series = {"total": flow.norms[name], "injected": flow.injected[name],
                  "arrived": flow.arrived[name]}  # fmt: skip
        chart = line_chart(series, plain("flow-norm", state=name)["en"], now=page.first)
        caption = word("flow-norm", state=page.name(name))
        keys = key_of("flow-total", "flow-injected", "flow-arrived")
        figures.append(tag("figure", chart, tag("figcaption", caption, keys)))
    return figures


def _singular(page: PageContext, flow: Flow) -> Markup:
    values = flow.singular_values
    series = {"largest": values[:, 0], "median": np.median(values, axis=1),
              "smallest": values[:, -1]}  # fmt: skip
    lines = ((VANISHED, ""), (EXPLODED, ""))
    inside = [line for line in lines if values.min() < line[0] < values.max()]
    chart = line_chart(series, plain("flow-singular")["en"], first=0, now=page.first,
                       levels=inside)  # fmt: skip
    keys = key_of("flow-largest", "flow-median", "flow-smallest")
    return tag("figure", chart, tag("figcaption", word("flow-singular"), keys))


def _slopes(page: PageContext, flow: Flow) -> list[Markup]:
    figures = []
    for name, slope in flow.slopes.items():
        units = slope.reshape(flow.tau, -1)
        series = {"largest": units.max(axis=1), "median": np.median(units, axis=1),
                  "smallest": units.min(axis=1)}  # fmt: skip
        chart = line_chart(
            series, plain("flow-slopes", name=name)["en"], now=page.first, is_log=False
        )
        caption = word("flow-slopes", name=page.name(name))
        keys = key_of("flow-largest", "flow-median", "flow-smallest")
        figures.append(tag("figure", chart, tag("figcaption", caption, keys)))
    return figures


def _saturation(page: PageContext, flow: Flow) -> Markup:
    if not flow.slopes:
        return Markup("")
    rows = {name: flow.saturated(name) for name in flow.slopes}
    labels = {name: page.name(name) for name in rows}
    return heat_map(rows, word("flow-saturated"), labels=labels, now=page.first)


def _exponents(flow: Flow) -> Markup:
    shown = ", ".join(show_number(float(value)) for value in flow.exponents)
    return tag("p", word("flow-exponents", values=shown))
