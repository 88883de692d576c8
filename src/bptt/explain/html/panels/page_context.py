"""What every panel needs: the document, how to write it, the two drawn graphs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bptt.execute.weighting import REDUCTIONS
from bptt.explain.algebra.expr import T, Value
from bptt.explain.cards import CardMaker
from bptt.explain.html.picture.drawn import Arrow
from bptt.explain.html.picture.lettering import LOW_DIGITS
from bptt.explain.html.picture.names import Step
from bptt.explain.html.picture.pictures import Pictures
from bptt.explain.html.words import plain
from bptt.explain.html.writer import PageWriter
from bptt.explain.instances import Options
from bptt.explain.notation.greek import GREEK
from bptt.explain.notation.printer import ACCENTS, split_name
from bptt.page.tags import Markup, join, tag, text
from bptt.step.graph import Graph


@dataclass(frozen=True)
class PageContext(Pictures):
    """One page in the making; lang: the language that it opens in.

    figure: the network in time of a cell with indices, as SVG.
    """

    writer: PageWriter
    lang: str = "en"
    figure: str = ""

    @property
    def graph(self) -> Graph:
        """The step graph that is explained."""
        return self.document.scope.graph

    @cached_property
    def maker(self) -> CardMaker:
        """Makes terms of gradients as the cards show them."""
        document = self.document
        kind = str(document.options["reduction"])
        weights = tuple(float(w) for w in document.shown.weights)
        options = (
            Options(self.tau, reduction=kind)
            if kind in REDUCTIONS
            else Options(self.tau, weights=weights)
        )
        return CardMaker(self.labels.derivation, document.scope, options)

    @property
    def tau(self) -> int:
        """The last step."""
        return self.unrolled.tau

    @property
    def first(self) -> int:
        """The step shown before the slider moves."""
        return self.writer.values.first

    def said(self, *keys: str) -> list[str]:
        """Entries as plain text, in the language that the page opens in."""
        return [plain(key)[self.lang] for key in keys]

    def name(self, name: str, lag: int | None = 0) -> Markup:
        """A symbol as a formula: h^(t), or W for lag None."""
        return self.writer.eq(Value(name, None if lag is None else T.moved(lag)))

    def ends(self, arrow: Arrow) -> Markup:
        """u → v as formulas, at step t."""
        target = None if arrow.target.kind == "total" else 0
        return join(
            self.name(arrow.kind.source, arrow.kind.lag), " → ",
            self.name(arrow.target.name, target),
        )  # fmt: skip

    @cached_property
    def arrows(self) -> dict[str, list[Arrow]]:
        """The arrows of both pictures by card, each in order of t."""
        found: dict[str, list[Arrow]] = {}
        for drawn in (self.full, self.folded):
            fresh: dict[str, list[Arrow]] = {}
            for arrow in drawn.arrows:
                fresh.setdefault(arrow.card, []).append(arrow)
            found = fresh | found
        ordered = sorted(found, key=lambda card: "~" in card)
        return {card: found[card] for card in ordered}


def tspans(name: str, t: Step = None) -> Markup:
    """A symbol in SVG: letter, label lowered, step raised."""
    base, accent, label = split_name(name)
    letter = GREEK.get(base, base)
    if accent:
        letter = "ŷ" if (base, accent) == ("y", "hat") else letter + ACCENTS[accent]
    parts: list[str] = [text(letter)]
    down = 0.0
    if label.isdigit():
        parts.append(label.translate(LOW_DIGITS))
    elif label:
        parts.append(tag("tspan", label, class_="sub", dy=4.0))
        down = 4.0
    if t is not None:
        parts.append(tag("tspan", f"({t})", class_="sup", dy=-6.0 - down))
    return Markup("".join(parts))
