"""The flow of gradients as a figure of matplotlib, for a paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bptt import errors
from bptt.flow.findings import Findings
from bptt.flow.panels import FlowPanel, chosen_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMNS = 2
PANEL_SIZE = (4.4, 2.5)  # inches; two columns fill the width of a page
# Colours of Okabe and Ito (2008), told apart by eyes of every kind.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07a00", "#2f8fc4")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))
# Letters of the font that TeX has, where a title is mathematics.
STYLE: Any = {"mathtext.fontset": "cm", "font.size": 8, "axes.titlesize": 9,
         "axes.labelsize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
         "ytick.labelsize": 7}  # fmt: skip


def draw(report: Findings, names: tuple[str, ...] = ()) -> Figure:
    """One set of axes per panel; its quantity is the axis, its legend stands outside.

    Raises: MissingExtraError; FlowError for an unknown panel.
    """
    panels = chosen_panels(report, names)
    try:
        # Without pyplot: no window system, and no figure that lives on unseen.
        import matplotlib as mpl  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise errors.MissingExtraError("plot()", "matplotlib", "plot") from error
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (PANEL_SIZE[0] * columns, PANEL_SIZE[1] * rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        for number, panel in enumerate(panels, start=1):
            _draw_panel(figure.add_subplot(rows, columns, number), panel)
    return figure


def _draw_panel(axes: Axes, panel: FlowPanel) -> None:
    for number, (label, y) in enumerate(panel.lines.items()):
        axes.plot(
            panel.x, y, label=label, linewidth=1.2, color=COLOURS[number % 6],
            linestyle=DASHES[number % 6] if panel.has_line else "",
            marker="o" if panel.has_dots else None, markersize=3,
        )  # fmt: skip
    if panel.is_log and any((y > 0).any() for y in panel.lines.values()):
        axes.set_yscale("log", nonpositive="mask")
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.symbol, math_fontfamily="cm")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    if len(panel.lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
