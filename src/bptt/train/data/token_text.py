"""From a text to streams of words or of byte pairs.

The parts are cut by characters, at the end of a line where one is near, and the
vocabulary is made of the training part alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from bptt.train.data.baselines import (
    LZMA_CONTEXT_BYTES,
    MAX_HELD_OUT,
    Baselines,
    Split,
    lzma_bits,
    unigram_bits,
)
from bptt.train.data.characters import describe, evaluation_windows, streams_of
from bptt.train.data.entries import BytePairs, Entries, Words
from bptt.train.data.form import TOKENS, WORDS_READ, Form, LossUnit
from bptt.train.data.mapped import join_pieces
from bptt.train.data.streams import Streams, TokenParts, Tokens, refuse_short
from bptt.train.data.task import TrainingTask
from bptt.train.data.text import Characters
from bptt.train.data.tokenised import Tokenised
from bptt.train.errors import EmptyDataError
from bptt.train.options import ENTRIES, WORDS, TrainingOptions

PIECE = 2**16  # characters that are cut into tokens at a time
LEARNED_FROM = 2**24  # characters from which byte pairs are learned, at most
NEAR = 2**12  # characters in which the end of a line is looked for


def token_text_task(
    text: Characters, options: TrainingOptions, entries: Entries | None = None,
    tokenised: Tokenised | None = None,
) -> TrainingTask:  # fmt: skip
    """Cut a text into parts, and those into streams of tokens.

    entries: the vocabulary of a model there is; otherwise of the training part.
    tokenised: the same text, as it was cut before.
    Raises: TextTooShortError, EmptyDataError, TrainExtraMissingError without
    tokenizers, and the errors of reading a large text.
    """
    if tokenised is None or entries is None:
        tokenised, entries = _tokenise(text, options, entries)
    known, tokens, cuts = entries, tokenised.tokens, tokenised.cuts
    parts = TokenParts(*(len(tokens.get(n, ())) for n in NAMES))
    truncation = options.truncation(options.text_tau)
    unit = _unit(known)
    refuse_short(
        parts, options.test, options.n_b, truncation.k1 or 1, what=f"{unit.item}s"
    )
    per = {n: _length(s) / max(1, len(tokens[n])) for n, s in cuts.items()}

    def baselines() -> Baselines:
        unigram = unigram_bits(tokens["training"], tokens["validation"], known)
        return Baselines(unigram, _lzma(text, cuts, known, per["validation"]))

    held_out = {n: t for n, t in tokens.items() if n != "training" and len(t)}
    n = sum(map(len, tokens.values()))
    return replace(
        _task(text, options, known, {"training": Streams(tokens["training"],
              options.n_b)} | streams_of(held_out), per),
        summary=f"{describe(text, n, unit)}, {n - parts.n_training:,} held out; "
        f"vocabulary {len(known):,}{_unknown(known, held_out)}",
        baselines=baselines,
        tokenised=tokenised,
    )  # fmt: skip


def _tokenise(
    text: Characters, options: TrainingOptions, entries: Entries | None
) -> tuple[Tokenised, Entries]:
    """Cut a text into parts and tokens, with the vocabulary of the training part."""
    cuts = _cuts(text, options)
    if entries is None:
        training = cuts["training"]
        kind = Words if options.tokens == WORDS else BytePairs
        pieces = _pieces(text, training.start, training.stop)
        if kind is BytePairs:
            every = 1 + (_length(training) - 1) // LEARNED_FROM
            pieces = islice(pieces, 0, None, every)
        entries = kind.build(pieces, options.entries or ENTRIES)
    tokens = {n: _encode(text, s, entries) for n, s in cuts.items()}
    return Tokenised(tokens, cuts), entries


NAMES = ("training", "validation", "test")


def token_text_evaluation(
    text: Characters, options: TrainingOptions, entries: Entries
) -> TrainingTask:
    """The whole of a text as one part to evaluate, called "test".

    Raises: EmptyDataError, and the errors of reading a large text.
    """
    whole = slice(0, _count(text))
    tokens = _encode(text, whole, entries)
    unit = _unit(entries)
    if len(tokens) < 2:
        raise EmptyDataError(text.source, f"the text has {len(tokens)} {unit.item}s")
    per = {"test": _length(whole) / len(tokens)}
    found = _task(text, options, entries, streams_of({"test": tokens}), per)
    summary = describe(text, len(tokens), unit) + _unknown(entries, {"test": tokens})
    return replace(found, summary=summary)


def _task(
    text: Characters,
    options: TrainingOptions,
    entries: Entries,
    parts: dict[str, Streams],
    per: dict[str, float],
) -> TrainingTask:
    # A code of the text only where every word can be written.
    return TrainingTask(
        kind="text",
        form=Form(len(entries), True, "class", len(entries)),
        parts=parts,
        truncation=options.truncation(options.text_tau),
        evaluation=evaluation_windows(options.text_tau, len(entries)),
        summary="",
        unit=_unit(entries),
        vocabulary=entries,
        characters_per_item=per if entries.unknown is None else {},
    )


def _unit(entries: Entries) -> LossUnit:
    return TOKENS if entries.unknown is None else WORDS_READ


def _unknown(entries: Entries, held_out: dict[str, Tokens]) -> str:
    """How many of the words are none of the vocabulary, in words."""
    n = sum(map(len, held_out.values()))
    if entries.unknown is None or not n:
        return ""
    share = sum(int((t == entries.unknown).sum()) for t in held_out.values()) / n
    return f", {share:.1%} of them unknown"


def _lzma(
    text: Characters, cuts: Mapping[str, slice], entries: Entries, per: float
) -> float | None:
    """Bits of lzma per token; None where the text is long, or is not coded whole."""
    held_out = cuts["validation"]
    if entries.unknown is not None or _length(held_out) > MAX_HELD_OUT:
        return None
    end = cuts["training"].stop
    split = Split(
        lambda: _between(text, max(0, end - LZMA_CONTEXT_BYTES), end),
        lambda: _between(text, held_out.start, held_out.stop),
    )
    return lzma_bits(split) * per


# ----- characters, in pieces -----


def _count(text: Characters) -> int:
    return sum(map(len, text.blocks()))


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _cuts(text: Characters, options: TrainingOptions) -> dict[str, slice]:
    """Where the parts lie, in characters."""
    n = _count(text)
    if n < 2:
        raise EmptyDataError(text.source, f"the text has {n} characters")
    n_test, n_validation = round(n * options.test), round(n * options.held_out)
    first = _near_line(text, n - n_validation - n_test)
    second = _near_line(text, n - n_test) if n_test else n
    cuts = {"training": slice(0, first), "validation": slice(first, second)}
    return cuts | ({"test": slice(second, n)} if n_test else {})


def _near_line(text: Characters, at: int) -> int:
    """The next end of a line, if it is near, or else of a word; or the place itself."""
    after = "".join(_between(text, at, at + NEAR))
    for end in ("\n", " "):
        if end in after:
            return at + after.index(end) + 1
    return at


def _between(text: Characters, start: int, stop: int) -> Iterator[str]:
    """The characters from one place to another."""
    before = 0
    for block in text.blocks():
        if before + len(block) > start:
            yield block[max(0, start - before) : stop - before]
        before += len(block)
        if before >= stop:
            return


def _pieces(text: Characters, start: int, stop: int) -> Iterator[str]:
    """The same, cut at ends of lines: a function of the characters alone."""
    left = ""
    for block in _between(text, start, stop):
        left += block
        at = 0
        while len(left) - at >= PIECE:
            ends = (left.rfind(end, at, at + PIECE) + 1 for end in ("\n", " "))
            cut = next((end for end in ends if end > at), at + PIECE)
            yield left[at:cut]
            at = cut
        left = left[at:]
    if left:
        yield left


def _encode(text: Characters, part: slice, entries: Entries) -> Tokens:
    """The tokens of a part, of a large text in a temporary file that is mapped.

    Raises: FolderNotWritableError.
    """
    kind = np.uint16 if len(entries) <= 2**16 else np.uint32
    pieces = (
        entries.encode(piece).astype(kind)
        for piece in _pieces(text, part.start, part.stop)
    )
    tokens: Tokens = join_pieces(pieces, kind, is_large=text.is_large)
    return tokens
