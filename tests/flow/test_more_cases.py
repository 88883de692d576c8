"""More planted cases: other cells, directions, delays, masks, sizes and types."""

import numpy as np
import pytest

import bptt

LOOP = "h[t] = tanh(W @ h[{}] + U @ x[t]); L[t] = sum(h[t] ** 2)"
DELAYED = "h[t] = tanh(A @ h[t-1] + B @ h[t-3] + U @ x[t]); L[t] = sum(h[t] ** 2)"
ENDS = "h[t] = tanh(W @ h[t-1] + U @ x[t])\nL = sum(h[tau] ** 2)"
TWO = ("u[t] = tanh(A @ u[t-1] + B @ v[t-1] + C @ x[t])\n"
       "v[t] = 0.9 * v[t-1] + 0.1 * u[t]; L[t] = sum(v[t] ** 2)")  # fmt: skip
MATRIX = "M[t] = 0.9 * M[t-1] + outer(v[t], k[t]); L[t] = sum((M[t] @ q[t]) ** 2)"


def library(name, tau=60, scale=1.0, n_h=10, options=None, dtype=float, **changes):
    cell = bptt.cells.get(name).with_readout()
    params = cell.init(seed=4, n_x=3, n_h=n_h, n_o=4, dtype=dtype)
    for key, value in changes.items():
        params[key] = np.broadcast_to(value, params[key].shape).astype(dtype)
    rng = np.random.default_rng(5)
    x = (scale * rng.normal(size=(tau, 3, 3))).astype(dtype)
    inputs = {"x": x, "y": rng.integers(0, 4, (tau, 3))}
    return cell.flow(params, inputs, seed=4, **(options or {}))


def written(text, factors=None, tau=50, **options):
    cell = bptt.Cell(text)
    params = cell.init(seed=1, **{dim: 3 + n for n, dim in enumerate(cell.dims)})
    for name, factor in (factors or {}).items():
        params[name] *= factor
    rng = np.random.default_rng(6)
    sizes = {dim: 3 + n for n, dim in enumerate(cell.dims)}
    inputs = {
        name: rng.normal(size=(tau, 2, *(sizes[d] for d in spec.shape)))
        for name, spec in cell.graph.inputs.items()
    }
    return cell.flow(params, inputs, **options)


def grown():
    """Units of different U, whose differences W adds up to one that grows."""
    cell = bptt.Cell("h[t] = relu(W @ h[t-1] + U @ x[t] + b); L[t] = mse(h[t], y[t])")
    params = cell.init(seed=1, n_x=3, n_h=8)
    params |= {"W": np.full((8, 8), 0.3), "b": np.ones(8)}
    rng = np.random.default_rng(6)
    inputs = {"x": rng.normal(size=(60, 2, 3)), "y": rng.normal(size=(60, 2, 8))}
    return cell.flow(params, inputs)


def equal(gates, value):
    return {f"{a}_{gate}": value for a in "WU" for gate in gates}


def masked(row=None, start=60):
    weights = np.ones((60, 3))
    weights[start:] = 0
    if row is not None:
        weights[:, row] = 0
    return {"weights": weights}


def ragged():
    cell = bptt.Cell("h[t] = W @ (g[t] * h[t-1]) + x[t]; L[t] = sum(h[t])")
    rng = np.random.default_rng(7)
    gains = np.full((70, 6, 6), 0.95)
    gains[:, 4] = 1.3
    inputs = {"g": gains, "x": rng.normal(size=(70, 6, 6))}
    W = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    return cell.flow({"W": W}, inputs, lengths=np.array([70, 5, 33, 60, 41, 2]))


def rounded():
    """A tenth per step: float32 ends below 1.4e-45, 46 steps before the last."""
    cell = bptt.Cell("h[t] = 0.1 * W @ h[t-1] + x[t]; L[t] = sum(h[t])")
    x = np.random.default_rng(8).normal(size=(70, 2, 4)).astype(np.float32)
    return cell.flow({"W": np.eye(4, dtype=np.float32)}, {"x": x}, reduction="last")


def bursting():
    cell = bptt.Cell(LOOP.format("t-1"))
    W = 0.8 * np.eye(12) + np.diag(np.full(11, 1.2), 1)
    rng = np.random.default_rng(9)
    params = {"W": W, "U": 1e-9 * rng.normal(size=(12, 3))}
    return cell.flow(params, {"x": rng.normal(size=(60, 2, 3))})


def seeded():
    seeds = np.zeros((50, 2, 5))
    seeds[-1] = 1
    x = np.random.default_rng(6).normal(size=(50, 2, 3))
    cell = bptt.cells.gru
    return cell.flow(cell.init(n_x=3, n_h=5), {"x": x}, seeds={"h": seeds})


