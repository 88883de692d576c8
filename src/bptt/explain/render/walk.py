"""A document from its first panel to its last, for formats of displayed formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bptt.explain import model as m
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.shape import show
from bptt.explain.notation.latex import to_latex
from bptt.explain.render.common import FormatWriter, numbers_of, step_of
from bptt.explain.render.formulas import (
    aligned,
    array_latex,
    stacked,
    typed_lines,
)


class DocumentWalk:
    """Walks one document in one language; a format says how each piece is written.

    document: what is written; writer: its sentences; t: the step whose numbers are
    shown.
    """

    def __init__(
        self,
        document: m.Document,
        lang: str,
        t: int,
        formula: Callable[[Expr], str],
        escape: Callable[[str], str],
    ) -> None:
        self._document = document
        self._writer = FormatWriter(document, lang, formula, escape)
        self._t = t

    def whole(self) -> Iterator[str]:
        """Everything, panel by panel."""
        yield self._heading(0, self._writer.sentence(self._document.title))
        yield self._bold(self._writer.badge())
        for panel in self._document.panels:
            if panel.blocks:
                title = f"{panel.number}. {self._writer.sentence(panel.title)}"
                yield self._heading(1, title)
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
            yield self._listing(block.text)
        elif isinstance(block, m.ShownTable):
            yield from self._table(block)
        elif isinstance(block, m.Equations):
            if block.text:
                yield self._writer.sentence(block.text)
            yield self._chain(block.chain)
        elif isinstance(block, m.Matrices):
            yield self._display(self._matrices(block))
        else:
            for group in block.groups:
                yield self._heading(2, self._writer.sentence(group.title))
                yield from self.chosen(group.cards)

    def _card(self, card: m.Card) -> Iterator[str]:
        """A card: claim and reason unless it failed, formulas, numbers, verdict."""
        yield self._card_title(card)
        if card.asks is not None:
            yield self._emphasis(self._writer.sentence(card.asks))
        if card.status != m.FAILED:
            yield self._bold(self._writer.sentence(card.claim))
            yield self._labelled("reason", card.reason)
        yield from map(self._chain, card.chains)
        if card.code:
            yield self._listing(card.code)
        if card.shapes:
            notes = "; ".join(
                f"{self._writer.formula(note.symbol)}{self._after_symbol}"
                f"{self._writer.escape(show(note.shape))}"
                for note in card.shapes
            )
            yield f"{self._label('shapes')} {notes}"
        yield from self._numbers(card)
        for why in card.why:
            head = f"{self._label('why')} " if why.kind == "rule" else ""
            yield head + self._writer.sentence(why.text)
            yield from map(self._chain, why.chains)
        if card.wrong is not None:
            yield self._labelled(card.wrong_label, card.wrong)
        yield self._verdict(card)

    def _numbers(self, card: m.Card) -> Iterator[str]:
        for chain in card.chains:
            found = numbers_of(chain, self._document, self._t)
            t = step_of(chain, self._document, self._t)
            if found and t is not None:
                yield self._writer.label("numbers", t=t)
            if found:
                yield self._display(stacked([
                    f"{to_latex(item.expr)} &= {array_latex(item.value)}"
                    for item in found
                ]))  # fmt: skip

    def _chain(self, chain: m.Chain) -> str:
        if chain.is_typed:
            notes = [link.reason for link in chain.links if link.reason]
            said = [self._emphasis(self._writer.sentence(note)) for note in notes]
            return "\n\n".join([self._listing(typed_lines(chain)), *said])
        return self._typeset(chain)

    def _typeset(self, chain: m.Chain) -> str:
        return self._display(aligned(chain))

    def _label(self, name: str) -> str:
        return self._emphasis(self._writer.label(name).strip())

    def _labelled(self, name: str, text: m.Text) -> str:
        return f"{self._label(name)} {self._writer.sentence(text)}"

    # ----- what a format says -----

    _after_symbol = " "  # before the shape of a symbol

    def _heading(self, level: int, title: str) -> str:
        raise NotImplementedError

    def _card_title(self, card: m.Card) -> str:
        raise NotImplementedError

    def _bold(self, text: str) -> str:
        raise NotImplementedError

    def _emphasis(self, text: str) -> str:
        raise NotImplementedError

    def _display(self, latex: str) -> str:
        raise NotImplementedError

    def _listing(self, text: str) -> str:
        raise NotImplementedError

    def _table(self, table: m.ShownTable) -> Iterator[str]:
        raise NotImplementedError

    def _matrices(self, block: m.Matrices) -> str:
        raise NotImplementedError

    def _verdict(self, card: m.Card) -> str:
        raise NotImplementedError
