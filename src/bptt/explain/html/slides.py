"""The derivation as slides: one HTML file, a card on each, for a talk or a lecture."""

from __future__ import annotations

from typing import Any

from bptt.explain import model as m
from bptt.explain.html import assets
from bptt.explain.html.blocks import BADGES
from bptt.explain.html.values import PageValues
from bptt.explain.html.words import word
from bptt.explain.html.writer import PageWriter
from bptt.page.tags import Markup, join, tag
from bptt.version import __version__


def slides(document: m.Document, lang: str = "en") -> str:
    """The whole file; lang: the language first shown, the key L shows the other.

    A card is a slide with its claim, equations and reason; what stands under "why?"
    is a slide of its own. A card that failed is shown as failed, without its claim.
    """
    writer = PageWriter(
        document.shown, PageValues(max(1, document.shown.tau - 1), True)
    )
    pages = list(_pages(writer, document))
    body = join(
        tag("main", *pages, id="main"),
        tag("nav", tag("output", id="where"), word("slides-keys"), class_="foot"),
        assets.packed(writer.data(), "data"), assets.packed_katex(),
        tag("script", Markup(assets.slides_script())),
    )  # fmt: skip
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"bptt {__version__}"),
        tag("title", "bptt"),
        tag("style", Markup(assets.katex_fonts(writer.has_italic_words))),
        tag("style", Markup(assets.slides_style())),
    )
    html = tag(
        "html", tag("head", head), tag("body", body),
        lang="zh-CN" if lang == "zh" else "en",
    )  # fmt: skip
    return f"<!doctype html>\n{html}"


def _pages(writer: PageWriter, document: m.Document) -> list[Markup]:
    badge = tag(
        "p", writer.text(document.badge.text), class_=BADGES[document.badge.status]
    )
    source = [
        tag("pre", tag("code", block.text))
        for panel in document.panels if panel.id == "cell"
        for block in panel.blocks if isinstance(block, m.Listing)
    ]  # fmt: skip
    found = [_slide(tag("h1", writer.text(document.title)), *source[:1], badge)]
    for group in _groups(document):
        found.append(_slide(tag("h1", writer.text(group.title)), kind="part"))
        for card in group.cards:
            found += _card(writer, card)
    return found


def _groups(document: m.Document) -> list[m.Group]:
    return [
        group
        for panel in document.panels
        for block in panel.blocks if isinstance(block, m.Cards)
        for group in block.groups
    ]  # fmt: skip


def _card(writer: PageWriter, card: m.Card) -> list[Markup]:
    number = tag("span", card.number, class_="number") if card.number else None
    head = tag("h2", number, writer.text(card.title))
    if card.status == m.FAILED:
        return [_slide(head, tag("p", word("card-failed"), class_="failed"))]
    asks = (
        None if card.asks is None else tag("p", writer.text(card.asks), class_="asks")
    )
    chains = [writer.chain(chain, with_numbers=False) for chain in card.chains]
    claim = tag("p", writer.text(card.claim), class_="claim")
    reason = tag("p", writer.text(card.reason), class_="reason")
    found = [_slide(head, asks, claim, *chains, reason)]
    label = tag("span", writer.text(m.Text("label.why")), class_="number")
    title = tag("h2", label, writer.text(card.title))
    for why in card.why:
        sides = [writer.chain(chain, with_numbers=False) for chain in why.chains]
        found.append(_slide(title, tag("p", writer.text(why.text)), *sides))
    return found


def _slide(*parts: Any, kind: str = "") -> Markup:
    style = f"slide {kind}" if kind else "slide"
    return tag("section", tag("div", *parts, class_="inside"), class_=style)
