"""Line charts as inline SVG, coloured by the style sheet of `bptt.page.style`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

from bptt.page.scale import Scale, format_tick, linear_ticks, make_scale
from bptt.page.tags import Markup, join, number, tag

LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 14.0, 34.0
N_STYLES = 8  # of curves in one chart: classes s0 ... s7


@dataclass(frozen=True)
class Curve:
    """A series of points; None, and zero on a log axis, break the line.

    kind: a class of the style sheet: "s0" ... "s7", "faint" or "limit"; age: 0 to 1 for
    curves of one quantity through training, from pale to full; has_line: not where what
    lies between two points means nothing.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    kind: str = "s0"
    age: float | None = None
    has_dots: bool = False
    has_line: bool = True


@dataclass(frozen=True)
class Chart:
    """One picture: its title says the quantity, the axes their units.

    levels: values drawn across, each with a word; cursor: the step that is marked, and
    that the page's script can move; has_steps: the axis below counts whole steps;
    decades: of a logarithmic axis, at most.
    """

    title: str
    x_label: str
    curves: Sequence[Curve]
    is_log: bool = False
    caption: Any = None  # instead of the title, above the picture
    levels: Sequence[tuple[float, str]] = ()
    cursor: float | None = None
    has_steps: bool = False
    decades: int = 16
    width: float = 560.0
    height: float = 250.0


@dataclass(frozen=True)
class _Axes:
    """Where a chart's values lie in its picture."""

    chart: Chart
    across: Scale
    up: Scale

    def x(self, value: float) -> float:
        return LEFT + self.across(value)

    def y(self, value: float) -> float:
        return self.chart.height - BOTTOM - self.up(value)


def number_curves(
    series: Mapping[str, Sequence[float | None]], first: float
) -> list[Curve]:
    """Curves over steps that count from `first`, each in a style of its own."""
    return [
        Curve(name, [(first + i, v) for i, v in enumerate(values)], f"s{k % N_STYLES}")
        for k, (name, values) in enumerate(series.items())
    ]


def figure(chart: Chart) -> Markup:
    """The chart with its caption above it."""
    caption = tag("figcaption", chart.title if chart.caption is None else chart.caption)
    return tag("figure", caption, svg(chart))


def svg(chart: Chart) -> Markup:
    """The picture; its label tells where every curve begins and ends."""
    axes = _axes(chart)
    parts = [*_grid(axes), *_levels(axes)]
    for curve in chart.curves:
        parts += _curve(axes, curve)
    if chart.cursor is not None:
        parts.append(_cursor(axes, chart.cursor))
    return tag(
        "svg", *parts, class_="chart", role="img", aria_label=_in_words(chart),
        viewBox=f"0 0 {number(chart.width)} {number(chart.height)}",
    )  # fmt: skip


def _axes(chart: Chart) -> _Axes:
    steps = [at for curve in chart.curves for at, _ in curve.points]
    values = [v for curve in chart.curves for _, v in curve.points if v is not None]
    values += [level for level, _ in chart.levels]
    low, high = (min(steps), max(steps)) if steps else (0.0, 1.0)
    return _Axes(
        chart,
        Scale(low, high if high > low else low + 1.0, chart.width - LEFT - RIGHT),
        make_scale(
            values,
            chart.height - TOP - BOTTOM,
            is_log=chart.is_log,
            decades=chart.decades,
        ),
    )


def _grid(axes: _Axes) -> list[Markup]:
    chart = axes.chart
    right, bottom = chart.width - RIGHT, chart.height - BOTTOM
    parts = []
    for mark in axes.up.ticks():
        y = axes.y(mark)
        parts.append(tag("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", format_tick(mark), x=LEFT - 7, y=y + 3.5, class_="up"))
    for mark in linear_ticks(axes.across.low, axes.across.high, chart.has_steps):
        x = axes.x(mark)
        parts.append(tag("text", format_tick(mark), x=x, y=bottom + 15, class_="in"))
    axis = tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis")
    name = tag("text", chart.x_label, x=right, y=chart.height - 4, class_="up")
    return [*parts, axis, name]


def _levels(axes: _Axes) -> list[Markup]:
    right, parts = axes.chart.width - RIGHT, []
    for level, word in axes.chart.levels:
        y = axes.y(level)
        parts.append(tag("line", x1=LEFT, x2=right, y1=y, y2=y, class_="limit"))
        parts.append(tag("text", word, x=right, y=y - 4, class_="up"))
    return parts


def _curve(axes: _Axes, curve: Curve) -> list[Markup]:
    """The line, cut at its gaps; a point between two gaps is a dot."""
    kind = curve.kind if curve.age is None else "aged"
    parts = []
    for piece in _pieces(axes.chart, curve):
        places = [(axes.x(at), axes.y(value)) for at, value in piece]
        if len(places) > 1 and curve.has_line:
            path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in places)
            style = None if curve.age is None else f"--age:{curve.age:.3f}"
            parts.append(tag("path", tag("title", curve.name), d=path, style=style,
                             class_=f"curve {kind}"))  # fmt: skip
        if curve.has_dots or len(places) == 1:
            step = f"{axes.chart.x_label} = " if axes.chart.x_label else ""
            tips = (
                f"{curve.name}: {v:.4g} ({step}{format_tick(at)})" for at, v in piece
            )
            parts += [
                tag(
                    "circle", tag("title", tip), cx=x, cy=y, r=3.0, class_=f"dot {kind}"
                )
                for tip, (x, y) in zip(tips, places, strict=True)
            ]
    return parts


def _pieces(chart: Chart, curve: Curve) -> list[list[tuple[float, float]]]:
    found: list[list[tuple[float, float]]] = [[]]
    for at, value in curve.points:
        if value is None or not isfinite(value) or (chart.is_log and value <= 0):
            found.append([])
        else:
            found[-1].append((at, value))
    return [piece for piece in found if piece]


def _cursor(axes: _Axes, now: float) -> Markup:
    """A line at the step in view, and what the script needs to move it."""
    x, bottom = axes.x(now), axes.chart.height - BOTTOM
    apart = axes.x(now + 1.0) - x
    return tag("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="cursor",
               data_x0=x - now * apart, data_dx=apart)  # fmt: skip


def _in_words(chart: Chart) -> str:
    """Where every curve begins and ends, in signs of no language; "-" is no number."""
    parts = []
    for curve in chart.curves:
        known = [value for _, value in curve.points if value is not None]
        if known:
            ends = ("-" if isnan(v) else f"{v:.3g}" for v in (known[0], known[-1]))
            parts.append(f"{curve.name}: {' → '.join(ends)}")
    over = f" ({chart.x_label})" if chart.x_label else ""
    return f"{chart.title}{over}. " + "; ".join(parts)


def key(names: Sequence[str]) -> Markup:
    """What the curves of styles s0, s1, ... are."""
    line = "M0 4 26 4"
    return tag("span", *(
        tag("span", tag("svg", tag("path", d=line, class_=f"curve s{k % N_STYLES}"),
                        viewBox="0 0 26 8"), join(name), class_="entry")
        for k, name in enumerate(names)
    ), class_="key")  # fmt: skip
