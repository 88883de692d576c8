"""Line charts as inline SVG, coloured by the page's own style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from bptt.train.page.scale import Scale, format_tick, make_scale

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 34


@dataclass(frozen=True)
class Line:
    """A series of points; None breaks the line.

    kind: a class of the style sheet, "main", "faint", "second" or "limit"; age: 0 to 1
    for lines of one quantity through training, from pale to full.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    kind: str = "main"
    age: float | None = None
    has_dots: bool = False


@dataclass(frozen=True)
class Chart:
    """One picture: its title says the quantity, the axes their units."""

    title: str
    x_label: str
    lines: Sequence[Line]
    is_log: bool = False
    caption: str = ""  # the title as markup
    width: int = 560
    height: int = 250


def draw(chart: Chart) -> str:
    """The chart as an SVG element; every line's name is its tooltip."""
    points = [p for line in chart.lines for p in line.points]
    x = make_x_scale([p[0] for p in points], chart.width - LEFT - RIGHT)
    values = [p[1] for p in points if p[1] is not None]
    y = make_scale(values, chart.height - TOP - BOTTOM, is_log=chart.is_log)
    body = [*_grid(chart, x, y), *(_line(line, x, y, chart) for line in chart.lines)]
    return (
        f"<figure><figcaption>{chart.caption or escape(chart.title)}</figcaption>"
        f'<svg viewBox="0 0 {chart.width} {chart.height}" role="img" '
        f'aria-label="{escape(_in_words(chart))}">{"".join(body)}</svg></figure>'
    )


def make_x_scale(values: list[float], length: float) -> Scale:
    """An axis from the first to the last value, without a margin."""
    if not values or min(values) == max(values):
        return Scale(0, max(1.0, *values) if values else 1.0, length)
    return Scale(min(values), max(values), length)


def _grid(chart: Chart, x: Scale, y: Scale) -> list[str]:
    right, bottom = chart.width - RIGHT, chart.height - BOTTOM
    parts = []
    for tick in y.ticks():
        at = bottom - y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" '
                     f'y2="{at:.1f}"/>')  # fmt: skip
        parts.append(f'<text class="tick y" x="{LEFT - 7}" y="{at + 3.5:.1f}">'
                     f"{format_tick(tick)}</text>")  # fmt: skip
    for tick in x.ticks():
        at = LEFT + x(tick)
        parts.append(f'<text class="tick x" x="{at:.1f}" y="{bottom + 15}">'
                     f"{format_tick(tick)}</text>")  # fmt: skip
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" '
                 f'y2="{bottom}"/>')  # fmt: skip
    parts.append(f'<text class="label" x="{right}" y="{chart.height - 4}">'
                 f"{escape(chart.x_label)}</text>")  # fmt: skip
    return parts


def _line(line: Line, x: Scale, y: Scale, chart: Chart) -> str:
    bottom = chart.height - BOTTOM
    path, dots, pen = [], [], "M"
    for at, value in line.points:
        if value is None or not isfinite(value) or (chart.is_log and value <= 0):
            pen = "M"
            continue
        px, py = LEFT + x(at), bottom - y(value)
        path.append(f"{pen}{px:.1f} {py:.1f}")
        pen = "L"
        if line.has_dots:
            tip = f"{line.name}: {value:.4g} at {format_tick(at)}"
            dots.append(f'<circle class="{line.kind}" cx="{px:.1f}" cy="{py:.1f}" '
                        f'r="3"><title>{escape(tip)}</title></circle>')  # fmt: skip
    style = "" if line.age is None else f' style="--age:{line.age:.3f}"'
    kind = line.kind if line.age is None else "aged"
    return (
        f'<path class="line {kind}"{style} d="{"".join(path)}">'
        f"<title>{escape(line.name)}</title></path>{''.join(dots)}"
    )


def _in_words(chart: Chart) -> str:
    """Where every line begins and ends, for those who do not see it."""
    parts = []
    for line in chart.lines:
        known = [p for p in line.points if p[1] is not None]
        if known:
            first, last = known[0], known[-1]
            parts.append(f"{line.name}: {first[1]:.3g} to {last[1]:.3g}")
    return f"{chart.title} over {chart.x_label}. " + "; ".join(parts)
