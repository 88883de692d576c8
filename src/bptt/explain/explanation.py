"""The explanation that a person holds: every format, one document."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bptt.check import silent
from bptt.errors import ArgumentError, list_known
from bptt.explain import model as m
from bptt.explain.build import build_document
from bptt.explain.instances import Options
from bptt.explain.prepare import has_indices, refuse_indices
from bptt.explain.render.common import FormatWriter
from bptt.explain.sentences import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bptt.engine import Engine
    from bptt.explain.figure import Figure

SUFFIXES = (".txt", ".md", ".tex", ".html")
# What is no finite number is shown so, and not warned of as well.
quiet = np.errstate(all="ignore")


class UnknownFormatError(ArgumentError):
    """An explanation is asked for in a format that there is no writer of."""


class BackwardLoopError(ArgumentError):
    """A figure is asked for of a cell in which something is read at t+1."""


class UnknownCardError(ArgumentError):
    """A card is asked for that the derivation does not have."""


@dataclass(frozen=True)
class Explanation:
    """The derivation of a cell's gradient, shown and checked; see `Cell.explain`.

    name: of the cell, for titles and commands; lang: "en" or "zh"; step: the id of a
    single card ("10.21", "node:h"), or None for everything; t: the step whose numbers
    are shown; with_ledger: see `build_document`; progress: is told the share of the
    document that is made.
    """

    cell: Engine
    name: str
    options: Options
    lang: str = "en"
    step: str | None = None
    t: int = 2
    with_ledger: bool = True

    progress: Callable[[float], None] = field(default=silent, repr=False)

    @cached_property
    def document(self) -> m.Document:
        """What is shown, checked: see `explain.model`."""
        return build_document(
            self.cell, self.name, self.options, with_ledger=self.with_ledger,
            progress=self.progress,
        )  # fmt: skip

    @property
    def cards(self) -> tuple[m.Card, ...] | None:
        """The chosen card alone; None where everything is shown.

        Raises: UnknownCardError, listing the cards there are.
        """
        if self.step is None:
            return None
        found = tuple(c for c in self.document.cards if self.step in (c.id, c.number))
        if not found:
            ids = list_known(self.step, [card.id for card in self.document.cards])
            raise UnknownCardError(f"no card is called {self.step!r}; there are: {ids}")
        return found

    @property
    def passed(self) -> bool:
        """Whether every displayed equality held, and no row of a table failed.

        A line does not count that says why it is not checked: of a cell with indices
        because it cannot be read back, of any because its numbers are not finite here,
        or rounding leaves them no digits.
        """
        badge = self.document.badge
        if badge.failed:
            return False
        if has_indices(self.cell.graph):
            return True
        links = [k for chain in self.document.chains() for k in chain.links[1:]]
        says_why = all(k.status == m.PASSED or k.open_note for k in links)
        return says_why and badge.checked > 0

    @property
    def summary(self) -> str:
        """`N equations, N checked, worst error`, in the language chosen."""
        return FormatWriter(self.document, self.lang, str).badge()

    # ----- formats -----

    @quiet
    def text(self, *, ascii_only: bool = False, width: int = 100) -> str:
        """Plain text of at most `width` columns; ascii_only: formulas in ASCII."""
        from bptt.explain.render.terminal import render_text

        return render_text(
            self.document, self.lang, ascii_only=ascii_only, width=width,
            cards=self.cards, t=self.t,
        )  # fmt: skip

    @quiet
    def markdown(self) -> str:
        """Markdown with `$$` formulas."""
        from bptt.explain.render.markdown import render_markdown

        return render_markdown(self.document, self.lang, cards=self.cards, t=self.t)

    @quiet
    def latex(self) -> str:
        """A LaTeX document."""
        from bptt.explain.render.latex_document import render_latex

        return render_latex(self.document, self.lang, cards=self.cards, t=self.t)

    @quiet
    def html(self) -> str:
        """The page: one file that needs no network."""
        from bptt.explain.html import html_page

        return html_page(self.document, self.lang, self._network())

    def _network(self) -> str:
        """What the page of a cell with indices shows of its graph in time, as SVG."""
        graph = self.cell.graph
        if not has_indices(graph) or graph.backward:
            return ""
        from bptt.explain.figure.svg import PAGE, to_svg

        return to_svg(self.figure("unrolled").scene, PAGE)

    @quiet
    def slides(self) -> str:
        """The derivation as slides: one file that needs no network, both languages."""
        from bptt.explain.html import slides

        return slides(self.document, self.lang)

    @quiet
    def figure(self, kind: str, *, of: str | None = None) -> Figure:
        """A figure for print; its `save` writes .svg, .pdf or .tex (TikZ).

        kind: "unrolled", the network in time; "edge", every edge with its Jacobian
        and its transpose; "paths", the paths from a parameter to L and what each
        brings. of: for "edge" the name at one of its ends, for "paths" the parameter,
        else the one that the most paths lead from.

        >>> from bptt.cells import book
        >>> book.explain(tau=2).figure("edge", of="W").svg()[:4]
        '<svg'

        Raises: FigureError, BackwardLoopError, IndexedCellError.
        """
        if kind != "unrolled":
            refuse_indices(self.cell.graph)
        for state in sorted(self.cell.graph.backward):
            raise BackwardLoopError(
                f"{state}[t+1] is read: figures draw loops that run from t = 1 to tau. "
                "html() draws both directions"
            )
        from bptt.explain.figure import make_figure
        from bptt.explain.figure.pictured import Pictured

        return make_figure(Pictured(self.document, self.lang), kind, of)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file; its suffix says the format: .html, .md, .tex or .txt.

        Returns: the path.
        Raises: UnknownFormatError; OSError if it cannot be written.
        """
        target = Path(path)
        writers = (self.text, self.markdown, self.latex, self.html)
        write = dict(zip(SUFFIXES, writers, strict=True)).get(target.suffix)
        if write is None:
            raise UnknownFormatError(
                f"no format for {target.suffix!r}; a name ends in one of "
                f"{list_known(target.suffix, SUFFIXES)}"
            )
        target.write_text(write(), encoding="utf-8")
        return target

    # ----- where it shows itself -----

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return (
            f"<Explanation of {self.name}: {', '.join(SUFFIXES)}; lang={self.lang!r}>"
        )

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self.markdown()

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """What a notebook chooses from; it brings its own renderer for formulas."""
        bundle = {"text/markdown": self.markdown(), "text/plain": self.text()}
        kept = set(include or bundle) - set(exclude or ())
        return {kind: text for kind, text in bundle.items() if kind in kept}

    def __rich_console__(self, console: Any, options: Any) -> Iterable[RenderableType]:
        """What rich prints; ASCII where the terminal has no Unicode."""
        ascii_only = options.ascii_only
        from bptt.explain.render.terminal import TerminalWriter

        writer = TerminalWriter(
            self.document, self.lang, ascii_only=ascii_only, t=self.t
        )
        cards = self.cards
        yield from writer.document() if cards is None else writer.cards(cards)


