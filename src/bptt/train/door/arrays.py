"""Arrays from `.npy`, `.npz` and `.safetensors`, measured before they are allocated.

A header is matched, never evaluated, and what it claims is compared with the bytes that
are there: a file never costs more memory than its content, or, where a zip archive is
expanded, than the machine has.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.door.limits import GIB, Refusal, in_words, refuse_above
from bptt.train.door.records import MIB, parse_json

MAX_HEADER = 64 * 1024
MAX_SAFETENSORS_HEADER = 100 * MIB  # as safetensors itself says
MAX_AXES = 32
# Deflate reaches 1000 : 1. An array may expand so far only while it stays small.
MAX_EXPANSION = 200
FREE_EXPANSION = GIB

MAGIC = b"\x93NUMPY"
DESCR = re.compile(r"'descr'\s*:\s*'([<>|=]?)([biufcOSUVmM])(\d{0,4})'")
ORDER = re.compile(r"'fortran_order'\s*:\s*(True|False)")
SHAPE = re.compile(r"'shape'\s*:\s*\(([\d\s,L]*)\)")
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
BROKEN = (
    OSError, EOFError, ValueError, RuntimeError, NotImplementedError, KeyError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a `.npy` header claims; offset: where the numbers begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """The bytes of all numbers."""
        return prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: IO[bytes]) -> Header:
    """Read a header of any version of the format. Raises: Refusal."""
    start = stream.read(8)
    if start[:6] != MAGIC or len(start) < 8:
        raise Refusal("is no array: it does not begin as a .npy file does")
    if start[6] not in (1, 2, 3):
        raise Refusal(f"has version {start[6]} of the .npy format, not 1 to 3")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > MAX_HEADER:
        raise Refusal(f"has a header of {in_words(length)}")
    text = stream.read(length)
    if len(text) < length:
        raise Refusal("ends inside its header")
    return _parse_header(text.decode("latin-1"), 8 + width + length)


def _parse_header(text: str, offset: int) -> Header:
    descr, order, shape = DESCR.search(text), ORDER.search(text), SHAPE.search(text)
    # NumPy takes the last of two entries of one name.
    is_clear = all(
        text.count(f"'{n}'") == 1 for n in ("descr", "fortran_order", "shape")
    )
    if order is None or shape is None or not is_clear:
        raise Refusal(f"has a header that is none: {text[:60]!r}")
    if descr is None:
        raise Refusal(f"holds records, dates or the like, no numbers: {text[:60]!r}")
    byte_order, kind, width = descr.groups()
    if kind not in "biuf" or width not in ("1", "2", "4", "8"):
        raise Refusal(f"holds {byte_order}{kind}{width}, no numbers")
    sizes = [part.strip(" L\n") for part in shape[1].split(",")]
    are_counts = all(size.isdecimal() and len(size) < 40 for size in sizes if size)
    if not are_counts or len(sizes) > MAX_AXES:
        raise Refusal(f"has a header that is none: {text[:60]!r}")
    counts = tuple(int(size) for size in sizes if size)
    if prod(n for n in counts if n) >= 2**60:
        raise Refusal(f"claims {prod(counts):.1e} numbers")
    try:
        dtype = np.dtype(f"{byte_order or '<'}{kind}{width}")
    except TypeError as error:
        raise Refusal(f"holds {kind}{width}, no numbers") from error
    return Header(dtype, counts, order[1] == "True", offset)


def map_npy(path: Path) -> Array:
    """A `.npy` file as an array that stays on the disk. Raises: Refusal, OSError."""
    with path.open("rb") as stream:
        header = read_npy_header(stream)
    there = path.stat().st_size - header.offset
    if header.n_bytes > there:
        claim = f"{in_words(header.n_bytes)} of shape {header.shape}"
        raise Refusal(f"claims {claim}, but has {in_words(there)}")
    if not header.n_bytes:  # nothing can be mapped
        return np.zeros(header.shape, header.dtype)
    order: Any = "F" if header.is_fortran else "C"
    return np.memmap(path, header.dtype, "r", header.offset, header.shape, order)


def read_npz(path: Path, check_names: Callable[[list[str]], None]) -> dict[str, Array]:
    """All arrays of an archive, once `check_names` has seen what they are called.

    Raises: Refusal, and whatever check_names raises.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            check_names(list(members))
            if len(members) < len(archive.infolist()):
                raise Refusal("names an array twice")
            _refuse_bomb(path, sum(i.file_size for i in members.values()))
            return {name: _member(archive, info) for name, info in members.items()}
    except BROKEN as error:
        raise Refusal(str(error) or type(error).__name__) from error


