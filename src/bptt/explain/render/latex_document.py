"""The document as a LaTeX file that compiles, with XeLaTeX or LuaLaTeX.

The terms stand in both languages, so the package ctex is needed in either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain import model as m
from bptt.explain.algebra.expr import Expr
from bptt.explain.notation.latex import to_latex
from bptt.explain.render.common import one_line, step_of, value_at
from bptt.explain.render.formulas import aligned, array_latex, stacked
from bptt.explain.render.latex_fit import FITTED, broken, letters, shares, wrapped
from bptt.explain.render.walk import DocumentWalk

PREAMBLE = r"""% !TEX program = xelatex
\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage{amsmath,amssymb}
\usepackage[scheme=plain]{ctex}
\usepackage{longtable,array,xcolor,graphicx}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\allowdisplaybreaks
"""
INLINE = 8  # letters of a formula that fits every column of a table
GUTTER = 0.024  # of the page's width, between two columns of a table
# What stands in listings and has no glyph in the typewriter font.
TYPED = str.maketrans({"≤": "<=", "τ": "tau", "…": "...", "∀": "for all", "∇": "grad "})
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
    writer = _Latex(document, lang, t, _inline, escape)
    parts = writer.whole() if cards is None else writer.chosen(cards)
    body = "\n\n".join(part for part in parts if part)
    return f"{PREAMBLE}{FITTED}\\begin{{document}}\n\n{body}\n\n\\end{{document}}\n"


def _inline(expr: Expr) -> str:
    """A formula in a sentence; one that a narrow column may not hold, to be fitted."""
    shown = f"${to_latex(expr)}$"
    return shown if letters(shown) <= INLINE else rf"\fitted{{{shown}}}"


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
        return f"\\[\n\\fitted{{$\\displaystyle {latex}$}}\n\\]"

    def _typeset(self, chain: m.Chain) -> str:
        return self._display(aligned(chain, broken))

    def _listing(self, text: str) -> str:
        if r"\end{verbatim}" not in text:
            lines = wrapped(text.translate(TYPED))
            return f"{{\\small\n\\begin{{verbatim}}\n{lines}\n\\end{{verbatim}}\n}}"
        shown = (rf"\texttt{{{escape(line)}}}" for line in text.splitlines())
        return r" \\".join(shown)

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
        head = [self._writer.sentence(column) for column in block.columns]
        rows = [[self._cell(cell) for cell in row.cells] for row in block.rows]
        room = 1 - GUTTER * len(head)
        spec = "".join(
            rf">{{\raggedright\arraybackslash}}p{{{room * share:.3f}\textwidth}}"
            for share in shares([head, *rows])
        )
        lines = [rf"{' & '.join(head)} \\ \hline \noalign{{\smallskip}}"]
        for row, cells in zip(block.rows, rows, strict=True):
            color = r"\color{red} " if row.mark == "bad" else ""
            lines.append(rf"{color}{' & '.join(cells)} \\")
        body = "\n".join(lines)
        yield (
            "{\\small\n\\begin{longtable}{@{}" + spec + "@{}}\n" + body
            + "\n\\end{longtable}}"
        )  # fmt: skip

    def _cell(self, cell: m.Cell) -> str:
        return self._writer.cell(cell)
