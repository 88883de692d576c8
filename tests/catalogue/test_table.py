"""The table of docs/cells.md names every recurrence, every file, and no other."""

import re
from pathlib import Path

from bptt import cells
from tests.catalogue.cases import FOLDER

TEXT = (Path(__file__).parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")
SECTION = TEXT[TEXT.index("## Published recurrences") : TEXT.index("## Equations")]
ROWS = re.findall(
    r"^\| (\d+) \| [^|]+ \| ([^|]*) \| ([^|]+) \|$", SECTION, re.MULTILINE
)


def test_there_is_a_row_for_each_of_the_fifty():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 51))


def test_every_file_is_named_once_and_every_name_is_a_file():
    written = " ".join(names for _, names, _ in ROWS)
    named = re.findall(r"\[`(\w+)`\]\(\.\./examples/catalogue/(\w+)\.cell\)", written)
    assert all(shown == file for shown, file in named)
    files = sorted(path.stem for path in FOLDER.glob("*.cell"))
    assert sorted(file for _, file in named) == files
    library = re.findall(r"\[`(\w+)`\]\(#(\w+)\)", written)
    assert all(shown == anchor for shown, anchor in library)
    assert {name for name, _ in library} <= set(cells.names())


def test_a_row_without_a_cell_says_why():
    assert {
        number for number, names, why in ROWS if names == "-" and "no cell yet" in why
    } == {number for number, names, _ in ROWS if names == "-"}
