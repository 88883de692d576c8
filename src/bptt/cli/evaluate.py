"""`bptt eval`: what a trained model reaches on data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bptt.cli.output import print_json, say
from bptt.train import (
    DataRequest,
    Measured,
    format_figure,
    format_loss,
    in_words,
    measure_run,
    open_data,
)
from bptt.train.data.opening import Data
from bptt.train.errors import FolderNotWritableError
from bptt.train.measuring import keep_measured
from bptt.train.predicting import read_like
from bptt.train.report import recalls


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

    The columns of tables mean what they did in training. The figures are added to
    evaluations.jsonl of the run, a line each time.
    """
    found = open_data(read_like(run, DataRequest(tuple(data), pattern, limit)))
    measured = measure_run(run, found, checkpoint)
    kept = _keep(run, measured, found, checkpoint)
    if json:
        print_json(measured.to_json())
        return
    unit = measured.unit
    mine = _sentence(measured.loss, unit.name, measured.figures)
    lines = [
        measured.summary,
        f"{mine} (mean over {measured.n:,} {unit.item}s)",
        *(
            f"{other.name}: {_sentence(other.loss, unit.name, other.figures)}"
            for other in measured.references
        ),
        *recalls(measured.by_class, measured.classes),
        *measured.remarks,
        kept,
    ]
    say("\n".join(lines))


def _sentence(loss: float, unit: str, figures: Mapping[str, float]) -> str:
    text = f"{format_loss(loss)} {unit}"
    for name, value in figures.items():
        text += f", {in_words(name)} {format_figure(name, value)}"
    return text


def _keep(run: Path, measured: Measured, data: Data, checkpoint: str | None) -> str:
    """Where the figures are on the disk, or why not: they are printed all the same."""
    try:
        return f"kept in {keep_measured(run, measured, data, checkpoint)}"
    except FolderNotWritableError as error:
        return f"not kept: {error}"
