"""Options outside their range, by message."""

import json
import re
from math import inf
from pathlib import Path

import pytest

from bptt.train.assignments import (
    parse_optimiser_option,
    parse_scheduler_option,
    parse_size,
    parse_split,
)
from bptt.train.data.opening import DataRequest
from bptt.train.data.tables import TableRequest
from bptt.train.definition import defined
from bptt.train.errors import IgnoredOptionError, OptionError, TrainError
from bptt.train.options import TrainingOptions
from bptt.train.run_config import read_run_config
from tests.train import option_table


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
        (
            {"weight_decay": -1},
            "--weight-decay -1: expected a number from 0 to 3.4e38.",
        ),
        ({"n_h": 2.5}, "--n-h 2.5: expected a whole number from 1."),
        ({"layers": True}, "--layers True: expected a whole number from 1."),
        (
            {"weight_decay": "much"},
            "--weight-decay much: expected a number from 0 to 3.4e38.",
        ),
        ({"residual": 1}, "--residual 1: expected true or false."),
        ({"zoneout": float("nan")}, "--zoneout nan: expected a rate from 0 to below 1"),
        ({"process_timeout": 0}, "--process-timeout 0: expected a number above 0."),
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
        schedule="multisteplr",
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


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"scheduler_step": "epoch"}, "--scheduler-step"),
        ({"schedule": "constant", "scheduler_options": {"gamma": 1}}, "--scheduler-op"),
        ({"weight_decay": 0.1, "optimiser_options": {"weight_decay": 0.2}}, "--weight"),
    ],
)
def test_an_option_that_another_makes_meaningless_is_refused(given, option):
    with pytest.raises(IgnoredOptionError, match=f"^{option}.*: it would be ignored"):
        TrainingOptions(**given)


def test_the_table_of_the_documentation_is_the_definition():
    inside = option_table.parts(option_table.PAGE.read_text("utf-8"))[1]
    fix = "write it anew: python -m tests.train.option_table"
    assert inside == option_table.table(), fix
    for one in defined(TrainingOptions):
        assert f"| `{one.flags[0]}`" in inside
        assert one.option.help.endswith(".")


def test_a_value_of_every_option_that_is_none_is_refused():
    """No option without a range takes what its type does not say."""
    for one in defined(TrainingOptions):
        wrong = {"x": object()} if one.default == {} else object()
        if one.option.within is not None:
            with pytest.raises(OptionError, match=one.flags[0]):
                TrainingOptions(**{one.name: wrong})
        else:
            assert one.type in (str, str | None) or one.default == {}


TOML = """
data = ["one.txt", "two.txt"]
out = "runs/mine"
cell = "lstm"
n-h = 64
clip = inf
split = [0.7, 0.2, 0.1]
[optimizer-option]
betas = [0.8, 0.99]
[sizes]
n_k = 3
"""


def test_a_toml_file_says_what_the_command_line_says(tmp_path):
    (tmp_path / "run.toml").write_text(TOML)
    config = read_run_config(tmp_path / "run.toml")
    assert config.request == DataRequest((Path("one.txt"), Path("two.txt")))
    assert config.out == Path("runs/mine")
    assert TrainingOptions(**config.options) == TrainingOptions(
        cell="lstm",
        n_h=64,
        clip=inf,
        held_out=0.2,
        test=0.1,
        optimiser_options={"betas": (0.8, 0.99)},
        sizes={"n_k": 3},
    )


def test_a_toml_file_without_data_still_says_what_its_columns_mean(tmp_path):
    (tmp_path / "run.toml").write_text("time = 'month'\nmissing = 'mask'\nn_h = 3\n")
    request = read_run_config(tmp_path / "run.toml").request
    assert request == DataRequest(table=TableRequest(time="month", missing="mask"))
    (tmp_path / "run.toml").write_text("n_h = 3\nout = 'there'\n")
    assert read_run_config(tmp_path / "run.toml").request is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1", "did you mean learning_rate"),
        ("n_h = 'many'", "Expected 'int', got 'str'"),
        ("n_h = 1.5", "Expected 'int', got 'float'"),
        ("n_h = 1\nn-h = 2", "says n_h twice"),
        ("split = [0.5, 0.5]\ntest = 0.1", "split besides held_out or test"),
        ("n_h = ", "is not read as TOML"),
        ("n_h = 0", "--n-h 0: expected a whole number from 1"),
        ("split = [1.0]", "expected TRAINING,VALIDATION"),
        ("data = 3", "data"),
    ],
)
def test_a_toml_file_with_a_mistake_says_which(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(TrainError, match=re.escape(message)):
        read_run_config(tmp_path / "run.toml")


def test_bytes_and_states_given_as_numbers_are_kept_as_a_run_is_read_again():
    options = TrainingOptions(checkpoint=4)
    assert TrainingOptions.from_json(options.to_json()) == options
    assert options.limit == {"checkpoint": 4}
    options = TrainingOptions(memory=2**20)
    assert TrainingOptions.from_json(options.to_json()) == options


def test_byte_pairs_have_an_entry_for_every_byte():
    assert TrainingOptions(tokens="bpe", entries=256).entries == 256
    assert TrainingOptions(tokens="words", entries=40).entries == 40
    with pytest.raises(OptionError, match="--entries 255: expected at least 256"):
        TrainingOptions(tokens="bpe", entries=255)
