"""`bptt train`: a character model from any text."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bptt.train import (
    SCHEDULES,
    STANDARD_LIBRARY_CHARACTERS,
    OptionError,
    TrainingOptions,
    parse_optimiser_option,
    parse_size,
    print_report,
    read_text,
)
from bptt.train import train as train_model

INTERRUPTED = 130  # 128 + SIGINT: what shells expect of a command stopped by Ctrl-C
DEFAULTS = TrainingOptions()

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DATA",
        help="Text files or folders, UTF-8. Without: the source of Python's library.",
    ),
]
Pattern = Annotated[
    str, typer.Option(help="Which files of a folder to read, for example '*.txt'.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Read at most so many characters. "
        f"[default: {STANDARD_LIBRARY_CHARACTERS} without DATA, else all]",
        show_default=False,
    ),
]
CellOption = Annotated[
    str, typer.Option("--cell", help="A built-in cell or a file of equations.")
]
SizeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--size", metavar="NAME=N", help="Size of one dimension; may be repeated."
    ),
]
OptimiserOption = Annotated[
    str, typer.Option(help="Any optimiser of torch.optim that takes dense gradients.")
]
OptimiserOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--optimiser-option",
        metavar="NAME=VALUE",
        help="One of its options, such as momentum=0.9; may be repeated.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the result. [default: runs/ and the time]", show_default=False
    ),
]


def train(
    data: Data = None,
    *,
    cell: CellOption = DEFAULTS.cell,
    n_h: Annotated[int, typer.Option(help="Hidden size.")] = DEFAULTS.n_h,
    size: SizeOption = None,
    tau: Annotated[
        int, typer.Option(help="Steps per window: how far gradients go back.")
    ] = DEFAULTS.tau,
    n_b: Annotated[int, typer.Option(help="Parallel streams.")] = DEFAULTS.n_b,
    epochs: Annotated[int, typer.Option(help="Times to read it all.")] = (
        DEFAULTS.epochs
    ),
    optimiser: OptimiserOption = DEFAULTS.optimiser,
    optimiser_option: OptimiserOptions = None,
    learning_rate: Annotated[
        float, typer.Option(help="The highest learning rate.")
    ] = DEFAULTS.learning_rate,
    schedule: Annotated[
        str, typer.Option(help=f"Learning rate over time: {' or '.join(SCHEDULES)}.")
    ] = DEFAULTS.schedule,
    clip: Annotated[
        float, typer.Option(help="Limit of the gradient's global norm; inf for none.")
    ] = DEFAULTS.clip,
    held_out: Annotated[
        float, typer.Option(help="Fraction of the text kept for validation.")
    ] = DEFAULTS.held_out,
    pattern: Pattern = "*",
    limit: Limit = None,
    seed: Annotated[int, typer.Option(help="Seed of parameters and sample.")] = 0,
    out: Out = None,
) -> None:
    """Train a character model and keep it in a folder.

    Without DATA the text is the source of Python's standard library, which every
    machine with Python has. Ctrl-C ends the run early, with everything saved.
    """
    options = TrainingOptions(
        cell=cell,
        n_h=n_h,
        n_b=n_b,
        tau=tau,
        epochs=epochs,
        optimiser=optimiser,
        optimiser_options=dict(map(parse_optimiser_option, optimiser_option or ())),
        learning_rate=learning_rate,
        schedule=schedule,
        clip=clip,
        held_out=held_out,
        seed=seed,
        sizes=dict(map(parse_size, size or ())),
    )
    paths = data or []
    text = read_text(paths, pattern=pattern, limit=_limit(limit, paths))
    console = Console()
    report = train_model(text, options, out or _default_folder(), console)
    print_report(report, console)
    if report.was_interrupted:
        raise typer.Exit(INTERRUPTED)


def _limit(limit: int | None, paths: list[Path]) -> int | None:
    if limit is not None and limit < 1:
        raise OptionError("--limit", limit, "a whole number from 1")
    if limit is None and not paths:
        return STANDARD_LIBRARY_CHARACTERS
    return limit


def _default_folder() -> Path:
    return Path("runs", datetime.now().astimezone().strftime("%Y-%m-%dT%H-%M-%S"))
