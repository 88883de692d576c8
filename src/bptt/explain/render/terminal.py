"""The document in a terminal, through rich: columns count Chinese characters as two.

Formulas are one line of Unicode, or ASCII in the notation that `check_equation` reads.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bptt.explain import model as m
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.shape import show
from bptt.explain.notation.plain import UNICODE, to_ascii, to_unicode
from bptt.explain.render.common import (
    FormatWriter,
    numbers_of,
    short_array,
    step_of,
    value_at,
)
from bptt.explain.render.lines import Framed
from bptt.explain.render.prose import Prose
from bptt.explain.render.rows import Rows
from bptt.page.table import WordTable

WIDTH = 100
BORDERS = {m.PASSED: "green", m.FAILED: "red", m.NOT_CHECKED: "yellow"}
MARKS = {m.PASSED: ("✓", "ok"), m.FAILED: ("✗", "FAILED"), m.NOT_CHECKED: ("–", "--")}
# Signs of the sentences themselves; formulas have a notation of their own.
ASCII_SIGNS = str.maketrans({
    "τ": "tau", "∇": "grad ", "∂": "d", "ŷ": "y_hat", "≤": "<=", "→": "->", "·": "*",
    "…": "...", "²": "**2", "ᵀ": ".T", "“": '"', "”": '"', "×": " x ", "✓": "ok",
    "−": "-", "θ": "theta", "‖": "|",
})  # fmt: skip


class TerminalWriter:
    """Turns a document, or single cards, into what rich can print."""

    def __init__(
        self, document: m.Document, lang: str, *, ascii_only: bool = False, t: int = 2
    ) -> None:
        """ascii_only: formulas and frames in ASCII; t: the step of the numbers."""
        self._document = document
        self._ascii = ascii_only
        self._t = t
        self._formula = to_ascii if ascii_only else to_unicode
        self._writer = FormatWriter(document, lang, self._formula, self._plain)
        self._box = box.ASCII if ascii_only else box.ROUNDED

    def _plain(self, text: str) -> str:
        return text.translate(ASCII_SIGNS) if self._ascii else text

    # ----- the whole -----

    def document(self) -> Iterator[RenderableType]:
        """Everything, panel by panel."""
        yield Text(self._writer.sentence(self._document.title), style="bold")
        color = BORDERS[self._document.badge.status]
        yield Text(self._writer.badge(), style=color)
        for panel in self._document.panels:
            if not panel.blocks:
                continue
            yield Text()
            title = f"{panel.number} · {self._writer.sentence(panel.title)}"
            yield Rule(Text(self._plain(title), style="bold"), align="left",
                       characters="-" if self._ascii else "─")  # fmt: skip
            for block in panel.blocks:
                yield self._block(block)

    def cards(self, cards: tuple[m.Card, ...]) -> Iterator[RenderableType]:
        """Single cards."""
        yield from map(self._card, cards)

    def _block(self, block: m.Block) -> RenderableType:
        if isinstance(block, m.Paragraph):
            prose = Prose(((self._writer.sentence(block.text), "none"),))
            return Padding(prose, (0, 0, 0, 1))
        if isinstance(block, m.Listing):
            return Padding(Text(block.text, "cyan", overflow="fold"), (0, 0, 0, 4))
        if isinstance(block, m.ShownTable):
            return self._table(block)
        if isinstance(block, m.Equations):
            lines: list[RenderableType] = [self._chain(block.chain)]
            if block.text:
                lines.insert(0, Prose(((self._writer.sentence(block.text), "none"),)))
            return Padding(Group(*lines), (0, 0, 0, 1))
        if isinstance(block, m.Matrices):
            return self._matrices(block)
        return Group(*self._groups(block))

    def _groups(self, block: m.Cards) -> Iterator[RenderableType]:
        for group in block.groups:
            yield Text()
            yield Text(self._writer.sentence(group.title), style="bold underline")
            yield from map(self._card, group.cards)

    # ----- cards and chains -----

    def _card(self, card: m.Card) -> RenderableType:
        mark = MARKS[card.status][self._ascii]
        number = f"{card.id} · " if card.number else ""
        title = self._plain(f" {number}") + self._writer.sentence(card.title) + " "
        body: list[RenderableType] = []
        if card.asks is not None:
            body.append(Prose(((self._writer.sentence(card.asks), "italic"),)))
        if card.status != m.FAILED:
            body.append(Prose(((self._writer.sentence(card.claim), "bold"),)))
            body.append(self._labelled("reason", card.reason))
        for chain in card.chains:
            body += [Text(), self._chain(chain)]
        if card.code:
            code = Text(card.code, "cyan", overflow="fold")
            body.append(Padding(code, (1, 0, 0, 4)))
        if card.shapes:
            body += [Text(), self._shapes(card)]
        body += self._numbers(card)
        for why in card.why:
            body.append(Text())
            body.append(self._why(why))
        if card.wrong is not None:
            body.append(Text())
            body.append(self._labelled(card.wrong_label, card.wrong))
        verdict = f"{mark} {self._writer.verdict(card)}"
        color = BORDERS[card.status]
        body += [Text(), Text(verdict, style=color)]
        return Framed(title, tuple(body), self._box, color)

    def _labelled(self, name: str, text: m.Text) -> Prose:
        label, sentence = self._writer.label(name), self._writer.sentence(text)
        return Prose(((label, "italic"), (sentence, "none")))

    def _why(self, why: m.Why) -> RenderableType:
        head = self._writer.label("why") if why.kind == "rule" else ""
        sentence = (self._writer.sentence(why.text), "none")
        lines: list[RenderableType] = [Prose(((head, "italic"), sentence))]
        lines += [self._chain(chain, indent=2) for chain in why.chains]
        return Group(*lines)

    def _chain(self, chain: m.Chain, indent: int = 0) -> RenderableType:
        """The first side, then `= side` line by line, then where it holds."""
        rows = []
        first = self._formula(chain.links[0].expr)
        aside = [self._formula(link.expr) for link in chain.links[1:]]
        for i, text in enumerate(aside):
            left = f"{first} =" if i == 0 else "="
            rows.append((Text(left), Text(text, style="bold")))
        if chain.is_written:  # why it is not checked
            notes = [link.reason for link in chain.links if link.reason]
            rows += [(Text(), Text(self._writer.sentence(note))) for note in notes]
        conditions = self._conditions(chain)
        if conditions:
            rows.append((Text(), Text(conditions, style="dim")))
        if not aside:
            alone = Text(first, style="bold")
            return Padding(alone, (0, 0, 0, indent)) if indent else alone
        return Rows(tuple(rows), 1, is_right=True, indent=indent)

    def _conditions(self, chain: m.Chain) -> str:
        parts = []
        if chain.first is not None and chain.last is not None:
            parts.append(UNICODE.steps(chain.first, chain.last))
        parts += [UNICODE.letter(k, dim) for k, dim in chain.letters.items()]
        text = "; ".join(parts)
        number = f"({chain.number})" if chain.number else ""
        return self._plain("   ".join(part for part in (text, number) if part))

    def _shapes(self, card: m.Card) -> Prose:
        notes = [
            f"{self._formula(note.symbol)}: {show(note.shape)}" for note in card.shapes
        ]
        return Prose((
            (self._writer.label("shapes"), "italic"),
            (self._plain("; ".join(notes)), "none"),
        ))  # fmt: skip

    def _numbers(self, card: m.Card) -> list[RenderableType]:
        lines: list[RenderableType] = []
        for chain in card.chains:
            t = step_of(chain, self._document, self._t)
            found = numbers_of(chain, self._document, self._t)
            if not found:
                continue
            title = self._writer.label("numbers", t=t) if t is not None else ""
            rows = tuple(
                (Text(self._formula(item.expr)), Text("="),
                 Text(short_array(item.value), style="cyan"),
                 Text(self._plain(f"‖·‖ = {item.norm:.3g}"), style="dim"))
                for item in found
            )  # fmt: skip
            lines += [Text(), Text(title, style="italic")] if title else [Text()]
            lines.append(Rows(rows, 0, indent=2))
        return lines

    # ----- tables and matrices -----

    def _table(self, block: m.ShownTable) -> RenderableType:
        caption = self._writer.sentence(block.caption) if block.caption else None
        table = WordTable(title=caption, title_justify="left", title_style="italic",
                      box=box.ASCII if self._ascii else box.SIMPLE_HEAD)  # fmt: skip
        numeric = [
            all(isinstance(row.cells[i], float) for row in block.rows)
            for i in range(len(block.columns))
        ]
        for column, is_number in zip(block.columns, numeric, strict=True):
            justify: JustifyMethod = "right" if is_number else "left"
            table.add_column(
                Text(self._writer.sentence(column)), justify=justify, overflow="fold"
            )
        for row in block.rows:
            style = {"bad": "red", "good": ""}.get(row.mark, "")
            table.add_row(*(Text(self._writer.cell(c), style=style) for c in row.cells))
        return table

    def _matrices(self, block: m.Matrices) -> RenderableType:
        chain = m.Chain((), block.first, block.last)
        t = step_of(chain, self._document, self._t)
        grid = Table.grid(padding=(0, 1))
        row: list[RenderableType] = []
        for i, expr in enumerate(block.exprs):
            if i:
                row.append(Text("\n=" if i == 1 else "\n"))
            row.append(self._matrix(expr, t))
        grid.add_row(*row)
        return Padding(grid, (1, 0, 0, 2))

    def _matrix(self, expr: Expr, t: int | None) -> Text:
        rows = [[f"{x: .2f}" for x in row]
                for row in value_at(expr, self._document, t)]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (" ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        # One text: a table of its own in a cell of a table is measured many times.
        shown = Text(self._formula(expr))
        return shown.append("\n" + "\n".join(lines), style="cyan")


def render_text(
    document: m.Document, lang: str, *, ascii_only: bool = False, width: int = WIDTH,
    cards: tuple[m.Card, ...] | None = None, t: int = 2,
) -> str:  # fmt: skip
    """The document, or some of its cards, as plain text of at most `width` columns."""
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_terminal=False,
                      legacy_windows=False, highlight=False)  # fmt: skip
    writer = TerminalWriter(document, lang, ascii_only=ascii_only, t=t)
    parts = writer.document() if cards is None else writer.cards(cards)
    for part in parts:
        console.print(part, highlight=False, markup=False)
    lines = (line.rstrip() for line in file.getvalue().splitlines())
    return "\n".join(lines) + "\n"