def _refuse_bomb(path: Path, claimed: int) -> None:
    size = path.stat().st_size
    if claimed > max(FREE_EXPANSION, MAX_EXPANSION * size):
        raise Refusal(
            f"expands from {in_words(size)} to {in_words(claimed)}; if that is meant, "
            "write it with numpy.savez, which does not compress"
        )
    refuse_above(claimed, "its content")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        try:
            header = read_npy_header(stream)
        except Refusal as refusal:
            name = info.filename.removesuffix(".npy")
            raise Refusal(f"{name} {refusal}") from refusal
        there = info.file_size - header.offset
        if header.n_bytes > there:
            claim = f"{in_words(header.n_bytes)} of shape {header.shape}"
            found = f"claims {claim}, but has {in_words(max(0, there))}"
            raise Refusal(f"member {info.filename!r} {found}")
        flat = _filled(stream, header.n_bytes, info.filename)
    values = flat.view(header.dtype)
    shaped = values.reshape(header.shape, order="F" if header.is_fortran else "C")
    return shaped.astype(header.dtype.newbyteorder("="), copy=False)


def _filled(stream: IO[bytes], n_bytes: int, name: str) -> Array:
    buffer = np.empty(n_bytes, np.uint8)
    done = 0
    while done < n_bytes:
        piece = stream.read(min(MIB, n_bytes - done))
        if not piece:
            raise Refusal(f"{name!r} ends after {in_words(done)}")
        buffer[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return buffer


def read_safetensors(
    stream: IO[bytes], size: int, check_names: Callable[[list[str]], None] | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """All tensors of a file of `size` bytes, and its metadata; they can be written to.

    Raises: Refusal, OSError, and whatever check_names raises.
    """
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_SAFETENSORS_HEADER):
        raise Refusal("is not a whole safetensors file (its header is cut)")
    header = parse_json(stream.read(length))
    if not isinstance(header, dict):
        raise Refusal("is not a safetensors file (its header is no object)")
    metadata = header.pop("__metadata__", {})
    is_text = isinstance(metadata, dict) and all(
        isinstance(value, str) for value in metadata.values()
    )
    if not is_text:
        raise Refusal("is not a safetensors file (its metadata is no text)")
    if check_names is not None:
        check_names(list(header))
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    refuse_above(size, "its content")
    return _tensors(stream, entries, size - 8 - length), metadata


def _tensors(
    stream: IO[bytes], entries: Mapping[str, "_Entry"], n_bytes: int
) -> dict[str, Array]:
    arrays, end = {}, 0
    for name, entry in sorted(entries.items(), key=lambda e: (e[1].start, e[1].stop)):
        if entry.start != end or entry.stop > n_bytes:
            raise Refusal(f"is not a whole safetensors file (at tensor {name!r})")
        end = entry.stop
        flat = _filled(stream, entry.stop - entry.start, name)
        arrays[name] = flat.view(entry.dtype).reshape(entry.shape)
    if end != n_bytes:
        raise Refusal("is not a whole safetensors file (bytes are left over)")
    return arrays


@dataclass(frozen=True)
class _Entry:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


def _entry(name: str, entry: Any) -> _Entry:
    try:
        kind, shape = entry["dtype"], entry["shape"]
        start, stop = entry["data_offsets"]
        counts = [*shape, start, stop]
    except (TypeError, KeyError, ValueError) as error:
        raise Refusal(f"has a header that is none at tensor {name!r}") from error
    if not isinstance(kind, str) or kind not in DTYPES:
        raise Refusal(f"tensor {name!r} is {kind}, which NumPy lacks; save it as F32")
    if not all(type(n) is int and 0 <= n < 2**60 for n in counts):
        raise Refusal(f"has a header that is none at tensor {name!r}")
    dtype = np.dtype(DTYPES[kind])
    n_bytes = prod(shape) * dtype.itemsize
    if (
        len(shape) > MAX_AXES
        or n_bytes != stop - start
        or max(shape, default=0) > 2**40
    ):
        raise Refusal(f"tensor {name!r} has not the bytes of its shape {shape}")
    return _Entry(dtype, tuple(shape), start, stop)
