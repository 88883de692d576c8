"""The table of all cells: torch on the cell's own graph is a rival for each."""

from importlib.util import find_spec

import numpy as np
import pytest
from benchmarks.library import find_difference, make_case
from benchmarks.report import write_report

from bptt import Cell, bidirectional, cells, stack

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
SHAPE = (4, 3, 2, 5)
MORE = {
    "stack of both directions": stack(bidirectional(cells.gru), 2),
    "a stopped state": Cell("h[t] = tanh(stop_gradient(h[t-1]) + U @ x[t])"),
}


@needs_torch
@pytest.mark.parametrize("name", [*cells.names(), *MORE])
def test_the_loop_made_from_a_graph_gives_the_reference_s_gradient(name):
    from benchmarks.graph_loop import make_graph_loop

    cell = MORE.get(name) or cells.get(name)
    sizes, params, inputs, seeds = make_case(cell, SHAPE, "float64")
    run, read = make_graph_loop(cell, sizes, params, inputs, seeds)
    found = read(run())
    expected = cell.gradient(params, inputs, seeds=seeds, executor="reference")
    assert found.keys() == expected.keys()
    for parameter, array in expected.items():
        np.testing.assert_allclose(found[parameter], array, rtol=1e-10, atol=1e-11)


def test_a_gradient_that_vanishes_is_measured_against_the_others():
    mine = {"b": np.array([1e-7]), "W": np.array([10.0])}
    noise = {"b": np.array([-1e-7]), "W": np.array([10.001])}
    assert find_difference(mine, noise) == pytest.approx(1e-4)
    assert find_difference(mine, {**mine, "b": np.array([0.5])}) == pytest.approx(50)


def test_the_report_has_a_line_per_cell_with_its_ratio():
    row = {
        "library": "mgu", "shape": [100, 32, 128, 128], "threads": 1, "flops": 4e9,
        "sgemm": 8e9, "times": {"bptt": 2.0, "torch loop": 9.0}, "first": 0.25,
        "error": 3e-7,
    }  # fmt: skip
    alone = {**row, "library": "lem", "times": {"bptt": 1.0}}
    text = write_report([], [], {"cpu": "x"}, [row, alone])
    assert "all cells of the library, 100,32,128,128, threads: 1" in text
    lines = [[c.strip() for c in line.split("|")] for line in text.splitlines()]
    assert ["", "mgu", "2000.00", "9000.00", "4.5", "2.0", "0.25", "0.25", "3e-07", ""
            ] in lines  # fmt: skip
    assert ["", "lem", "1000.00", "-", "-", "4.0", "0.50", "0.25", "3e-07", ""] in lines
