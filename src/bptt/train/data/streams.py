"""One long text as n_b parallel streams.

    text     a b c d e f g h i j k        n_b = 2, windows of 2 steps
    x        a b | c d | e                stream 1: targets b c | d e | f
             f g | h i | j                stream 2: targets g h | i j | k

The target of every token is the token after it. Streams are pieces of the one text
that follow each other, so no target is lost between them; the state is carried from
window to window inside a stream, and never from one stream into another.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bptt.train.data.windows import Block, Rows
from bptt.train.errors import TextTooShortError

Tokens = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Streams:
    """n_b contiguous streams of equal length over tokens, shape (n,), any integers.

    At most n_b - 1 tokens at the end belong to no stream, and the first token is an
    input only: nothing comes before it. Only the steps that are read leave the tokens,
    so these may be a file mapped into memory.
    """

    tokens: Tokens
    n_b: int
    keeps_last: bool = False

    @property
    def length(self) -> int:
        """The number of steps of every stream."""
        return (len(self.tokens) - 1) // self.n_b

    def groups(self, epoch: int) -> list[Rows]:
        """All streams, which step together in every epoch."""
        return [np.arange(self.n_b)]

    def length_of(self, rows: Rows) -> int:
        """The number of steps, the same for every stream."""
        return self.length

    def count(self, rows: Rows, start: int, stop: int) -> int:
        """The number of tokens predicted."""
        return len(rows) * (stop - start)

    def weight(self, rows: Rows, start: int, stop: int) -> float:
        """The same: every loss weighs 1."""
        return float(self.count(rows, start, stop))

    def read(self, rows: Rows, start: int, stop: int) -> Block:
        """Steps start to stop of some streams: x and y are (tau, n_b), int64."""
        size = self.length * self.n_b
        inputs = self.tokens[:size].reshape(self.n_b, self.length)
        targets = self.tokens[1 : size + 1].reshape(self.n_b, self.length)
        return Block(
            np.asarray(inputs[rows, start:stop].T, np.int64, order="C"),
            np.asarray(targets[rows, start:stop].T, np.int64, order="C"),
        )


@dataclass(frozen=True)
class TokenParts:
    """Where the training, validation and test part of n tokens lie: contiguous."""

    n_training: int
    n_validation: int
    n_test: int

    @property
    def slices(self) -> dict[str, slice]:
        """The three parts by name, in the order in which they lie."""
        first = self.n_training
        second = first + self.n_validation
        return {
            "training": slice(0, first),
            "validation": slice(first, second),
            "test": slice(second, second + self.n_test),
        }


def split_length(
    n: int, held_out: float, test: float, *, n_b: int, tau: int, what: str
) -> TokenParts:
    """Keep the end of n tokens, in one piece each, for validation and test.

    Raises: TextTooShortError if the training part does not fill one window of tau
    steps in each of n_b streams, or a held-out part has no two tokens.
    """
    n_test = round(n * test)
    n_validation = round(n * held_out)
    parts = TokenParts(n - n_validation - n_test, n_validation, n_test)
    refuse_short(parts, test, n_b, tau, what=what)
    return parts


def refuse_short(
    parts: TokenParts, test: float, n_b: int, tau: int, *, what: str
) -> None:
    """Refuse parts that are too short for what they are for.

    Raises: TextTooShortError.
    """
    if parts.n_training < n_b * tau + 1:
        why = f"one window of tau = {tau} steps in n_b = {n_b} streams and its targets"
        raise TextTooShortError(what, "training", parts.n_training, n_b * tau + 1, why)
    why = "an input and its target"
    if parts.n_validation < 2:
        raise TextTooShortError(what, "held-out", parts.n_validation, 2, why)
    if test and parts.n_test < 2:
        raise TextTooShortError(what, "test", parts.n_test, 2, why)
