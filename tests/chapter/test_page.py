"""The page docs/chapter.md: its twelve equations, each of which is checked."""

import re
from pathlib import Path

import pytest

import bptt

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("chapter.md", "chapter.zh.md")


def displayed(page):
    """The displayed equations; one that begins with = goes on from the one before."""
    found, left = [], ""
    text = (DOCS / page).read_text("utf-8")
    for shown in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL):
        equation = re.sub(r"\\qquad \(10\.\d\d\)", "", shown).strip()
        left = left if equation.startswith("=") else equation.partition("=")[0]
        found.append(f"{left}{equation}" if equation.startswith("=") else equation)
    return found


def test_both_languages_display_the_same_equations_with_all_numbers():
    assert displayed("chapter.md") == displayed("chapter.zh.md")
    for page in PAGES:
        text = (DOCS / page).read_text("utf-8")
        assert [n for n in range(17, 29) if f"10.{n}" not in text] == []


@pytest.mark.parametrize("equation", displayed("chapter.md"))
def test_every_equation_of_the_page_is_right(equation):
    report = bptt.check_equation(equation)
    assert report.passed, str(report)
