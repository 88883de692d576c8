"""Paragraphs that break where Chinese and English may: between Chinese characters, too.

rich breaks lines at spaces alone: a Chinese sentence would leave its line half empty.
No line begins with a closing mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from bptt.explain.render.lines import laid

# A Chinese character with the closing marks after it, white space, or another word.
_WIDE = "\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”"
_CLOSING = "，。；：、？！）”》"
_WORD = re.compile(rf"\s+|[{_WIDE}][{_CLOSING}]*|[^\s{_WIDE}]+[{_CLOSING}]*")


class _Words:
    """Words of one line; those of one style become one run: Chinese has many words."""

    def __init__(self) -> None:
        self._runs: list[tuple[list[str], str]] = []

    def add(self, word: str, style: str) -> None:
        """Put a word at the end."""
        if not self._runs or self._runs[-1][1] != style:
            self._runs.append(([], style))
        self._runs[-1][0].append(word)

    def text(self) -> Text:
        """The line."""
        return Text.assemble(*(("".join(words), style) for words, style in self._runs))


@dataclass(frozen=True)
class Prose:
    """Styled runs of text that flow into lines as wide as there is room."""

    runs: tuple[tuple[str, str], ...]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """The lines."""
        line, used = _Words(), 0
        for text, style in self.runs:
            for word in _WORD.findall(text):
                width = cell_len(word.rstrip())
                if used + width > options.max_width and used:
                    yield from laid(line.text(), console, options)
                    line, used = _Words(), 0
                if used or not word.isspace():
                    line.add(word, style)
                    used += cell_len(word)
        if used:
            yield from laid(line.text(), console, options)

    def __rich_measure__(
        self, console: Console, options: ConsoleOptions
    ) -> Measurement:
        """From the longest word to one line for everything."""
        text = "".join(run for run, _ in self.runs)
        widths = [cell_len(word) for word in _WORD.findall(text)]
        return Measurement(max(widths, default=0), cell_len(text))
