"""The standard output and error: their signs, their end, and JSON alone on them."""

import errno
import json
import os
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any

import typer


def let_every_sign_pass() -> None:
    """Print ∇ wherever a page of code without it is the system's own, as cp1252.

    A file or a pipe gets UTF-8, as every file that bptt writes; a terminal, or who says
    PYTHONIOENCODING, gets a `?` for what its code lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        if stream.isatty() or "PYTHONIOENCODING" in os.environ:
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="replace")


def say(text: str, *, to_error: bool = False) -> None:
    """Print a text as it is: a terminal's lines end between words, a pipe's are whole.

    to_error: on the standard error.
    """
    stream = sys.stderr if to_error else sys.stdout
    if not stream.isatty():
        typer.echo(text, err=to_error)
        return
    from rich.console import Console  # noqa: PLC0415  # start of no command needs it

    console = Console(stderr=to_error)
    is_wrapped = console.is_terminal
    for line in text.split("\n"):
        shown = _flowing(line, console.width) if is_wrapped else line
        console.print(
            shown, markup=False, highlight=False, emoji=False, soft_wrap=not is_wrapped
        )


def _flowing(line: str, width: int) -> Any:
    """A line as it is, or cut between words with each part as far in as the first."""
    from rich.cells import cell_len  # noqa: PLC0415  # as above
    from rich.padding import Padding  # noqa: PLC0415

    if cell_len(line) <= width:
        return line
    from bptt.explain.render.prose import Prose  # noqa: PLC0415

    words = line.lstrip(" ")
    return Padding(Prose(((words, ""),)), (0, 0, 0, len(line) - len(words)))


def is_closed(error: BaseException) -> bool:
    """Whether who read the output has gone, as `head` does; Windows has no EPIPE."""
    if isinstance(error, BrokenPipeError):
        return True
    if os.name != "nt" or not isinstance(error, OSError):
        return False
    return error.errno == errno.EINVAL and error.filename is None


def print_json(content: Mapping[str, Any]) -> None:
    """Print an object of JSON."""
    typer.echo(json.dumps(content, indent=1, allow_nan=False))
