"""The document as a LaTeX file that compiles, with XeLaTeX or LuaLaTeX.

The terms stand in both languages, so the package ctex is needed in either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain import model as m
from bptt.explain.notation.latex import to_latex
from bptt.explain.render.common import one_line, step_of, value_at
from bptt.explain.render.formulas import array_latex, stacked
from bptt.explain.render.walk import DocumentWalk

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
    writer = _Latex(document, lang, t, lambda x: f"${to_latex(x)}$", escape)
    parts = writer.whole() if cards is None else writer.chosen(cards)
    body = "\n\n".join(part for part in parts if part)
    return f"{PREAMBLE}\\begin{{document}}\n\n{body}\n\n\\end{{document}}\n"


class _Latex(DocumentWalk):
    """A LaTeX document."""

    _after_symbol = ": "

    def _heading(self, level: int, title: str) -> str:
        return rf"\{'sub' * level}section*{{{title}}}"

    def _card_title(self, card: m.Card) -> str:
        number = rf"{card.id} $\cdot$ " if card.number else ""
        color = "red" if card.status == m.FAILED else "black"
        title = self._writer.sentence(card.title)
        return rf"\paragraph{{\textcolor{{{color}}}{{{number}{title}}}}}\mbox{{}}\par"

    def _bold(self, text: str) -> str:
        return rf"\textbf{{{text}}}"

    def _emphasis(self, text: str) -> str:
        return rf"\emph{{{text}}}"

    def _display(self, latex: str) -> str:
        return f"\\[\n{latex}\n\\]"

    def _listing(self, text: str) -> str:
        if r"\end{verbatim}" not in text:
            return f"\\begin{{verbatim}}\n{text}\n\\end{{verbatim}}"
        lines = (rf"\texttt{{{escape(line)}}}" for line in text.splitlines())
        return r" \\".join(lines)

    def _verdict(self, card: m.Card) -> str:
        return rf"\textcolor{{gray}}{{\small {self._writer.verdict(card)}}}"

    def _matrices(self, block: m.Matrices) -> str:
        chain = m.Chain((), block.first, block.last)
        t = step_of(chain, self._document, self._t)
        lines = [
            f"{to_latex(expr)} &= {array_latex(value_at(expr, self._document, t))}"
            for expr in block.exprs
        ]
        return stacked(lines)

    def _table(self, block: m.ShownTable) -> Iterator[str]:
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
