"""Characters and entries."""

from math import log2

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bptt.train.data.vocabulary import UNICODE_CHARACTERS, Vocabulary


def test_characters_seen_once_are_left_to_the_unknown_entry():
    vocabulary = Vocabulary.build("abracadabra!")
    assert vocabulary.characters == ("a", "b", "r")
    assert len(vocabulary) == 4
    assert vocabulary.encode("bar!z").tolist() == [2, 1, 3, 0, 0]


def test_unknown_entries_are_shown_as_the_replacement_character():
    vocabulary = Vocabulary(("a", "b"))
    assert vocabulary.decode(np.array([1, 0, 2])) == "a\N{REPLACEMENT CHARACTER}b"


def test_characters_beyond_the_basic_plane_are_one_entry_each():
    vocabulary = Vocabulary.build("🙂🙂é́é́漢漢")
    assert vocabulary.decode(vocabulary.encode("漢🙂é́")) == "漢🙂é́"


def test_an_unknown_character_is_spelled_among_all_that_are_left():
    assert Vocabulary(("a",)).spelling_bits == log2(UNICODE_CHARACTERS - 1)
    assert UNICODE_CHARACTERS == 1_112_064


def test_an_empty_text_has_no_entries():
    assert Vocabulary(("a",)).encode("").shape == (0,)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_the_training_text_repeats_comes_back(text):
    vocabulary = Vocabulary.build(text * 2)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert [vocabulary.entry(c) for c in text] == vocabulary.encode(text).tolist()
