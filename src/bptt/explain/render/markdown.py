"""The document as Markdown: `$$...$$` for GitHub, notebooks and most readers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain import model as m
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.shape import show
from bptt.explain.notation.latex import LATEX, to_latex
from bptt.explain.render.common import Writer, numbers_of, one_line, step_of, value_at

MARKS = {m.PASSED: "✓", m.FAILED: "✗", m.NOT_CHECKED: "–"}


def render_markdown(
    document: m.Document, lang: str, *, cards: tuple[m.Card, ...] | None = None,
    t: int = 2,
) -> str:  # fmt: skip
    """The document, or some of its cards, as Markdown."""
    writer = _Markdown(document, lang, t)
    parts = writer.whole() if cards is None else writer.chosen(cards)
    return "\n\n".join(part for part in parts if part) + "\n"


def inline(expr: Expr) -> str:
    """A formula inside a sentence."""
    return f"${to_latex(expr)}$"


def conditions(chain: m.Chain) -> str:
    """Where a chain holds, as LaTeX: bounds of t, then free indices."""
    parts = []
    if chain.first is not None and chain.last is not None:
        parts.append(LATEX.steps(chain.first, chain.last))
    parts += [LATEX.letter(k, dim) for k, dim in chain.letters.items()]
    return r",\quad ".join(parts)


def aligned(chain: m.Chain) -> str:
    """A chain as an aligned block; its equation number and bounds at the right."""
    first, *rest = (to_latex(link.expr) for link in chain.links)
    if not rest:
        return first
    lines = [f"{first} &= {rest[0]}"] + [f"&= {side}" for side in rest[1:]]
    where = conditions(chain)
    number = rf"\text{{({chain.number})}}" if chain.number else ""
    tail = r"\qquad ".join(part for part in (where, number) if part)
    if tail:
        lines[-1] += rf" \qquad {tail}"
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


# A bracket alone is text; before ( [ or : it would begin a link or its definition.
_SPECIAL = re.compile(r"[\\`*_$<|~&]|\](?=[(\[:])")


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", one_line(text))


def _fenced(text: str) -> str:
    """Text as it is, between fences longer than any run of backticks in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


class _Markdown:
    """Writes one document in one language."""

    def __init__(self, document: m.Document, lang: str, t: int) -> None:
        self._document = document
        self._writer = Writer(document, lang, inline, _escape)
        self._t = t

    def whole(self) -> Iterator[str]:
        """Everything, panel by panel."""
        yield f"# {self._writer.sentence(self._document.title)}"
        yield f"**{self._writer.badge()}**"
        for panel in self._document.panels:
            if panel.blocks:
                yield f"## {panel.number}. {self._writer.sentence(panel.title)}"
            for block in panel.blocks:
                yield from self._block(block)

    def chosen(self, cards: tuple[m.Card, ...]) -> Iterator[str]:
        """Single cards."""
        for card in cards:
            yield from self._card(card)

    def _block(self, block: m.Block) -> Iterator[str]:
        if isinstance(block, m.Paragraph):
            yield self._writer.sentence(block.text)
        elif isinstance(block, m.Listing):
            yield _fenced(block.text)
        elif isinstance(block, m.Table):
            yield from self._table(block)
        elif isinstance(block, m.Equations):
            if block.text:
                yield self._writer.sentence(block.text)
            yield self._display(aligned(block.chain))
        elif isinstance(block, m.Matrices):
            yield self._display(self._matrices(block))
        else:
            for group in block.groups:
                yield f"### {self._writer.sentence(group.title)}"
                yield from self.chosen(group.cards)

    @staticmethod
    def _display(latex: str) -> str:
        return f"$$\n{latex}\n$$"

    def _card(self, card: m.Card) -> Iterator[str]:
        number = f"{card.id} · " if card.number else ""
        yield f"#### {number}{self._writer.sentence(card.title)}"
        if card.status != m.FAILED:
            yield f"**{self._writer.sentence(card.claim)}**"
            yield self._labelled("reason", card.reason)
        for chain in card.chains:
            yield self._display(aligned(chain))
        if card.shapes:
            notes = "; ".join(
                f"{inline(note.symbol)} {_escape(show(note.shape))}"
                for note in card.shapes
            )
            yield f"*{self._writer.label('shapes').strip()}* {notes}"
        yield from self._numbers(card)
        for why in card.why:
            head = (
                f"*{self._writer.label('why').strip()}* " if why.kind == "rule" else ""
            )
            yield head + self._writer.sentence(why.text)
            for chain in why.chains:
                yield self._display(aligned(chain))
        if card.wrong is not None:
            yield self._labelled(card.wrong_label, card.wrong)
        yield f"{MARKS[card.status]} {self._writer.verdict(card)}"

    def _labelled(self, name: str, text: m.Text) -> str:
        return f"*{self._writer.label(name).strip()}* {self._writer.sentence(text)}"

    def _numbers(self, card: m.Card) -> Iterator[str]:
        for chain in card.chains:
            found = numbers_of(chain, self._document, self._t)
            t = step_of(chain, self._document, self._t)
            if found and t is not None:
                yield self._writer.label("numbers", t=t)
            lines = [
                rf"{to_latex(item.expr)} &= {array_latex(item.value)}" for item in found
            ]
            if lines:
                body = " \\\\\n".join(lines)
                yield self._display(f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}")

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

    def _table(self, block: m.Table) -> Iterator[str]:
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


def array_latex(value: object) -> str:
    """A matrix of numbers as LaTeX; a scalar as it is."""
    rows = [[f"{x:.3g}" for x in row] for row in value]  # type: ignore[attr-defined]
    if len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    body = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
