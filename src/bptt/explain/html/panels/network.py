"""The network in time of a cell with indices: the figure for print, in the page."""

from __future__ import annotations

from bptt.explain.html.panels.page_context import PageContext
from bptt.page.tags import Markup, tag


def network_panel(page: PageContext) -> Markup:
    """The figure in a frame that scrolls; nothing where there is none."""
    if not page.figure:
        return Markup("")
    canvas = tag("div", Markup(page.figure), class_="canvas", tabindex=0, role="group")
    return tag("figure", canvas)
