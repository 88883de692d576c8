"""Whole numbers read several steps away, and handed on by equations."""

from __future__ import annotations

import numpy as np
import pytest

import bptt

SIZES = {"n_h": 3, "n_k": 4, "n_y": 5}
BOTH_WAYS = """
    h[t] = tanh(E[:, k[{lag}]] + F[:, k[t]] + w * h[{way}])
    L[t] = nll(softmax(V @ h[t]), y[t]) + nll(softmax(R @ h[t]), y[{lag}])
"""


def drawn(cell, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        name: rng.standard_normal([SIZES[dim] for dim in shape])
        for name, shape in cell.parameters.items()
    }
    return params, {"k": rng.integers(0, 4, (6, 2)), "y": rng.integers(0, 5, (6, 2))}


def loss_by_hand(p, k, y, lag, way):
    """k, y: with the boundary values before and after, lag rows each."""
    total, depth = 0.0, abs(lag)
    steps = range(6) if way < 0 else range(5, -1, -1)
    for row in range(2):
        h = np.zeros(3)
        for t in steps:
            now, other = t + depth, t + depth + lag
            h = np.tanh(p["E"][:, k[other, row]] + p["F"][:, k[now, row]] + p["w"] * h)
            for matrix, target in ((p["V"], y[now, row]), (p["R"], y[other, row])):
                o = matrix @ h
                total += np.log(np.exp(o).sum()) - o[target]
    return total


@pytest.mark.parametrize("executor", ["reference", "llvm"])
@pytest.mark.parametrize(("lag", "way"), [(-3, -1), (-2, 1), (3, -1), (2, 1)])
def test_an_integer_input_is_read_several_steps_away(executor, lag, way):
    cell = bptt.Cell(BOTH_WAYS.format(lag=f"t{lag:+d}", way=f"t{way:+d}"))
    params, inputs = drawn(cell)
    depth = abs(lag)
    ends = np.random.default_rng(1).integers(0, 4, (2, depth, 2))
    start = ends[0] if lag < 0 else ends[1]
    grad = cell.gradient(params, inputs, initial={"k": start}, executor=executor)
    k = np.concatenate([ends[0], inputs["k"], ends[1]])
    y = np.pad(inputs["y"], ((depth, depth), (0, 0)))
    expected = loss_by_hand(params, k, y, lag, way)
    np.testing.assert_allclose(grad.loss, expected, rtol=1e-13)
    step = 1e-30j * np.cos(np.arange(12)).reshape(3, 4)
    moved = {**params, "E": params["E"] + step}
    slope = loss_by_hand(moved, k, y, lag, way).imag / 1e-30
    np.testing.assert_allclose((grad["E"] * step.imag).sum() / 1e-30, slope, rtol=1e-12)


def test_a_number_that_the_cell_chose_is_read_several_steps_away():
    cell = bptt.Cell("""
        h[t] = tanh(E[:, k[t-3]] + x[t])
        k[t] = argmax(h[t])
        L[t] = nll(softmax(h[t]), k[t-2])
    """)
    rng = np.random.default_rng(0)
    e, x = rng.standard_normal((3, 3)), rng.standard_normal((7, 2, 3))
    found = cell.forward({"E": e}, {"x": x})
    k, total = np.zeros((10, 2), int), 0.0
    for t in range(7):
        h = np.tanh(e.T[k[t]] + x[t])
        k[t + 3] = h.argmax(-1)
        logits = np.take_along_axis(h, k[t + 1][:, None], 1)[:, 0]
        total += (np.log(np.exp(h).sum(-1)) - logits).sum()
    np.testing.assert_array_equal(found["k"], k[3:])
    np.testing.assert_allclose(found.loss, total, rtol=1e-13)
    assert cell.check(instances=1).passed


def test_numbers_given_and_chosen_are_handed_on():
    cell = bptt.Cell("""
        s: () = input
        g: ()
        k[0] = s
        m[t] = where(g[t] > 0, k[t-1], y[t])
        h[t] = tanh(E[:, m[t]] + x[t])
        k[t] = argmax(h[t])
    """)
    assert cell.inputs == {"s": (), "g": (), "y": (), "x": ("n_h",)}
    rng = np.random.default_rng(0)
    e, x = rng.standard_normal((3, 3)), rng.standard_normal((5, 2, 3))
    g, y = np.sign(rng.standard_normal((5, 2))), rng.integers(0, 3, (5, 2))
    s = np.array([2, 1])
    found = cell.forward({"E": e}, {"s": s, "g": g, "y": y, "x": x})
    for t in range(5):
        m = np.where(g[t] > 0, found["k"][t - 1] if t else s, y[t]).astype(int)
        np.testing.assert_array_equal(found["m"][t], m)
        np.testing.assert_allclose(found["h"][t], np.tanh(e.T[m] + x[t]), rtol=1e-14)


@pytest.mark.parametrize("text", [
    "h[t] = tanh(E[:, k[t-3]] + F[:, k[t]] + w * h[t-1])",
    "m[t] = k[t]\nh[t] = tanh(E[:, k[t-2]] + w * h[t-1])",
    "h[t] = E[:, k[t-2]] + x[t]\nk[t] = argmax(h[t])\nL[t] = nll(h[t], k[t-1])",
])  # fmt: skip
def test_a_cell_with_delayed_numbers_prints_and_reads_back(text):
    printed = bptt.Cell(text).canonical_text
    assert bptt.Cell(printed).canonical_text == printed


def test_a_target_that_is_declared_or_read_as_a_vector_stays_one():
    cell = bptt.Cell("y: n_h\nL[t] = nll(softmax(x[t]), y[t]) + nll(x[t], y[t-2])")
    assert cell.inputs["y"] == ("n_h",)
    cell = bptt.Cell("z[t] = y[t-2] * x[t]\nL[t] = nll(softmax(x[t]), y[t])")
    assert cell.inputs["y"] == cell.inputs["x"] != ()
