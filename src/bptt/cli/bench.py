"""`bptt bench`: a short measurement on the user's machine."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bptt.errors import not_installed
from bptt.train import bench as measurement
from bptt.train.bench import BenchRow

NO_TORCH = not_installed("a comparison with torch.nn", "torch", "train")


def make_table(rows: Iterable[BenchRow], threads: int) -> Table:
    """A line per cell and shape; a dash where torch is not installed."""
    table = Table(title=f"forward and backward, float32, threads: {threads}")
    table.add_column("cell")
    for title in (
        "tau, n_b, n_x, n_h", "bptt ms", "torch.nn ms", "speed-up", "GF/s",
        "sgemm GF/s", "of sgemm", "difference",
    ):  # fmt: skip
        table.add_column(title, justify="right")
    for row in rows:
        theirs = row.torch_seconds
        table.add_row(
            row.cell,
            ", ".join(map(str, row.shape)),
            f"{1e3 * row.seconds:.2f}",
            "-" if theirs is None else f"{1e3 * theirs:.2f}",
            "-" if theirs is None else f"{theirs / row.seconds:.2f}",
            f"{row.rate / 1e9:.0f}",
            f"{row.product_rate / 1e9:.0f}",
            f"{row.rate / row.product_rate:.2f}",
            "-" if row.difference is None else f"{row.difference:.0e}",
        )
    return table


def bench(
    threads: Annotated[int, typer.Option(min=1, help="Threads of everyone.")] = 1,
) -> None:
    """Time the elman, gru and lstm gradients here, beside torch.nn if installed.

    Takes less than a minute. The sgemm rate is NumPy's for a 1024^3 product.
    """
    console = Console()
    console.print(make_table(measurement.measure(threads=threads), threads))
    if not measurement.has_torch():
        console.print(NO_TORCH, markup=False)
