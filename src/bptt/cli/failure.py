"""What the command line says of an error that nobody foresaw."""

import errno
import os
import platform
import sys
import tempfile
import traceback
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from bptt.version import __version__

PACKAGES = ("numpy", "llvmlite", "torch", "jax", "safetensors", "msgspec")
MAX_WORDS = 300
# What the system refuses, whatever asks for it: it is the person who can put it right.
REFUSED = (
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "ENAMETOOLONG", "ELOOP",
    "EMFILE", "ENFILE", "ETXTBSY",
)  # fmt: skip
# The same of a place that the command names; of any other it is an error of ours.
REFUSED_THERE = ("ENOTDIR", "EISDIR", "EEXIST", "ENOENT", "EBUSY")


def in_words(error: BaseException) -> str | None:
    """One line for what the system refuses; None for any other error."""
    if not isinstance(error, OSError):
        return None
    names = [*REFUSED, *(REFUSED_THERE if _is_named(error.filename) else ())]
    if error.errno not in [getattr(errno, name, None) for name in names]:
        return None
    name = "" if error.filename is None else f" {_short(str(error.filename))!r}"
    return (
        f"the system refuses{name}: {error.strerror}. Choose another place, or free "
        "what it lacks."
    )


def _is_named(file: object) -> bool:
    """Whether an argument of the command is this place, or one that it lies in."""
    return any(word in str(file) for word in sys.argv[1:] if len(word) > 1)


def _short(name: str) -> str:
    return name if len(name) < MAX_WORDS else f"{name[:100]}...{name[-40:]}"


def describe(error: BaseException) -> str:
    """One line: what happened, where the details are, and how to report it."""
    words = " ".join(str(error).split())[:MAX_WORDS]
    found = type(error).__name__ + (f": {words}" if words else "")
    return (
        f"an error that was not foreseen, {found}. {_where(error)} "
        "Please report it as CONTRIBUTING.md says, with the command you gave."
    )


def _where(error: BaseException) -> str:
    try:
        descriptor, path = tempfile.mkstemp(prefix="bptt-error-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
            stream.write(_details(error))
    except OSError as reason:
        return f"The details could not be written ({reason.strerror})."
    return f"The details are in {path}."


def _details(error: BaseException) -> str:
    lines = [
        f"bptt {__version__}, Python {platform.python_version()}",
        platform.platform(),
        *(f"{name} {version_of(name) or 'is not installed'}" for name in PACKAGES),
        datetime.now().astimezone().isoformat(timespec="seconds"),
        f"command: {sys.argv}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(lines)


def version_of(name: str) -> str | None:
    """The installed version of a package, None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
