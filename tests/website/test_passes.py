"""The pages of the passes show what the passes make today."""

import re

import pytest

from tests.website.scripts import ROOT, load

blocks = load("blocks")
PAGES = sorted((ROOT / "docs/how-it-works").glob("*.md"))
OVERVIEW = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def passes():
    pytest.importorskip("llvmlite")
    return load("passes")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_what_its_script_writes(passes, page):
    text = page.read_text(encoding="utf-8")
    assert blocks.fill(text, passes.SHOWN) == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_before_and_after_and_is_linked(passes, page):
    assert f"(how-it-works/{page.name})" in OVERVIEW
    if page.stem != "glossary":
        text = page.read_text(encoding="utf-8")
        assert len(blocks.BLOCK.findall(text)) == 2
        assert len(text.splitlines()) <= 60


def test_a_stale_block_is_found(passes):
    text = "<!-- shown: text -->\n\n```text\nold\n```\n"
    filled = blocks.fill(text, passes.SHOWN)
    assert filled == f"<!-- shown: text -->\n\n```text\n{passes.TEXT}\n```\n"


def test_every_value_that_the_gradient_s_order_reads_was_made_before_or_is_given(
    passes,
):
    made = set()
    for row in passes.ordered(passes.PROGRAM).splitlines():
        if " = " in row:
            name, _, body = row.strip().partition(" = ")
            needed = set(re.findall(r"\bp\d+\[t\]", body))
            assert needed <= made, row
            made.add(name)
