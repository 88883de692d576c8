"""How much may be read: what the machine has, and what a file may claim."""

import os
from importlib import import_module
from pathlib import Path

GIB = 2**30
MOST_WHOLE = 2**62  # of a whole number in an option or in a file of a run
UNKNOWN_MACHINE = 4 * GIB  # where the system does not say what is free

MEMORY_FILE = Path("/proc/meminfo")
USE_FILE = Path("/proc/self/statm")
GROUP = Path("/sys/fs/cgroup")


class Refusal(Exception):  # noqa: N818
    """What is wrong with a file's content; who asked for it names the file."""


def available_memory() -> int:
    """Bytes that can be allocated now, as far as the system says."""
    return min(_of_machine(), _of_group(), _of_process())


def refuse_above(n_bytes: int, what: str) -> None:
    """Refuse what does not fit into the memory that is there. Raises: Refusal."""
    there = available_memory()
    if n_bytes > there:
        found = f"{what} needs {in_words(n_bytes)} of memory"
        raise Refusal(f"{found}, and {in_words(there)} are available")


def read_bounded(path: Path, limit: int) -> bytes:
    """A file's bytes. Raises: Refusal if there are more than `limit`; OSError."""
    size = path.stat().st_size
    if size > limit:
        raise Refusal(f"has {in_words(size)}, where {in_words(limit)} is the most")
    with path.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:  # a device has no size, and no end
        raise Refusal(f"has more than {in_words(limit)}, which is the most")
    return content


def in_words(n_bytes: int) -> str:
    """A number of bytes with a unit, such as 1.5 GiB."""
    value, unit = float(n_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1e6 else f"{value:.1e} {unit}"


def _of_machine() -> int:
    try:
        for line in MEMORY_FILE.read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return UNKNOWN_MACHINE


def _of_process() -> int:
    """What `ulimit -v` leaves; without it, more than any machine has."""
    try:
        resource = import_module("resource")
        limit: int = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return 2**62
        pages = int(USE_FILE.read_text("utf-8").split()[0])
        return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    except (ImportError, OSError, ValueError, IndexError, AttributeError):
        return 2**62


def _of_group() -> int:
    """What a container leaves; without a limit there, more than any machine has."""
    try:
        limit = int((GROUP / "memory.max").read_text("utf-8"))
        return max(0, limit - int((GROUP / "memory.current").read_text("utf-8")))
    except (OSError, ValueError):
        return 2**62
