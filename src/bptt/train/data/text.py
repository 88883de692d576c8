"""Reading training text: files, folders, or the source of the standard library."""

import codecs
import gzip
import hashlib
import math
import os
import sys
import sysconfig
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Protocol, cast

from bptt.train.door.arrays import FREE_EXPANSION, MAX_EXPANSION
from bptt.train.door.limits import in_words
from bptt.train.errors import (
    DataNotFoundError,
    DataUnreadableError,
    EmptyDataError,
    NotUtf8Error,
    TrainExtraMissingError,
)

PACKED = (".gz", ".zst")

STANDARD_LIBRARY = "the source of Python's standard library"

# Left out of the default text: what is not the library itself, what an installation
# may lack, and tables that are data written as Python (encodings, pydoc topics).
SKIPPED_FOLDERS = frozenset(
    {
        "__pycache__",
        "distutils",
        "encodings",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
    }
)

SKIPPED_FILES = frozenset({"html/entities.py"})  # 75 000 characters of one table


IN_MEMORY_BYTES = 32 * 2**20  # longer texts are read piece by piece, and mapped
BLOCK_BYTES = 2**20
MAX_STREAM = 256 * 2**20  # bytes of a pipe: nothing says how many will come


class Characters(Protocol):
    """A text in pieces: where it came from, and the number of files read."""

    @property
    def source(self) -> str:
        """What the person gave."""
        ...

    @property
    def n_files(self) -> int:
        """The number of files the text comes from."""
        ...

    @property
    def is_large(self) -> bool:
        """Whether the text should not be held in memory."""
        ...

    def blocks(self) -> Iterator[str]:
        """The text from its beginning, in pieces."""
        ...


@dataclass(frozen=True)
class PlainText:
    """A text and where it came from: characters, number of files read."""

    characters: str
    source: str
    n_files: int
    is_large = False

    def blocks(self) -> Iterator[str]:
        """The text in one piece."""
        yield self.characters


@dataclass(frozen=True)
class LargeText:
    """Text files that are read piece by piece whenever the text is needed."""

    files: tuple[Path, ...]
    source: str
    limit: int | None
    is_large = True

    @property
    def n_files(self) -> int:
        """The number of files."""
        return len(self.files)

    def blocks(self) -> Iterator[str]:
        """The text in pieces of about 2^20 bytes.

        Raises: DataUnreadableError, NotUtf8Error.
        """
        left = self.limit
        for file in self.files:
            for piece in _pieces(file):
                yield piece[:left]
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        return


def kind_of(path: Path) -> str:
    """What a file's name ends in, in small letters, without `.gz` or `.zst`."""
    suffixes = [one.lower() for one in path.suffixes]
    packed = suffixes and suffixes[-1] in PACKED
    return "".join((suffixes[:-1] if packed else suffixes)[-1:])


def read_text(
    paths: Iterable[Path] = (), *, pattern: str = "*", limit: int | None = None
) -> PlainText | LargeText:
    """Read text files, and folders recursively, in a fixed order; UTF-8 only.

    Without paths it reads the `*.py` source of Python's standard library. A folder's
    files are those whose name matches `pattern`, sorted by path, without hidden ones.
    `limit` keeps the first so many characters. A file that does not end its last line
    is given a newline, so that two files never share a line; `.gz` and `.zst` are
    unpacked. More
    than 32 MiB are not read here but piece by piece as they are needed (`LargeText`).
    Raises: DataNotFoundError, DataUnreadableError, NotUtf8Error (file and byte
    offset), EmptyDataError if no character is left.

    >>> read_text(limit=1000).source
    "the source of Python's standard library"
    """
    given = tuple(paths)
    if not given:
        source, files = STANDARD_LIBRARY, standard_library_files()
    else:
        source = " ".join(str(path) for path in given)
        files = [file for path in given for file in files_of(path, pattern)]
    if sum(_size(file) for file in files) > IN_MEMORY_BYTES:
        return LargeText(tuple(files), source, limit)
    return _join(files, source, limit)


