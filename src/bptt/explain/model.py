"""The document that every format shows: panels, cards, equality chains and checks.

Nothing that a person sees is written by a renderer. A renderer walks a `Document` and
writes what it finds; it has no sentence, formula or number of its own.

    Document
      panels: Panel           "header", "cell", "derivation", "edges", "sharing", ...
        blocks: Block         in order, one of
          Paragraph           a sentence
          Table               columns, rows; a row may be marked "bad" or "good"
          Equations           a Chain that belongs to no card
          Cards               Group of Card: the derivation
          Listing             text to show as it is: the cell's source, a command
          Matrices            expressions with their values at the step that is shown

A **Text** is an id in the string tables and the values of its fields; `strings.pieces(
text, lang)` gives the sentence as a list of plain strings and `Expr`s, so that a
formula inside a sentence is rendered like any other. Ids are the same in all languages.

A **Chain** is a displayed chain of equalities: links[0] = links[1] = ... Each **Link**
carries its tree (`expr.Expr`), why it equals the one before (`reason`), and the two
checks made of it: `tree` (the displayed tree evaluated on every instance against the
first link's own value) and `printed` (the emitted LaTeX read back by
`read_latex` and evaluated).

A **Card** is one idea: claim, one-line reason, chain, "why?" (rule, element form before
matrix form, both chains), shapes, what would go wrong if. Its id is the same in all
languages and stays: "10.21", "node:h", "parameter:W". `status` decides the frame: a
failed card is shown red, with its title and without its claim; an unchecked one says
so. `edges` are the edges of the unrolled graph that a picture lights: (source, lag of
the source against t, target, lag of the target); a target "" is the one L.

Numbers: `document.shown` is the `Point` of the instance that is displayed (the one
given by seed, sizes and tau); `evaluate.evaluate(expr, document.shown, t=3)` is the
value of any displayed expression at a step, as a matrix (vectors are columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bptt.explain.algebra.expr import FIRST, TAU, Expr, Time, Written
from bptt.explain.sentences import LANGUAGES as LANGUAGES  # noqa: PLC0414
from bptt.explain.sentences import Text as Text  # noqa: PLC0414
from bptt.explain.sentences import Typed as Typed  # noqa: PLC0414

if TYPE_CHECKING:
    from bptt.explain.algebra.point import Point, Scope

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"
PHASES = ("forward", "loss", "nodes", "parameters", "more")
TOLERANCE = 1e-12
# Sentences under "what would go wrong if" that tell of another case, not of a mistake.
OTHER_CASES = frozenset((
    *(f"book.10.17.wrong.{kind}" for kind in ("sum", "mean", "last")),
    "book.10.22.wrong", "book.x.wrong", "card.input.wrong", "card.initial.wrong",
    "card.node.wrong.seed", "card.node.wrong.loss-sum",
))  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One check of one displayed thing.

    status: "passed", "failed" or "not checked"; error: the largest over all instances,
    steps and elements, relative; instances: how many; note: why not checked, or where
    it failed.
    """

    status: str
    error: float | None = None
    tolerance: float = TOLERANCE
    instances: int = 0
    note: Text | None = None


UNCHECKED = Check(NOT_CHECKED)


@dataclass(frozen=True)
class Link:
    """One side of an equality; reason: why it equals the link before."""

    expr: Expr
    reason: Text | None = None
    tree: Check = UNCHECKED
    printed: Check = UNCHECKED

    @property
    def status(self) -> str:
        """The worse of the two checks."""
        return worst_status((self.tree.status, self.printed.status))

    @property
    def open_note(self) -> Text | None:
        """Why it is not checked; None where it is, or nothing says why."""
        notes = [c.note for c in (self.tree, self.printed) if c.status == NOT_CHECKED]
        return next(filter(None, notes), None)


