"""A long array in a temporary file that is mapped into memory."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.train.errors import FolderNotWritableError


def join_pieces(
    pieces: Iterable[npt.NDArray[Any]], kind: npt.DTypeLike, *, is_large: bool
) -> Any:
    """Arrays one after another, shape (n,): of a large text in a mapped file.

    kind: their element type. Raises: FolderNotWritableError.
    """
    if is_large:
        return _mapped(pieces, kind)
    return np.concatenate([np.zeros(0, kind), *pieces])


def _mapped(pieces: Iterable[npt.NDArray[Any]], kind: npt.DTypeLike) -> Any:
    """The same in a file, which is gone with its last user."""
    with tempfile.TemporaryFile(prefix="bptt-text-") as stream:
        try:
            # Written, not assigned through the map: a full disk is an error there,
            # and kills the process here.
            for piece in pieces:
                stream.write(piece.tobytes())
            stream.flush()
            if stream.tell() == 0:
                return np.zeros(0, kind)
            return np.memmap(stream, kind, mode="r")  # keeps the file by itself
        except OSError as error:  # a full disk, or no room among the addresses
            reason = error.strerror or str(error)
            raise FolderNotWritableError(Path(tempfile.gettempdir()), reason) from error
