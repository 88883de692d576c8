"""A call of a cell by another library: names, shapes, and seeds from results."""

import numpy as np
import pytest

import bptt
from bptt.call import CellCall, decode, last_of
from bptt.weights import TORCH, TORCH_MODES, torch_cell

TAU, N_B, N_X, N_H, N_O = 5, 3, 2, 4, 6
TWO_WAYS = """
h[t] = tanh(W @ h[t-1] + U @ x[t])
g[t] = tanh(R @ g[t+1] + P @ x[t])
"""
CALLS = {
    "sequences and last values": CellCall(TWO_WAYS, ("g",), ("h", "g"), initial=("g",)),
    "a loss": CellCall(
        bptt.cells.book.text, ("h",), (), reduction="mean", has_weights=True,
        has_lengths=True,
    ),
    "a loss that is a node": CellCall(
        bptt.cells.book.text, ("h", "L"), ("h",), has_total=False
    ),
    "stacked": CellCall(
        bptt.cells.lstm.text, ("h",), ("h", "s"), ("h", "s"), stacking="lstm",
        tensors=("weight_ih", "weight_hh"),
    ),
    "stacked, projected": CellCall(
        bptt.cells.lstm_projection.text, ("h",), ("h", "s"), stacking="lstm_projection",
        tensors=("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"),
    ),
}  # fmt: skip
SIZES = {"n_x": N_X, "n_h": N_H, "n_o": N_O, "n_s": 9, "n_g": 7}


def make_arrays(call):
    """Arrays for everything that goes in."""
    rng = np.random.default_rng(0)
    cell = bptt.Cell(call.text)
    params = cell.init(**{dim: SIZES[dim] for dim in cell.dims})
    tensors = params
    if call.stacks is not None:
        joined = call.stacks.join_values(params)
        tensors = {name: joined[name] for name in call.tensors}
    inputs = {"x": rng.normal(size=(TAU, N_B, N_X))}
    if "y" in cell.inputs:
        inputs["y"] = rng.integers(0, N_O, (TAU, N_B))
    widths = {
        name: tuple(SIZES[str(dim)] for dim in cell.nodes[name])
        for name in call.initial
    }
    initial = {name: rng.normal(size=(N_B, *w)) for name, w in widths.items()}
    rest = {}
    if call.has_weights:
        rest["weights"] = rng.uniform(1, 2, (TAU, N_B))
    if call.has_lengths:
        rest["lengths"] = np.array([5, 2, 3])
    return {**tensors, **inputs, **initial, **rest}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_is_read_back_from_its_text(call):
    assert decode(call.encode()) == call


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_goes_in_is_split_by_name_in_order(call):
    arrays = make_arrays(call)
    names = [name for group in call.names for name in group]
    given = call.split([arrays[name] for name in names])
    assert {**given.tensors, **given.inputs, **given.initial}.items() <= arrays.items()
    assert given.weights is arrays.get("weights")
    assert given.lengths is arrays.get("lengths")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_shapes_of_results_are_those_that_the_cell_gives(call):
    arrays = make_arrays(call)
    ordered = [arrays[name] for group in call.names for name in group]
    given = call.split(ordered)
    params = given.tensors if call.stacks is None else call.stacks.split(given.tensors)
    cell = bptt.Cell(call.text)
    for name, dims in cell.parameters.items():  # biases that a stack may lack
        params.setdefault(name, np.zeros([SIZES[str(dim)] for dim in dims]))
    run = cell.forward(
        params, given.inputs, initial=given.initial, weights=given.weights,
        lengths=given.lengths, reduction=call.reduction,
    )  # fmt: skip
    expected = [run[name].shape for name in call.outputs]
    expected += [run.final[name].shape for name in call.finals]
    if call.graph.loss is not None:
        expected.append(())
    assert call.result_shapes([array.shape for array in ordered]) == expected


def test_shapes_without_a_batch_have_no_rows():
    call = CALLS["sequences and last values"]
    shapes = {"W": (4, 4), "U": (4, 2), "R": (7, 7), "P": (7, 2), "x": (5, 2)}
    given = [shapes.get(n, (7,)) for group in call.names for n in group]
    assert call.result_shapes(given) == [(5, 7), (4,), (7,)]


def test_parameters_that_disagree_on_a_size_are_refused():
    call = CALLS["sequences and last values"]
    with pytest.raises(bptt.errors.SizeError, match="n_h is 4 in the parameters"):
        call.parameter_sizes({"W": (4, 4), "U": (5, 2)})


@pytest.mark.parametrize("lengths", [None, np.array([5, 1, 3])])
def test_joined_seeds_weigh_what_the_results_weigh(lengths):
    """<seed, sequence> summed over nodes = <gradient, result> summed over results."""
    call = CALLS["sequences and last values"]
    rng = np.random.default_rng(1)
    sequences = {n: rng.normal(size=(TAU, N_B, SIZES[f"n_{n}"])) for n in "hg"}
    ends = [TAU] * N_B if lengths is None else lengths
    last = {
        "h": np.stack([sequences["h"][end - 1, row] for row, end in enumerate(ends)]),
        "g": sequences["g"][0],
    }
    results = [sequences["g"], last["h"], last["g"]]
    arrived = {number: rng.normal(size=r.shape) for number, r in enumerate(results)}
    expected = sum((arrived[number] * r).sum() for number, r in enumerate(results))
    kept = arrived[0].copy()
    seeds = call.join_seeds(arrived, TAU, N_B, lengths)
    found = sum((seeds[name] * sequences[name]).sum() for name in seeds)
    # Sums of 170 products in two orders, in float64.
    assert abs(found - expected) < 1e-12 * 170
    assert np.array_equal(arrived[0], kept)


def test_results_without_a_gradient_make_no_seed():
    call = CALLS["sequences and last values"]
    row = np.ones((N_B, N_H))
    seeds = call.join_seeds({1: row}, TAU, N_B)
    assert list(seeds) == ["h"]
    assert seeds["h"].sum() == row.sum()


def test_the_last_value_of_a_backward_state_is_its_first_row():
    graph = CALLS["sequences and last values"].graph
    rows = np.arange(N_B)
    assert last_of(graph, "g", None, rows) == 0
    assert last_of(graph, "h", None, rows) == -1
    steps, found = last_of(graph, "h", np.array([2, 5, 1]), rows)
    assert list(steps) == [1, 4, 0]
    assert list(found) == [0, 1, 2]


def test_every_mode_of_torch_has_a_cell_and_a_stacking():
    for kind in TORCH_MODES.values():
        assert kind in TORCH
        assert kind in bptt.cells.names()
    assert torch_cell("lstm", ("weight_ih", "weight_hr")) in TORCH