# name: how it is made, kinds that must be there (none: a clean bill), an action
CASES = {
    "peephole": (lambda: library("lstm_peephole", b_f=2.0), (), ""),
    "peephole that adds up": (
        lambda: library("lstm_peephole", tau=50, b_f=8.0), ("exploding",), "b_f=1",
    ),
    "mgu stuck": (lambda: library("mgu", b_f=-9.0), ("stuck",), "b_f=1"),
    "one unit grows in most rows": (
        lambda: library("indrnn", w=1.3), ("exploding",), "normalisation=layer",
    ),
    "ugrnn that keeps": (lambda: library("ugrnn", b_g=2.0), (), ""),
    "ugrnn stuck": (lambda: library("ugrnn", b_g=40.0), ("stuck",), "b_g=1"),
    "coupled stuck": (lambda: library("lstm_coupled", b_i=-40.0), ("stuck",), "b_i=1"),
    "gru at z = 0": (lambda: library("gru", b_z=-30.0), ("vanishing",), "b_z=4"),
    "gru, large x": (
        lambda: library("gru", scale=100.0), ("vanishing",), "x=normalised",
    ),
    "gru, V is 0": (lambda: library("gru", V=0.0), ("zero-weights",), "V=initial"),
    "gru without memory": (
        lambda: library("gru", W_z=0.0, W_r=0.0, W_n=0.0), ("zero-weights",),
        "W_n=initial",
    ),
    "gru, all alike": (
        lambda: library("gru", **equal("zrn", 0.1), V=0.1),
        ("same-units",), "U_z=initial",
    ),
    "lstm, all alike up to rounding": (
        lambda: library("lstm", n_h=37, tau=90, V=0.1, **equal("ifgq", 0.02)),
        ("same-units",), "U_i=initial",
    ),
    "elman in float32, all alike up to rounding": (
        lambda: library("elman", n_h=37, dtype=np.float32, W=0.02, U=0.1, V=0.1),
        ("same-units",), "U=initial",
    ),
    "gru, a millionth apart": (
        lambda: library("gru", **equal("zrn", 0.1), V=0.1, b_n=1e-6 * np.arange(10)),
        (), "",
    ),
    "apart at the early steps of a state that grows": (
        grown, ("exploding",), "",
    ),
    "lstm that sees nothing": (
        lambda: library("lstm", U_i=0.0, U_f=0.0, U_g=0.0, U_q=0.0),
        ("zero-weights", "unread-input"), "U_g=initial",
    ),
    "all dead": (lambda: library("irnn", b=-50.0), ("dead-units",), "b=0.1"),
    "some dead": (
        lambda: library("elman_relu", b=np.where(np.arange(10) < 4, -50.0, 0.2)),
        ("dead-units",), "b=0.1",
    ),
    "huge W": (lambda: library("elman", W=200.0), ("stuck",), "W=orthogonal"),
    "two steps": (lambda: library("gru", tau=2), (), ""),
    "one step": (lambda: library("lstm", tau=1), (), ""),
    "300 steps": (lambda: library("gru", tau=300), (), ""),
    "one unit": (lambda: library("lstm", n_h=1, b_f=2.0), (), ""),
    "float32": (lambda: library("lstm", dtype=np.float32), (), ""),
    "mask": (
        lambda: library("lstm", options=masked(start=30)), ("loss-stops",),
        "weights=all",
    ),
    "a silent row": (
        lambda: library("gru", options=masked(row=1)), ("silent-rows",), "",
    ),
    "loss at the end": (
        lambda: library("lstm", options={"reduction": "last"}), ("far-loss",),
        "weights=all",
    ),
    "backward": (
        lambda: written(LOOP.format("t+1"), {"W": 0.2}), ("vanishing",),
        "W=orthogonal",
    ),
    "forward": (lambda: written(LOOP.format("t-1"), {"W": 0.2}), ("vanishing",),
                "leak=0.1"),
    "two states": (lambda: written(TWO), (), ""),
    "delays": (lambda: written(DELAYED, {"A": 0.5, "B": 0.5}), (), ""),
    "matrix": (lambda: written(MATRIX), (), ""),
    "an end of its own": (lambda: written(ENDS), ("far-loss",), ""),
    "seeds at the end": (seeded, ("far-loss",), ""),
    "one of ragged rows": (ragged, ("exploding-rows",), "clip=1"),
    "rounded to 0": (rounded, ("underflow",), "dtype=float64"),
    "not normal": (bursting, ("transient",), "W=orthogonal"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_strict_colleague_would_say_the_same(case):
    run, kinds, action = CASES[case]
    flow = run()
    found = [d.kind for d in flow.diagnoses if d.severity != "note"]
    if not kinds:
        assert found == []
        assert flow.verdict.startswith("healthy")
    for kind in kinds:
        assert kind in found
    actions = [r.action for d in flow.diagnoses for r in d.remedies if r.action]
    assert not action or action in actions
    for each in actions:
        assert flow.try_(each).promise.is_kept, each


def test_a_float32_gradient_dies_at_the_step_that_is_named():
    """10^-(70-t) falls below half of 1.4e-45, the smallest number, at t = 24."""
    found = rounded().underflow
    assert (found.t, found.steps) == (24, 24)
    assert found.exact == pytest.approx(1e-46)