@dataclass(frozen=True)
class Chain:
    """links[0] = links[1] = ..., for every step from `first` to `last`.

    first, last: bounds of t as shown ("t = tau", "1 <= t < tau"); None where no t
    occurs; letters: free indices (i, j) -> dimension, each shown as "for all i".
    number: the book's equation number, or "".
    """

    links: tuple[Link, ...]
    first: Time | None = FIRST
    last: Time | None = TAU
    letters: Mapping[str, str | int] = field(default_factory=dict)
    number: str = ""

    @property
    def status(self) -> str:
        """The worst of its links."""
        return worst_status(link.status for link in self.links)

    @property
    def is_single_step(self) -> bool:
        """Whether the bounds leave one step: t = tau."""
        return self.first is not None and self.first == self.last

    @property
    def is_written(self) -> bool:
        """Whether the language of cells writes it, and not the tree of formulas."""
        return isinstance(self.links[0].expr, Written)

    @property
    def is_typed(self) -> bool:
        """Whether it is shown as the language of cells writes it, as text."""
        return any(
            isinstance(link.expr, Written) and link.expr.typeset is None
            for link in self.links
        )


@dataclass(frozen=True)
class Why:
    """The answer to "why?": the rule in a sentence, then chains in order.

    kind: "rule", "element", "matrix" or "match" (factor by factor).
    """

    kind: str
    text: Text
    chains: tuple[Chain, ...] = ()


@dataclass(frozen=True)
class ShapeNote:
    """A symbol of a card and its shape, (rows, columns) in named dimensions.

    Of a value with indices their dimensions come first.
    """

    symbol: Expr
    shape: tuple[str | int, ...]


LitEdge = tuple[str, int, str, int]


@dataclass(frozen=True)
class Card:
    """One idea of the derivation; see the module.

    number: the book's equation number or ""; phase: one of `PHASES`; node: what it is
    the gradient of (a name) or "", with `boundary` "last" (t = tau), "inner" (t < tau),
    "start" (t = 0) or ""; question: "Q1" to "Q3" where it answers one; code: its lines
    in NumPy, "" where they have none.
    """

    id: str
    phase: str
    title: Text
    claim: Text
    reason: Text
    chains: tuple[Chain, ...]
    why: tuple[Why, ...] = ()
    wrong: Text | None = None
    shapes: tuple[ShapeNote, ...] = ()
    edges: tuple[LitEdge, ...] = ()
    number: str = ""
    node: str = ""
    boundary: str = ""
    question: str = ""
    code: str = ""

    @property
    def wrong_label(self) -> str:
        """Which label stands before `wrong`: of a mistake, or of another case."""
        is_case = self.wrong is not None and self.wrong.id in OTHER_CASES
        return "case" if is_case else "wrong"

    @property
    def asks(self) -> Text | None:
        """The reader's question, in words, where the card answers one."""
        return Text(f"question.{self.question}") if self.question else None

    @property
    def open_note(self) -> Text | None:
        """Why something of it is not checked; None where nothing says so."""
        links = [link for chain in self.all_chains for link in chain.links]
        return next(filter(None, (link.open_note for link in links)), None)

    @property
    def all_chains(self) -> tuple[Chain, ...]:
        """The card's own chains and those under "why?"."""
        return (*self.chains, *(c for why in self.why for c in why.chains))

    @property
    def status(self) -> str:
        """Failed if any link failed; not checked if any link could not be checked."""
        return worst_status(chain.status for chain in self.all_chains)


@dataclass(frozen=True)
class Group:
    """Cards that belong together and fold as one."""

    id: str
    title: Text
    cards: tuple[Card, ...]


# ----- blocks -----


@dataclass(frozen=True)
class Paragraph:
    """A sentence."""

    text: Text


@dataclass(frozen=True)
class Listing:
    """Text to show as it is."""

    text: str
    id: str = ""


Cell = Text | Expr | str | float | int | None


@dataclass(frozen=True)
class TableRow:
    """A row of a table; mark: "", "good" or "bad"; check: where the row states one.

    has_failed: its own error is above what is allowed, which no row should have: the
    verdict of the whole document is then red. (A row that shows a mistake is "bad", and
    has not failed.)
    """

    cells: tuple[Cell, ...]
    mark: str = ""
    check: Check | None = None
    has_failed: bool = False


@dataclass(frozen=True)
class ShownTable:
    """Columns and rows; a cell is a sentence, formula, plain string or number."""

    id: str
    columns: tuple[Text, ...]
    rows: tuple[TableRow, ...]
    caption: Text | None = None


