"""What stands around the panels: the bar of switches, the contents, the first panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bptt.explain import model as m
from bptt.explain.html.blocks import BADGES
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.words import plain, word
from bptt.page.tags import Markup, tag


@dataclass(frozen=True)
class Section:
    """A panel as it stands on the page; number: None for the first, which has none."""

    id: str
    number: int | None
    title: Markup
    body: Markup


def bar(page: PageContext, lang: str) -> Markup:
    """The slider, the forms, the language and the theme."""
    steps = tag(
        "div",
        tag("label", word("step"), for_="t", class_="sr"),
        _round("earlier", "M9 1 2 6.5 9 12z", lang),
        tag(
            "input", type="range", id="t", min=1, max=page.tau, value=page.first, step=1
        ),
        _round("later", "M3 1l7 5.5L3 12z", lang),
        tag("output", f"t = {page.first}", id="t-now", for_="t"),
        _round("play", "M11 1 5 6.5 11 12zM6 1 0 6.5 6 12z", lang),
        class_="steps needs-script",
    )
    forms = tag(
        "fieldset",
        tag("legend", word("forms")),
        *(
            tag(
                "button",
                word(f"form-{form}"),
                type="button",
                data_form=form,
                aria_pressed="true",
            )
            for form in ("element", "matrix", "number")
        ),
        class_="seg needs-script",
    )
    languages = _radios("lang", "language", lang, en="English", zh="中文")
    themes = _radios(
        "theme",
        "theme",
        "auto",
        **{name: word(f"theme-{name}") for name in ("auto", "light", "dark")},
    )
    brand = tag("span", tag("b", "∇"), " bptt", class_="brand")
    return tag("header", brand, steps, forms, languages, themes, class_="bar")


def _round(key: str, path: str, lang: str) -> Markup:
    words = plain(key)
    sign = tag("svg", tag("path", d=path), width=12.0, height=13.0, aria_hidden="true")
    return tag("button", sign, type="button", id=key, class_="round",
               aria_label=words[lang], title=" · ".join(words.values()))  # fmt: skip


def _radios(name: str, legend: str, chosen: str, **options: Any) -> Markup:
    choices = [
        tag("label", tag("input", type="radio", name=name, id=f"{name}-{value}",
                         checked=value == chosen), tag("span", words))
        for value, words in options.items()
    ]  # fmt: skip
    return tag("fieldset", tag("legend", word(legend)), *choices, class_="seg")


def contents(shown: list[Section], lang: str) -> Markup:
    """A link to every panel."""
    links = []
    for section in shown:
        number = "" if section.number is None else str(section.number)
        inner = tag("i", number), tag("span", section.title)
        links.append(tag("li", tag("a", *inner, href=f"#{section.id}")))
    return tag(
        "nav", tag("ol", *links), class_="contents", aria_label=plain("contents")[lang]
    )


def open_all() -> Markup:
    """Two buttons for everything in a panel that opens."""
    buttons = [
        tag("button", word(key), type="button", class_="plain", data_open=value)
        for key, value in (("open-all", "true"), ("close-all", "false"))
    ]
    return tag("div", *buttons, class_="controls needs-script")


def header(page: PageContext, panel: m.PagePanel, blocks: list[Markup]) -> Markup:
    """Panel 0: title, badge, and the document's blocks."""
    badge = page.document.badge
    style = BADGES[badge.status]
    keys = "keys-back" if page.graph.backward else "keys"
    without = "no-script-packed" if page.writer.is_packed else "no-script"
    notes = (
        tag("p", word(keys), class_="note needs-script"),
        tag("p", word(without, t=str(page.first)), class_="note without-script"),
    ) if page.document.has_picture else ()  # fmt: skip
    return tag(
        "section", tag("h1", page.writer.text(page.document.title)),
        tag("p", tag("span", page.writer.text(badge.text), class_=style)),
        *blocks, *notes, class_="panel", id=panel.id,
    )  # fmt: skip
