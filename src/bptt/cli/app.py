"""The commands of `bptt`, and how a mistake is reported."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from bptt.cli.bench import bench
from bptt.cli.cells import cells
from bptt.cli.check import check
from bptt.cli.evaluate import evaluate
from bptt.cli.explain import explain
from bptt.cli.flow import flow
from bptt.cli.sample import sample
from bptt.cli.train import train
from bptt.errors import BpttError
from bptt.version import __version__

MISTAKE = 2  # exit code: the person can put it right; the message says how

app = typer.Typer(
    name="bptt",
    help="The exact gradient of a recurrent network through time, from its equations.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("train")(train)
app.command("sample")(sample)
app.command("eval")(evaluate)
app.command("check")(check)
app.command("explain")(explain)
app.command("bench")(bench)
app.command("cells")(cells)
app.command("flow")(flow)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"bptt {__version__}")
        raise typer.Exit


@app.callback()
def bptt(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and stop.",
        ),
    ] = False,
) -> None:
    """The exact gradient of a recurrent network through time, from its equations."""


def main() -> None:
    """Run the command line; a mistake prints its message and exits with code 2."""
    try:
        app()
    except BpttError as error:
        console = Console(stderr=True)
        console.print("bptt: ", style="bold red", end="")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(MISTAKE)
