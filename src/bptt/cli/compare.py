"""`bptt compare`: finished runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from bptt.cli.output import print_json
from bptt.train import Comparison, compare_runs, write_comparison

MOST_COLUMNS = 10_000


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders that `bptt train` wrote."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Also write a page with curves.", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Compare finished runs: a row for runs that differ in the seed alone.

    Several seeds are shown as mean and standard deviation.
    """
    found = compare_runs(runs)
    if out is not None:
        write_comparison(found, out)
    if json:
        print_json(found.to_json())
    else:
        show(found, Console())


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison as tables; no word and no figure is cut."""
    for one in comparison.tables():
        table = Table(title=one.title, title_justify="left", box=SIMPLE)
        table.add_column("", overflow="fold")
        for head in one.heads[1:]:  # a word a line: no column is wider than its figures
            table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
        for cells in one.rows:
            table.add_row(*cells)
        console.width = _width(console, table)
        console.print(table, highlight=False, markup=False)


def _width(console: Console, table: Table) -> int:
    """A width that cuts no figure; a narrow terminal goes on in its next line."""
    room = console.options.update(width=MOST_COLUMNS)
    return max(console.width, Measurement.get(console, room, table).maximum)
