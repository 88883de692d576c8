"""Before the panels: one unit and two steps, by hand, and what one unit hides."""

from __future__ import annotations

from functools import cache

import numpy as np

from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.values import show_number
from bptt.explain.html.words import word
from bptt.explain.model import PASSED, Chain, Link
from bptt.explain.notation.parse import parse
from bptt.explain.verify import Verifier
from bptt.language import parse_cell
from bptt.page.tags import Markup, join, tag
from bptt.unrolled import unroll

CELL = """
w: (); u: (); x: (); h: (); y: ()
a[t] = w * h[t-1] + u * x[t]
h[t] = tanh(a[t])
L[t] = (h[t] - y[t]) ** 2 / 2
"""
NUMBERS = {"w": 0.5, "u": 1.0}
INPUTS = {"x": [1.0, -0.5], "y": [0.5, 0.2]}
START = 0.4
FORWARD = ("a[1] = w * h[0] + u * x[1]", "h[1] = tanh(a[1])",
           "a[2] = w * h[1] + u * x[2]", "h[2] = tanh(a[2])",
           "L = (h[1] - y[1])**2 / 2 + (h[2] - y[2])**2 / 2")  # fmt: skip
BACKWARD = ("grad_h[2] = h[2] - y[2]", "grad_a[2] = (1 - h[2]**2) * grad_h[2]",
            "grad_h[1] = w * grad_a[2] + h[1] - y[1]",
            "grad_a[1] = (1 - h[1]**2) * grad_h[1]",
            "grad_w = grad_a[1] * h[0] + grad_a[2] * h[1]")  # fmt: skip
# What 10.21 carries back, and two wrong ways to write it: one number all the same.
SAME = (("right", "w * (1 - h[2]**2) * grad_h[2]"),
        ("printed", "w * grad_h[2] * (1 - h[2]**2)"),
        ("order", "(1 - h[2]**2) * w * grad_h[2]"))  # fmt: skip


@cache
def hand_point() -> Point:
    """The one unit with its numbers, back-propagated by the library."""
    scope = Scope(parse_cell(CELL))
    weights = np.ones(2)
    graph = unroll(
        scope.graph, {k: np.array(v) for k, v in NUMBERS.items()},
        {k: np.array(v) for k, v in INPUTS.items()},
        initial={"h": np.array(START)}, weights=weights,
    )  # fmt: skip
    return Point(scope, graph, {}, weights)


def hand_panel(page: PageContext) -> Markup:
    """Forward, backward, and the lines that one unit cannot tell apart."""
    lines = [_lines(page, FORWARD), _lines(page, BACKWARD)]
    same = [
        tag("tr", tag("td", word(f"hand-{kind}")), tag("td", _formula(page, text)),
            tag("td", show_number(_value(text), 4), class_="n"))
        for kind, text in SAME
    ]  # fmt: skip
    table = tag("table", tag("tbody", *same), class_="nums")
    return join(
        tag("p", word("hand-intro")),
        tag("div", tag("div", tag("h4", word("hand-forward")), lines[0]),
            tag("div", tag("h4", word("hand-backward")), lines[1]), class_="two"),
        tag("p", word("hand-reading")), tag("h4", word("hand-hides")),
        tag("p", word("hand-one")), tag("div", table, class_="scroll"),
        tag("p", word("hand-more")),
    )  # fmt: skip


def _lines(page: PageContext, lines: tuple[str, ...]) -> Markup:
    rows = [_line(page, *line.split(" = ")) for line in lines]
    table = tag("table", tag("tbody", *rows), class_="nums hand")
    return tag("div", table, class_="scroll", tabindex=0)


def _line(page: PageContext, left: str, right: str) -> Markup:
    point = hand_point()
    links = Link(parse(left, point.scope)), Link(parse(right, point.scope))
    found = Verifier((point,)).chain(Chain(links, None, None)).links[1]
    assert found.status == PASSED, (left, found)
    return tag(
        "tr", tag("td", page.writer.eq(links[0].expr)), tag("td", "="),
        tag("td", page.writer.eq(links[1].expr)),
        tag("td", "= ", show_number(_value(right), 4), " ", page.writer.mark(found),
            class_="n"),
    )  # fmt: skip


def _formula(page: PageContext, text: str) -> Markup:
    return page.writer.eq(parse(text, hand_point().scope))


def _value(text: str) -> float:
    point = hand_point()
    return float(evaluate(parse(text, point.scope), point, None)[0, 0])
