"""The characters a model knows, and the one entry for all others."""

import mmap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.train.options import CHARACTERS

UNKNOWN = 0
UNKNOWN_MARK = "\N{REPLACEMENT CHARACTER}"
UNICODE_CHARACTERS = 0x110000 - 0x800  # all code points but the surrogates

Tokens = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
PIECE = 2**20  # characters that are worked on at a time


def codes_of(text: str) -> Codes:
    """The code points of a text of n characters, shape (n,), read-only."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def text_of(codes: Codes) -> str:
    """The text of code points, shape (n,)."""
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def read_pieces(codes: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Code points or entries in pieces.

    A mapped file's pages are given back after every piece: they are on the disk.
    """
    mapped = getattr(codes, "_mmap", None)
    for start in range(0, len(codes), PIECE):
        yield codes[start : start + PIECE]
        if mapped is not None and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Vocabulary:
    """Characters 1, 2, ... in code-point order; entry 0 stands for every other one.

    Characters seen only once in the training text are left to entry 0. A network
    that never met "unknown" would give it no probability at all, and the number of
    characters seen once is the Good-Turing estimate of how often a new one comes.

    >>> vocabulary = Vocabulary.build("abracadabra")
    >>> vocabulary.characters, vocabulary.encode("bar!").tolist()
    (('a', 'b', 'r'), [2, 1, 3, 0])
    """

    characters: tuple[str, ...]
    kind = CHARACTERS
    _entry_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the characters."""
        entry_of = {character: i for i, character in enumerate(self.characters, 1)}
        object.__setattr__(self, "_entry_of", entry_of)

    @classmethod
    def build(cls, training_text: str) -> "Vocabulary":
        """Collect the characters that occur at least twice in the training text."""
        counts = Counter(training_text)
        return cls(tuple(sorted(c for c, n in counts.items() if n >= 2)))

    @classmethod
    def from_codes(cls, pieces: Iterable[Codes]) -> "Vocabulary":
        """The same from code points, given in pieces of shape (n,)."""
        counts = np.zeros(0x110000, np.int64)
        for piece in pieces:
            found, n = np.unique(piece, return_counts=True)
            counts[found] += n
        return cls(tuple(map(chr, np.flatnonzero(counts >= 2))))

    @property
    def kind_of_entries(self) -> np.dtype[Any]:
        """The element type of as few bytes as the entries need."""
        return np.min_scalar_type(len(self) - 1)

    def encode_codes(self, codes: Codes) -> Iterator[npt.NDArray[np.integer]]:
        """The entries of code points, in pieces, in as few bytes as they need."""
        table = self._entry_of_code.astype(self.kind_of_entries)
        for piece in read_pieces(codes):
            yield table[piece]

    @property
    def unknown(self) -> int:
        """The entry of unknown characters."""
        return UNKNOWN

    def writer(self, before: npt.NDArray[np.integer]) -> Callable[[int], str]:
        """What gives the character of an entry, whatever came before."""
        return lambda token: self.decode(np.array([token]))

    def to_json(self) -> list[str]:
        """What vocabulary.json holds: the characters, entry 1 first."""
        return list(self.characters)

    def __len__(self) -> int:
        """Count the entries, the one for unknown characters included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Tokens:
        """Turn a text of n characters into n entries, shape (n,), int64."""
        if not text:
            return np.zeros(0, np.int64)
        # One table look-up per character, whatever its code point: 30 times faster
        # than a dictionary look-up each, and a 4-byte view needs no copy of the text.
        return self._entry_of_code[codes_of(text)]

    def decode(self, tokens: npt.NDArray[np.integer]) -> str:
        """Turn entries into text; entry 0 is shown as U+FFFD."""
        shown = (UNKNOWN_MARK, *self.characters)
        return "".join(shown[token] for token in tokens)

    def entry(self, character: str) -> int:
        """Return the entry of one character, 0 if it is unknown."""
        return self._entry_of.get(character, UNKNOWN)

    @property
    def spelling_bits(self) -> float:
        """The bits that say which unknown character it was, all being equally likely.

        A code that only says "unknown" cannot give the text back. Every figure in bits
        per character therefore pays these bits for each unknown character, so that a
        model, the unigram and a compressor are compared as whole codes of the text.
        """
        return log2(UNICODE_CHARACTERS - len(self.characters))

    @cached_property
    def _entry_of_code(self) -> Tokens:
        table = np.zeros(0x110000, np.int64)
        for character, entry in self._entry_of.items():
            table[ord(character)] = entry
        return table