def explain(
    cell: Engine,
    *,
    name: str = "",
    lang: str = "en",
    step: str | None = None,
    tau: int = Options.tau,
    seed: int = Options.seed,
    sizes: Mapping[str, int] | None = None,
    reduction: str = Options.reduction,
    weights: Iterable[float] | None = None,
) -> Explanation:
    """The derivation of a cell's gradient, with every equality checked.

    print() shows it; `text()`, `markdown()`, `latex()` and `html()` give it;
    `save("cell.html")` writes the format of the suffix. A notebook shows it by itself.

    name: of the cell, for titles and commands; lang: "en" or "zh"; step: one card
    alone, by the book's equation number or by its id ("node:h", "parameter:W"); tau,
    seed, sizes: of the numbers shown; how L is made of L^(1) ... L^(tau): reduction
    "sum" (the book's), "mean" or "last", or weights, one per step.

    >>> from bptt import Cell
    >>> Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])").explain(step="node:h").passed
    True

    Of a cell with indices the cards hold at every index; there are the numbers of one
    step, and no Jacobians in numbers and no charts.

    Raises: UnknownLanguageError, ExplainOptionError; and UnknownCardError when shown,
    and IndexedCellError when a figure of Jacobians or paths of a cell with indices is.
    """
    table(lang)  # an unknown language is said here, not when the text is asked for
    chosen = None if weights is None else tuple(float(w) for w in weights)
    options = Options(tau, seed, sizes, reduction, chosen)
    return Explanation(
        cell, name, options, lang, step, t=min(2, tau), with_ledger=step is None
    )
