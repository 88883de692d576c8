"""Which layer of a stack, or of two directions, is at fault."""

import numpy as np
import pytest

import bptt
from bptt import cells
from bptt.flow.layers import layers_of
from bptt.flow.maps import cut_at_states

SIZES = {"n_x": 4, "n_o": 3}


def stacked(cell, count=2):
    return bptt.stack(cell, count).with_readout()


def both(count=2):
    return bptt.stack(bptt.bidirectional(cells.elman), count).with_readout()


def run(cell, tau=60, **changes):
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(tau, 3, 4)), "y": rng.integers(0, 3, (tau, 3))}
    inputs = {name: inputs[name] for name in cell.graph.inputs}
    params = cell.init(seed=0, **{dim: SIZES.get(dim, 8) for dim in cell.dims})
    for name, value in changes.items():
        is_matrix = params[name].ndim > 1
        params[name] = params[name] * value if is_matrix else params[name] + value
    return cell.flow(params, inputs, seed=0)


LINEAR = bptt.Cell("h[t] = W @ h[t-1] + U @ x[t]")
SCALED = "u[t] = 0.99 * u[t-1] + U @ x[t]; h[t] = tanh(A @ h[t-1] + u[t])"
WRITTEN = bptt.Cell(SCALED + "; L[t] = sum((V @ h[t]) ** 2)")
# name: how it is made; kind and layer of each diagnosis that is no note; an action
PLANTED = {
    "healthy": (lambda: run(stacked(cells.elman)), [], ""),
    "second of two forgets": (
        lambda: run(stacked(cells.elman), W_2=0.2), [("vanishing-layer", "h_2")],
        "W_2=orthogonal",
    ),
    "first of two forgets": (
        lambda: run(stacked(cells.elman), W_1=0.2), [("vanishing-layer", "h_1")],
        "W_1=orthogonal",
    ),
    "both forget": (
        lambda: run(stacked(cells.elman), W_1=0.2, W_2=0.2), [("vanishing", "")],
        "W_1=orthogonal",
    ),
    "gate of the second of three": (
        lambda: run(stacked(cells.lstm, 3), b_f_2=-7.0),
        [("vanishing-layer", "h_2, s_2")], "b_f_2=4",
    ),
    "first grows": (
        lambda: run(stacked(LINEAR), W_1=1.3), [("exploding-layer", "h_1")],
        "W_1*=0.731",
    ),
    "second grows": (
        lambda: run(stacked(LINEAR), W_2=1.3), [("exploding-layer", "h_2")],
        "W_2*=0.731",
    ),
    "a gate of the second is stuck": (
        lambda: run(stacked(cells.gru), b_z_2=40.0), [("stuck-layer", "h_2")],
        "b_z_2=1",
    ),
    "one direction of the second": (
        lambda: run(both(), W_bw_2=0.1), [("vanishing-layer", "h_bw_2")],
        "W_bw_2=orthogonal",
    ),
    "a backward one": (
        lambda: run(both(1), W_bw_1=0.1), [("vanishing-layer", "h_bw_1")],
        "W_bw_1=orthogonal",
    ),
    "written by hand": (
        lambda: run(WRITTEN, A=0.1), [("vanishing-layer", "h")], "A=orthogonal",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_the_layer_at_fault_is_named(case):
    make, expected, action = PLANTED[case]
    flow = make()
    found = [d for d in flow.diagnoses if d.severity != "note"]
    assert [(d.kind, d.layer) for d in found] == expected
    for lang in ("en", "zh"):
        assert "{" not in flow.text(lang)
    if not expected:
        assert flow.verdict.startswith("healthy")
        return
    actions = [r.action for d in found for r in d.remedies if r.action]
    assert action in actions
    if found[0].layer:
        assert f"in the layer of {found[0].layer}, " in flow.verdict
        assert f"在 {found[0].layer} 这一层" in flow.text("zh")
    for each in actions:
        assert flow.try_(each).promise.is_kept, each


def test_a_layers_growth_is_that_of_its_block_of_the_jacobian():
    flow = run(stacked(cells.lstm), tau=40)
    assert flow.numbers.states == ("h_1", "s_1", "h_2", "s_2")
    blocks = {"h_1, s_1": slice(0, 16), "h_2, s_2": slice(16, 32)}
    assert list(flow.layers) == list(blocks)
    for names, part in blocks.items():
        for number, start in enumerate((0, 20)):
            product = np.eye(16)
            for jacobian in flow.numbers.jacobians[start : start + 20]:
                product = jacobian[part, part] @ product
            # A power iteration stops at two per cent: see growth.SETTLED.
            found = flow.layers[names].windows[number, 0]
            assert found == pytest.approx(np.log(np.linalg.norm(product, 2)), abs=0.02)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (cells.lstm, ()),
        (cells.lem, ()),
        (cells.slstm, ()),
        (stacked(cells.gru, 3), (("h_1",), ("h_2",), ("h_3",))),
        (both(1), (("h_fw_1",), ("h_bw_1",))),
        # d is read a step later, but remembers nothing of itself.
        (bptt.Cell("h[t] = W @ h[t-1] + x[t]; d[t] = tanh(h[t])\n"
                   "L[t] = sum(d[t-1] * h[t])"), ()),
        # The lower layer comes first, wherever it is written.
        (bptt.Cell("h[t] = W @ h[t-1] + k[t-1]; k[t] = 0.5 * k[t-1] + x[t]\n"
                   "L[t] = sum(h[t])"), (("k",), ("h",))),
        # Round through three states: one layer.
        (bptt.Cell("a[t] = c[t-1] + x[t]; b[t] = a[t-1]; c[t] = b[t-1]\n"
                   "L[t] = sum(c[t])"), ()),
    ],
    ids=["lstm", "lem", "slstm", "three", "both", "a copy", "order", "round"],
)  # fmt: skip
def test_layers_are_states_that_feed_back_on_one_another(cell, expected):
    assert layers_of(cut_at_states(cell.graph)) == expected


def test_a_layer_that_gets_nothing_is_not_called_stuck_for_the_one_above_it():
    """The third layer lets nothing in; the second forgets, whatever comes to it."""
    cell = bptt.stack(bptt.cells.lstm, 3).with_readout()
    params = cell.init(n_x=4, n_h=8, n_o=5, seed=0)
    params["b_f_2"][:], params["b_i_3"][:] = -6, -40
    rng = np.random.default_rng(1)
    inputs = {"x": rng.normal(size=(40, 3, 4)), "y": rng.integers(0, 5, (40, 3))}
    flow = cell.flow(params, inputs)
    assert {d.layer: d.kind for d in flow.diagnoses} == {
        "h_2, s_2": "vanishing-layer", "h_3, s_3": "stuck-layer"
    }  # fmt: skip
    # e^-40 of it arrives: below the rounding of the sum that it is a part of.
    assert not flow.numbers.arrived["h_3"].any()
    assert flow.numbers.injected["h_3"].all()
