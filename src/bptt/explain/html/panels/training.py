"""Panel 8: the same quantities over training, on the numbers of the page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bptt.calculus.program import Request, gradient_program
from bptt.execute import reference
from bptt.execute.bindings import bind
from bptt.explain.html.charts import line_chart
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.sharing_charts import key_of
from bptt.explain.html.words import plain, word
from bptt.page.tags import Markup, join, tag
from bptt.results import Gradient, Run
from bptt.step.shapes import Array

_MARKUP = re.compile("<[^>]*>")
STEPS, RATE, CLIP = 40, 0.2, 3.0
CHARTS = 6  # parameters with a chart of their own, the largest gradients first


@dataclass
class History:
    """One number per iteration: the loss, gradients, and ∇ of a state at both ends."""

    loss: list[float] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)
    parameters: dict[str, list[float]] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    clipped: int = 0


def training_panel(page: PageContext) -> Markup:
    """Small charts against the iteration; a line for a cell without a loss."""
    if page.graph.loss is None or not page.graph.parameters:
        return tag("p", word("training-none"))
    states = [name for name in page.graph.states if name in page.graph.definitions]
    history = train(page, states[:1])
    loss = {"L": np.array(history.loss)}
    figures = [
        _figure(page, loss, "training-loss", is_log=False),
        _figure(page, {"‖∇‖": np.array(history.gradient)}, "training-gradient",
                count=str(history.clipped)),
    ]  # fmt: skip
    for name in states[:1]:
        ends = {"t = 1": np.array(history.first), "t = τ": np.array(history.last)}
        figures.append(_figure(page, ends, "training-flow", keys=tuple(ends),
                               state=page.name(name)))  # fmt: skip
    largest = sorted(history.parameters, key=lambda n: -max(history.parameters[n]))
    for name in largest[:CHARTS]:
        norms = history.parameters[name]
        figures.append(_figure(page, {"‖∇‖": np.array(norms)}, "training-parameters",
                               name=page.name(name, None), small=True))  # fmt: skip
    intro = word("training-intro", steps=str(STEPS), rate=str(RATE), clip=str(CLIP))
    return join(tag("p", intro), tag("div", *figures, class_="three"))


def train(page: PageContext, states: list[str]) -> History:
    """Gradient descent with the norm of the whole gradient clipped."""
    unrolled, graph = page.document.shown.computed, page.document.scope.computed
    params = {n: np.array(unrolled.values[unrolled.place(n)]) for n in graph.parameters}
    inputs = {
        n: np.array(
            [unrolled.values[unrolled.place(n, t)] for t in range(1, page.tau + 1)]
        )
        for n in graph.inputs
    }
    starts = {n: page.tau + 1 if n in graph.backward else 0 for n in graph.states}
    initial = {n: unrolled.values[unrolled.place(n, t)] for n, t in starts.items()
               if n in graph.definitions}  # fmt: skip
    request = Request(nodes=tuple(states))
    program = gradient_program(graph, request)
    history = History(parameters={name: [] for name in params})
    for _ in range(STEPS):
        weights = page.document.shown.weights
        bindings = bind(graph, params, inputs, initial, None, "sum", weights)
        values = reference.run(program, bindings)
        grad = Gradient(program, bindings, values, request, _no_forward)
        norms = {name: float(np.linalg.norm(grad[name])) for name in params}
        whole = float(np.sqrt(sum(norm**2 for norm in norms.values())))
        history.loss.append(float(np.real(grad.loss or 0.0)))
        history.gradient.append(whole)
        for name, norm in norms.items():
            history.parameters[name].append(norm)
        for name in states:
            history.first.append(float(np.linalg.norm(grad.nodes[name][0])))
            history.last.append(float(np.linalg.norm(grad.nodes[name][-1])))
        history.clipped += whole > CLIP
        if 0.0 < whole < np.inf:  # else there is no way to go
            scale = RATE * min(1.0, CLIP / whole)
            params = {name: params[name] - scale * grad[name] for name in params}
    return history


def _no_forward() -> Run:
    raise AssertionError("no forward values are asked for here")


def _figure(
    page: PageContext, series: dict[str, Array], key: str, *, is_log: bool = True,
    small: bool = False, keys: tuple[str, ...] = (), **fields: Any,
) -> Markup:  # fmt: skip
    # A title has no markup: of a name its letters.
    bare = {name: _MARKUP.sub("", str(value)) for name, value in fields.items()}
    title = plain(key, **bare)[page.lang]
    size = (300.0, 150.0) if small else (400.0, 210.0)
    chart = line_chart(series, title, first=0, is_log=is_log, follows=False,
                       axis="", width=size[0], height=size[1])  # fmt: skip
    shown = key_of(*keys) if keys else None
    return tag("figure", chart, tag("figcaption", word(key, **fields), shown))
