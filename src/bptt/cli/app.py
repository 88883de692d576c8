"""The commands of `bptt`, and how a mistake is reported."""

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bptt.errors import BpttError
from bptt.version import __version__

# Exit codes.
MISTAKE = 2  # the person can put it right; the message says how
UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT: what shells expect of a command stopped by Ctrl-C

# name: its module here, its function, and the first sentence of what that says.
COMMANDS = {
    "train": ("train", "train", "Train a model and keep it in a folder."),
    "sample": ("sample", "sample", "Continue a text with a trained model."),
    "eval": (
        "evaluate",
        "evaluate",
        "Measure a trained model on data: its loss in its own unit, and its accuracy.",
    ),
    "export": (
        "export",
        "export",
        "Write a trained model as ONNX, as C, or as a torch state_dict.",
    ),
    "predict": (
        "predict",
        "predict",
        "Write a model's predictions of sequences: a row per step, or per sequence.",
    ),
    "forecast": (
        "predict",
        "forecast",
        "Go on with a series, the network fed its own output.",
    ),
    "compare": (
        "compare",
        "compare",
        "Compare finished runs: a row for runs that differ in the seed alone.",
    ),
    "sweep": (
        "sweep",
        "sweep",
        "Train every combination of the lists in [grid]; the same command goes on.",
    ),
    "check": (
        "check",
        "check",
        "Check every gradient of CELL against independent oracles.",
    ),
    "explain": (
        "explain",
        "explain",
        "Derive the gradient of CELL, step by step, with every equality checked.",
    ),
    "bench": (
        "bench",
        "bench",
        "Time the elman, gru and lstm gradients here, beside torch.nn if installed.",
    ),
    "cells": ("cells", "cells", "List the cells of the library, or show one."),
    "flow": ("flow", "flow", "Show how far gradients travel through time."),
    "cache": (
        "cache",
        "cache",
        "Show where compiled cells are kept, how many and how large; or remove them.",
    ),
    "doctor": (
        "doctor",
        "doctor",
        "Say what this machine has, and test the kernels on it for two seconds.",
    ),
}


class Commands(TyperGroup):
    """The commands, each imported when it is asked for: help alone needs none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        home, function, _ = COMMANDS[cmd_name]
        module = import_module(f"bptt.cli.{home}")
        single = typer.Typer(**SETTINGS)
        kind = getattr(module, "GROUPED", None)
        single.command(cmd_name, cls=kind)(getattr(module, function))
        return typer.main.get_command(single)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List them by the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items()])


SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}
app = typer.Typer(
    name="bptt",
    cls=Commands,
    help="The exact gradient of a recurrent network through time, from its equations.",
    no_args_is_help=True,
    **SETTINGS,
)


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

    A mistake, or what the system refuses (a full disk, a name that is too long), prints
    its message and exits with 2, an interruption with 130. Whatever
    else goes wrong prints one line that says where the details are, and exits with 70.
    """
    from bptt.cli.output import is_closed, let_every_sign_pass
    from bptt.cli.usage import is_usage, show_usage

    let_every_sign_pass()
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C; it says nothing
            _say("stopped")
            _leave_at_once()
        sys.exit(code)
    except BpttError as error:
        _say(str(error))
        sys.exit(MISTAKE)
    except (KeyboardInterrupt, typer.Abort):
        _say("stopped")
        _leave_at_once()
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001  # nobody foresaw it: that is the point
        if is_usage(error):
            sys.exit(show_usage(error))
        if is_closed(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        from bptt.cli.failure import describe, in_words

        if said := in_words(error):
            _say(said)
            sys.exit(MISTAKE)
        _say(describe(error))
        sys.exit(UNFORESEEN)


def _leave_at_once() -> None:
    """End here where a library's thread, on its return, would abort a Python's end."""
    from bptt.train.interrupt import is_native_work_left

    if is_native_work_left():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _say(text: str) -> None:
    from bptt.cli.output import say

    say(f"bptt: {text}", to_error=True)
