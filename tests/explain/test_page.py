"""The page as a file: one, small, closed; both languages; nothing of a cell is code."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from importlib import resources
from typing import ClassVar

import numpy as np
import pytest

import bptt
from bptt.explain.algebra.derive import Derivation
from bptt.explain.cards import CardMaker
from bptt.explain.html import assets
from bptt.explain.html.values import PageValues, show_number
from bptt.explain.html.words import fill, words
from bptt.explain.instances import Options
from bptt.explain.notation.plain import to_ascii
from tests.explain.documents import CELLS, explained
from tests.explain.test_picture import TAU, shown

LIMIT = 1_000_000
LEDGER = 12_000  # what it takes, which these documents are without


def script_data(page):
    """What the page hands its script."""
    packed = re.search(r"id=data-gz>(.*?)</script>", page, re.DOTALL)[1]
    return json.loads(assets.unpacked(packed))


class Reader(HTMLParser):
    """Every start tag with its attributes, and whether the tags are balanced."""

    VOID = frozenset({"meta", "input", "br"})
    # What the start of an element ends, where HTML lets an end tag be left out.
    ENDS: ClassVar = {
        "td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"},
        "tbody": {"td", "th", "tr", "thead", "tbody"}, "thead": set(), "li": {"li"},
    }  # fmt: skip

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.slips = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        while self.open and self.open[-1] in self.ENDS.get(tag, ()):
            self.open.pop()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.open and self.open[-1] in self.ENDS and self.open[-1] != tag:
            self.open.pop()
        if not self.open or self.open.pop() != tag:
            self.slips.append((tag, self.getpos()))


@pytest.mark.parametrize("tau", [Options.tau, 20])
@pytest.mark.parametrize("name", sorted(bptt.cells.names()))
def test_the_page_of_every_cell_of_the_library_is_smaller_than_a_megabyte(name, tau):
    page = explained(name, tau=tau).html()
    assert len(page.encode()) < LIMIT - LEDGER


def test_nothing_is_fetched_from_anywhere():
    reader = Reader(explained("book").html())
    links = [a[key] for _, a in reader.tags for key in ("src", "href") if key in a]
    assert links
    assert all(link.startswith("#") for link in links)
    for style in (assets.style(), assets.katex_fonts(True)):
        urls = re.findall(r"url\(([^)]*)\)", style)
        assert all(url.startswith(("data:font/woff2;base64,", "#")) for url in urls)
        assert "@import" not in style


@pytest.mark.parametrize("name", ["book", "lstm", "layer norm"])
def test_the_tags_are_balanced_and_ids_are_unique(name):
    reader = Reader(explained(name).html())
    assert reader.slips == []
    assert reader.open == []
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_link_of_the_contents_leads_to_a_panel_and_all_fourteen_are_there():
    reader = Reader(explained("book").html())
    ids = {attrs.get("id") for _, attrs in reader.tags}
    links = [attrs["href"][1:] for tag, attrs in reader.tags
             if tag == "a" and attrs["href"] != "#main"]  # fmt: skip
    assert links == [
        "header", "hand", "cell", "graph", "derivation", "edges", "sharing", "paths",
        "flow", "training", "against", "break", "ledger", "glossary",
    ]  # fmt: skip
    assert set(links) <= ids


def test_text_of_a_cell_cannot_end_a_script_or_start_a_tag():
    text = "# </script><img src=x onerror=alert(1)>\nh[t] = tanh(W @ h[t-1] + U @ x[t])"
    page = bptt.Cell(text).explain(name="<b>mine</b>", tau=2).html()
    reader = Reader(page)
    assert reader.slips == []
    assert "img" not in {tag for tag, _ in reader.tags}
    assert page.count("</script>") == 4
    assert "&lt;b&gt;mine&lt;/b&gt;" in page


def test_the_language_asked_for_is_shown_first_and_both_are_in_the_file():
    page = explained("book", "zh").html()
    chosen = [a["id"] for _, a in Reader(page).tags if "checked" in a]
    assert chosen[:2] == ["lang-zh", "theme-auto"]
    assert '<html lang="zh-CN">' in page or "<html lang=zh-CN>" in page
    assert "展开图" in page and "The unrolled graph" in page


def test_every_word_is_in_both_languages_with_the_same_fields():
    for key, entry in words().items():
        assert all(part.strip() for part in entry), key
        en, zh = (set(re.findall(r"\{(\w+)\}", part)) for part in entry)
        assert en == zh, key
        has_chinese = any("\u4e00" <= letter <= "\u9fff" for letter in entry[1])
        assert has_chinese, key


def test_every_word_that_the_sources_ask_for_exists():
    folder = resources.files("bptt.explain.html")
    sources = [p for f in (folder, folder / "panels") for p in f.iterdir()]
    asked = set()
    for source in sources:
        if source.name.endswith(".py"):
            asked |= set(
                re.findall(r'\b(?:word|plain)\("([\w-]+)"', source.read_text())
            )
    assert len(asked) > 40
    assert asked <= set(words())
    ids = set(re.findall(r'"(lab-[\w-]+)"', assets.script()))
    assert len(ids) > 12
    assert ids <= set(words())


def test_the_script_knows_every_function_of_every_cells_formulas():
    script = assets.script()
    tables = re.findall(
        r"const (?:FUNCTIONS|SPECIAL) = \{(.*?)\n\};", script, re.DOTALL
    )
    assert len(tables) == 2
    known = set(re.findall(r"(\w+)(?::|\(node)", "".join(tables))) | {"incoming"}
    assert {"tanh", "diag", "where"} < known
    for name in CELLS:
        point = shown(name)
        derivation = Derivation(point.scope.graph)
        maker = CardMaker(derivation, point.scope, Options(TAU))
        for node in point.scope.graph.definitions:
            for term in maker.terms(node):
                used = set(re.findall(r"(\w+)\(", to_ascii(term.filled)))
                assert used <= known, (name, node)


def test_fields_of_a_sentence_are_escaped():
    assert fill("a {x} b", {"x": "<i>"}) == "a &lt;i&gt; b"


def test_numbers_survive_in_three_bytes_each_and_equal_ones_are_stored_once():
    rng = np.random.default_rng(0)
    steps = {
        t: rng.normal(size=(2, 3)) * 10.0 ** rng.integers(-6, 6) for t in (1, 2, 3)
    }
    values = PageValues(2)
    values.add("a", steps)
    values.add("again", {t: np.array(array) for t, array in steps.items()})
    values.add("still", dict.fromkeys((1, 2, 3), np.array([[7.0]])))
    assert values.index["a"] == values.index["again"] == [2, 3, 1, 3, 0, 6]
    assert values.index["still"] == [1, 1, 1, 3, 18, 0]
    upper = np.frombuffer(base64.b64decode(values.blob()), np.uint8).reshape(-1, 3)
    padded = np.concatenate([np.zeros((len(upper), 1), np.uint8), upper], axis=1)
    found = padded.copy().view("<f4").ravel()
    expected = np.concatenate([*(steps[t].ravel() for t in (1, 2, 3)), [7.0]])
    assert found == pytest.approx(expected, rel=2.0**-16)  # half a unit of 16 bits


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1.0, "1"), (-1.0, "−1"), (0.12345, "0.123"), (-12.345, "−12.3"),
     (123456.0, "1.23e5"), (1.2e-7, "1.20e−7"), (float("nan"), "NaN"),
     (float("-inf"), "−∞")],
)  # fmt: skip
def test_numbers_are_shown_to_three_digits_with_a_true_minus(value, shown):
    assert show_number(value) == shown


def test_the_exact_numbers_are_those_of_the_unrolled_graph():
    explanation = explained("book")
    page = explanation.html()
    data = script_data(page)
    exact = np.frombuffer(base64.b64decode(data["exact"]), "<f8")
    graph = explanation.document.shown.graph
    for name, t in (("h", 2), ("h", 0), ("o", 1), ("L", 3), ("W", None)):
        place = graph.place(name, t)
        entry = data["places"][name]
        for key, array in (("v", graph.values[place]), ("g", graph.grad(place))):
            start = entry[key]["" if t is None else str(t)]
            found = exact[start : start + np.size(array)]
            assert np.array_equal(found, np.ravel(array))


def test_the_vendored_licence_and_the_version_named_are_there():
    vendor = resources.files("bptt.explain.html").joinpath("vendor", "katex")
    assert "Khan Academy" in vendor.joinpath("LICENSE").read_text()
    script = vendor.joinpath("katex.min.js").read_text()
    assert 'version:"0.19.1"' in script or '"0.19.1"' in script


def test_a_failed_card_is_red_and_claims_nothing():
    from dataclasses import replace

    from bptt.explain import model as m
    from bptt.explain.html.blocks import write_block
    from bptt.explain.html.writer import PageWriter

    document = explained("book").document
    card = next(card for card in document.cards if card.id == "10.19")
    wrong = replace(card.chains[0].links[1], tree=m.Check(m.FAILED, 0.5))
    chain = replace(card.chains[0], links=(card.chains[0].links[0], wrong))
    failed = replace(card, chains=(chain,))
    writer = PageWriter(document.shown, PageValues(1))

    def html(card):
        group = m.Group("g", m.Text("group.nodes"), (card,))
        return write_block(writer, m.Cards((group,)))

    assert 'class="card failed"' in html(failed)
    assert "class=claim" not in html(failed) and "eqrow" not in html(failed)
    assert "class=claim" in html(card) and "failed" not in html(card)


def test_a_very_large_page_packs_what_is_long_and_its_script_has_it(monkeypatch):
    whole = explained("lstm").html()
    monkeypatch.setattr("bptt.explain.html.page.LARGEST", 0)
    packed = explained("lstm").html()
    assert len(packed) < 0.8 * len(whole)
    assert packed.count("<article") == whole.count("<article")
    inside = "".join(script_data(packed)["parts"])
    for text in ("class=chain", "class=nums", "What would go wrong if"):
        found = packed.count(text) + inside.count(text)
        assert found == whole.count(text) + "".join(script_data(whole)["parts"]).count(
            text
        )
    assert inside.count("What would go wrong if") > 10
    assert not Reader(packed).slips
    assert "this page is large" in packed


def test_of_one_successor_none_can_be_forgotten():
    cards = {card.id: card for card in explained("lstm").document.cards}
    said = {id_: card.wrong.id for id_, card in cards.items() if card.wrong}
    assert list(said.values()).count("card.node.wrong.now-one") == 4
    for id_, key in said.items():
        if key == "card.node.wrong.now":
            last = cards[id_].chains[0].links[1].expr
            assert len(getattr(last, "terms", ())) > 1, id_


def test_a_walk_begins_at_the_loss_or_at_what_arrives():
    def parts(name):
        return "".join(script_data(explained(name).html())["parts"])

    assert "from <span" not in parts("book")
    assert "{L} = 1 backwards" in parts("book")
    assert "backwards from what arrives from outside" in parts("lstm")
    assert "from {L} = 1 backwards" not in parts("lstm")
