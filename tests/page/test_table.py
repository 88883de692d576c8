"""A table in a terminal cuts no word, however narrow it is."""

import io

import pytest
from rich.console import Console

from bptt import cells
from bptt.explain.render.terminal import render_text
from bptt.page.table import WordTable, _share

ROWS = [
    ("outer product", "one-dimensional arrays are no columns", "0.25"),
    ("causality", "exchangeability of antidisestablishmentarianism", "1e-300"),
]


def shown(renderable, width):
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(renderable)
    return file.getvalue()


def table():
    made = WordTable("what", "where it is", "error", title="of two")
    for row in ROWS:
        made.add_row(*row)
    return made


@pytest.mark.parametrize("width", [100, 80, 60, 50, 34, 30])
def test_every_word_is_there_and_every_line_fits(width):
    lines = shown(table(), width).splitlines()
    words = {word for line in lines for word in line.split()}
    assert {word for row in ROWS for cell in row for word in cell.split()} <= words
    assert max(map(len, lines)) <= width


def test_a_screen_that_is_too_narrow_gets_a_line_for_every_cell():
    text = shown(table(), 34)
    assert "what: outer product" in text
    assert "error: 1e-300" in text


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("name", ["elman", "slstm"])
def test_the_ledger_of_a_check_keeps_its_words(name, width):
    ledger = cells.get(name).check(seed=0)
    words = shown(ledger, width).split()
    wide = set(shown(ledger, 300).split())
    assert [word for word in words if word.rstrip(":") not in wide
            and len(word) > 2 and word.isalpha()] == []  # fmt: skip


@pytest.mark.parametrize("width", [80, 60])
def test_an_explanation_keeps_its_words(width):
    document = cells.book.explain(name="book").document
    wide = set(render_text(document, "en", width=400).split())
    words = render_text(document, "en", width=width).split()
    assert [w for w in words if w not in wide and len(w) > 2 and w.isalpha()] == []


@pytest.mark.parametrize(
    ("needed", "wanted", "room", "widths"),
    [
        ([3, 5], [3, 5], 20, [3, 5]),
        ([3, 5], [9, 9], 12, [6, 6]),
        ([3, 5], [4, 30], 12, [4, 8]),
        ([3, 5], [9, 9], 8, [3, 5]),
    ],
)
def test_what_is_left_goes_to_the_narrowest(needed, wanted, room, widths):
    assert _share(needed, wanted, room) == widths
