"""Ragged batches in the benchmark: everybody leaves padding out, and the table says how
much time that saves."""

from importlib.util import find_spec

import numpy as np
import pytest
from benchmarks.__main__ import make_options, make_parser

from benchmarks import ragged, report, shapes, timing

HAS_RIVALS = find_spec("torch") is not None and find_spec("jax") is not None
needs_rivals = pytest.mark.skipif(not HAS_RIVALS, reason="needs torch and jax")


def test_lengths_are_58_percent_useful_and_in_no_order():
    lengths = ragged.make_lengths(200, 32)
    assert lengths.mean() / 200 == pytest.approx(0.58, abs=0.002)
    assert lengths.min() == 32 and lengths.max() == 200
    assert len(set(lengths)) == 32 and (np.diff(lengths) > 0).any()
    assert ragged.make_lengths(3, 5).min() == 1


@needs_rivals
@pytest.mark.parametrize("name", ["lstm", "leaky"])
def test_contestants_agree_on_a_ragged_batch(name):
    import jax

    was_x64 = jax.config.jax_enable_x64
    case, shape = shapes.CASES[name], (6, 5, 3, 4)
    try:
        lengths = ragged.make_lengths(*shape[:2])
        data = shapes.make_data(case, shape, "float64")
        found = ragged.make_ragged_contestants(case, data, lengths, 1)
        _, errors = timing.first_calls(found, "float64")
    finally:
        jax.config.update("jax_enable_x64", was_x64)
    assert (ragged.PACKED_NN in found) is not case.is_custom
    assert len(errors) == (4 if case.is_custom else 6)
    assert max(errors.values()) < 1e-12


def test_the_report_compares_with_the_useful_part_of_the_padded_time():
    row = {
        "ragged": "gru", "shape": [200, 32, 88, 200], "threads": 1, "useful": 0.5,
        "times": {"bptt": 0.6, "bptt padded": 1.0, "torch.nn packed": 4.0,
                  "jax masked 1": 3.0, "jax masked 8": 2.0},
    }  # fmt: skip
    text = report.write_report([], [], {"cpu": "x"}, ragged=[row])
    assert "ragged batches, 200,32,88,200, threads: 1" in text
    lines = [[c.strip() for c in line.split("|")] for line in text.splitlines()]
    assert ["", "gru", "0.50", "600.00", "1000.00", "4000.00", "-", "2000.00", "0.60",
            "1.20", ""] in lines  # fmt: skip
    (target,) = [line for line in lines if "MISSED" in line]
    assert target[1:5] == [
        "gru", "1", "ragged: <= 1.15 x the useful part of the padded time", "1.20"
    ]  # fmt: skip
    row["times"]["bptt"] = 0.57
    assert "MISSED" not in report.write_report([], [], {"cpu": "x"}, ragged=[row])


def test_the_table_of_ragged_batches_is_part_of_a_full_run_or_asked_for_alone():
    def ask(*words):
        options = make_options(make_parser().parse_args(words), 1)
        return len(options["cells"]), len(options["library"]), options["ragged"]

    every = list(shapes.CASES)
    assert ask()[2] == every
    assert ask("--quick")[1:] == (0, [])
    assert ask("--ragged") == (0, 0, every)
    assert ask("--ragged", "gru", "--quick") == (0, 0, ["gru"])
    assert ask("--library", "lem") == (0, 1, [])
