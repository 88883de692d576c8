"""Every contestant computes the same gradient, and the check sees one that does not.

A case in one type of numbers; in both with BPTT_EVERY_CELL=1.
"""

import itertools
import json
import os
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import measure, rivals, shapes, timing

SMALL = (5, 3, 4, 6)
HAS_RIVALS = find_spec("torch") is not None and find_spec("jax") is not None
EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))
TURNS = [
    (name, dtype)
    for number, name in enumerate(shapes.CASES)
    for turn, dtype in enumerate(("float32", "float64"))
    if EVERY or turn == number % 2
]
needs_rivals = pytest.mark.skipif(not HAS_RIVALS, reason="needs torch and jax")


@needs_rivals
@pytest.mark.parametrize(("name", "dtype"), TURNS)
def test_contestants_agree(name, dtype):
    import jax

    was_x64 = jax.config.jax_enable_x64
    case = shapes.CASES[name]
    try:
        data = shapes.make_data(case, SMALL, dtype)
        found = rivals.make_contestants(case, data, threads=1)
        assert {rivals.OURS, rivals.LOOP, *rivals.SCANS} <= set(found)
        assert (rivals.NN in found) is not case.is_custom
        _, errors = timing.first_calls(found, dtype)
    finally:
        jax.config.update("jax_enable_x64", was_x64)
    bound = {"float32": 1e-4, "float64": 1e-12}[dtype]
    assert set(errors) == set(found)
    assert max(errors.values()) < bound


def test_a_wrong_gradient_is_refused():
    right = {"W": np.array([1.0, -2.0], np.float32)}
    wrong = {"W": np.array([1.0, -2.01], np.float32)}
    contestants = {
        "bptt": rivals.Contestant(lambda: right, lambda found: found),
        "other": rivals.Contestant(lambda: wrong, lambda found: found),
    }
    with pytest.raises(timing.DisagreementError, match=r"other differs .* 5\.0e-03"):
        timing.first_calls(contestants, "float32")


def test_nan_is_refused():
    right = {"W": np.ones(2)}
    contestants = {
        "bptt": rivals.Contestant(lambda: right, lambda found: found),
        "other": rivals.Contestant(lambda: {"W": right["W"] * np.nan}, dict),
    }
    with pytest.raises(timing.DisagreementError):
        timing.first_calls(contestants, "float64")


@pytest.mark.parametrize("name", shapes.CASES)
def test_packing_is_undone_by_unpacking(name):
    case = shapes.CASES[name]
    params, _, _ = shapes.make_data(case, SMALL, "float64")
    back = case.unpack(case.pack(params))
    assert set(back) == set(params)
    for key, array in params.items():
        np.testing.assert_array_equal(back[key], array)


def test_flops_count_the_products():
    tau, n_b, n_x, n_h = SMALL
    forward = 2 * tau * n_b * 4 * n_h * (n_x + n_h)
    # Back: W's transpose; after the loop the gradients of U and W.
    backward = 2 * tau * n_b * 4 * n_h * (n_h + n_x + n_h)
    assert shapes.CASES["lstm"].flops(SMALL) == forward + backward


def test_rounds_are_interleaved():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    samples = timing.time_interleaved(runs, rounds=4, seconds=100)
    assert {name: len(values) for name, values in samples.items()} == {"a": 4, "b": 4}
    changes = sum(x != y for x, y in itertools.pairwise(calls))
    assert changes == 2 * (4 + 1) - 1


def test_a_row_survives_json():
    options = {"dtype": "float32", "threads": 1, "rounds": 1, "seconds": 1}
    row = measure.measure_row(shapes.CASES["elman"], SMALL, options)
    assert json.loads(json.dumps(row)) == row
    assert set(row["seconds"]) == set(row["first"]) == set(row["error"])