def standard_library_files() -> list[Path]:
    """List the library's `*.py` files, in the order of the SHA-256 of their names.

    That order is the same on every machine with the same Python, and a fair mixture:
    sorted by name, the held-out end of the text would be all `xml` and `zipfile`.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for folder, folders, names in os.walk(root):
        # Names with a hyphen are build configurations, such as config-3.12-x86_64.
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS and "-" not in f]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    by_name = {file.relative_to(root).as_posix(): file for file in found}
    names = [name for name in sorted(by_name) if name not in SKIPPED_FILES]
    chosen = sorted(names, key=_name_hash)
    return [by_name[name] for name in chosen]


def _name_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def files_of(path: Path, pattern: str) -> list[Path]:
    """A file itself, or the files of a folder whose name matches, sorted by path.

    Raises: DataNotFoundError.
    """
    if path.is_dir():
        # By parts: a path's own order is another one where its letters' case is none.
        return sorted(_walk(path, pattern), key=lambda file: file.parts)
    if not path.exists():
        raise DataNotFoundError(path)
    return [path]


def _walk(root: Path, pattern: str) -> Iterator[Path]:
    # os.walk does not follow links to folders, so a link to a parent cannot loop.
    for folder, folders, names in os.walk(root):
        folders[:] = [
            f for f in folders if not f.startswith(".") and f != "__pycache__"
        ]
        for name in names:
            file = Path(folder, name)
            if name.startswith(".") or not fnmatch(name, pattern):
                continue
            if file.is_file():  # not a socket, a pipe or a broken link
                yield file


def _join(files: list[Path], source: str, limit: int | None) -> PlainText:
    pieces: list[str] = []
    length = 0
    for file in files:
        if limit is not None and length >= limit:
            break
        piece = _read_file(file)
        if piece and not piece.endswith("\n"):
            piece += "\n"
        pieces.append(piece)
        length += len(piece)
    characters = "".join(pieces)[:limit]
    if not characters:
        found = "the text is empty" if files else "no text file was found"
        raise EmptyDataError(source, found)
    return PlainText(characters, source, len(pieces))


def _size(file: Path) -> int:
    """Bytes of text, of a `.gz` file once it is unpacked."""
    try:
        packed = file.stat().st_size
        if file.suffix.lower() not in PACKED:
            return packed
        return sum(map(len, blocks_of(file)))
    except _broken() as error:
        raise DataUnreadableError(file, _reason(error)) from error


def blocks_of(file: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked, in pieces.

    Raises: DataUnreadableError if it unpacks to more than anybody means, or is a device
    or a pipe that does not end; and the errors of who unpacks it.
    """
    size, most, what = 0, math.inf, "unpacks to"
    if file.suffix.lower() in PACKED:
        most = max(FREE_EXPANSION, MAX_EXPANSION * file.stat().st_size)
    elif not file.is_file():
        most, what = MAX_STREAM, "is no file and gives"
    with _opened(file) as stream:
        while block := stream.read(BLOCK_BYTES):
            size += len(block)
            if size > most:
                raise DataUnreadableError(file, f"{what} more than {in_words(size)}")
            yield block


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _broken() -> tuple[type[Exception], ...]:
    """The errors of a file, and of what is packed in it."""
    zstandard: Any = sys.modules.get("zstandard")
    others = () if zstandard is None else (zstandard.ZstdError,)
    return (OSError, EOFError, zlib.error, *others)


def _opened(file: Path) -> IO[bytes]:
    """A file to read the bytes of its text from."""
    if file.suffix.lower() == ".zst":
        try:
            zstandard: Any = import_module("zstandard")
        except ImportError as error:
            raise TrainExtraMissingError("zstandard", "files") from error
        return cast(IO[bytes], zstandard.open(file, "rb"))
    if file.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(file))  # the caller closes it
    return file.open("rb")


def _pieces(file: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0  # bytes before the block
    last = ""
    try:
        with _opened(file) as stream:
            while block := stream.read(BLOCK_BYTES):
                waiting = len(decoder.getstate()[0])
                try:
                    piece = decoder.decode(block)
                except UnicodeDecodeError as error:
                    offset = read - waiting + error.start
                    raise NotUtf8Error(
                        file, offset, error.object[error.start]
                    ) from None
                read += len(block)
                last = piece[-1:] or last
                yield piece
            waiting_bytes = decoder.getstate()[0]
    except _broken() as error:
        raise DataUnreadableError(file, _reason(error)) from error
    if waiting_bytes:
        raise NotUtf8Error(file, read - len(waiting_bytes), waiting_bytes[0])
    if last and last != "\n":
        yield "\n"


def _read_file(file: Path) -> str:
    try:
        content = b"".join(blocks_of(file))
    except _broken() as error:
        raise DataUnreadableError(file, _reason(error)) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8Error(file, error.start, content[error.start]) from error
