"""`bptt sweep`: every combination of some options, resumable, on all cores."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bptt.cli.compare import show
from bptt.cli.train import INTERRUPTED
from bptt.train import (
    FAILED,
    JobOutcome,
    OptionError,
    compare_runs,
    read_sweep,
    run_sweep,
    write_comparison,
)
from bptt.train.progress import print_line

SOME_FAILED = 1
STOPPING = (
    "stopping: {n} at work, each that trains is saved after its window; once more ends "
    "them at once"
)
AGAIN = "stopped: {left} of {n} runs are not done; the same command goes on with them"


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A TOML file of options, as for train --config, with a table [grid] "
            "of lists.",
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time. [default: the number of cores]", show_default=False
        ),
    ] = None,
) -> None:
    """Train every combination of the lists in [grid]; the same command goes on.

    Runs that have ended are left alone and those that were stopped are resumed. At the
    end they are compared, in the terminal and in compare.html. Ctrl-C stops the runs at
    work with everything saved.
    """
    if jobs is not None and jobs < 1:
        raise OptionError("--jobs", jobs, "a whole number from 1")
    out, listed = read_sweep(file)
    console = Console()

    def tell(outcome: JobOutcome) -> None:
        text = f"{outcome.job.name}: {outcome.how}"
        reason = f" ({outcome.reason})" if outcome.reason else ""
        print_line(console, text + reason)

    def stopping(n: int) -> None:
        print_line(console, STOPPING.format(n=n), "dim")

    found = run_sweep(out, listed, jobs or os.cpu_count() or 1, tell, stopping)
    left = sum(outcome.is_left for outcome in found)
    if left:
        print_line(console, AGAIN.format(left=left, n=len(found)))
        sys.exit(INTERRUPTED)  # not typer.Exit: what there is to say has been said
    ended = [o.job.folder for o in found if o.how != FAILED]
    if ended:
        comparison = compare_runs(ended)
        write_comparison(comparison, out / "compare.html")
        show(comparison, console)
    if len(ended) < len(found):
        raise typer.Exit(SOME_FAILED)
