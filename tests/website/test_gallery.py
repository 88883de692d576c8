"""The gallery is what its script writes: every cell, its picture, its measured time."""

import json
import re
from pathlib import Path

import pytest

from bptt import cells
from tests.website.scripts import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gallery():
    return load("gallery")


def test_every_cell_of_the_library_is_shown_in_its_order():
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == list(cells.names())


@pytest.mark.parametrize("name", cells.names())
def test_a_section_and_its_picture_are_what_the_script_writes(gallery, name):
    found = gallery.explained(name)
    drawn = gallery.picture(found)
    there = (ROOT / f"docs/gallery/{name}.svg").read_text(encoding="utf-8")
    assert drawn == there
    assert gallery.section(name, found, has_picture=True) in PAGE


def test_every_time_is_that_of_the_committed_measurement(gallery):
    report = json.loads((ROOT / "benchmarks/results/results.json").read_text("utf-8"))
    rows = [row for row in report["library"] if row["threads"] == 1]
    assert len(rows) == PAGE.count("Measured: **")
    for row in rows:
        assert gallery.measured(row["library"]) in PAGE
        assert f"**{1e3 * row['times']['bptt']:.3g} ms**" in PAGE
