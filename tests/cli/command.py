"""The command `bptt`, as a person gives it: in this process, or in one of its own.

A process of its own costs 1 to 3 s, most of them for its imports. It is for what a
process alone shows: what is imported, what is missing, what another thread's end does.
"""

import io
import os
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from types import SimpleNamespace
from unittest import mock

from bptt.cli import main

PLAIN = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


class _File(io.TextIOWrapper):
    """A standard output that is a file of bytes, in the code that a command sets."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii", newline="")

    @property
    def said(self):
        self.flush()
        return self.buffer.getvalue().decode("utf-8").replace(os.linesep, "\n")


def bptt(*arguments, cwd, env=None):
    """Run the command here; its standard output, its error and its exit code."""
    out, error = _File(), _File()
    with (
        chdir(cwd),
        mock.patch.dict(os.environ, {**PLAIN, **(env or {})}),
        mock.patch.object(sys, "argv", ["bptt", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(error),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    return SimpleNamespace(returncode=code, stdout=out.said, stderr=error.said)


def bptt_alone(*arguments, cwd, block=(), env=None):
    """The same in a process; `block` names modules that cannot be imported."""
    program = (
        "import sys; sys.argv[0] = 'bptt'\n"
        f"for name in {block!r}: sys.modules[name] = None\n"
        "from bptt.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **PLAIN, **(env or {})},
    )
