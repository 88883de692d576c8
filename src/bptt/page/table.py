"""A table for a terminal that cuts no word: narrow screens get a line per cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

PADDING = 2  # a sign at either side of a column


class WordTable(Table):
    """rich's table, its columns never narrower than their longest words.

    rich takes width from the widest column first, whatever its words are.
    """

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Set the columns' widths, or list the cells where there is no room."""
        found = [
            [Measurement.get(console, options, cell) for cell in _cells(column)]
            for column in self.columns
        ]
        needed = [max(m.minimum for m in column) for column in found]
        wanted = [max(m.maximum for m in column) for column in found]
        n = len(self.columns)
        room = options.max_width - PADDING * n - (n + 1 if self.box else 0)
        if sum(needed) > room:
            yield from self._lines()
            return
        for column, width in zip(
            self.columns, _share(needed, wanted, room), strict=True
        ):
            column.width = width
        yield from super().__rich_console__(console, options)

    def _lines(self) -> RenderResult:
        """Every cell in a line behind its heading, rows apart."""
        if self.title:
            yield Text.assemble(self.title, style="italic")
        heads = [column.header for column in self.columns]
        columns = [list(column.cells) for column in self.columns]
        for number in range(self.row_count):
            yield Text()
            for head, cells in zip(heads, columns, strict=True):
                if str(cells[number]):
                    yield Text.assemble(_text(head), ": ", _text(cells[number]))


def _cells(column: Any) -> list[Any]:
    return [column.header, *column.cells]


def _text(cell: Any) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _share(needed: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Widths from what is needed up to what is wanted, the least served first."""
    widths = list(needed)
    spare = room - sum(widths)
    while spare > 0:
        short = [i for i, width in enumerate(widths) if width < wanted[i]]
        if not short:
            break
        narrowest = min(short, key=lambda i: widths[i])
        widths[narrowest] += 1
        spare -= 1
    return widths
