"""The benchmark of the catalogue: rivals compute the same, misses are marked."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
from benchmarks.catalogue import CASES, SCAN, make_arrays, make_loop, make_scan
from benchmarks.catalogue_report import write_catalogue
from benchmarks.library import find_difference
from benchmarks.rivals import LOOP, OURS

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="needs jax")


def compare(name, make):
    """The largest difference, in float32 at few steps and rows."""
    case = replace(CASES[name], tau=3, n_b=2)
    cell = case.make_cell()
    arrays = params, inputs, initial, seeds = make_arrays(case, cell, "float32")
    grad = cell.gradient(
        params, inputs, initial=initial, seeds=seeds, executor="reference"
    )
    found = make(case, arrays)()
    assert len(found) >= len(params) - 1  # of the LMU's theta no gradient is taken
    return find_difference({n: grad[n] for n in found}, found)


@needs_torch
@pytest.mark.parametrize("name", CASES)
def test_the_loop_in_torch_computes_the_cell(name):
    assert compare(name, make_loop) < 1e-4  # float32; the largest seen is 2.8e-5, ntm


@needs_jax
@pytest.mark.parametrize("name", ["gated_deltanet", "last_output"])
def test_the_scan_in_jax_computes_the_cell(name):
    assert compare(name, make_scan) < 1e-4


def test_a_report_marks_what_is_missed():
    row = {
        "catalogue": "s6", "threads": 1, "tau": 4, "n_b": 2, "limit": 1e-3,
        "binds": "memory", "first": {OURS: 1.5}, "error": {OURS: 0.0, SCAN: 0.1},
        "agrees": False, "seconds": {OURS: 0.002, LOOP: 0.004, SCAN: 0.001},
    }  # fmt: skip
    text = write_catalogue([row])
    assert "| s6 | 4, 2 | 2.00 | 4.00 | 1.00 | - | 1.00 | memory | 1.50 |" in text
    assert "slower than jax, first call over 1 s, gradients differ by 1e-01" in text
    assert "2.00 times torch loop in geometric mean, 3 asked; missed" in text
