"""The benchmark of a training step: its parts are what it says, at a tiny size."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("threadpoolctl")

from benchmarks.training import (
    Ours,
    describe,
    make_data,
    measure,
    parse_shape,
)

SHAPE = (4, 2, 3, 5)  # (tau, n_b, n_x, n_h)


def test_every_part_is_timed():
    found = measure("elman", SHAPE, rounds=1)
    assert set(found) == {"bptt", "torch.nn", "gradient", "read", "update"}
    assert min(found.values()) > 0


def test_a_step_is_the_parts_one_after_another():
    ours, parts = (Ours("elman", SHAPE, make_data(SHAPE)) for _ in range(2))
    ours.step()
    gradient, _ = parts.gradient()
    parts.update(gradient)
    for name, value in ours.parameters.items():
        np.testing.assert_array_equal(parts.parameters[name], value)


def test_the_share_is_that_of_data_and_update():
    seconds = {"bptt": 0.02, "torch.nn": 0.05, "gradient": 0.018, "read": 0.0005,
               "update": 0.0015}  # fmt: skip
    text = describe("gru", SHAPE, seconds)
    assert "2.50 times as long" in text
    assert "10.0% of the step" in text


def test_a_shape_is_four_numbers():
    assert parse_shape("100,32,256,256") == (100, 32, 256, 256)
