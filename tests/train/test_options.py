"""Options outside their range, by message."""

from math import inf

import pytest

from bptt.train.errors import OptionError
from bptt.train.options import (
    TrainingOptions,
    parse_optimiser_option,
    parse_size,
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_h": 0}, "--n-h 0: expected a whole number from 1."),
        ({"n_b": -1}, "--n-b -1: expected a whole number from 1."),
        ({"tau": 0}, "--tau 0: expected a whole number from 1."),
        ({"epochs": 0}, "--epochs 0: expected a whole number from 1."),
        ({"sizes": {"n_k": 0}}, "--size n_k 0: expected a whole number from 1."),
        ({"learning_rate": 0.0}, "--learning-rate 0.0: expected a number above 0."),
        ({"learning_rate": inf}, "--learning-rate inf: expected a number above 0."),
        (
            {"clip": 0.0},
            "--clip 0.0: expected a number above 0, or inf for no clipping.",
        ),
        ({"held_out": 1.0}, "--held-out 1.0: expected a fraction between 0 and 1."),
        ({"seed": -1}, "--seed -1: expected a whole number from 0."),
        ({"schedule": "up"}, "--schedule up: expected one of cosine, constant."),
    ],
)
def test_a_value_out_of_range_is_restated_with_what_is_expected(given, message):
    with pytest.raises(OptionError) as caught:
        TrainingOptions(**given)
    assert str(caught.value) == message


def test_no_clipping_is_allowed():
    assert TrainingOptions(clip=inf).clip == inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("momentum=0.9", ("momentum", 0.9)),
        ("nesterov=true", ("nesterov", True)),
        ("amsgrad=False", ("amsgrad", False)),
        ("betas=0.9,0.99", ("betas", (0.9, 0.99))),
    ],
)
def test_optimiser_options_are_read(text, expected):
    assert parse_optimiser_option(text) == expected


@pytest.mark.parametrize("text", ["momentum", "=1", "momentum=", "momentum=much"])
def test_a_malformed_optimiser_option_is_restated(text):
    with pytest.raises(OptionError, match=f"--optimiser-option {text}: expected NAME="):
        parse_optimiser_option(text)


def test_sizes_are_whole_numbers():
    assert parse_size("n_k=32") == ("n_k", 32)
    with pytest.raises(OptionError, match="--size n_k=x: expected NAME=NUMBER"):
        parse_size("n_k=x")
