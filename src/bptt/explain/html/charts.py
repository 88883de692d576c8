"""Charts of the page: curves over t, heat maps over t, bars.

Every chart has a title for those who do not see it, is drawn the same each time, and
has marks that the page's script moves to the step in view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bptt.explain.html.values import show_number
from bptt.page.chart import Chart, number_curves, svg
from bptt.page.tags import Markup, tag
from bptt.step.shapes import Array

MANY = 12  # points that are still marked one by one
FLOOR = 1e-16  # of a log scale: a smaller norm is rounding, and leaves a gap


def line_chart(
    series: Mapping[str, Array], title: str, *, first: int = 1, now: int = 1,
    is_log: bool = True, width: float = 520.0, height: float = 250.0,
    levels: Sequence[tuple[float, str]] = (), follows: bool = True, axis: str = "t",
) -> Markup:  # fmt: skip
    """Values by step, one curve each; few points are marked one by one.

    first: the step of index 0; now: the step in view; levels: values drawn across;
    follows: whether the step in view is marked; axis: the name of the steps.
    """
    shown = {
        name: [None if is_log and v <= FLOOR else float(v) for v in np.ravel(values)]
        for name, values in series.items()
    }
    curves = [
        replace(curve, has_dots=len(curve.points) <= MANY)
        for curve in number_curves(shown, first)
    ]
    return svg(Chart(
        title, axis, curves, is_log, levels=levels, cursor=now if follows else None,
        has_steps=True, width=width, height=height,
    ))  # fmt: skip


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
