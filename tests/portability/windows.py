"""A process that has of Windows what this project's code asks about.

    python -m tests.portability.windows train --out run --then eval run

runs these commands of `bptt` in turn without `fcntl`, `resource`, `/proc`,
`os.sched_getaffinity` and what else is missing there, with locks by a stand-in of
`msvcrt`. Libraries are imported before: they are other people's to port.
"""

import contextlib
import errno
import mmap
import os
import sys
import sysconfig
from types import ModuleType, SimpleNamespace

from tests.train.short_runs import shorten

MISSING_MODULES = ("fcntl", "resource", "grp", "pwd", "termios")
MISSING_IN_OS = (
    "geteuid", "getuid", "register_at_fork", "sched_getaffinity", "sched_setaffinity",
    "sysconf", "fork", "getloadavg", "killpg", "mkfifo",
)  # fmt: skip
MISSING_IN_MMAP = ("MADV_HUGEPAGE", "MADV_DONTNEED", "MAP_PRIVATE")
LIBRARIES = (
    "numpy", "llvmlite.binding", "torch", "safetensors.numpy", "threadpoolctl", "rich",
    "rich.console", "rich.progress", "typer", "msgspec", "platformdirs",
)  # fmt: skip


class Locks(ModuleType):
    """Locks of bytes of a file, by its number: `msvcrt.locking`."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        super().__init__("msvcrt")
        self.held = {}

    def locking(self, descriptor, mode, n_bytes):
        facts = os.fstat(descriptor)
        place = (facts.st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        owner = self.held.get(place)
        if owner not in (None, descriptor) and self._is_open(owner, facts):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.held[place] = descriptor

    def _is_open(self, descriptor, facts):
        try:
            return os.fstat(descriptor).st_ino == facts.st_ino
        except OSError:
            return False


class Mapped(mmap.mmap):
    """A mapped file that takes no advice."""

    @property
    def madvise(self):
        raise AttributeError("madvise")


class Named(SimpleNamespace):
    """The module `os` with its name of Windows, for one module of this project."""

    name = "nt"

    def __getattr__(self, attribute):
        return getattr(os, attribute)


def become():
    """Make this process one of Windows as far as this project's code can tell."""
    for library in LIBRARIES:
        try:
            __import__(library)
        except ImportError:
            continue
    sysconfig.get_config_vars()  # Python's own, read from a file of this system
    for name in MISSING_MODULES:
        sys.modules[name] = None
    for home, names in ((os, MISSING_IN_OS), (mmap, MISSING_IN_MMAP)):
        for name in names:
            if hasattr(home, name):
                delattr(home, name)
    mmap.mmap = Mapped
    sys.modules["msvcrt"] = Locks()
    sys.platform = "win32"
    use_names()


def use_names():
    """Let the modules that ask for the system's name see that of Windows."""
    from bptt.cli import output
    from bptt.train import files

    files.os = output.os = Named()


def main():
    become()
    shorten()
    from bptt.cli.app import main

    *first, last = " ".join(sys.argv[1:]).split(" --then ")
    for command in first:
        sys.argv = ["bptt", *command.split()]
        with contextlib.suppress(SystemExit):
            main()
    sys.argv = ["bptt", *last.split()]
    main()


if __name__ == "__main__":
    main()
