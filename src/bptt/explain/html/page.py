"""The page: one HTML file that holds everything, from a document.

It makes no request, works from disk, and stands as a long static page where scripts are
off; the script only opens, closes, recolours and moves what is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.explain import model as m
from bptt.explain.expr import Value
from bptt.explain.html import assets
from bptt.explain.html.blocks import write_block
from bptt.explain.html.panels.edges import edges_panel
from bptt.explain.html.panels.flow import flow_panel
from bptt.explain.html.panels.graph import graph_panel
from bptt.explain.html.panels.lab import lab_data, lab_panel
from bptt.explain.html.panels.page_context import Context
from bptt.explain.html.panels.paths import paths_panel
from bptt.explain.html.panels.sharing import sharing_panel
from bptt.explain.html.panels.training import training_panel
from bptt.explain.html.picture.grid import LONGEST
from bptt.explain.html.picture.svg import arrow_widths, shape_text
from bptt.explain.html.tags import Markup, join, tag
from bptt.explain.html.values import Values, encode
from bptt.explain.html.words import plain, word, words
from bptt.explain.html.writer import Writer
from bptt.explain.plain import to_unicode
from bptt.explain.texts import pieces
from bptt.version import __version__

# What the page adds to a panel of the document, after its blocks.
# Tables that stand in, in other formats, for what the page draws itself.
DRAWN = ("contributions", "paths", "edges", "flow:")
# Panels that the page alone has: id -> number.
LARGE = 24  # edges of one step above which a page says less without a script
EXTRA = {"training": 8, "break": 10}
WIDGETS: dict[str, Callable[[Context], Markup]] = {
    "graph": graph_panel,
    "edges": edges_panel,
    "sharing": sharing_panel,
    "paths": paths_panel,
    "flow": flow_panel,
    "training": training_panel,
    "break": lab_panel,
}


def html_page(document: m.Document, lang: str = "en") -> str:
    """The whole file; lang: the language first shown, both are in it."""
    first = max(1, document.shown.tau - 1)
    is_large = len(document.shown.graph.edges) > LARGE * document.shown.tau
    page = Context(document, Writer(document.shown, Values(first, is_large)))
    shown = _with_extra(document.panels)
    panels = [
        section for panel in shown if (section := _panel(page, panel)) is not None
    ]
    body = join(
        tag("a", word("skip"), href="#main", class_="skip"),
        _bar(page, lang),
        tag(
            "div",
            _contents(page, panels),
            tag("main", *(p.body for p in panels), id="main"),
            class_="page",
        ),
        tag("footer", tag("p", word("made-by", version=__version__))),
        tag("div", class_="toast", role="status", aria_live="polite"),
    )
    title = _plain_text(page, document.title)
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"bptt {__version__}"),
        tag("title", title[lang]),
        tag("style", Markup(assets.katex_fonts(page.writer.has_italic_words))),
        tag("style", Markup(assets.style())),
    )
    data = _data(page, title)
    scripts = join(
        tag("script", Markup(data), type="application/json", id="data"),
        tag(
            "script",
            Markup(assets.katex_script()),
            type="application/gzip",
            id="katex-gz",
        ),
        tag("script", Markup(assets.script())),
    )
    return "<!doctype html>\n" + tag(
        "html",
        tag("head", head),
        tag("body", body, scripts),
        lang="zh-CN" if lang == "zh" else "en",
    )


# ----- frame -----


def _bar(page: Context, lang: str) -> Markup:
    steps = tag(
        "div",
        tag("label", word("step"), for_="t", class_="sr"),
        _round("earlier", "M9 1 2 6.5 9 12z"),
        tag(
            "input", type="range", id="t", min=1, max=page.tau, value=page.first, step=1
        ),
        _round("later", "M3 1l7 5.5L3 12z"),
        tag("output", f"t = {page.first}", id="t-now", for_="t"),
        _round("play", "M11 1 5 6.5 11 12zM6 1 0 6.5 6 12z"),
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


def _round(key: str, path: str) -> Markup:
    words = plain(key)
    sign = tag("svg", tag("path", d=path), width=12.0, height=13.0, aria_hidden="true")
    return tag("button", sign, type="button", id=key, class_="round",
               aria_label=words["en"], title=" · ".join(words.values()))  # fmt: skip


def _radios(name: str, legend: str, chosen: str, **options: Any) -> Markup:
    choices = [
        tag("label", tag("input", type="radio", name=name, id=f"{name}-{value}",
                         checked=value == chosen), tag("span", words))
        for value, words in options.items()
    ]  # fmt: skip
    return tag("fieldset", tag("legend", word(legend)), *choices, class_="seg")


def _contents(page: Context, shown: list[Section]) -> Markup:
    links = [
        tag("li", tag("a", tag("i", str(section.number)), tag("span", section.title),
                      href=f"#{section.id}"))
        for section in shown
    ]  # fmt: skip
    return tag(
        "nav", tag("ol", *links), class_="contents", aria_label=plain("contents")["en"]
    )


@dataclass(frozen=True)
class Section:
    """A panel as it stands on the page."""

    id: str
    number: int
    title: Markup
    body: Markup


def _with_extra(panels: tuple[m.Panel, ...]) -> list[m.Panel]:
    """The document's panels and those that only a page can have, by number."""
    known = {panel.id for panel in panels}
    extra = [m.Panel(id_, number, m.Text(f"panel.{id_}"), ())
             for id_, number in EXTRA.items() if id_ not in known]  # fmt: skip
    return sorted((*panels, *extra), key=lambda panel: panel.number)


