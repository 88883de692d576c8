"""What pages say of speed is what a committed run measured, and of which version."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import report

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks/results/results.json").read_text("utf-8"))
NAMED = ("README.md", "README.zh.md", "docs/index.md", "docs/index.zh.md")
CELLS = {
    "layer-normalised lstm": "layer_norm_lstm",
    "层归一化的 lstm": "layer_norm_lstm",
}
ROW = re.compile(r"^\| ([^|]+?) \| (\d+, \d+, \d+, \d+) \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", [*NAMED, "docs/benchmarks.md"])
def test_a_page_with_speeds_names_the_version_that_had_them(name):
    assert f"bptt {RESULTS['machine']['bptt']}" in (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", NAMED[:2])
def test_the_table_of_speeds_is_of_the_committed_run(name):
    rows = ROW.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(rows) == 6
    measured = {
        (row["cell"], tuple(row["shape"])): row
        for row in report.share_limit(RESULTS["rows"])
        if row["threads"] == 1 and "seconds" in row
    }
    for cell, shape, figures in rows:
        row = measured[CELLS.get(cell, cell), tuple(map(int, shape.split(", ")))]
        seconds = report.merge_scans(row["seconds"])
        names = ("bptt", "torch.nn", "torch loop", "jax")
        *shown, part = figures.split(" | ")
        for library, figure in zip(names, shown, strict=True):
            if library in seconds:
                digits = len(figure.partition(".")[2])
                assert float(figure) == pytest.approx(
                    1e3 * seconds[library], abs=0.5001 * 10**-digits
                ), (cell, shape, library)
            else:
                assert figure in {"none", "无"}
        assert float(part) == pytest.approx(report.of_limit(row), abs=0.005001)
