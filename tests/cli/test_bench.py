"""`bptt bench`: values and format, never the time itself."""

from importlib.util import find_spec

import pytest
from rich.console import Console

from bptt.cli.bench import make_table
from bptt.train.bench import GATES, BenchRow, measure

SHAPE = (6, 3, 4, 5)
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


def show(*rows):
    console = Console(width=140, color_system=None)
    with console.capture() as capture:
        console.print(make_table(rows, 2))
    return capture.get()


@needs_torch
@pytest.mark.parametrize("name", GATES)
def test_torch_computes_the_same_gradient(name):
    (row,) = measure((name,), (SHAPE,), rounds=1)
    assert row.cell == name
    assert row.difference is not None
    assert row.difference < 1e-5
    assert row.seconds > 0
    assert row.product_rate > 0


def test_without_torch_the_product_remains(monkeypatch):
    monkeypatch.setattr("bptt.train.bench.has_torch", lambda: False)
    (row,) = measure(("elman",), (SHAPE,), rounds=1)
    assert row.torch_seconds is None
    assert row.difference is None


def test_the_rate_counts_the_products():
    row = BenchRow("lstm", (2, 3, 5, 7), 0.5, 1e9)
    assert row.rate == 2 * 2 * 3 * 28 * (10 + 21) / 0.5


def test_the_table():
    row = BenchRow("gru", (100, 32, 64, 128), 0.010, 100e9, 0.025, 2e-7)
    text = show(row)
    assert "threads: 2" in text
    (line,) = [line for line in text.splitlines() if "gru" in line]
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    # 2 * 100 * 32 * 384 * 512 operations in 10 ms
    assert cells == [
        "gru", "100, 32, 64, 128", "10.00", "25.00", "2.50", "126", "100", "1.26",
        "2e-07",
    ]  # fmt: skip


def test_the_table_has_dashes_without_torch():
    text = show(BenchRow("elman", SHAPE, 0.01, 1e9))
    (line,) = [line for line in text.splitlines() if "elman" in line]
    assert line.count(" - ") == 3
