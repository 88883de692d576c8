"""Panel 7: how far gradients travel, measured; the verdict and what it rests on."""

from __future__ import annotations

from inspect import cleandoc

import numpy as np

from bptt.explain.html.charts import heat_map, line_chart
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.play import play_panel
from bptt.explain.html.panels.sharing_charts import key_of
from bptt.explain.html.values import show_number
from bptt.explain.html.words import both, plain, word
from bptt.explain.html.writer import lowered
from bptt.flow import (
    Diagnosis,
    Flow,
    FlowSetting,
    GradientFlow,
    measure,
    measure_run,
)
from bptt.flow.equations import engines_of
from bptt.flow.text import headline, remedies_of
from bptt.flow.words import LANGUAGES
from bptt.page.tags import Markup, join, tag
from bptt.step.shapes import Array

SPREAD = ("flow-largest", "flow-median", "flow-smallest")  # of units


def flow_panel(page: PageContext) -> Markup:
    """Verdict, norms, singular values, slopes, exponents."""
    if page.graph.backward:
        return tag("p", word("flow-backward"))
    # What carries a delay is a part of the step's Jacobian.
    flow = measure(page.document.scope.computed, page.document.shown.computed)
    if not flow.states:
        return tag("p", word("verdict-no-state"), class_="verdict")
    charts = [*_norms(page, flow), _singular(page, flow), *_slopes(page, flow)]
    return join(
        _verdict(flow_of(page)), tag("div", *charts, class_="two"),
        _saturation(page, flow), _exponents(flow), play_panel(page),
    )  # fmt: skip


def flow_of(page: PageContext) -> GradientFlow:
    """The report that `Cell.flow` gives of the numbers of this page."""
    graph, shown = page.unrolled, page.document.shown
    source, engine = engines_of(cleandoc(page.document.source))
    steps = range(1, page.tau + 1)
    inputs = {
        name: np.array([[graph.values[graph.place(name, t)]] for t in steps])
        for name in source.inputs
    }
    initial = {}
    for name in source.states:
        is_back = name in source.graph.backward
        far = len(source.graph.times.delays.get(name, ()))
        first = page.tau + 1 if is_back else -far
        before = range(first, first + far + 1)  # with delays: in order of time
        if (name, first) in graph.named:
            rows = [graph.values[graph.place(name, t)][None] for t in before]
            initial[name] = np.stack(rows) if far else rows[0]
    return measure_run(FlowSetting(
        source, engine, {n: graph.values[graph.place(n)] for n in source.parameters},
        inputs, initial, {n: rows[:, None] for n, rows in shown.seeds.items()} or None,
        weights=shown.weights[:, None], name="-", seed=None,
    ))  # fmt: skip


def _verdict(report: GradientFlow) -> Markup:
    """The diagnoses as Python and the command line give them, and their remedies."""
    lines = (headline(report, lang) for lang in LANGUAGES)
    sentence = both(*(tag("b", line[:1].upper() + line[1:]) for line in lines))
    more = [d for d in report.diagnoses if d.remedies]
    advice = [
        both(*(_advice(found, number, lang) for lang in LANGUAGES))
        for found in more for number in range(len(found.remedies))
    ]  # fmt: skip
    return join(
        tag("p", sentence, class_="verdict"),
        tag("ul", *(tag("li", line) for line in advice)) if advice else None,
        tag("p", word("verdict-rests")),
    )


def _advice(found: Diagnosis, number: int, lang: str) -> Markup:
    action, reason = list(remedies_of(found, lang))[number]
    colon = "：" if lang == "zh" else ": "
    return join(tag("code", action) if action else None, colon if action else None,
                lowered(reason))  # fmt: skip


def _norms(page: PageContext, flow: Flow) -> list[Markup]:
    figures = []
    for name in page.graph.states:
        if name not in flow.norms:
            continue
        names = ("flow-total", "flow-injected", "flow-arrived")
        values = flow.norms[name], flow.injected[name], flow.arrived[name]
        series = dict(zip(page.said(*names), values, strict=True))
        title = plain("flow-norm", state=name)[page.lang]
        chart = line_chart(series, title, now=page.first)
        caption = word("flow-norm", state=page.name(name))
        keys = key_of(*names)
        figures.append(tag("figure", chart, tag("figcaption", caption, keys)))
    return figures


def _middle(rows: Array) -> Array:
    """The median of each row; NumPy's own loads numpy.ma to look for masks, 20 ms."""
    ordered, last = np.sort(rows, axis=1), rows.shape[1] - 1
    middle = (ordered[:, last // 2] + ordered[:, -1 - last // 2]) / 2
    return np.where(np.isnan(rows).any(axis=1), np.nan, middle)


def _singular(page: PageContext, flow: Flow) -> Markup:
    found = flow.singular_values
    values = found[:, 0], _middle(found), found[:, -1]
    series = dict(zip(page.said(*SPREAD), values, strict=True))
    title = plain("flow-singular")[page.lang]
    chart = line_chart(series, title, first=0, now=page.first)
    keys = key_of(*SPREAD)
    return tag("figure", chart, tag("figcaption", word("flow-singular"), keys))


def _slopes(page: PageContext, flow: Flow) -> list[Markup]:
    figures = []
    for name, slope in flow.slopes.items():
        units = slope.reshape(flow.tau, -1)
        values = units.max(axis=1), _middle(units), units.min(axis=1)
        series = dict(zip(page.said(*SPREAD), values, strict=True))
        title = plain("flow-slopes", name=name)[page.lang]
        chart = line_chart(series, title, now=page.first, is_log=False)
        caption = word("flow-slopes", name=page.name(name))
        keys = key_of(*SPREAD)
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
