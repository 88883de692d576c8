"""Vocabularies of words and of byte pairs, and what every vocabulary can do.

words         entry 0 is <unk>; a newline is a word, and spaces part the others
byte pairs    pieces of UTF-8 that often lie together (Sennrich, Haddow and Birch,
              2016), by Hugging Face's `tokenizers`: every text can be written
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bptt.train.data.vocabulary import UNKNOWN, Vocabulary
from bptt.train.door.limits import Refusal
from bptt.train.door.records import VocabularyRecord, hold_to
from bptt.train.errors import TrainExtraMissingError
from bptt.train.interrupt import in_a_thread
from bptt.train.options import N_BYTES, PAIRS, WORDS

UNKNOWN_WORD = "<unk>"
WORD = re.compile(r"\n|\S+")
SHORT = 2**12  # characters that byte pairs are learned from at a time

Tokens = npt.NDArray[np.int64]


class Entries(Protocol):
    """A vocabulary: from text to entries and back.

    spelling_bits: what an unknown entry costs besides its own bits.
    """

    @property
    def kind(self) -> str:
        """What a text is read as, a value of the option `tokens`."""
        ...

    @property
    def spelling_bits(self) -> float:
        """Bits for each unknown entry; 0 where it is not spelled."""
        ...

    @property
    def unknown(self) -> int | None:
        """The entry that stands for others, if there is one."""
        ...

    def __len__(self) -> int:
        """Count the entries."""
        ...

    def encode(self, text: str) -> Tokens:
        """The entries of a text, shape (n,)."""
        ...

    def writer(self, before: npt.NDArray[np.integer]) -> Callable[[int], str]:
        """What gives the text of one further entry after another."""
        ...

    def to_json(self) -> Any:
        """What vocabulary.json holds."""
        ...


@dataclass(frozen=True)
class Words:
    r"""The commonest words of a text, entry 1 first; entry 0 is every other one.

    A word is what spaces part, and a newline is one, too: the form in which corpora of
    words are kept.

    >>> words = Words.build(["the cat\n", "the dog\n"], 3)
    >>> words.words, words.encode("the cow\n").tolist()
    (('\n', 'the'), [2, 0, 1])
    """

    words: tuple[str, ...]
    kind = WORDS
    spelling_bits = 0.0
    unknown = UNKNOWN

    @classmethod
    def build(cls, pieces: Iterable[str], n: int) -> "Words":
        """At most n entries; of words that are as common, the first in order."""
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(WORD.findall(piece))
        counts.pop(UNKNOWN_WORD, None)
        # Not sorted: of a long text there are millions.
        kept = nsmallest(n - 1, counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(word for word, _ in kept))

    @cached_property
    def _entry_of(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, 1)}

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.words) + 1

    def encode(self, text: str) -> Tokens:
        """The entries of the words of a text, shape (n,)."""
        entry_of = self._entry_of
        found = [entry_of.get(word, UNKNOWN) for word in WORD.findall(text)]
        return np.array(found, np.int64)

    def writer(self, before: npt.NDArray[np.integer]) -> Callable[[int], str]:
        """Words with a space between them, none beside a newline."""
        shown = (UNKNOWN_WORD, *self.words)
        last = shown[before[-1]] if len(before) else "\n"

        def write(token: int) -> str:
            nonlocal last
            gap = "" if "\n" in (last, shown[token]) else " "
            last = shown[token]
            return gap + last

        return write

    def to_json(self) -> Any:
        """What vocabulary.json holds."""
        return {"kind": WORDS, "entries": list(self.words)}


@dataclass(frozen=True)
class BytePairs:
    """Pieces of bytes, and the pairs that were merged, in their order.

    entries: as `tokenizers` writes bytes, each as one character.
    """

    entries: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    kind = PAIRS
    spelling_bits = 0.0
    unknown = None

    @classmethod
    def build(cls, pieces: Iterable[str], n: int) -> "BytePairs":
        """At most n entries, 256 of them the bytes; pairs that occur at least twice.

        Raises: TrainExtraMissingError without tokenizers.
        """
        library = _library()
        made = _tokenizer(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=max(n, N_BYTES), min_frequency=2, show_progress=False,
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        )  # fmt: skip
        in_a_thread(made.train_from_iterator, _short(pieces), trainer)
        record = json.loads(made.to_str())["model"]
        entries = sorted(record["vocab"], key=record["vocab"].__getitem__)
        return cls(tuple(entries), tuple((a, b) for a, b in record["merges"]))

    @cached_property
    def _made(self) -> Any:
        vocabulary = {entry: i for i, entry in enumerate(self.entries)}
        return _tokenizer(_library().models.BPE(vocabulary, list(self.merges)))

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [bytes(map(_BYTE_OF.__getitem__, entry)) for entry in self.entries]

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.entries)

    def encode(self, text: str) -> Tokens:
        """The entries of a text, shape (n,). Raises: TrainExtraMissingError."""
        return np.array(self._made.encode(text).ids, np.int64)

    def writer(self, before: npt.NDArray[np.integer]) -> Callable[[int], str]:
        """The text of each entry, once all bytes of a character are there."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def write(token: int) -> str:
            return decoder.decode(self._bytes[token])

        return write

    def to_json(self) -> Any:
        """What vocabulary.json holds."""
        merges = [list(pair) for pair in self.merges]
        return {"kind": PAIRS, "entries": list(self.entries), "merges": merges}


