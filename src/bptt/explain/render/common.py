"""What every format needs: sentences, the conditions of a chain, and its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr
from bptt.explain.texts import pieces
from bptt.step.shapes import Array

DIGITS = 3


def one_line(text: str) -> str:
    """What is quoted, without what would end a line or not print as itself."""
    return "".join(c if c.isprintable() else " " for c in text)


@dataclass(frozen=True)
class FormatWriter:
    """A document in one language and one format.

    formula: an expression inside a sentence; escape: plain text for the format.
    """

    document: m.Document
    lang: str
    formula: Callable[[Expr], str]
    escape: Callable[[str], str] = str

    def sentence(self, text: m.Text) -> str:
        """A sentence with its formulas."""
        return "".join(
            self.formula(piece) if isinstance(piece, Expr) else self.escape(piece)
            for piece in pieces(text, self.lang, self.document.scope)
        )

    def label(self, name: str, **fields: Any) -> str:
        """A short sentence of the page itself: label.NAME."""
        return self.sentence(m.Text(f"label.{name}", fields))

    def cell(self, cell: m.Cell) -> str:
        """A cell of a table."""
        if isinstance(cell, m.Text):
            return self.sentence(cell)
        if isinstance(cell, Expr):
            return self.formula(cell)
        if isinstance(cell, float):
            return f"{cell:.{DIGITS}g}"
        return "" if cell is None else self.escape(str(cell))

    def badge(self) -> str:
        """`N equations, N checked, worst error`; what failed, if anything did."""
        return self.sentence(self.document.badge.text)

    def verdict(self, card: m.Card) -> str:
        """What the checks of a card say."""
        if card.status == m.FAILED:
            return self.label("failed")
        if card.status == m.NOT_CHECKED:
            note = card.open_note
            said = f": {self.sentence(note)}" if note else ""
            return self.label("not-checked") + said
        links = [link for chain in card.all_chains for link in chain.links[1:]]
        errors = [c.error or 0.0 for k in links for c in (k.tree, k.printed)]
        return self.label(
            "all-checked", count=len(links), instances=links[0].tree.instances,
            error=m.show_error(max(errors, default=0.0)),
        )  # fmt: skip


@dataclass(frozen=True)
class Numbered:
    """An expression of a chain with its value at the step shown."""

    expr: Expr
    value: Array
    norm: float


def step_of(chain: m.Chain, document: m.Document, wanted: int) -> int | None:
    """The step nearest to `wanted` within a chain's bounds; None if it has none."""
    if chain.first is None or chain.last is None:
        return None
    bounds = {"tau": document.shown.tau}
    first, last = chain.first.at(bounds), chain.last.at(bounds)
    return None if last < first else min(max(wanted, first), last)


def value_at(expr: Expr, document: m.Document, t: int | None) -> Array:
    """The value of an expression at a step of the instance shown, as a matrix."""
    return evaluate(expr, document.shown, t)


def numbers_of(
    chain: m.Chain, document: m.Document, wanted: int
) -> tuple[Numbered, ...]:
    """A chain's value and, of a sum, the value and norm of every term.

    The two terms of a hidden state's gradient are what comes from the future and from
    now. Nothing for a chain that the language of cells writes, or with free indices, or
    without a step to show.
    """
    t = step_of(chain, document, wanted)
    if chain.is_written or chain.letters or (t is None and chain.first is not None):
        return ()
    found = [chain.links[0].expr]
    last = chain.links[-1].expr
    if isinstance(last, e.Sum):
        found += last.terms
    return tuple(_numbered(expr, document, t) for expr in found)


def _numbered(expr: Expr, document: m.Document, t: int | None) -> Numbered:
    value = evaluate(expr, document.shown, t)
    return Numbered(expr, value, float(np.linalg.norm(value)))


def short_array(value: Array) -> str:
    """`0.12`, `(0.12, -0.3)` for a column, `[0.1 0.2; 0.3 0.4]` for a matrix."""
    rows = [[f"{x:.{DIGITS}g}" for x in row] for row in value]
    if value.shape == (1, 1):
        return rows[0][0]
    if value.shape[1] == 1:
        return "(" + ", ".join(row[0] for row in rows) + ")"
    return "[" + "; ".join(" ".join(row) for row in rows) + "]"
