"""Options outside their range, by message."""

import json
from math import inf

import pytest

from bptt.train.errors import OptionError
from bptt.train.options import (
    TrainingOptions,
    parse_optimiser_option,
    parse_scheduler_option,
    parse_size,
    parse_split,
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
        ({"k1": 0}, "--k1 0: expected a whole number from 1."),
        ({"patience": -1}, "--patience -1: expected a whole number from 0."),
        ({"clip_value": 0}, "--clip-value 0: expected a number above 0, or inf for no"),
        ({"weight_decay": -1}, "--weight-decay -1: expected a number from 0."),
        ({"on_nonfinite": "go"}, "--on-nonfinite go: expected one of stop, skip."),
        (
            {"held_out": 0.5, "test": 0.5},
            "--split 0.5, 0.5: expected fractions whose sum leaves something to train",
        ),
    ],
)
def test_a_value_out_of_range_is_restated_with_what_is_expected(given, message):
    with pytest.raises(OptionError) as caught:
        TrainingOptions(**given)
    assert str(caught.value).startswith(message)


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


def test_a_scheduler_option_may_be_a_word_and_keeps_whole_numbers_whole():
    assert parse_scheduler_option("mode=max") == ("mode", "max")
    name, value = parse_scheduler_option("step_size=5")
    assert (name, value, type(value)) == ("step_size", 5, int)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.9,0.1", (0.1, 0.0)), ("0.7,0.2,0.1", (0.2, 0.1))],
)
def test_a_split_names_two_or_three_fractions(text, expected):
    assert parse_split(text) == expected


@pytest.mark.parametrize("text", ["0.9", "0.9,0.2", "1.1,-0.1", "a,b", "1,0,0,0"])
def test_a_split_that_is_none_is_restated(text):
    with pytest.raises(OptionError, match=f"--split {text}: expected TRAINING,VALID"):
        parse_split(text)


def test_options_come_back_from_json():
    options = TrainingOptions(
        clip=inf,
        clip_value=0.5,
        optimiser_options={"betas": (0.9, 0.99)},
        scheduler_options={"milestones": (2, 4), "mode": "min"},
        sizes={"n_k": 3},
    )
    record = json.loads(json.dumps(options.to_json(), allow_nan=False))
    assert TrainingOptions.from_json(record) == options


@pytest.mark.parametrize(
    ("given", "tau", "k1", "k2"),
    [
        ({}, 32, 32, 32),
        ({"k1": 4}, 32, 4, 32),
        ({"k1": 4, "k2": 9}, 32, 4, 9),
        ({}, None, None, None),
        ({"k1": 4}, None, 4, None),
    ],
)
def test_k1_and_k2_are_tau_where_not_given(given, tau, k1, k2):
    truncation = TrainingOptions(**given).truncation(tau)
    assert (truncation.k1, truncation.k2) == (k1, k2)


@pytest.mark.parametrize(
    ("given", "tau"), [({"k1": 4, "k2": 3}, 32), ({"k2": 3}, None), ({"k1": 40}, 32)]
)
def test_a_gradient_shorter_than_the_steps_between_two_is_refused(given, tau):
    with pytest.raises(OptionError, match="expected at least the steps between two"):
        TrainingOptions(**given).truncation(tau)
