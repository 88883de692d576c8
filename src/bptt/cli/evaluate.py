"""`bptt eval`: what a trained model reaches on data."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bptt.train import DataRequest, format_loss, measure_run, open_data


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
) -> None:
    """Measure a trained model on data: its loss in its own unit, and its accuracy."""
    found = open_data(DataRequest(tuple(data), pattern, limit))
    measured = measure_run(run, found, checkpoint)
    text = f"{format_loss(measured.loss)} {measured.unit.name}"
    if measured.accuracy is not None:
        text += f", accuracy {measured.accuracy:.2%}"
    text += f" (mean over {measured.n:,} {measured.unit.item}s)"
    Console().print(
        f"{measured.summary}\n{text}", markup=False, highlight=False, soft_wrap=True
    )
