"""The commands of `bptt`, and how a mistake is reported."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from bptt.cli.bench import bench
from bptt.cli.cache import cache
from bptt.cli.cells import cells
from bptt.cli.check import check
from bptt.cli.compare import compare
from bptt.cli.doctor import doctor
from bptt.cli.evaluate import evaluate
from bptt.cli.explain import explain
from bptt.cli.export import export
from bptt.cli.failure import describe
from bptt.cli.flow import flow
from bptt.cli.predict import forecast, predict
from bptt.cli.sample import sample
from bptt.cli.sweep import sweep
from bptt.cli.train import GROUPED, train
from bptt.errors import BpttError
from bptt.version import __version__

# Exit codes.
MISTAKE = 2  # the person can put it right; the message says how
UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT: what shells expect of a command stopped by Ctrl-C

app = typer.Typer(
    name="bptt",
    help="The exact gradient of a recurrent network through time, from its equations.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("train", cls=GROUPED)(train)
app.command("sample")(sample)
app.command("eval")(evaluate)
app.command("export")(export)
app.command("predict")(predict)
app.command("forecast")(forecast)
app.command("compare")(compare)
app.command("sweep")(sweep)
app.command("check")(check)
app.command("explain")(explain)
app.command("bench")(bench)
app.command("cells")(cells)
app.command("flow")(flow)
app.command("cache")(cache)
app.command("doctor")(doctor)


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
    """Run the command line: a message and an exit code, never a traceback.

    A mistake prints its message and exits with 2, an interruption with 130. Whatever
    else goes wrong prints one line that says where the details are, and exits with 70.
    """
    try:
        app()
    except BpttError as error:
        _say(str(error))
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        _say("stopped")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001  # nobody foresaw it: that is the point
        _say(describe(error))
        sys.exit(UNFORESEEN)


def _say(text: str) -> None:
    console = Console(stderr=True)
    console.print("bptt: ", style="bold red", end="")
    # A terminal would cut inside a word; what reads a pipe wants whole lines.
    whole = not console.is_terminal
    console.print(text, markup=False, highlight=False, soft_wrap=whole)
