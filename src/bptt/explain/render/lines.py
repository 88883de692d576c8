"""Lines that are laid out already, and a frame around them.

rich wraps a text once more wherever it stands, and cuts and fills the lines of what
stands in a frame, in a space and in a group once each: of an explanation, which has a
thousand lines that fit, that was a fourth of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.box import Box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

SIDES = 4  # the frame and a space, at either side


def laid(
    line: Text, console: Console, options: ConsoleOptions, indent: int = 0
) -> Iterable[RenderableType | Segment]:
    """A line as it is, so many columns in; wrapped only where there is no room."""
    if indent + line.cell_len > options.max_width:
        return (Padding(line, (0, 0, 0, indent)),)
    return (Segment(" " * indent), *line.render(console, end="\n"))


@dataclass(frozen=True)
class Framed:
    """A title and what stands below it, in a box of one color."""

    title: str
    body: tuple[RenderableType, ...]
    box: Box
    color: str

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """The lines, as wide as there is room."""
        style = console.get_style(self.color)
        width = options.max_width - SIDES
        lines = console.render_lines(
            Group(*self.body), options.update(width=width, height=None), pad=True
        )
        title = Text(f" {self.title} ", self.color, end="")
        title.truncate(width, overflow="ellipsis")
        box, end = self.box, Segment("\n")
        rest = (width - title.cell_len) * box.top
        yield Segment(box.top_left + box.top, style)
        yield from title.render(console)
        yield Segment(rest + box.top + box.top_right, style)
        yield end
        left, right = Segment(box.mid_left, style), Segment(box.mid_right, style)
        for line in lines:
            yield left
            yield Segment(" ")
            yield from line
            yield Segment(" ")
            yield right
            yield end
        yield Segment(box.get_bottom([options.max_width - 2]), style)
        yield end