@dataclass(frozen=True)
class Equations:
    """A chain outside the cards, with a sentence before it."""

    id: str
    chain: Chain
    text: Text | None = None


@dataclass(frozen=True)
class Matrices:
    """Expressions shown with their values at the step in view, left to right.

    relation: what stands between them: "=", "@", or "" for a list.
    """

    id: str
    exprs: tuple[Expr, ...]
    relation: str = ""
    first: Time | None = FIRST
    last: Time | None = TAU


@dataclass(frozen=True)
class Cards:
    """The derivation: groups of cards in the order of the two phases."""

    groups: tuple[Group, ...]


Block = Paragraph | Listing | ShownTable | Equations | Matrices | Cards


@dataclass(frozen=True)
class PagePanel:
    """One panel; number: its place on the page, 0 to 12."""

    id: str
    number: int
    title: Text
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Badge:
    """`N equations, N checked, worst error`, counted over every displayed link.

    failed: equations and rows of tables whose own error is too large.
    """

    equations: int
    checked: int
    failed: int
    worst: float

    @property
    def status(self) -> str:
        """FAILED, NOT_CHECKED where an equation was not, or PASSED."""
        if self.failed:
            return FAILED
        return PASSED if self.checked == self.equations else NOT_CHECKED

    @property
    def text(self) -> Text:
        """The badge as a sentence."""
        return Text(
            "badge-failed" if self.failed else "badge",
            {"equations": self.equations, "checked": self.checked,
             "failed": self.failed, "worst": show_error(self.worst)},
        )  # fmt: skip


@dataclass(frozen=True)
class Document:
    """Everything that is displayed of one cell.

    source: the cell's text as typed; scope: names, shapes and kinds of the cell; shown:
    the instance whose numbers are displayed; options: cell (what it is called, "" if
    nothing), tau, seed, sizes, reduction.
    """

    title: Text
    source: str
    scope: Scope
    shown: Point
    options: Mapping[str, Any]
    panels: tuple[PagePanel, ...]

    def panel(self, panel_id: str) -> PagePanel:
        """The panel of this id; KeyError if there is none."""
        return {panel.id: panel for panel in self.panels}[panel_id]

    @property
    def has_picture(self) -> bool:
        """Whether the network is drawn; of a cell with indices it is not."""
        return any(panel.id == "graph" for panel in self.panels)

    @property
    def cards(self) -> tuple[Card, ...]:
        """Every card of the derivation, in order."""
        return tuple(
            card
            for panel in self.panels
            for block in panel.blocks
            if isinstance(block, Cards)
            for group in block.groups
            for card in group.cards
        )

    def chains(self) -> Iterator[Chain]:
        """Every chain that is displayed, in order."""
        for panel in self.panels:
            for block in panel.blocks:
                if isinstance(block, Equations):
                    yield block.chain
                elif isinstance(block, Cards):
                    for group in block.groups:
                        for card in group.cards:
                            yield from card.all_chains

    @property
    def failed_rows(self) -> tuple[TableRow, ...]:
        """The rows of tables whose own error is too large."""
        return tuple(
            row
            for panel in self.panels
            for block in panel.blocks
            if isinstance(block, ShownTable)
            for row in block.rows
            if row.has_failed
        )

    @property
    def badge(self) -> Badge:
        """The counts: a chain of n links is n - 1 equations."""
        links = [link for chain in self.chains() for link in chain.links[1:]]
        checks = [check for link in links for check in (link.tree, link.printed)]
        errors = [check.error for check in checks if check.error is not None]
        return Badge(
            len(links),
            sum(link.status == PASSED for link in links),
            sum(link.status == FAILED for link in links) + len(self.failed_rows),
            max(errors, default=0.0),
        )  # fmt: skip


def worst_status(statuses: Any) -> str:
    """Failed before not checked before passed; of nothing: not checked."""
    found = set(statuses)
    for status in (FAILED, NOT_CHECKED, PASSED):
        if status in found:
            return status
    return NOT_CHECKED


def show_error(error: float) -> str:
    """An error to one digit: `4e-16`; `0` where there is none."""
    return f"{error:.0e}" if error else "0"
