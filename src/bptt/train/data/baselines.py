"""What a network must beat: two codes for the same held-out text.

All figures are bits per character of the held-out part, unknown characters spelled
out (`Vocabulary.spelling_bits`), so that each is the length of a code from which the
text can be had back, divided by its number of characters.
"""

import lzma
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bptt.train.data.entries import Entries
from bptt.train.data.vocabulary import UNKNOWN, read_pieces

# The compressor is shown at most this many bytes of training text, the last ones, and
# finds what repeats within its window: lzma needs about a second per megabyte and ten
# times its window in memory.
LZMA_CONTEXT_BYTES = 4 * 2**20
LZMA_WINDOW_BYTES = 8 * 2**20
LZMA_PIECE_BYTES = 2**18
MAX_HELD_OUT = 16 * 2**20  # characters of a held-out part that is still compressed

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The end of the training part of a text and the held-out part after it."""

    training: str
    validation: str


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
    start from nothing. The dictionary covers all that it is shown, up to 8 MiB.
    """
    training = split.training.encode()[-LZMA_CONTEXT_BYTES:]
    validation = split.validation.encode()
    size = min(max(2**16, len(training) + len(validation)), LZMA_WINDOW_BYTES)
    extra = _compressed_size(size, training, validation) - _compressed_size(
        size, training
    )
    return 8 * extra / len(split.validation)


def _compressed_size(window: int, *contents: bytes) -> int:
    """Bytes of contents as one; given in pieces, between which Ctrl-C is answered."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": window}]
    coder = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    n = 0
    for content in contents:
        for start in range(0, len(content), LZMA_PIECE_BYTES):
            n += len(coder.compress(content[start : start + LZMA_PIECE_BYTES]))
    return n + len(coder.flush())
