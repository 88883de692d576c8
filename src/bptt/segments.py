"""Inputs that come in segments: put into a file as they come, and used from there.

A gradient through time reads its inputs twice, forward and backward, and an iterator
gives them once. So every segment goes to a temporary file, and the call gets a memory
map of the file, which it reads stretch by stretch where `memory=` or `checkpoint=` cuts
the steps. Nothing of the length of the sequence is held in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np

from bptt import errors
from bptt.execute.checks import as_array
from bptt.step.shapes import Array


def spooled(inputs: Any, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Inputs by name, those that came in segments as memory maps of temporary files.

    inputs: a mapping, in which a value may be an iterator of segments (steps, n_b,
    *shape); or an iterator of such mappings of arrays. params: whose element type real
    segments take. The system removes a file with its map.
    Raises: SegmentError, DtypeError.
    """
    if isinstance(inputs, Mapping):
        late = {n: v for n, v in inputs.items() if hasattr(v, "__next__")}
        if not late:
            return inputs
    elif not hasattr(inputs, "__next__"):
        raise errors.SegmentError(
            f"inputs is {_kind(inputs)}; give a mapping such as {{'x': x}}, or an "
            "iterator of such mappings, one for each segment of the steps"
        )
    element = next((np.asarray(one).dtype for one in params.values()), None)
    with ExitStack() as open_files:
        files: dict[str, _File] = {}

        def add(name: str, number: int, segment: Any) -> None:
            if name not in files:
                files[name] = _File(name, element, open_files)
            files[name].add(number, segment)

        if not isinstance(inputs, Mapping):
            for number, segment in enumerate(_mappings(inputs), 1):
                for name, array in segment.items():
                    add(name, number, array)
            return {name: file.array() for name, file in files.items()}
        for name, segments in late.items():
            for number, segment in enumerate(segments, 1):
                add(name, number, segment)
            if name not in files:
                raise _nothing(f"input {name}")
        return {**inputs, **{name: file.array() for name, file in files.items()}}


def _mappings(segments: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
    """Segments of all inputs, with the same names. Raises: SegmentError."""
    names = None
    for number, segment in enumerate(segments, 1):
        if not isinstance(segment, Mapping):
            raise errors.SegmentError(
                f"segment {number} is {_kind(segment)}; give a mapping such as "
                "{'x': x}, with the arrays of these steps"
            )
        names = set(segment) if names is None else names
        if set(segment) != names:
            raise errors.SegmentError(
                f"segment {number} has the inputs {', '.join(segment) or 'none'}, but "
                f"those before it have {', '.join(sorted(names)) or 'none'}"
            )
        yield segment
    if not names:
        raise _nothing("inputs")


class _File:
    """One input, segment after segment."""

    def __init__(self, name: str, element: Any, open_files: ExitStack) -> None:
        self._name, self._element = name, element
        opened = tempfile.TemporaryFile()  # noqa: SIM115  `open_files` closes it
        self._file: IO[bytes] = open_files.enter_context(opened)
        self._shape: tuple[int, ...] | None = None
        self._dtype = np.dtype(np.float64)
        self._steps = 0

    def add(self, number: int, segment: Any) -> None:
        """Write a segment. Raises: SegmentError, DtypeError."""
        what = f"segment {number} of input {self._name}"
        array = as_array(what, segment)
        if self._shape is None and array.ndim:
            self._shape, self._dtype = array.shape[1:], self._stored(array.dtype)
        if not array.ndim or array.shape[1:] != self._shape:
            raise errors.SegmentError(
                f"{what} has shape {array.shape}, the first one "
                f"(steps, {', '.join(map(str, self._shape or ('n_b', '...')))}): all "
                "axes but the first, that of the steps, are the same in every segment"
            )
        if not np.can_cast(array.dtype, self._dtype, "same_kind"):
            raise errors.SegmentError(
                f"{what} has element type {array.dtype}, the first one {self._dtype}"
            )
        self._steps += len(array)
        with _written(what):
            self._file.write(np.ascontiguousarray(array, self._dtype).data)

    def _stored(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The type that a call works on, so that it copies nothing."""
        if dtype.kind in "iu":
            return np.dtype(np.int64)
        is_real = dtype.kind == "f" and self._element is not None
        return self._element if is_real else dtype

    def array(self) -> Array:
        """All steps, from the file, which is gone with them. Raises: SegmentError."""
        if not self._steps:
            raise _nothing(f"input {self._name}")
        with _written(f"the last segment of input {self._name}"):
            self._file.flush()
        shape = (self._steps, *(self._shape or ()))
        if not np.prod(shape):
            return np.empty(shape, self._dtype)
        return np.memmap(self._file, self._dtype, "r", shape=shape)


@contextmanager
def _written(what: str) -> Iterator[None]:
    """Say of what the temporary file has no room for. Raises: SegmentError."""
    try:
        yield
    except OSError as error:
        raise errors.SegmentError(
            f"{what} cannot be written to {tempfile.gettempdir()}, the folder for "
            f"temporary files: {error.strerror}. Likely fix: let TMPDIR name a "
            "folder with more room"
        ) from None


def _nothing(what: str) -> errors.SegmentError:
    return errors.SegmentError(
        f"{what}: the iterator gave no step; it may have been read before"
    )


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
