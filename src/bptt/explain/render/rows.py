"""Rows of a few cells in columns: an equation and its sides, a symbol and its number.

rich's tables measure and lay out every cell several times; an explanation has hundreds
of rows, and took half of its time there.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from bptt.explain.render.lines import laid

NARROWEST = 24  # what the column that is broken keeps in any case


@dataclass(frozen=True)
class Rows:
    """Rows of equally many cells, a space between two.

    broken: the column whose text goes on in further lines where there is no room;
    is_right: whether the first column stands at its right end; indent: the columns of
    space before all of them.
    """

    rows: tuple[tuple[Text, ...], ...]
    broken: int
    is_right: bool = False
    indent: int = 0

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """The lines."""
        widths = [max(cell.cell_len for cell in column)
                  for column in zip(*self.rows, strict=True)]  # fmt: skip
        others = sum(widths) - widths[self.broken] + len(widths) - 1
        room = max(options.max_width - self.indent - others, NARROWEST)
        widths[self.broken] = min(widths[self.broken], room)
        for row in self.rows:
            whole, width = row[self.broken], widths[self.broken]
            is_short = whole.cell_len <= width and "\n" not in whole.plain
            parts = [whole] if is_short else whole.wrap(console, width)
            for i, part in enumerate(parts or [Text()]):
                cells = [Text() if i else cell for cell in row]
                cells[self.broken] = part
                line = self._line(cells, widths)
                yield from laid(line, console, options, self.indent)

    def _line(self, cells: list[Text], widths: list[int]) -> Text:
        line = Text()
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            space = " " * (width - cell.cell_len)
            if i:
                line.append(" ")
            if i == 0 and self.is_right:
                line.append(space).append_text(cell)
            else:
                line.append_text(cell).append(space)
        line.rstrip()
        return line
