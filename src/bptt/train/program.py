"""How this program is called, for the commands that it tells a person to run next."""

import shutil
import sys
from pathlib import Path


def call(*words: object) -> str:
    """A command that a shell takes as it stands, with the program as it was started.

    Without an active environment `.venv/bin/bptt` starts and `bptt` is not found.
    """
    return " ".join((_program(), *map(_quoted, words)))


def _program() -> str:
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return "python -m bptt"
    if started.stem != "bptt" or started.parent == Path():
        return "bptt"
    found = shutil.which("bptt")
    is_found = found is not None and Path(found).resolve() == started.resolve()
    return "bptt" if is_found else _quoted(started)


def _quoted(word: object) -> str:
    return f'"{word}"' if " " in str(word) else str(word)
