"""`bptt predict` and `bptt forecast`: what a trained model says, as a table."""

import csv
import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from bptt.cli.output import say
from bptt.train import forecast_run, predict_run
from bptt.train.errors import FolderNotWritableError
from bptt.train.files import write_whole

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A folder that `bptt train` wrote.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="A file for the table. [default: the screen, and a file in RUN]",
        show_default=False,
    ),
]


def predict(
    run: Run,
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="Sequences of the kind it was trained on."),
    ],
    out: Out = None,
) -> None:
    """Write a model's predictions of sequences: a row per step, or per sequence.

    Probabilities of classes or of ones, or real numbers in the units of the data.
    """
    _write(predict_run(run, data), out, run / "predictions.csv")


def forecast(
    run: Run,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA", help="The series so far. [default: what it learned from]"
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="How many steps to go on.")] = 12,
    out: Out = None,
) -> None:
    """Go on with a series, the network fed its own output."""
    _write(forecast_run(run, data or (), steps), out, run / "forecast.csv")


def _write(
    table: tuple[Sequence[str], Iterable[Sequence[Any]]], out: Path | None, kept: Path
) -> None:
    """Write a table to a file; without a name to the screen and to the run folder."""
    heads, rows = table
    content = StringIO(newline="")
    csv.writer(content).writerows([heads, *rows])
    if out is None:
        sys.stdout.write(content.getvalue().replace("\r\n", "\n"))
    try:
        write_whole(out or kept, content.getvalue().encode())
    except FolderNotWritableError as error:
        if out is not None:
            raise
        say(f"not kept: {error}", to_error=True)
    else:
        say(f"written: {out or kept}", to_error=True)
