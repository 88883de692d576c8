"""A report: one HTML file without a script that asks for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bptt.page.style import CHART, REPORT
from bptt.page.tags import Markup, tag

NAMES = {"en": "English", "zh": "中文"}


def document(title: str, *body: Any) -> str:
    """The whole page, light and dark."""
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title), tag("style", Markup(REPORT + CHART)),
    )  # fmt: skip
    return f"<!doctype html>{tag('html', head, tag('body', *body), lang='en')}\n"


def bilingual(bodies: Mapping[str, Markup]) -> list[Markup]:
    """A page in several languages, and a switch that works without a script.

    bodies: language -> its page; the first shows until the reader chooses.
    """
    switches = []
    for number, lang in enumerate(bodies):
        mark = f"show-{lang}"
        switch = tag("input", type="radio", name="language", id=mark, class_=mark,
                     checked=number == 0)  # fmt: skip
        label = tag("label", NAMES[lang], for_=mark, lang=lang)
        switches += [switch, label]
    pages = [
        tag("main", body, lang=lang, class_=f"in-{lang}")
        for lang, body in bodies.items()
    ]
    return [*switches, *pages]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    """A table under its title, which scrolls where it is wider than the page."""
    top = tag("tr", *(tag("th", cell) for cell in head))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    inside = tag("div", tag("table", top, *body), class_="wide")
    return tag("section", tag("h2", title), inside)
