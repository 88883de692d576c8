"""Every cell of the catalogue from its own initial values, and through `flow`."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from bptt.check.instances import seeded_name
from bptt.cli.app import app
from bptt.explain.prepare import has_indices
from bptt.train.fitting import unread
from tests.catalogue.cases import FOLDER, MEANT, N_B, SIZES, TAU, load, numbers
from tests.catalogue.loops import LOOPS

# What a person is told of a cell that `flow` has nothing to show for.
WITHOUT_FLOW = {
    "teacher_forcing": "no state",
}


# What learns nothing here for a reason: 4 steps are as short as the connection, no unit
# has fired, and what a stop_gradient holds.
STILL = {
    "removed_connections": {"R"}, "dilated": {"W_h"}, "alif": {"rho"},
}  # fmt: skip
HELD = re.compile(r"stop_gradient\((\w+)\)")


def drawn(name, cell, sizes):
    """Random inputs of the kind that a paper says."""
    rng, found = np.random.default_rng(0), {}
    for n, spec in cell.graph.inputs.items():
        lead = (N_B,) if n in cell.graph.times.row_inputs else (TAU, N_B)
        if spec.index is not None:
            found[n] = rng.integers(0, numbers((spec.index,), sizes)[0], lead)
            continue
        value = rng.standard_normal((*lead, *numbers(spec.shape, sizes)))
        found[n] = MEANT.get((name, n), np.asarray)(value)
    return found


@pytest.mark.parametrize("name", LOOPS)
def test_a_cell_starts_from_its_own_initial_values(name):
    cell = load(name)
    sizes = dict(zip(cell.dims, SIZES, strict=False))
    params, inputs = cell.init(**sizes, seed=0), drawn(name, cell, sizes)
    seeds = {}
    if cell.graph.loss is None:
        node = seeded_name(cell.graph)
        shape = (TAU, N_B, *numbers(cell.nodes[node], sizes))
        seeds = {node: np.random.default_rng(1).standard_normal(shape)}
    grad = cell.gradient(params, inputs, seeds=seeds, executor="reference")
    for parameter, value in grad.items():
        assert np.isfinite(value).all(), parameter
    for node in cell.nodes:
        assert np.isfinite(grad.run[node]).all(), node


@pytest.mark.parametrize("name", [n for n in LOOPS if n != "hmm"])
def test_every_parameter_learns_from_a_cells_own_initial_values(name):
    """Memory whose places are alike stays alike: it must not start so."""
    cell = load(name).with_readout()
    sizes = dict(zip(cell.dims, (*SIZES, 8, 10, 11, 12), strict=False))
    params, inputs = cell.init(**sizes, seed=0), drawn(name, cell, sizes)
    moved = STILL.get(name, set()) | set(HELD.findall(cell.canonical_text))
    for _ in range(4):
        grad = cell.gradient(params, inputs, executor="reference")
        moved |= {n for n in grad if np.abs(grad[n]).max() > 1e-11}
        params = {n: a - 0.05 * np.clip(grad[n], -1, 1) for n, a in params.items()}
    assert not params.keys() - moved


@pytest.mark.parametrize("name", [n for n in LOOPS if has_indices(load(n).graph)])
def test_flow_of_a_cell_with_indices(name):
    file = str(FOLDER / f"{name}.cell")
    arguments = ["flow", file, "--tau", "5", "--rows", "2", "--n-h", "3"]
    run = CliRunner().invoke(app, arguments)
    if name in WITHOUT_FLOW:
        assert WITHOUT_FLOW[name] in str(run.exception)
    else:
        assert run.exit_code == 0, run.exception


def test_a_read_out_of_what_has_an_index_reads_every_place():
    cell = load("linear_attention").with_readout()
    assert "o_out[t] = c + sum(j, V[j] @ o[t, j])" in cell.canonical_text
    assert cell.check(instances=1, executor="reference").passed
    inner = load("highway").with_readout()
    assert "o[t] = c + V @ s[t, 5]" in inner.canonical_text


def test_a_read_out_reads_what_is_defined_last_not_a_gate_with_an_index():
    expected = {
        "deltanet": "sum(j, V[j] @ o[t, j])",
        "mlstm": "sum(j, V[j] @ h[t, j])",
        "retnet": "sum(j, V[j] @ o[t, j])",
        "s6": "V @ y[t]",
        "fast_weights_steps": "V @ h[t, 3]",
        "conv_lstm_2d": "sum(l, sum(m, V[l, m] @ h[t, l, m]))",
    }
    for name, product in expected.items():
        assert product in load(name).with_readout().canonical_text, name


@pytest.mark.parametrize("name", LOOPS)
def test_a_read_out_leaves_nothing_of_a_cell_unread(name):
    if name == "hmm":  # its input is called y, the name of the targets
        return
    assert unread(load(name).with_readout()) == []
