"""The pages on how it works name files that are there, each word once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GLOSSARY = (DOCS / "how-it-works/glossary.md").read_text(encoding="utf-8")
PAGES = [DOCS / "how-it-works.md", *sorted((DOCS / "how-it-works").glob("*.md"))]


def test_every_file_that_the_pages_name_is_there():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 50
    gone = [name for name in named if not (ROOT / "src" / "bptt" / name).is_file()]
    assert gone == []


def test_every_word_stands_once_and_its_file_uses_it():
    rows = re.findall(r"^\| (.+?) \| .+ \| `([\w/]+\.py)` \|$", GLOSSARY, re.MULTILINE)
    assert len(rows) >= 30
    terms = [term for cell, _ in rows for term in cell.split(", ")]
    assert len(terms) == len(set(terms))
    for cell, name in rows:
        text = (ROOT / "src" / "bptt" / name).read_text(encoding="utf-8").lower()
        for term in cell.split(", "):
            assert term.replace(" ", "") in text.replace(" ", ""), (term, name)
