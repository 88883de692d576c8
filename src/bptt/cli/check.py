"""`bptt check`: the proof ledger of a cell."""

from typing import Annotated

import typer
from rich.console import Console

from bptt.train.model import load_cell


def check(
    cell: Annotated[
        str,
        typer.Argument(
            metavar="CELL",
            help="A built-in cell (book, elman, lstm, gru ...) or a file of equations.",
        ),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the random instances.")] = 0,
) -> None:
    """Check every gradient of CELL against independent oracles.

    Exits with code 1 if a check did not pass.
    """
    ledger = load_cell(cell).check(seed=seed)
    Console().print(ledger)
    if not ledger.passed:
        raise typer.Exit(1)
