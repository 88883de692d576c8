"""The landing page shows the four equations running and a card as they are today."""

import re

import pytest

from tests.website.scripts import load

blocks = load("blocks")


@pytest.fixture(scope="module")
def landing():
    return load("landing")


def test_both_languages_show_what_the_program_prints(landing):
    for path in landing.PAGES:
        text = path.read_text(encoding="utf-8")
        assert [name for _, name, _ in blocks.BLOCK.findall(text)] == ["run", "card"]
        assert blocks.fill(text, landing.SHOWN) == text


def test_the_page_has_equations_that_run_a_card_and_a_chart_of_speed(landing):
    for path in landing.PAGES:
        text = path.read_text(encoding="utf-8")
        losses = [float(x) for x in re.findall(r"step +\d+: (\d\.\d+)", text)]
        assert len(losses) == 4
        assert losses == sorted(losses, reverse=True)
        assert "╭─  10.21" in text
        assert "(10.20-10.21)" in text
        assert "benchmarks/results/limit-1.svg" in text
