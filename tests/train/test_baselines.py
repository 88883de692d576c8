"""The two baselines, against values known without them."""

import os
import sys
from math import log2
from pathlib import Path

import numpy as np
import pytest

from bptt.train.data import vocabulary
from bptt.train.data.baselines import Split, count_entries, lzma_bits, unigram_bits
from bptt.train.data.tokenised import Tokenised, read_tokenised
from bptt.train.data.vocabulary import Vocabulary


def test_unigram_by_hand():
    vocabulary = Vocabulary(("a", "b"))
    training = vocabulary.encode("aaab")  # counts + 1: unknown 1, a 4, b 2 of 7
    validation = vocabulary.encode("aab")
    expected = (2 * log2(7 / 4) + log2(7 / 2)) / 3
    assert unigram_bits(training, validation, vocabulary) == pytest.approx(expected)


def test_an_unknown_character_pays_for_its_entry_and_its_spelling():
    vocabulary = Vocabulary(("a", "b"))
    training = vocabulary.encode("aaab")
    bits = unigram_bits(training, vocabulary.encode("?"), vocabulary)
    assert bits == pytest.approx(log2(7) + vocabulary.spelling_bits)


def test_unigram_of_uniform_random_text_is_its_entropy():
    letters = np.random.default_rng(0).choice(list("abcdefgh"), 40_000)
    text = "".join(letters)
    vocabulary = Vocabulary.build(text[:30_000])
    tokens = vocabulary.encode(text)
    unigram = unigram_bits(tokens[:30_000], tokens[30_000:], vocabulary)
    lzma = lzma_bits(Split.of(text[:30_000], text[30_000:]))
    assert unigram == pytest.approx(3.0, abs=0.01)
    assert 3.0 < lzma < 3.4  # lzma cannot beat the entropy, nor lose by much


def test_lzma_has_seen_the_training_text():
    letters = np.random.default_rng(1).choice(list("abcdefgh"), 5000)
    text = "".join(letters)
    repeated = lzma_bits(Split.of(text, text[1000:3000]))
    fresh = lzma_bits(Split.of(text[:1000], text[1000:3000]))
    assert repeated < 0.2
    assert fresh > 2.9


def test_lzma_counts_characters_not_bytes():
    random = np.random.default_rng(2)
    ascii_text = "".join(random.choice(list("abcdefgh"), 4000))
    greek = ascii_text.translate(str.maketrans("abcdefgh", "αβγδεζηθ"))
    in_ascii = lzma_bits(Split.of(ascii_text[:2000], ascii_text[2000:]))
    in_greek = lzma_bits(Split.of(greek[:2000], greek[2000:]))
    # Twice the bytes, the same characters: far from twice the bits.
    assert in_greek < 1.5 * in_ascii


def test_entries_are_counted_across_the_pieces_of_a_mapped_file(monkeypatch):
    monkeypatch.setattr(vocabulary, "PIECE", 7)
    tokens = np.random.default_rng(3).integers(0, 5, 50).astype(np.uint32)
    assert count_entries(tokens, 6).tolist() == [
        int((tokens == entry).sum()) for entry in range(6)
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/statm")
def test_a_large_text_is_counted_and_kept_without_being_held_in_memory(tmp_path):
    def resident():
        with Path("/proc/self/statm").open() as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    size = 64 * 2**20
    np.arange(size, dtype=np.uint8).tofile(tmp_path / "entries")
    tokens = np.memmap(tmp_path / "entries", np.uint8, mode="r")
    before = resident()
    counts = count_entries(tokens, 256)
    assert resident() - before < size / 2
    kept = Tokenised({"training": tokens}, {"training": slice(0, size)})
    kept.write(tmp_path / "tokens.npy")
    assert resident() - before < size / 2
    again = read_tokenised(tmp_path / "tokens.npy", kept.to_json(), 256)
    assert resident() - before < size / 2
    assert again.tokens["training"][-2:].tolist() == [254, 255]
    assert counts.tolist() == [size // 256] * 256
