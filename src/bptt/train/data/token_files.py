"""Token files: one long sequence of integers in a `.npy` file, mapped into memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bptt.train.data.characters import (
    evaluation_streams,
    evaluation_windows,
    streams_of,
)
from bptt.train.data.form import TOKENS, Form
from bptt.train.data.streams import Streams, Tokens, split_length
from bptt.train.data.task import TrainingTask
from bptt.train.door.arrays import map_npy
from bptt.train.door.limits import Refusal
from bptt.train.errors import BadRecordError, DataUnreadableError, EmptyDataError
from bptt.train.options import TrainingOptions

PIECE = 2**20
MAX_UNUSED = 1000  # entries without a single use, for each that is used


@dataclass(frozen=True)
class TokenFile:
    """Tokens of one file, shape (n,), left on the disk; n_entries: the largest + 1."""

    path: Path
    tokens: Tokens
    n_entries: int

    @property
    def source(self) -> str:
        """What the person gave."""
        return str(self.path)


def read_tokens(paths: Sequence[Path]) -> TokenFile:
    """Map a `.npy` file of integers, and look at every one of them once.

    Raises: DataUnreadableError, BadRecordError, EmptyDataError; two files are refused,
    for nothing says where one ends.
    """
    path = paths[0]
    if len(paths) > 1:
        raise BadRecordError(
            paths[1], None, "a second token file; a run takes one, so join them"
        )
    try:
        tokens = map_npy(path)
    except (OSError, Refusal) as error:
        raise DataUnreadableError(path, f"no .npy file of numbers: {error}") from error
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        reason = (
            f"{tokens.ndim} axes of {tokens.dtype}; tokens are one axis of integers"
        )
        raise BadRecordError(path, None, reason)
    if len(tokens) < 2:
        found = f"the file has {len(tokens)} tokens"
        raise EmptyDataError(str(path), found, is_text=False)
    return TokenFile(path, tokens, _largest(path, tokens) + 1)


def _largest(path: Path, tokens: Tokens) -> int:
    largest = 0
    for start in range(0, len(tokens), PIECE):
        piece = tokens[start : start + PIECE]
        if piece.min() < 0:
            where = start + int(np.argmax(piece < 0))
            reason = f"is {int(tokens[where])}; tokens count from 0"
            raise BadRecordError(path, where, reason)
        largest = max(largest, int(piece.max()))
    if largest > max(MAX_UNUSED, len(tokens)) * MAX_UNUSED:
        where = int(np.argmax(tokens == largest))
        reason = f"is {largest}, in a file of {len(tokens):,} tokens; count from 0"
        raise BadRecordError(path, where, reason)
    return largest


def token_task(data: TokenFile, options: TrainingOptions) -> TrainingTask:
    """Cut a token file into parts and streams.

    Raises: TextTooShortError.
    """
    truncation = options.truncation(options.text_tau)
    n = len(data.tokens)
    parts = split_length(
        n,
        options.held_out,
        options.test,
        n_b=options.n_b,
        tau=truncation.k1 or 1,
        what="tokens",
    )
    pieces = {name: data.tokens[s] for name, s in parts.slices.items()}
    training = Streams(pieces.pop("training"), options.n_b)
    return TrainingTask(
        kind="tokens",
        form=Form(data.n_entries, True, "class", data.n_entries),
        parts={"training": training, **streams_of(pieces)},
        truncation=truncation,
        evaluation=evaluation_windows(options.text_tau, data.n_entries),
        summary=f"{data.source}: {n:,} tokens, {n - parts.n_training:,} held out; "
        f"{data.n_entries:,} different entries",
        unit=TOKENS,
    )


def token_evaluation(
    data: TokenFile, options: TrainingOptions, n_entries: int
) -> TrainingTask:
    """The whole of a token file as one part to evaluate, called "test".

    Raises: BadRecordError if a token is not among the model's n_entries.
    """
    if data.n_entries > n_entries:
        where = int(np.argmax(data.tokens >= n_entries))
        reason = f"is {int(data.tokens[where])}; the model knows 0 to {n_entries - 1}"
        raise BadRecordError(data.path, where, reason)
    return TrainingTask(
        kind="tokens",
        form=Form(n_entries, True, "class", n_entries),
        parts={"test": evaluation_streams(data.tokens)},
        truncation=options.truncation(options.text_tau),
        evaluation=evaluation_windows(options.text_tau, n_entries),
        summary=f"{data.source}: {len(data.tokens):,} tokens",
        unit=TOKENS,
    )
