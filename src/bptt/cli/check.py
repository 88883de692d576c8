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
    equation: Annotated[
        str | None,
        typer.Option(
            help="A gradient formula of your own, compared with CELL's; for example "
            "'grad_h[t] = V.T @ grad_o[t]'."
        ),
    ] = None,
) -> None:
    """Check every gradient of CELL against independent oracles.

    With --equation, check that formula instead. Exits with code 1 if a check did not
    pass.
    """
    chosen, console = load_cell(cell), Console()
    if equation is None:
        ledger = chosen.check(seed=seed)
        console.print(ledger)
        passed = ledger.passed
    else:
        report = chosen.check_equation(equation, seed=seed)
        console.print(str(report), markup=False, highlight=False, soft_wrap=True)
        passed = report.passed
    if not passed:
        raise typer.Exit(1)
