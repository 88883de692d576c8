"""The network in time of a cell with indices: the figure for print, in the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bptt.page.tags import Markup, tag

if TYPE_CHECKING:
    from bptt.explain.html.panels.page_context import PageContext

# Its colours are those of the page, in either theme.
COLOURS = {"ink": "var(--ink)", "soft": "var(--soft)", "faint": "var(--faint)",
           "accent": "var(--accent)", "wash": "var(--wash)", "paper": "var(--sheet)"}  # fmt: skip


def network_panel(page: PageContext) -> Markup:
    """The figure in a frame that scrolls; nothing for a loop that reads t + 1."""
    if page.graph.backward:
        return Markup("")
    # A figure starts from the page's picture, so it is asked for here alone.
    from bptt.explain.figure import make_figure
    from bptt.explain.figure.pictured import Pictured
    from bptt.explain.figure.svg import to_svg

    scene = make_figure(Pictured(page.document, page.lang), "unrolled", None).scene
    canvas = tag("div", Markup(to_svg(scene, COLOURS)), class_="canvas", tabindex=0,
                 role="group", aria_label=scene.title)  # fmt: skip
    return tag("figure", canvas)
