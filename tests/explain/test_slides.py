"""The slides: every card once, both languages, nothing asked of any host."""

import re
from dataclasses import replace

import pytest

from bptt.explain import model as m
from bptt.explain.html.slides import slides
from tests.explain.documents import explained


@pytest.mark.parametrize("name", ["book", "lstm"])
def test_every_card_and_every_why_is_a_slide(name):
    document = explained(name, tau=4).document
    html = slides(document)
    cards = list(document.cards)
    groups = len(re.findall('class="slide part"', html))
    whys = sum(len(card.why) for card in cards)
    count = len(re.findall('<section class="?slide', html))
    assert count == 1 + groups + len(cards) + whys
    assert groups >= 2
    assert not re.search(r"(?:src|href)=", html)
    assert "http" not in re.sub(
        r'<script type="?application/gzip.*?</script>', "", html
    )


def test_a_card_that_failed_is_shown_without_its_claim():
    document = explained("book", tau=4).document
    card = next(card for card in document.cards if card.number == "10.21")
    chain = card.chains[0]
    wrong = m.Check(m.FAILED, 0.5)
    links = (chain.links[0], *(replace(link, tree=wrong) for link in chain.links[1:]))
    failed = replace(card, chains=(replace(chain, links=links),))
    panels = tuple(
        replace(
            panel,
            blocks=tuple(
                m.Cards((m.Group("one", m.Text("label.why"), (failed,)),))
                if isinstance(block, m.Cards)
                else block
                for block in panel.blocks
            ),
        )
        for panel in document.panels
    )
    html = slides(replace(document, panels=panels))
    assert "slide" in html
    assert 'class="failed"' in html or "class=failed" in html
    assert "class=claim" not in html
    assert 'class="claim"' not in html


def test_keys_turn_the_slides_and_change_the_language(browser, tmp_path):
    path = tmp_path / "slides.html"
    path.write_text(slides(explained("book", tau=4).document), encoding="utf-8")
    tab, complaints = browser.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(path.as_uri())
    total = tab.locator(".slide").count()
    for key, at in (("ArrowRight", 2), (" ", 3), ("ArrowLeft", 2), ("End", total)):
        tab.keyboard.press(key)
        assert tab.inner_text("#where") == f"{at} / {total}"
        assert tab.locator(".slide.now").count() == 1
    tab.goto(path.as_uri() + "#13")
    tab.reload()
    tab.wait_for_selector(".slide.now .katex")
    english = tab.inner_text(".slide.now h2")
    tab.keyboard.press("l")
    chinese = tab.inner_text(".slide.now h2")
    assert english.isascii() != chinese.isascii()
    assert tab.locator(".katex-error").count() == 0
    assert complaints == []
    tab.close()
