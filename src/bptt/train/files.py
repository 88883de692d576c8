"""Files that are written whole or not at all."""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from bptt.train.errors import FolderNotWritableError

DEVICES = ("/dev", "/dev/fd")  # folders of them, and /dev/shm is one of files
# Windows lets no file be replaced that another program reads: a virus scanner, or
# `bptt compare` of a run that goes on. They are done within seconds.
PAUSES = (0.01, 0.05, 0.25, 1.0)  # seconds


def add_line(path: Path, line: bytes) -> None:
    """Add a line to the end of a file. Raises: FolderNotWritableError."""
    refuse_special(path)
    try:
        with path.open("ab") as stream:
            stream.write(line)
    except OSError as error:
        raise FolderNotWritableError(path, error.strerror or str(error)) from error


def refuse_special(path: Path) -> None:
    """Refuse a pipe, a device or a folder in the place of a file that is written.

    A pipe without a reader would be waited for; a device would be replaced by a file.
    Raises: FolderNotWritableError, also where the system finds no way to the place:
    links that go round in a circle, a name that is too long.
    """
    # /dev/stdout is a link to a file where the output goes to one: none to replace.
    place = path.absolute()
    is_of_system = str(place.parent) in DEVICES or place.is_relative_to("/proc")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG  # it will be one
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise FolderNotWritableError(path, why) from error
    if is_of_system or not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise FolderNotWritableError(path, f"it is {kind}, not an ordinary file")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; an existing folder is left as it is.

    Raises: FolderNotWritableError if the system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderNotWritableError(folder, error.strerror or str(error)) from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by new content: see `replace_whole`."""
    replace_whole(path, lambda part: part.write_bytes(content))


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file, so that no reader ever sees half of it.

    write: fills a temporary file in the same folder, which is forced to the disk and
    takes the name in one step; a crash leaves the old file or the new one.
    Raises: FolderNotWritableError if the system refuses or the place holds something
    else than a file, and what write raises.
    """
    refuse_special(path)
    place = path.resolve()  # a link stays one: what it leads to is replaced
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{place.name}.", suffix=".part", dir=place.parent
        )
        os.close(descriptor)
        write(Path(temporary))
        with Path(temporary).open("r+b") as stream:
            os.fsync(stream.fileno())
        # mkstemp makes a file only its owner can read; a result is an ordinary file.
        Path(temporary).chmod(0o666 & ~_current_umask())
        _take_place(Path(temporary), place)
        temporary = None
        sync_folder(place.parent)
    except OSError as error:
        raise FolderNotWritableError(path, error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _take_place(new: Path, path: Path) -> None:
    for pause in PAUSES if os.name == "nt" else ():
        try:
            new.replace(path)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    new.replace(path)


def _current_umask() -> int:
    # The only portable way to read the mask is to set it and set it back.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk. Raises: OSError."""
    if os.name == "nt":  # a folder cannot be opened there, and needs no sync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LockedError(Exception):
    """Another process holds the lock of a file."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file; the system gives it back when the process ends.

    A system or a file system that has no locks is used without.
    Raises: LockedError if another process holds it, FolderNotWritableError.
    """
    try:
        stream = path.open("r+b")
    except OSError as error:
        raise FolderNotWritableError(path, error.strerror or str(error)) from error
    with stream:
        if not try_lock(stream.fileno()):
            raise LockedError
        yield


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; False if another process holds it.

    POSIX gives it back when the file is closed in every process that inherited it,
    Windows when the process that took it ends.
    A system or a file system that has no locks is used without.
    """
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except (OSError, ImportError):
        pass
    return True


def _lock(descriptor: int) -> None:
    if os.name == "nt":  # its locks keep others from reading: lock far behind the end
        windows = import_module("msvcrt")
        here = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, 2**40, os.SEEK_SET)
        try:
            windows.locking(descriptor, windows.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, here, os.SEEK_SET)
    else:
        posix = import_module("fcntl")
        posix.flock(descriptor, posix.LOCK_EX | posix.LOCK_NB)
