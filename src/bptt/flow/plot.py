"""The flow of gradients as a figure of matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bptt import errors
from bptt.flow.findings import Findings
from bptt.flow.panels import make_panels
from bptt.flow.text import sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLUMNS = 3
PANEL_SIZE = (4.6, 3.2)  # inches


def draw(report: Findings) -> Figure:
    """One set of axes per panel, the verdict as the title.

    Raises: MissingExtraError.
    """
    try:
        # Without pyplot: no window system, and no figure that lives on unseen.
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise errors.MissingExtraError(
            'plot() needs matplotlib, which is not installed: pip install "bptt[plot]"'
        ) from error
    panels = list(make_panels(report))
    rows = math.ceil(len(panels) / COLUMNS)
    size = (PANEL_SIZE[0] * COLUMNS, PANEL_SIZE[1] * rows + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(sentence(report), fontsize=10, wrap=True)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        for label, y in panel.lines.items():
            axes.plot(panel.x, y, label=label, linewidth=1.4)
        if panel.is_log and any((y > 0).any() for y in panel.lines.values()):
            axes.set_yscale("log", nonpositive="mask")
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel(panel.x_label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    return figure
