"""The document as a LaTeX file that compiles, with XeLaTeX or LuaLaTeX.

The terms stand in both languages, so the package ctex is needed in either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain import model as m
from bptt.explain.algebra.shape import show
from bptt.explain.notation.latex import to_latex
from bptt.explain.render.common import Writer, numbers_of, one_line, step_of, value_at
from bptt.explain.render.markdown import aligned, array_latex

PREAMBLE = r"""% !TEX program = xelatex
\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage{amsmath,amssymb}
\usepackage[scheme=plain]{ctex}
\usepackage{longtable,array,xcolor}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\allowdisplaybreaks
"""
# What stands in sentences and has no glyph in every text font.
SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&",
    "%": r"\%", "#": r"\#", "_": r"\_", "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}", "τ": r"$\tau$", "∇": r"$\nabla$", "∂": r"$\partial$",
    "ŷ": r"$\hat{y}$", "→": r"$\to$", "×": r"$\times$", "·": r"$\cdot$",
    "²": r"\textsuperscript{2}", "…": r"\dots{}", "−": "$-$", "✓": r"$\checkmark$",
    "ᵀ": r"\textsuperscript{T}", "θ": r"$\theta$", "≥": r"$\ge$", "≤": r"$\le$",
    "‖": r"$\Vert$", "[": "{[}", "]": "{]}",
}  # fmt: skip
_SPECIAL = re.compile("|".join(re.escape(sign) for sign in SIGNS))


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return _SPECIAL.sub(lambda match: SIGNS[match[0]], one_line(text))


def render_latex(
    document: m.Document, lang: str, *, cards: tuple[m.Card, ...] | None = None,
    t: int = 2,
) -> str:  # fmt: skip
    """The document, or some of its cards, as a whole LaTeX file."""
    writer = _Latex(document, lang, t)
    parts = writer.whole() if cards is None else writer.chosen(cards)
    body = "\n\n".join(part for part in parts if part)
    return f"{PREAMBLE}\\begin{{document}}\n\n{body}\n\n\\end{{document}}\n"


class _Latex:
    """Writes one document in one language."""

    def __init__(self, document: m.Document, lang: str, t: int) -> None:
        self._document = document
        self._writer = Writer(document, lang, lambda x: f"${to_latex(x)}$", escape)
        self._t = t

    def whole(self) -> Iterator[str]:
        """Everything, panel by panel."""
        yield rf"\section*{{{self._writer.sentence(self._document.title)}}}"
        yield rf"\textbf{{{self._writer.badge()}}}"
        for panel in self._document.panels:
            if panel.blocks:
                title = self._writer.sentence(panel.title)
                yield rf"\subsection*{{{panel.number}. {title}}}"
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
            yield _listing(block.text)
        elif isinstance(block, m.Table):
            yield from self._table(block)
        elif isinstance(block, m.Equations):
            yield from self._equations(block)
        elif isinstance(block, m.Matrices):
            yield _display(self._matrices(block))
        else:
            for group in block.groups:
                yield rf"\subsubsection*{{{self._writer.sentence(group.title)}}}"
                yield from self.chosen(group.cards)

    def _equations(self, block: m.Equations) -> Iterator[str]:
        if block.text:
            yield self._writer.sentence(block.text)
        yield _display(aligned(block.chain))

    def _card(self, card: m.Card) -> Iterator[str]:
        number = rf"{card.id} $\cdot$ " if card.number else ""
        color = "red" if card.status == m.FAILED else "black"
        title = self._writer.sentence(card.title)
        yield rf"\paragraph{{\textcolor{{{color}}}{{{number}{title}}}}}\mbox{{}}\par"
        if card.status != m.FAILED:
            yield rf"\textbf{{{self._writer.sentence(card.claim)}}}"
            yield self._labelled("reason", card.reason)
        yield from (_display(aligned(chain)) for chain in card.chains)
        if card.shapes:
            notes = "; ".join(
                f"${to_latex(note.symbol)}$: {escape(show(note.shape))}"
                for note in card.shapes
            )
            yield rf"\emph{{{self._writer.label('shapes').strip()}}} {notes}"
        yield from self._numbers(card)
        for why in card.why:
            label = self._writer.label("why").strip()
            head = rf"\emph{{{label}}} " if why.kind == "rule" else ""
            yield head + self._writer.sentence(why.text)
            yield from (_display(aligned(chain)) for chain in why.chains)
        if card.wrong is not None:
            yield self._labelled(card.wrong_label, card.wrong)
        yield rf"\textcolor{{gray}}{{\small {self._writer.verdict(card)}}}"

    def _labelled(self, name: str, text: m.Text) -> str:
        label = self._writer.label(name).strip()
        return rf"\emph{{{label}}} {self._writer.sentence(text)}"

    def _numbers(self, card: m.Card) -> Iterator[str]:
        for chain in card.chains:
            found = numbers_of(chain, self._document, self._t)
            t = step_of(chain, self._document, self._t)
            if found and t is not None:
                yield self._writer.label("numbers", t=t)
            if found:
                yield _display(_stacked([
                    f"{to_latex(item.expr)} &= {array_latex(item.value)}"
                    for item in found
                ]))  # fmt: skip

    def _matrices(self, block: m.Matrices) -> str:
        chain = m.Chain((), block.first, block.last)
        t = step_of(chain, self._document, self._t)
        lines = [
            f"{to_latex(expr)} &= {array_latex(value_at(expr, self._document, t))}"
            for expr in block.exprs
        ]
        return _stacked(lines)

    def _table(self, block: m.Table) -> Iterator[str]:
        if block.caption:
            yield rf"\emph{{{self._writer.sentence(block.caption)}}}"
        count = len(block.columns)
        width = f"{0.92 / count:.3f}"
        spec = rf">{{\raggedright\arraybackslash}}p{{{width}\textwidth}}" * count
        head = " & ".join(self._writer.sentence(column) for column in block.columns)
        lines = [rf"{head} \\ \hline"]
        for row in block.rows:
            cells = " & ".join(self._cell(cell) for cell in row.cells)
            color = r"\color{red} " if row.mark == "bad" else ""
            lines.append(rf"{color}{cells} \\")
        body = "\n".join(lines)
        yield (
            "{\\small\n\\begin{longtable}{@{}" + spec + "@{}}\n" + body
            + "\n\\end{longtable}}"
        )  # fmt: skip

    def _cell(self, cell: m.Cell) -> str:
        return self._writer.cell(cell)


def _listing(text: str) -> str:
    if r"\end{verbatim}" not in text:
        return f"\\begin{{verbatim}}\n{text}\n\\end{{verbatim}}"
    lines = (rf"\texttt{{{escape(line)}}}" for line in text.splitlines())
    return r" \\".join(lines)


def _display(latex: str) -> str:
    return f"\\[\n{latex}\n\\]"


def _stacked(lines: list[str]) -> str:
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
