"""Panel 10: try to break it. The cell's formulas, and mistakes made from them.

The script runs one backward pass by what every edge gives back, with one rule replaced
by what the reader chose or wrote, and compares the gradients that come out.
"""

from __future__ import annotations

from typing import Any

from bptt.explain.algebra.expr import T
from bptt.explain.cards import Term
from bptt.explain.formula.backward import Rules
from bptt.explain.html.panels.lab_known import known_data
from bptt.explain.html.panels.lab_mistakes import Mistake, find_mistakes
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.panels.play import play_data
from bptt.explain.html.panels.walk import walk_data
from bptt.explain.html.words import word
from bptt.explain.notation.plain import to_ascii
from bptt.page.tags import Markup, join, tag


def lab_panel(page: PageContext) -> Markup:
    """The choices, the formula, the place for the result."""
    choices = [
        tag("button", _title(page, mistake), type="button", class_="plain",
            aria_pressed="true" if mistake.id == "none" else "false",
            data_formula=mistake.formula)
        for mistake in find_mistakes(page.graph, recursion_of(page))
    ]  # fmt: skip
    label = tag("label", word("lab-formula"), for_="formula")
    area = tag(
        "textarea",
        "",
        id="formula",
        rows=2,
        spellcheck="false",
        autocomplete="off",
        autocapitalize="off",
        aria_describedby="notation",
    )
    body = tag(
        "div", tag("div", *choices, class_="choices"), label, area,
        tag("p", word("lab-notation"), id="notation", class_="note"),
        tag("div", class_="result", role="status", aria_live="polite"),
        class_="lab needs-script",
    )  # fmt: skip
    return join(
        tag("p", word("lab-intro")), page.writer.later(body),
        tag("p", word("lab-no-script"), class_="note without-script"),
    )  # fmt: skip


def _title(page: PageContext, mistake: Mistake) -> Markup:
    """The explanation's own words where it has them."""
    if mistake.text is not None:
        return page.writer.text(mistake.text)
    return word(f"mistake-{mistake.id}")


def recursion_of(page: PageContext) -> dict[str, list[Term]]:
    """The terms of every node's gradient, from the loss backwards."""
    return {
        name: page.maker.terms(name) for name in reversed(tuple(page.graph.definitions))
    }


def lab_data(page: PageContext) -> dict[str, Any]:
    """What the script runs: what every edge gives back, and what arrives from outside.

    order: the nodes, forward; edges: at step t of the target, in terms of its gradient.
    """
    terms = recursion_of(page)
    found = find_mistakes(page.graph, terms)
    right = next((m for m in found if m.id == "none"), Mistake("none", "", ""))
    rules = Rules(page.labels.derivation)
    names = [*page.graph.parameters, *page.graph.inputs, *page.graph.definitions]
    edges = [{"source": name, "target": pull.reader, "lag": pull.lag,
              "formula": to_ascii(pull.formula)}
             for name in names for pull in rules.pulls(name)]  # fmt: skip
    seeds = {name: to_ascii(seed) for name in page.graph.definitions
             if (seed := rules.seed(name)) is not None}  # fmt: skip
    if page.graph.loss is not None:
        seeds[page.graph.loss] = to_ascii(page.maker.weight(T))
    parameters = [{"name": name} for name in page.graph.parameters]
    return {"order": list(page.graph.definitions), "edges": edges, "seeds": seeds,
            "parameters": parameters, "target": right.target, "loss": page.graph.loss,
            "right": right.formula, "known": known_data(page), **walk_data(page),
            **play_data(page)}  # fmt: skip
