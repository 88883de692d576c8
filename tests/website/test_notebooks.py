"""The notebooks run from top to bottom, and were saved with what they show."""

import json
from pathlib import Path

import pytest

from tests.website.scripts import load

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_runs_and_was_saved_with_the_words_of_today(path, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    notebooks = load("notebooks")
    saved = notebooks.words_of(nbformat.read(path, as_version=4))
    assert notebooks.words_of(notebooks.execute(path, tmp_path)) == saved


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_was_saved_after_running_in_order(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    counts = [c["execution_count"] for c in cells if c["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    shown = json.dumps(cells)
    assert '"output_type": "error"' not in shown
    for folder in ("home", "root", "tmp"):
        assert f"/{folder}/" not in shown


def test_there_are_four():
    assert len(NOTEBOOKS) == 4
