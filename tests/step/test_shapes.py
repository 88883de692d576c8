"""Sizes of dimensions that are sums."""

import pytest

from bptt import errors
from bptt.step.shapes import number_of


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"n_p+n_q": 5, "n_p": 2}, 3),
        ({"n_q+n_q+1": 7}, 3),
        ({"n_p+n_q": 5, "n_p+n_r": 9, "n_r": 7}, 3),
    ],
)
def test_the_one_unknown_part_of_a_sum_follows(sizes, expected):
    assert number_of("n_q", sizes) == expected


def test_two_unknown_parts_of_a_sum_do_not_follow():
    with pytest.raises(errors.MissingSizeError, match="n_p\\+n_q = 5"):
        number_of("n_q", {"n_p+n_q": 5})
