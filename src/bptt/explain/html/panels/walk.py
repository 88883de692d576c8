"""In panel 6: one path after the other, walked factor by factor by the script."""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, T, Value
from bptt.explain.html.held import listed
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.words import word
from bptt.explain.html.writer import symbols_latex
from bptt.page.tags import Markup, tag

MOVES = {"factor": "walk-factor", "path": "walk-next", "all": "walk-all",
         "again": "walk-again"}  # fmt: skip


def walk_panel(page: PageContext, names: list[str]) -> Markup:
    """The choice of a parameter, the moves, the picture, product, numbers and box."""
    choices = [
        tag("button", page.name(name, None), type="button", data_walk=name,
            aria_pressed="false")
        for name in names
    ]  # fmt: skip
    moves = [
        tag("button", word(key), type="button", class_="plain", data_move=move)
        for move, key in MOVES.items()
    ]
    chosen = tag(
        "fieldset", tag("legend", word("walk-parameter")), *choices, class_="seg"
    )
    count = tag("span", word("walk-path"), " ", tag("b", class_="walk-count"))
    return tag(
        "div", tag("p", _intro(page)),
        tag("div", chosen, count, *moves, class_="controls"),
        tag("figure"),
        tag("div", class_="walk-product"), tag("div", class_="walk-numbers"),
        tag("div", class_="walk-box"),
        tag("p", class_="walk-note note", role="status", aria_live="polite"),
        class_="walk needs-script",
    )  # fmt: skip


def _intro(page: PageContext) -> Markup:
    """Where a path is walked from: L, or what arrives where the cell has no loss."""
    if page.graph.loss:
        return word("walk-intro")
    seeds = [page.writer.eq(e.Incoming(Value(name, T)))
             for name in page.document.shown.seeds]  # fmt: skip
    return word("walk-intro-seeded", seeds=listed(seeds))


def walk_data(page: PageContext) -> dict[str, Any]:
    """LaTeX for the script: of names, of the transposed Jacobian on every arrow.

    given: how the letter is written that stands for what arrives at a parameter matrix.
    """
    turned = {}
    for card, arrows in page.arrows.items():
        if not arrows[-1].across and arrows[-1].jacobian is not None:
            turned[card] = symbols_latex(_turned(page, card))
    names = [*page.graph.parameters, *page.graph.definitions]
    incoming = {name: symbols_latex(e.Incoming(Value(name, T)))
                for name in page.document.shown.seeds}  # fmt: skip
    return {
        "turned": turned, "incoming": incoming,
        "given": symbols_latex(Value(page.labels.given)),
        "latex": {name: symbols_latex(Value(name)) for name in names},
    }  # fmt: skip


def _turned(page: PageContext, card: str) -> Expr:
    arrow = page.arrows[card][-1]
    found = page.labels.turned(arrow)
    return e.Transpose(page.labels.general(arrow)) if found is None else found
