"""Line charts as SVG text, with axes in round numbers or decades."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

import numpy as np

from bptt.flow.panels import Panel
from bptt.step.shapes import Array

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 36
MOST_TICKS = 6
SMALLEST = 1e-300  # of a log axis: what is below leaves a gap
Scale = Callable[[float], float]


def line_chart(panel: Panel) -> str:
    """The panel's lines as one `<svg>`, coloured by the classes s0, s1, ..."""
    low, high = _range(panel)
    to_x = _map(float(panel.x[0]), float(panel.x[-1]), LEFT, WIDTH - RIGHT)
    to_y = _map(low, high, HEIGHT - BOTTOM, TOP)
    label = escape(panel.title)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    parts += _axes(panel, low, high, to_x, to_y)
    for number, y in enumerate(panel.lines.values()):
        for points in _pieces(panel, y, to_x, to_y):
            dot = " dot" if " " not in points else ""
            parts.append(f'<polyline class="s{number}{dot}" points="{points}"/>')
    return "\n".join([*parts, "</svg>"])


def _values(panel: Panel, y: Array) -> Array:
    """What is drawn: logarithms to base 10, NaN where there is a gap."""
    y = np.asarray(y, float)
    if not panel.is_log:
        return np.where(np.isfinite(y), y, np.nan)
    shown = np.isfinite(y) & (y > SMALLEST)
    return np.where(shown, np.log10(np.where(shown, y, 1.0)), np.nan)


def _range(panel: Panel) -> tuple[float, float]:
    values = np.concatenate([_values(panel, y) for y in panel.lines.values()])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if panel.is_log:
        low, high = math.floor(low), math.ceil(high)
    else:
        low, high = min(low, 0.0), max(high, 1.0)
    return (low, high) if high > low else (low, low + 1)


def _map(low: float, high: float, start: float, stop: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def _axes(panel: Panel, low: float, high: float, to_x: Scale, to_y: Scale) -> list[str]:
    found = []
    for tick in _ticks(low, high, is_whole=panel.is_log):
        y = to_y(tick)
        label = f"1e{tick:+.0f}" if panel.is_log else f"{tick:.3g}"
        found.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" '
            f'text-anchor="end">{label}</text>'
        )
    found += [
        f'<text class="tick" x="{to_x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" '
        f'text-anchor="middle">{tick:.0f}</text>'
        for tick in _ticks(float(panel.x[0]), float(panel.x[-1]), is_whole=True)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    found.append(
        f'<text class="tick" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(panel.x_label)}</text>"
    )
    return found


def _ticks(low: float, high: float, *, is_whole: bool) -> list[float]:
    """Round numbers from low to high, at most MOST_TICKS of them."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span)) if span > 0 else 1.0
    if is_whole:
        step = max(step, 1.0)
    choices = [step * factor for factor in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
    fit = [s for s in choices if span / s < MOST_TICKS and (s >= 1 or not is_whole)]
    step = fit[0]
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _pieces(panel: Panel, y: Array, to_x: Scale, to_y: Scale) -> list[str]:
    """The line cut at its gaps, each piece as SVG points."""
    found: list[list[str]] = [[]]
    for x, value in zip(panel.x, _values(panel, y), strict=True):
        if np.isnan(value):
            found.append([])
        else:
            found[-1].append(f"{to_x(float(x)):.1f},{to_y(float(value)):.1f}")
    return [" ".join(points) for points in found if points]
