"""A command line that cannot be read: the nearest name of what there is."""

import re
from collections.abc import Iterable
from typing import Any

from bptt.errors import did_you_mean, find_nearest

# What the library of command lines says of a word that is none of its list.
NONE_OF = re.compile(r"'([^']*)' is not one of (.*)", re.DOTALL)


def is_usage(error: BaseException) -> bool:
    """Whether the command line could not be read.

    By what it can do: the class is Typer's own in some versions, and click's in others.
    """
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def show_usage(error: Any) -> int:
    """Print what is wrong, with the nearest name; the exit code."""
    if isinstance(getattr(error, "message", None), str):
        error.message = error.message.replace(": Value error, ", ": ")
    name, known = _meant(error)
    near = did_you_mean(name, known)
    error.possibilities = None  # its own guess; not every version has one
    if near:
        error.message = f"{error.message.rstrip('.')}{near}"
    error.show()
    return int(error.exit_code)


def _meant(error: Any) -> tuple[str, Iterable[str]]:
    """The name that is none, and the names there are."""
    context = getattr(error, "ctx", None)
    if context is None:
        return "", ()
    wrong = getattr(error, "option_name", None)
    if wrong is not None:
        options = [p for p in context.command.get_params(context) if p.opts]
        names = [o for p in options for o in (*p.opts, *p.secondary_opts)]
        # By the words alone: two hyphens make --cel no relative of --help.
        words = {name[2:]: name for name in names if name.startswith("--")}
        near = find_nearest(wrong.strip("-"), words)
        return wrong, [] if near is None else [words[near]]
    found = NONE_OF.search(str(error.message))
    if found:
        return found[1], re.findall(r"'([^']*)'", found[2])
    if "No such command" in str(error.message):
        return str(error.message).split("'")[1], context.command.list_commands(context)
    return "", ()
