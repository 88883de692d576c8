"""The tables of docs/how-it-works.md name files that are there, each word once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")


def test_every_file_that_the_page_names_is_there():
    named = re.findall(r"`([\w/]+\.py)` \|$", PAGE, re.MULTILINE)
    assert len(named) > 30
    gone = [name for name in named if not (ROOT / "src" / "bptt" / name).is_file()]
    assert gone == []


def test_every_word_stands_once_and_its_file_uses_it():
    words = PAGE.partition("## Words")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \| `([\w/]+\.py)` \|$", words, re.MULTILINE)
    terms = [term for cell, _ in rows for term in cell.split(", ")]
    assert len(terms) == len(set(terms))
    for cell, name in rows:
        text = (ROOT / "src" / "bptt" / name).read_text(encoding="utf-8").lower()
        for term in cell.split(", "):
            assert term.replace(" ", "") in text.replace(" ", ""), (term, name)
