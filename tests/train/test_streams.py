"""Streams and windows: every target follows its input, nothing crosses a seam."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.train.data.streams import Streams, split_text
from bptt.train.errors import TextTooShortError


def test_streams_of_the_documented_example():
    tokens = np.arange(11)  # a .. k
    streams = Streams.cut(tokens, n_b=2)
    assert streams.x.T.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert streams.y.T.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    windows = list(streams.windows(2, keep_last=True))
    assert [w.x.T.tolist() for w in windows] == [
        [[0, 1], [5, 6]],
        [[2, 3], [7, 8]],
        [[4], [9]],
    ]
    assert [w.n_characters for w in windows] == [4, 4, 2]


def test_training_drops_the_last_short_window():
    streams = Streams.cut(np.arange(11), n_b=2)
    assert len(list(streams.windows(2, keep_last=False))) == 2
    assert streams.count_windows(2) == 2


@given(st.integers(2, 200), st.integers(1, 5), st.integers(1, 17))
def test_every_target_is_the_next_character_and_every_stream_is_contiguous(n, n_b, tau):
    streams = Streams.cut(np.arange(n), n_b)
    assert (streams.length, streams.n_b) == ((n - 1) // n_b, n_b)
    np.testing.assert_array_equal(streams.y, streams.x + 1)
    if streams.length:
        windows = list(streams.windows(tau, keep_last=True))
        x = np.concatenate([w.x for w in windows])
        np.testing.assert_array_equal(x, streams.x)
        np.testing.assert_array_equal(np.diff(x, axis=0), 1)
        # No input belongs to two streams.
        assert len(set(x.ravel().tolist())) == x.size
        assert all(len(w.x) == tau for w in windows[:-1])


def test_the_held_out_part_is_the_contiguous_end():
    split = split_text("abcdefghij", 0.3, n_b=2, tau=3)
    assert (split.training, split.validation) == ("abcdefg", "hij")


def test_a_training_part_below_one_window_says_what_is_needed():
    with pytest.raises(TextTooShortError) as caught:
        split_text("abcdefghij", 0.3, n_b=2, tau=4)
    assert str(caught.value) == (
        "the training part of the text has 7 characters; one window of tau = 4 steps "
        "in n_b = 2 streams and its targets need 9. Give more text, or smaller --tau "
        "or --n-b, or another --held-out."
    )


def test_a_held_out_part_without_a_target_is_refused():
    with pytest.raises(TextTooShortError, match="the held-out part of the text has 1"):
        split_text("abcdefghij", 0.1, n_b=1, tau=1)
