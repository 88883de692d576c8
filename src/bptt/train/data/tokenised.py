"""A text that was cut into tokens, kept with a run: to go on needs no second time.

`tokens.npy` holds the tokens of the parts one after another, in the smallest integers
that their vocabulary needs; config.json says how many tokens and characters each has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bptt.train.data.streams import Tokens
from bptt.train.data.vocabulary import read_pieces
from bptt.train.door.arrays import map_npy
from bptt.train.door.limits import Refusal
from bptt.train.errors import FolderNotWritableError

TOKENS_FILE = "tokens.npy"


@dataclass(frozen=True)
class Tokenised:
    """The tokens of each part, and where it lies in the text, in characters."""

    tokens: Mapping[str, Tokens]
    cuts: Mapping[str, slice]

    def to_json(self) -> dict[str, list[int]]:
        """How many tokens and characters each part has, in their order."""
        return {n: [len(self.tokens[n]), s.stop - s.start]
                for n, s in self.cuts.items()}  # fmt: skip

    def write(self, path: Path) -> None:
        """Write all tokens into one file. Raises: FolderNotWritableError."""
        arrays = [self.tokens[name] for name in self.cuts]
        header = {
            "descr": np.lib.format.dtype_to_descr(arrays[0].dtype),
            "fortran_order": False,
            "shape": (sum(map(len, arrays)),),
        }
        try:
            with path.open("wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for array in arrays:
                    for piece in read_pieces(array):
                        stream.write(piece.tobytes())
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(path, reason) from error


def read_tokenised(path: Path, lengths: Mapping[str, Any], n_entries: int) -> Tokenised:
    """What `Tokenised.write` wrote, left on the disk; lengths: as `to_json`.

    Raises: Refusal if it is not that, OSError.
    """
    tokens = map_npy(path)
    if tokens.ndim != 1 or tokens.dtype.kind != "u":
        raise Refusal(f"holds {tokens.dtype} of {tokens.ndim} axes, no tokens")
    n = sum(n_tokens for n_tokens, _ in lengths.values())
    if len(tokens) != n:
        raise Refusal(f"holds {len(tokens)} tokens; config.json says {n}")
    largest = max((int(p.max()) for p in read_pieces(tokens)), default=0)
    if largest >= n_entries:
        raise Refusal(f"holds {largest}; the vocabulary has {n_entries} entries")
    parts, cuts, at, character = {}, {}, 0, 0
    for name, (n_tokens, n_characters) in lengths.items():
        parts[name] = tokens[at : at + n_tokens]
        cuts[name] = slice(character, character + n_characters)
        at, character = at + n_tokens, character + n_characters
    return Tokenised(parts, cuts)
