"""Streams of a text: nothing lost, nothing seen twice, every target the next token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.train.data.streams import Streams, split_length
from bptt.train.data.windows import plan_epoch
from bptt.train.errors import TextTooShortError
from bptt.train.truncation import Truncation


def read_all(streams, k, k2=None):
    truncation = Truncation(k, k2 or k)
    return [
        (w, streams.read(w.rows, w.start, w.stop))
        for w in plan_epoch(streams, 0, truncation)
    ]


def test_streams_of_the_documented_example():
    tokens = np.arange(11)  # a .. k
    blocks = [b for _, b in read_all(Streams(tokens, 2, keeps_last=True), 2)]
    assert [b.x.T.tolist() for b in blocks] == [
        [[0, 1], [5, 6]],
        [[2, 3], [7, 8]],
        [[4], [9]],
    ]
    assert [b.y.T.tolist() for b in blocks] == [
        [[1, 2], [6, 7]],
        [[3, 4], [8, 9]],
        [[5], [10]],
    ]


def test_training_drops_the_last_short_window():
    assert len(read_all(Streams(np.arange(11), 2), 2)) == 2


@given(st.integers(2, 200), st.integers(1, 5), st.integers(1, 17))
def test_every_target_is_the_next_token_and_every_stream_is_contiguous(n, n_b, tau):
    streams = Streams(np.arange(n, dtype=np.uint16), n_b, keeps_last=True)
    assert streams.length == (n - 1) // n_b
    if not streams.length:
        return
    blocks = [b for _, b in read_all(streams, tau)]
    x = np.concatenate([b.x for b in blocks])
    np.testing.assert_array_equal(np.concatenate([b.y for b in blocks]), x + 1)
    assert x.dtype == np.int64
    np.testing.assert_array_equal(np.diff(x, axis=0), 1)
    # No input belongs to two streams.
    assert len(set(x.ravel().tolist())) == x.size
    assert all(len(b.x) == tau for b in blocks[:-1])


def test_the_parts_lie_one_after_another():
    parts = split_length(100, 0.2, 0.1, n_b=2, tau=3, what="characters")
    assert parts.slices == {
        "training": slice(0, 70),
        "validation": slice(70, 90),
        "test": slice(90, 100),
    }


def test_a_training_part_below_one_window_says_what_is_needed():
    with pytest.raises(TextTooShortError) as caught:
        split_length(10, 0.3, 0.0, n_b=2, tau=4, what="characters")
    assert str(caught.value) == (
        "the training part of the data has 7 characters; one window of tau = 4 steps "
        "in n_b = 2 streams and its targets need 9. Give more data, or smaller --tau "
        "or --n-b, or another --held-out."
    )


@pytest.mark.parametrize(
    ("held_out", "test", "part"), [(0.1, 0.0, "held-out"), (0.2, 0.1, "test")]
)
def test_a_part_without_a_target_is_refused(held_out, test, part):
    with pytest.raises(TextTooShortError, match=f"the {part} part of the data has 1"):
        split_length(10, held_out, test, n_b=1, tau=1, what="tokens")
