"""What a network must beat: two codes for the same held-out text.

All figures are bits per character of the held-out part, unknown characters spelled
out (`Vocabulary.spelling_bits`), so that each is the length of a code from which the
text can be had back, divided by its number of characters.
"""

import lzma
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from bptt.train.data.entries import Entries
from bptt.train.data.vocabulary import UNKNOWN, read_pieces

# The compressor is shown at most this many bytes of training text, the last ones, and
# finds what repeats within its window: lzma needs about a second per megabyte and ten
# times its window in memory.
LZMA_CONTEXT_BYTES = 4 * 2**20
LZMA_WINDOW_BYTES = 4 * 2**20
LZMA_PIECE_BYTES = 2**18
MAX_HELD_OUT = 16 * 2**20  # characters of a held-out part that is still compressed

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The end of the training part of a text and the held-out part after it.

    Each gives its characters in pieces, from the first one on, whenever it is called:
    a long text is not held in memory for a figure at the end of a run.
    """

    training: Callable[[], Iterable[str]]
    validation: Callable[[], Iterable[str]]

    @classmethod
    def of(cls, training: str, validation: str) -> "Split":
        """The same of texts that are in memory."""
        return cls(lambda: (training,), lambda: (validation,))


@dataclass(frozen=True)
class Baselines:
    """Bits per held-out character of the unigram code and of lzma.

    lzma is None where the held-out part is too long for it.
    """

    unigram: float
    lzma: float | None


def unigram_bits(
    training: npt.NDArray[np.integer],
    validation: npt.NDArray[np.integer],
    vocabulary: Entries,
) -> float:
    """Cross-entropy of the held-out characters under the training frequencies.

    -(1/n) sum_i log2 p(y_i),  p(k) = (n_k + 1) / (n + K)   (add-one, K entries)

    The added one keeps p above zero for an entry the training text lacks. Units: bits
    per character.
    """
    counts = count_entries(training, len(vocabulary)) + 1.0
    bits = -np.log2(counts / counts.sum())
    found = count_entries(validation, len(vocabulary)) / len(validation)
    return float(bits @ found) + float(found[UNKNOWN]) * vocabulary.spelling_bits


def count_entries(tokens: npt.NDArray[np.integer], n_entries: int) -> Counts:
    """How often each entry occurs, shape (n_entries,); a mapped file is read once."""
    counts = np.zeros(n_entries, np.int64)
    for piece in read_pieces(tokens):
        counts += np.bincount(piece, minlength=n_entries)
    return counts


def lzma_bits(split: Split) -> float:
    """Bits that lzma needs for the held-out text once it has seen the training text.

    8 (|lzma(training + validation)| - |lzma(training)|) / n characters

    Compressing the held-out part alone would be an unfair match: the compressor would
    start from nothing. The window covers up to 4 MiB of what it is shown.
    """
    training = b"".join(_in_bytes(split.training()))[-LZMA_CONTEXT_BYTES:]
    n, first, n_bytes = 0, [], len(training)

    def read() -> Iterator[bytes]:
        nonlocal n
        for piece in split.validation():
            n += len(piece)
            yield piece.encode()

    pieces = read()
    for piece in pieces:  # until it is known how large the window is
        first.append(piece)
        n_bytes += len(piece)
        if n_bytes >= LZMA_WINDOW_BYTES:
            break
    window = min(max(2**16, n_bytes), LZMA_WINDOW_BYTES)
    before = _compressed_size(window, _short(training))
    later = (p for piece in chain(first, pieces) for p in _short(piece))
    both = _compressed_size(window, chain(_short(training), later))
    return 8 * (both - before) / n


def _in_bytes(pieces: Iterable[str]) -> Iterator[bytes]:
    return (piece.encode() for piece in pieces)


def _short(content: bytes) -> Iterator[bytes]:
    """In pieces, between which Ctrl-C is answered."""
    for start in range(0, len(content), LZMA_PIECE_BYTES):
        yield content[start : start + LZMA_PIECE_BYTES]


def _compressed_size(window: int, pieces: Iterable[bytes]) -> int:
    """Bytes that lzma needs for pieces as one."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": window}]
    coder = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    return sum(len(coder.compress(piece)) for piece in pieces) + len(coder.flush())