def _panel(page: Context, panel: m.Panel) -> Section | None:
    """A panel's blocks, then what the page adds; None if there is nothing in it."""
    shown = [block for block in panel.blocks if not _is_drawn(block)]
    late = [b for b in shown if panel.id == "graph" and isinstance(b, m.Table)]
    blocks = [write_block(page.writer, block) for block in shown if block not in late]
    after = [write_block(page.writer, block) for block in late]
    title = page.writer.text(panel.title)
    if panel.id == "header":
        return Section(panel.id, panel.number, title, _header(page, panel, blocks))
    widget = WIDGETS[panel.id](page) if panel.id in WIDGETS else Markup("")
    if not blocks and not widget:
        return None
    head = tag("h2", tag("i", str(panel.number)), title, id=f"{panel.id}-title")
    tools = _open_all() if panel.id in ("derivation", "edges", "paths") else None
    body = tag(
        "section",
        head,
        tools,
        *blocks,
        widget,
        *after,
        class_="panel",
        id=panel.id,
        aria_labelledby=f"{panel.id}-title",
    )
    return Section(panel.id, panel.number, title, body)


def _is_drawn(block: m.Block) -> bool:
    return isinstance(block, m.Table) and block.id.startswith(DRAWN)


def _open_all() -> Markup:
    buttons = [
        tag("button", word(key), type="button", class_="plain", data_open=value)
        for key, value in (("open-all", "true"), ("close-all", "false"))
    ]
    return tag("div", *buttons, class_="controls needs-script")


def _header(page: Context, panel: m.Panel, blocks: list[Markup]) -> Markup:
    badge = page.document.badge
    style = "badge failed" if badge.failed else "badge"
    return tag(
        "section", tag("h1", page.writer.text(page.document.title)),
        tag("p", tag("span", page.writer.text(badge.text), class_=style)),
        *blocks, tag("p", word("keys"), class_="note needs-script"),
        tag("p", word("no-script", t=str(page.first)), class_="note without-script"),
        class_="panel", id=panel.id,
    )  # fmt: skip


# ----- what the script gets -----


def _plain_text(page: Context, text: m.Text) -> dict[str, str]:
    scope = page.document.scope
    return {
        language: "".join(
            p if isinstance(p, str) else to_unicode(p)
            for p in pieces(text, language, scope)
        )
        for language in m.LANGUAGES
    }


def _data(page: Context, title: dict[str, str]) -> str:
    values = page.writer.values
    places, exact = _places(page)
    data = {
        "first": page.first, "tau": page.tau, "title": title, "places": places,
        "sizes": {k: v for k, v in page.document.shown.sizes.items() if k != "n_b"},
        "shapes": {card: shape_text(arrows[-1]) for card, arrows in page.arrows.items()
                   if arrows[-1].jacobian is not None},
        "widths": _widths(page), "lab": lab_data(page), "symbols": _symbols(page),
        "words": {key: dict(zip(m.LANGUAGES, entry, strict=True))
                  for key, entry in words().items() if key.startswith(("lab-", "cop"))},
        "values": values.index, "numbers": values.blob(), "exact": encode(exact),
    }  # fmt: skip
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # A name or a string can then not end the script element.
    return text.replace("<", "\\u003c")


def _places(page: Context) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Every value and gradient in full precision, by name and step; seeds and weights.

    v, g, s: where a value, a gradient, what arrives from outside begins, by step.
    """
    point, unrolled = page.document.shown, page.unrolled
    found: dict[str, Any] = {}
    parts: list[Any] = []
    size = 0

    def put(name: str, key: str, t: int | None, array: Any) -> None:
        nonlocal size
        empty = {
            "shape": list(np.shape(array)),
            "mark": to_unicode(Value(name)),
            "v": {},
            "g": {},
            "s": {},
        }
        found.setdefault(name, empty)[key]["" if t is None else str(t)] = size
        parts.append(np.ravel(np.asarray(array, dtype="<f8")))
        size += int(np.size(array))

    for place in unrolled.places:
        if place.kind == "copy":
            continue
        is_total = place == unrolled.total
        put(
            place.name,
            "v",
            place.t,
            unrolled.loss if is_total else unrolled.values[place],
        )
        put(place.name, "g", place.t, unrolled.grad(place))
    for t in range(1, page.tau + 1):
        if "w" not in page.document.scope.names and page.graph.loss:
            put("w", "v", t, point.weights[t - 1])
        for name, seeds in point.seeds.items():
            put(name, "s", t, seeds[t - 1])
    return found, np.concatenate(parts)


def _widths(page: Context) -> dict[str, dict[str, list[float]]]:
    """The width of every arrow, for the columns that the script makes."""
    if page.tau <= LONGEST:
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    for name, drawn in (("graph-full", page.full), ("graph-folded", page.folded)):
        widths = arrow_widths(drawn)
        by_card = found.setdefault(name, {})
        for arrow in drawn.arrows:
            by_card.setdefault(arrow.card, []).append(round(widths[arrow.key], 1))
    return found


def _symbols(page: Context) -> dict[str, dict[str, str]]:
    """What a symbol is, for the tip over it: kind and shape."""
    scope = page.document.scope
    found = {}
    for name in scope.names:
        shape = " × ".join(map(str, scope.core(name))) or "1"
        numbers = " × ".join(str(page.document.shown.size(d)) for d in scope.core(name))
        kind = "integer" if scope.is_integer(name) else scope.kind(name)
        if name in page.graph.states:
            kind = "state"
        fields = {
            "name": to_unicode(Value(name)),
            "shape": shape,
            "numbers": numbers or "1",
        }
        found[name] = plain(f"symbol-{kind}", **fields)
    return found
