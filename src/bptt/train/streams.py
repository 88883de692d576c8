"""One long text as n_b parallel streams, cut into windows of tau steps.

    text     a b c d e f g h i j k        n_b = 2, tau = 2
    x        a b | c d | e                stream 1: targets b c | d e | f
             f g | h i | j                stream 2: targets g h | i j | k

The target of every character is the character after it. Streams are pieces of the one
text that follow each other, so no target is lost between them; the state is carried
from window to window inside a stream, and never from one stream into another.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bptt.train.errors import TextTooShortError
from bptt.train.vocabulary import Tokens


@dataclass(frozen=True)
class Window:
    """Inputs and targets of at most tau steps: x and y are (tau, n_b), int64."""

    x: Tokens
    y: Tokens

    @property
    def n_characters(self) -> int:
        """The number of characters predicted in this window."""
        return self.y.size


@dataclass(frozen=True)
class Streams:
    """n_b contiguous streams of equal length: x and y are (length, n_b), int64.

    At most n_b - 1 characters at the end of the text belong to no stream, and the
    first character of the text is an input only: nothing comes before it.
    """

    x: Tokens
    y: Tokens

    @classmethod
    def cut(cls, tokens: Tokens, n_b: int) -> "Streams":
        """Cut tokens, shape (n,), into n_b streams of (n - 1) // n_b characters."""
        length = (len(tokens) - 1) // n_b
        inputs = tokens[: length * n_b].reshape(n_b, length)
        targets = tokens[1 : length * n_b + 1].reshape(n_b, length)
        return cls(np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T))

    @property
    def n_b(self) -> int:
        """The number of parallel streams."""
        return int(self.x.shape[1])

    @property
    def length(self) -> int:
        """The number of steps of every stream."""
        return int(self.x.shape[0])

    def windows(self, tau: int, *, keep_last: bool) -> Iterator[Window]:
        """Walk along the streams in windows of tau steps.

        What remains after the last whole window is a shorter window. Training drops
        it (`keep_last=False`): its mean over few steps would move the parameters as
        much as a whole window does. Validation keeps it, so that no character is free.
        """
        end = self.length if keep_last else self.count_windows(tau) * tau
        for start in range(0, end, tau):
            stop = min(start + tau, end)
            yield Window(self.x[start:stop], self.y[start:stop])

    def count_windows(self, tau: int) -> int:
        """Count the whole windows of tau steps."""
        return self.length // tau


@dataclass(frozen=True)
class Split:
    """The training part of a text and the held-out part that follows it."""

    training: str
    validation: str


def split_text(text: str, held_out: float, *, n_b: int, tau: int) -> Split:
    """Keep the last `held_out` fraction of the text, in one piece, for validation.

    Raises: TextTooShortError if the training part does not fill one window of tau
    steps in each of n_b streams, or the validation part has no two characters.
    """
    n_validation = round(len(text) * held_out)
    n_training = len(text) - n_validation
    if n_training < n_b * tau + 1:
        why = f"one window of tau = {tau} steps in n_b = {n_b} streams and its targets"
        raise TextTooShortError("training", n_training, n_b * tau + 1, why)
    if n_validation < 2:
        why = "an input and its target"
        raise TextTooShortError("held-out", n_validation, 2, why)
    return Split(text[:n_training], text[n_training:])
