"""Charts as SVG: lines over t on a log scale, heat maps over t, bars.

Every chart has a title for those who do not see it, is drawn the same each time, and
has marks `.cursor` and `.cell` that the page's script moves to the step in view.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.explain.html.values import show_number
from bptt.page.tags import Markup, number, tag
from bptt.step.shapes import Array

LEFT, RIGHT, TOP, BOTTOM = 58.0, 16.0, 14.0, 34.0
MANY = 12  # points that are still marked one by one
FLOOR = 1e-16  # a norm of zero is drawn at the bottom of a log scale


@dataclass(frozen=True)
class Axes:
    """A plotting rectangle: steps from left to right, values upwards."""

    width: float
    height: float
    steps: Sequence[int]
    low: float
    high: float
    is_log: bool
    name: str = "t"

    def x(self, t: float) -> float:
        """The place of a step."""
        first, last = self.steps[0], self.steps[-1]
        inner = self.width - LEFT - RIGHT
        share = 0.5 if first == last else (t - first) / (last - first)
        return LEFT + 14 + share * (inner - 28)

    def y(self, value: float) -> float:
        """The place of a value."""
        scaled = math.log10(max(value, FLOOR)) if self.is_log else value
        share = (scaled - self.low) / ((self.high - self.low) or 1.0)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def frame(self) -> list[Markup]:
        """Grid lines with their values, and the steps."""
        parts = []
        for mark, shown in self._marks():
            y = self.y(10.0**mark if self.is_log else mark)
            parts.append(tag("line", x1=LEFT, x2=self.width - RIGHT, y1=y, y2=y,
                             class_="grid"))  # fmt: skip
            parts.append(tag("text", shown, x=LEFT - 7, y=y + 4, text_anchor="end"))
        every = max(1, math.ceil(len(self.steps) / 12))
        below = self.height - 14
        steps = [tag("text", str(t), x=self.x(t), y=below, class_="in")
                 for t in self.steps[::every]]  # fmt: skip
        name = tag("text", self.name, x=self.width - RIGHT, y=below, text_anchor="end",
                   font_style="italic")  # fmt: skip
        return [*parts, *steps, name]

    def _marks(self) -> list[tuple[float, str]]:
        if self.is_log:
            every = max(1, math.ceil((self.high - self.low) / 5))
            low, high = math.ceil(self.low), math.floor(self.high)
            return [(m, _power(m)) for m in range(low, high + 1) if m % every == 0]
        return [(m, show_number(m, 2)) for m in np.linspace(self.low, self.high, 5)]


def _power(exponent: int) -> str:
    if -2 <= exponent <= 3:
        return show_number(10.0**exponent, 1)
    digits = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def line_chart(
    series: Mapping[str, Array], title: str, *, first: int = 1, now: int = 1,
    is_log: bool = True, width: float = 520.0, height: float = 250.0,
    lines: Sequence[tuple[float, str]] = (), follows: bool = True, axis: str = "t",
) -> Markup:  # fmt: skip
    """Values by step, one line each: solid, coloured, then dashed; points marked.

    first: the step of index 0; now: the step in view; lines: levels drawn across;
    follows: whether the step in view is marked; axis: the name of the steps.
    """
    every = np.concatenate([np.ravel(values) for values in series.values()])
    axes = _axes(
        every,
        [level for level, _ in lines],
        first,
        len(next(iter(series.values()))),
        is_log,
        width,
        height,
        axis,
    )
    parts: list[Any] = [tag("title", title), *axes.frame()]
    for level, word in lines:
        y = axes.y(level)
        parts.append(tag("line", x1=LEFT, x2=width - RIGHT, y1=y, y2=y, class_="axis",
                         stroke_dasharray="2 3"))  # fmt: skip
        parts.append(tag("text", word, x=width - RIGHT, y=y - 4, text_anchor="end"))
    for i, values in enumerate(series.values()):
        parts += _line(axes, values, first, min(i, 2))
    if not follows:
        return _svg(parts, width, height)
    return _svg([*parts, _cursor(axes, now)], width, height)


def _cursor(axes: Axes, now: int) -> Markup:
    """A line at the step in view, and what the script needs to move it."""
    x, bottom = axes.x(now), axes.height - BOTTOM
    apart = axes.x(now + 1.0) - x if len(axes.steps) > 1 else 0.0
    return tag("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="cursor",
               data_x0=x - now * apart, data_dx=apart)  # fmt: skip


def _axes(
    every: Array, levels: list[float], first: int, count: int, is_log: bool,
    width: float, height: float, name: str,
) -> Axes:  # fmt: skip
    values = [float(v) for v in every if np.isfinite(v)] + levels
    if is_log:
        seen = [math.log10(v) for v in values if v > FLOOR] or [0.0]
        low, high = math.floor(min(seen) - 0.1) * 1.0, math.ceil(max(seen) + 0.05) * 1.0
    else:
        low, high = min([0.0, *values]), max([*values, 1e-300])
    return Axes(width, height, range(first, first + count), low, high, is_log, name)


def _line(axes: Axes, values: Array, first: int, style: int) -> list[Markup]:
    seen = [(axes.x(first + i), axes.y(float(v))) for i, v in enumerate(values)
            if np.isfinite(v) and not (axes.is_log and v <= FLOOR)]  # fmt: skip
    path = "M" + " ".join(f"{number(x)} {number(y)}" for x, y in seen)
    dots = [tag("circle", cx=x, cy=y, r=3.0, class_=f"d{style}") for x, y in seen
            if len(seen) <= MANY]  # fmt: skip
    return [tag("path", d=path, class_=f"s{style}"), *dots] if seen else []


def heat_map(
    rows: Mapping[str, Array], caption: Markup, *, labels: Mapping[str, Markup],
    now: int = 1,
) -> Markup:  # fmt: skip
    """One row per name and one column per step, a table: darker is larger.

    Norms have no sign, so one colour is enough; the scale is from 0 to the largest.
    """
    tau = len(next(iter(rows.values())))
    top = max(float(np.max(v)) for v in rows.values()) or 1.0
    head = tag(
        "tr",
        tag("th", Markup("<i>t</i>"), scope="col"),
        *(tag("th", str(t), scope="col") for t in range(1, tau + 1)),
    )
    body = [
        tag(
            "tr",
            tag("th", labels[name], scope="row"),
            *(
                _heat_cell(float(value), top, t == now)
                for t, value in enumerate(values, 1)
            ),
        )
        for name, values in rows.items()
    ]
    table = tag("table", tag("caption", caption), tag("thead", head),
                tag("tbody", *body), class_="heatmap")  # fmt: skip
    return tag("div", table, class_="scroll", tabindex=0)


def _heat_cell(value: float, top: float, is_now: bool) -> Markup:
    style = f"--a:{0.05 + 0.7 * value / top:.2f}"
    return tag(
        "td", show_number(value, 2), style=style, class_="now" if is_now else None
    )


def bar(share: float) -> Markup:
    """A short bar, filled from 0 to 1."""
    return tag("i", class_="meter", style=f"--w:{100 * min(max(share, 0.0), 1.0):.0f}%")


def _svg(parts: list[Any], width: float, height: float) -> Markup:
    return tag("svg", *parts, class_="chart", role="img", width=width, height=height,
               viewBox=f"0 0 {number(width)} {number(height)}")  # fmt: skip