def _short(pieces: Iterable[str]) -> Iterator[str]:
    """Pieces at ends of lines, where they have any: the library holds 256 at a time."""
    for piece in pieces:
        lines, n = [], 0
        for line in piece.splitlines(keepends=True):
            lines.append(line)
            n += len(line)
            if n >= SHORT:
                yield "".join(lines)
                lines, n = [], 0
        yield "".join(lines)


def _library() -> Any:
    try:
        return import_module("tokenizers")
    except ImportError as error:
        raise TrainExtraMissingError("tokenizers", "tokens") from error


def _tokenizer(model: Any) -> Any:
    library = _library()
    made = library.Tokenizer(model)
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


def _bytes_as_characters() -> dict[str, int]:
    """The byte that each character of an entry stands for, as GPT-2 has them.

    What prints stands for itself; the others are U+0100, U+0101, ... in their order.
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    found = {chr(byte): byte for byte in plain}
    return found | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _bytes_as_characters()


def read_entries(value: Any) -> Entries:
    """The vocabulary that vocabulary.json holds. Raises: Refusal."""
    if isinstance(value, list):
        single = all(isinstance(c, str) and len(c) == 1 for c in value)
        if not single or len(set(value)) != len(value):
            raise Refusal("is not a list of different single characters")
        return Vocabulary(tuple(value))
    record = hold_to(VocabularyRecord, value)
    if len(set(record.entries)) != len(record.entries):
        raise Refusal("has an entry twice; they must be different")
    if record.kind == WORDS:
        if not all(WORD.fullmatch(word) for word in record.entries):
            raise Refusal("has an entry that is no word")
        return Words(tuple(record.entries))
    _refuse_other_pairs(record)
    return BytePairs(tuple(record.entries), tuple(record.merges))


def _refuse_other_pairs(record: VocabularyRecord) -> None:
    """Hold every entry to bytes, all 256 of them, and every pair to entries."""
    known = set(record.entries)
    if not all(entry and _BYTE_OF.keys() >= set(entry) for entry in record.entries):
        raise Refusal("has an entry that stands for no bytes")
    if not known.issuperset(_BYTE_OF):
        raise Refusal("lacks the entry of a byte")
    for pair in record.merges:
        if not known.issuperset((*pair, "".join(pair))):
            raise Refusal(f"merges {pair}, which are no entries")
