"""From a text to streams of characters."""

import numpy as np

from bptt.train.data.baselines import (
    LZMA_CONTEXT_BYTES,
    MAX_HELD_OUT,
    Baselines,
    Split,
    count_entries,
    lzma_bits,
    unigram_bits,
)
from bptt.train.data.form import CHARACTERS, Form, LossUnit
from bptt.train.data.mapped import join_pieces
from bptt.train.data.streams import Streams, TokenParts, Tokens, split_length
from bptt.train.data.task import TrainingTask
from bptt.train.data.text import Characters
from bptt.train.data.vocabulary import (
    UNKNOWN,
    Codes,
    Vocabulary,
    codes_of,
    read_pieces,
    text_of,
)
from bptt.train.errors import EmptyDataError
from bptt.train.options import TrainingOptions
from bptt.train.truncation import Truncation

# One stream would be exact but slow; with 64 the state starts cold 64 times, which
# costs a few hundredths of a bit on 100 000 characters and makes the figure worse,
# never better.
N_B_VALIDATION = 64
MIN_STEPS = 256  # shorter texts get fewer streams, so that cold starts stay rare
# What a model says of every entry in a window of evaluation: 16 MiB in float32. Of
# 10,000 entries, 64 streams of 32 steps would take five times as much, several times.
MAX_SAID = 2**22


def text_task(
    text: Characters, options: TrainingOptions, vocabulary: Vocabulary | None = None
) -> TrainingTask:
    """Cut a text into training, validation and test part, and those into streams.

    vocabulary: that of a model there is; otherwise it is built from the training part.
    Raises: TextTooShortError, EmptyDataError, and the errors of reading a large text.
    """
    codes = gather_codes(text)
    tau = options.truncation(options.text_tau)
    parts = split_length(
        len(codes),
        options.held_out,
        options.test,
        n_b=options.n_b,
        tau=tau.k1 or 1,
        what="characters",
    )
    slices = parts.slices
    if vocabulary is None:
        vocabulary = _learnt(codes[slices["training"]], text.source)
    split = _keep_text(codes, parts)
    tokens = _encoded(codes, vocabulary)
    del codes  # a file mapped into memory is gone with its last user
    training, known = tokens[slices["training"]], vocabulary

    def baselines() -> Baselines:
        unigram = unigram_bits(training, tokens[slices["validation"]], known)
        return Baselines(unigram, None if split is None else lzma_bits(split))

    held_out = {n: tokens[s] for n, s in slices.items() if n != "training"}
    return TrainingTask(
        kind="text",
        form=Form(len(vocabulary), True, "class", len(vocabulary)),
        parts={"training": Streams(training, options.n_b)} | streams_of(held_out),
        truncation=tau,
        evaluation=evaluation_windows(options.text_tau, len(vocabulary)),
        summary=f"{describe(text, len(tokens), CHARACTERS)}, "
        f"{len(tokens) - parts.n_training:,} held out; vocabulary {len(vocabulary)}",
        unit=CHARACTERS,
        offsets={n: _spelling(t, known) for n, t in held_out.items() if len(t)},
        vocabulary=vocabulary,
        baselines=baselines,
    )


def text_evaluation(
    text: Characters, options: TrainingOptions, vocabulary: Vocabulary
) -> TrainingTask:
    """The whole of a text as one part to evaluate, called "test".

    Raises: EmptyDataError, and the errors of reading a large text.
    """
    codes = gather_codes(text)
    tokens = _encoded(codes, vocabulary)
    return TrainingTask(
        kind="text",
        form=Form(len(vocabulary), True, "class", len(vocabulary)),
        parts=streams_of({"test": tokens}),
        truncation=options.truncation(options.text_tau),
        evaluation=evaluation_windows(options.text_tau, len(vocabulary)),
        summary=describe(text, len(tokens), CHARACTERS),
        unit=CHARACTERS,
        offsets={"test": _spelling(tokens, vocabulary)},
        vocabulary=vocabulary,
    )


def evaluation_streams(tokens: Tokens) -> Streams:
    """Tokens in at most 64 long streams, every step kept."""
    n_b = max(1, min(N_B_VALIDATION, (len(tokens) - 1) // MIN_STEPS))
    return Streams(tokens, n_b, keeps_last=True)


def evaluation_windows(tau: int, n_entries: int) -> Truncation:
    """Windows of tau steps to evaluate in, or fewer where there are many entries.

    The state goes from one to the next: a shorter window changes no value.
    """
    steps = max(1, min(tau, MAX_SAID // (N_B_VALIDATION * n_entries)))
    return Truncation(steps, steps)


def gather_codes(text: Characters) -> Codes:
    """The code points of a text, shape (n,), read-only.

    A large text goes to a temporary file (4 bytes per character, in the folder that
    TMPDIR names) that is mapped into memory and gone with the process.
    Raises: EmptyDataError for fewer than two characters, FolderNotWritableError.
    """
    pieces = map(codes_of, text.blocks())
    codes: Codes = join_pieces(pieces, np.uint32, is_large=text.is_large)
    if len(codes) < 2:
        raise EmptyDataError(text.source, f"the text has {len(codes)} characters")
    return codes


def describe(text: Characters, n: int, unit: LossUnit) -> str:
    """So many characters, words or tokens, and where they are from."""
    files = f"{text.n_files:,} file" + ("s" if text.n_files != 1 else "")
    return f"{text.source}: {n:,} {unit.item}s of {files}"


def _learnt(codes: Codes, source: str) -> Vocabulary:
    """The characters of a training part. Raises: EmptyDataError if none is known."""
    vocabulary = Vocabulary.from_codes(read_pieces(codes))
    if not vocabulary.characters:
        raise EmptyDataError(
            source, "no character occurs twice in the training part, so there is "
            "nothing that a model could know",
        )  # fmt: skip
    return vocabulary


def _encoded(codes: Codes, vocabulary: Vocabulary) -> Tokens:
    """The entries of a text, in a file of their own if its code points are in one."""
    pieces, is_mapped = vocabulary.encode_codes(codes), isinstance(codes, np.memmap)
    found: Tokens = join_pieces(pieces, vocabulary.kind_of_entries, is_large=is_mapped)
    return found


def _keep_text(codes: Codes, parts: TokenParts) -> Split | None:
    """The text that lzma is shown, before it is replaced by entries."""
    if parts.n_validation > MAX_HELD_OUT:
        return None
    first = max(0, parts.n_training - LZMA_CONTEXT_BYTES)
    return Split.of(
        text_of(codes[first : parts.n_training]),
        text_of(codes[parts.slices["validation"]]),
    )


def streams_of(parts: dict[str, Tokens]) -> dict[str, Streams]:
    """Every part that has tokens, to be evaluated."""
    return {n: evaluation_streams(tokens) for n, tokens in parts.items() if len(tokens)}


def _spelling(tokens: Tokens, vocabulary: Vocabulary) -> float:
    streams = evaluation_streams(tokens)
    targets = tokens[1 : streams.length * streams.n_b + 1]
    unknown = count_entries(targets, len(vocabulary))[UNKNOWN] / len(targets)
    return float(unknown) * vocabulary.spelling_bits
