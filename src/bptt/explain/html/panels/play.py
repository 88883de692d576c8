"""In panel 7: the cell run again by the page's script, on numbers the reader turns."""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Value
from bptt.explain.html.held import listed
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.words import word
from bptt.explain.notation.plain import to_ascii
from bptt.page.tags import Markup, tag

LONGEST = 30  # steps
PRESETS = ("shown", "vanish", "explode")


def play_panel(page: PageContext) -> Markup:
    """The sliders, the chart, the verdict and the gradients."""
    names = recurrent(page)
    first = _first_input(page)
    sliders = [_slider("tau", word("play-tau"), 2, LONGEST, 1)]
    if names:
        shown = listed([page.name(name, None) for name in names])
        sliders.append(_slider("scale", word("play-scale", names=shown), -4, 4, 0.05))
    if first is not None:
        sliders.append(_slider("inputs", word("play-inputs"), 0, 3, 0.05))
        symbol = page.writer.eq(e.Element(Value(first, e.Time("", 1)), ("1",)))
        sliders.append(_slider("first", word("play-first", x=symbol), -4, 4, 0.01))
    sliders.append(_slider("initial", word("play-initial"), 0, 3, 0.001))
    where = [
        tag("label", tag("input", type="radio", name="play-where", value=value,
                         id=f"play-{value}", checked=value == "every"),
            tag("span", word(f"play-{value}")))
        for value in ("every", "last")
    ]  # fmt: skip
    presets = [
        tag("button", word(f"play-to-{name}"), type="button", class_="plain",
            data_preset=name)
        for name in PRESETS
    ]  # fmt: skip
    return tag(
        "div", tag("h3", word("play-title")), tag("p", word("play-intro")),
        tag("div", *presets, class_="controls"), tag("div", *sliders, class_="sliders"),
        tag("fieldset", tag("legend", word("play-where")), *where, class_="seg"),
        tag("figure", tag("div", class_="play-figure"),
            tag("figcaption", word("play-caption"))),
        tag("p", class_="play-verdict verdict", role="status", aria_live="polite"),
        tag("div", class_="play-table"), tag("p", class_="play-check note"),
        class_="play needs-script",
    )  # fmt: skip


def _slider(name: str, label: Markup, low: float, high: float, step: float) -> Markup:
    slider = tag("input", type="range", data_play=name, min=str(low), max=str(high),
                 step=str(step), id=f"play-{name}")  # fmt: skip
    shown = tag("output", data_shown=name, for_=f"play-{name}")
    return tag("label", tag("span", label), slider, shown, for_=f"play-{name}")


def _first_input(page: PageContext) -> str | None:
    """The first real input of at least one axis."""
    inputs = page.graph.inputs.items()
    return next((n for n, s in inputs if s.index is None and len(s.shape) == 1), None)


def play_data(page: PageContext) -> dict[str, Any]:
    """What the script runs forward: the equations, and what of them comes back."""
    derivation = page.labels.derivation
    equations = {name: to_ascii(derivation.equation(name))
                 for name in page.graph.definitions}  # fmt: skip
    is_backward = any(
        reading.lag > 0
        for name in page.graph.definitions for reading in derivation.readings(name)
    )  # fmt: skip
    states = [n for n in page.graph.states if n in page.graph.definitions]
    weights = [float(w) for w in page.document.shown.weights]
    return {
        "equations": equations, "weights": weights, "recurrent": recurrent(page),
        "states": states, "input": _first_input(page), "isBackward": is_backward,
        "isStopped": any("stop_gradient" in text for text in equations.values()),
    }  # fmt: skip


def recurrent(page: PageContext) -> list[str]:
    """The parameters that multiply what comes from the step before."""
    found: dict[str, None] = {}
    for name in page.graph.definitions:
        for part in e.walk(page.labels.derivation.equation(name)):
            if isinstance(part, e.Product | e.Hadamard):
                found |= dict.fromkeys(_multiplying(page, part.factors))
    return list(found)


def _multiplying(page: PageContext, factors: tuple[Expr, ...]) -> list[str]:
    found = []
    for i, factor in enumerate(factors):
        rest = factors[i + 1 :] or factors[:i]
        if any(_is_past(x) for other in rest for x in e.walk(other)):
            found += _parameters(page, factor)
    return found


def _parameters(page: PageContext, factor: Expr) -> list[str]:
    return [
        x.name for x in e.walk(factor)
        if isinstance(x, Value) and x.name in page.graph.parameters
        and page.graph.parameters[x.name].shape
    ]  # fmt: skip


def _is_past(expr: Expr) -> bool:
    return isinstance(expr, Value) and expr.time is not None and expr.time.offset != 0
