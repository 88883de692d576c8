"""The document as Markdown: `$$...$$` for GitHub, notebooks and most readers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain import model as m
from bptt.explain.algebra.expr import Expr, Written
from bptt.explain.notation.latex import to_latex
from bptt.explain.render.common import one_line, step_of, value_at
from bptt.explain.render.formulas import array_latex
from bptt.explain.render.walk import DocumentWalk

MARKS = {m.PASSED: "✓", m.FAILED: "✗", m.NOT_CHECKED: "–"}


def render_markdown(
    document: m.Document, lang: str, *, cards: tuple[m.Card, ...] | None = None,
    t: int = 2,
) -> str:  # fmt: skip
    """The document, or some of its cards, as Markdown."""
    writer = _Markdown(document, lang, t, inline, _escape)
    parts = writer.whole() if cards is None else writer.chosen(cards)
    return "\n\n".join(part for part in parts if part) + "\n"


def inline(expr: Expr) -> str:
    """A formula inside a sentence."""
    if isinstance(expr, Written) and expr.typeset is None:
        return f"`{expr.text}`"
    return f"${to_latex(expr)}$"


# A bracket alone is text; before ( [ or : it would begin a link or its definition.
_SPECIAL = re.compile(r"[\\`*_$<|~&]|\](?=[(\[:])")


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", one_line(text))


def _fenced(text: str) -> str:
    """Text as it is, between fences longer than any run of backticks in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


class _Markdown(DocumentWalk):
    """Markdown with LaTeX between dollars."""

    def _heading(self, level: int, title: str) -> str:
        return f"{'#' * (level + 1)} {title}"

    def _card_title(self, card: m.Card) -> str:
        number = f"{card.id} · " if card.number else ""
        return self._heading(3, f"{number}{self._writer.sentence(card.title)}")

    def _bold(self, text: str) -> str:
        return f"**{text}**"

    def _emphasis(self, text: str) -> str:
        return f"*{text}*"

    def _display(self, latex: str) -> str:
        return f"$$\n{latex}\n$$"

    def _listing(self, text: str) -> str:
        return _fenced(text)

    def _verdict(self, card: m.Card) -> str:
        return f"{MARKS[card.status]} {self._writer.verdict(card)}"

    def _matrices(self, block: m.Matrices) -> str:
        chain = m.Chain((), block.first, block.last)
        t = step_of(chain, self._document, self._t)
        symbols = [to_latex(expr) for expr in block.exprs]
        values = [
            array_latex(value_at(expr, self._document, t)) for expr in block.exprs
        ]
        join = r" \, "
        return (
            f"{symbols[0]} = {join.join(symbols[1:])}, \\qquad "
            f"{values[0]} = {join.join(values[1:])}"
        )

    def _table(self, block: m.ShownTable) -> Iterator[str]:
        if block.caption:
            yield f"*{self._writer.sentence(block.caption)}*"
        head = [self._writer.sentence(column) for column in block.columns]
        lines = [_line(head), _line(["---"] * len(head))]
        for row in block.rows:
            cells = [self._cell(cell) for cell in row.cells]
            if row.mark == "bad":
                cells[0] = f"**✗** {cells[0]}"
            lines.append(_line(cells))
        yield "\n".join(lines)

    def _cell(self, cell: m.Cell) -> str:
        r"""A cell; a bar in a formula would end it, so |u| is \vert u \vert."""
        text = self._writer.cell(cell)
        return re.sub(r"(?<!\\)\|", r"\\vert ", text)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
