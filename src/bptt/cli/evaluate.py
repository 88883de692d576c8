"""`bptt eval`: what a trained model reaches on data."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bptt.cli.output import print_json
from bptt.train import (
    DataRequest,
    format_figure,
    format_loss,
    in_words,
    measure_run,
    open_data,
)


def evaluate(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A folder that `bptt train` wrote.")
    ],
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="Data of the kind it was trained on."),
    ],
    pattern: Annotated[
        str, typer.Option(help="Which files of a folder to read, for example '*.txt'.")
    ] = "*",
    limit: Annotated[
        int | None,
        typer.Option(help="Read at most so many characters.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="best or last. [default: best]", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Measure a trained model on data: its loss in its own unit, and its accuracy.

    The figures are not kept: --json prints them for another program.
    """
    found = open_data(DataRequest(tuple(data), pattern, limit))
    measured = measure_run(run, found, checkpoint)
    if json:
        print_json(measured.to_json())
        return
    text = f"{format_loss(measured.loss)} {measured.unit.name}"
    for name, value in measured.figures.items():
        text += f", {in_words(name)} {format_figure(name, value)}"
    text += f" (mean over {measured.n:,} {measured.unit.item}s)"
    Console().print(
        f"{measured.summary}\n{text}", markup=False, highlight=False, soft_wrap=True
    )
