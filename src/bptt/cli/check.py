"""`bptt check`: the proof ledger of a cell."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from bptt.cell import Cell
from bptt.check import Ledger
from bptt.cli.output import say
from bptt.errors import ArgumentError
from bptt.train.named_cell import load_cell


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
            help="A gradient formula of your own, compared with CELL's, as text or in "
            "LaTeX; for example 'grad_h[t] = V.T @ grad_o[t]'."
        ),
    ] = None,
    lang: Annotated[
        str, typer.Option(help="What is said of the equation: en or zh.")
    ] = "en",
) -> None:
    """Check every gradient of CELL against independent oracles.

    With --equation, check that formula instead. Exits with code 1 if a check did not
    pass.
    """
    chosen = load_cell(cell)
    if equation is None:
        ledger = _checked(chosen, seed)
        Console().print(ledger)
        passed = ledger.passed
    else:
        said, passed = _judged(chosen, equation, seed, lang)
        say(said)
    if not passed:
        raise typer.Exit(1)


def _checked(cell: Cell, seed: int) -> Ledger:
    """The ledger, with a bar on the error stream where someone sees it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return cell.check(seed=seed)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("check", total=1.0)
        return cell.check(
            seed=seed, progress=lambda share: bar.update(task, completed=share)
        )


def _judged(cell: Cell, equation: str, seed: int, lang: str) -> tuple[str, bool]:
    """What is to be said of an equation, and whether it is right.

    Raises: ArgumentError with its message in the language.
    """
    try:
        report = cell.check_equation(equation, seed=seed)
    except ArgumentError as error:
        in_language = getattr(error, "say", None)
        if in_language is None:
            raise
        raise ArgumentError(in_language(lang)) from error
    return report.say(lang), report.passed
