"""The toolbox, put together by hand into four cells, against NumPy in float64.

BPTT_EVERY_CELL=1 tries every cell with every size, type and instruction set.
"""

import os

import numpy as np
import pytest
from benchmarks.hand_cells import GATES, HandLayer

from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.kernels import threads


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(cell, params, z, h, s):
    """One step in NumPy, generic enough for the complex step: (h, s)."""
    W, n = params["W"], h.shape[1]
    parts = lambda a: [a[:, k * n : (k + 1) * n] for k in range(GATES[cell])]  # noqa: E731
    if cell == "elman":
        return np.tanh(z + h @ W.T), s
    if cell == "lstm":
        i, f, g, o = parts(z + h @ W.T)
        s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(s), s
    p, zs = parts(h @ W.T), parts(z)
    r, u = sigmoid(zs[0] + p[0]), sigmoid(zs[1] + p[1])
    if cell == "gru":
        n_ = np.tanh(zs[2] + r * (p[2] + params["c"]))
    else:
        n_ = np.tanh(zs[2] + (r * h) @ W[2 * n :].T)
    return (1 - u) * n_ + u * h, s


def loss(cell, params, x, g):
    h = np.zeros((x.shape[1], params["W"].shape[1]))
    s, total = h, 0
    for t in range(len(x)):
        h, s = step(cell, params, x[t] @ params["U"].T + params["b"], h, s)
        total = total + (g[t] * h).sum()
    return total


def make_case(cell, tau, n_b, n_x, n_h, dtype, seed=0):
    random = np.random.default_rng(seed)
    n_a = GATES[cell] * n_h
    params = {
        "U": random.normal(size=(n_a, n_x)) / np.sqrt(n_x),
        "W": random.normal(size=(n_a, n_h)) / np.sqrt(n_h),
        "b": random.normal(size=n_a),
        "c": random.normal(size=n_h) if cell == "gru" else np.zeros(n_h),
    }
    params = {name: value.astype(dtype) for name, value in params.items()}
    x = random.normal(size=(tau, n_b, n_x)).astype(dtype)
    g = random.normal(size=(tau, n_b, n_h)).astype(dtype)
    return params, x, g


def check_gradient(layer, cell, case, tolerance):
    """Directional derivatives by the complex step, random directions."""
    params, x, g = case
    grad = layer.gradient(params, x, g)
    wide = {name: value.astype(np.float64) for name, value in params.items()}
    random = np.random.default_rng(5)
    for name in ("U", "W", "b") + (("c",) if cell == "gru" else ()):
        size = max(
            np.abs(grad[name]).max(), 1.0
        )  # the terms of the sums are of order 1
        for _ in range(2):
            direction = random.choice([-1.0, 1.0], wide[name].shape)
            moved = {**wide, name: wide[name] + 1e-30j * direction}
            true = loss(cell, moved, x, g).imag / 1e-30
            got = float((grad[name].astype(np.float64) * direction).sum())
            assert abs(got - true) <= tolerance * size * direction.size, (
                name,
                got,
                true,
            )


INPUTS = (3, 19)  # 3 are fused into the loop, 19 are not
LEVELS = ["host", "avx2"] if get_host_target().vector_bytes == 64 else ["host"]


def get_target(level):
    return get_host_target() if level == "host" else lower_target(level)


def turns():
    """(cell, n_h, dtype, level, n_xs): every cell meets every size in both types.

    Two instruction sets take turns with the types; where there is one, the numbers of
    inputs do, each of which is a compilation.
    """
    every = bool(os.environ.get("BPTT_EVERY_CELL"))
    for a, cell in enumerate(GATES):
        for b, n_h in enumerate((1, 7, 15, 16, 33, 100)):
            for c, dtype in enumerate((np.float32, np.float64)):
                for d, level in enumerate(LEVELS):
                    turn = (a + b + c + d) % 2
                    if every or (len(LEVELS) > 1 and turn == 0):
                        yield cell, n_h, dtype, level, INPUTS
                    elif len(LEVELS) == 1:
                        yield cell, n_h, dtype, level, INPUTS[turn : turn + 1]


@pytest.mark.parametrize("levels", [["host"], ["host", "avx2"]])
def test_every_cell_meets_every_size_in_both_types(levels, monkeypatch):
    monkeypatch.setattr(f"{__name__}.LEVELS", levels)
    monkeypatch.delenv("BPTT_EVERY_CELL", raising=False)
    taken = list(turns())
    assert len(taken) == len({turn[:3] for turn in taken}) == len(GATES) * 6 * 2
    found = {(cell, dtype, level, n_x) for cell, _, dtype, level, n_xs in taken
             for n_x in n_xs}  # fmt: skip
    assert len(found) == len(GATES) * 2 * len(levels) * len(INPUTS)


@pytest.mark.parametrize(("cell", "n_h", "dtype", "level", "n_xs"), list(turns()))
def test_gradient_is_right_for_every_remainder(cell, n_h, dtype, level, n_xs):
    layers = {n: HandLayer(cell, n, n_h, dtype, get_target(level)) for n in n_xs}
    tolerance = 3e-6 if dtype == np.float32 else 1e-14
    for number, n_b in enumerate((1, 2, 3, 7, 8, 9, 14, 21)):
        for tau in (1, 2, 5):
            n_x = n_xs[(number + tau) % len(n_xs)]
            case = make_case(cell, tau, n_b, n_x, n_h, dtype, seed=n_b)
            check_gradient(layers[n_x], cell, case, tolerance)


@pytest.mark.parametrize("cell", GATES)
def test_results_do_not_depend_on_the_number_of_threads(cell, monkeypatch):
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    layers = [
        HandLayer(cell, 5, 37, np.float32, get_host_target(), n_threads)
        for n_threads in (1, 2, 3)
    ]
    for n_b in (1, 2, 5, 8, 13, 21, 29, 40):
        case = make_case(cell, 6, n_b, 5, 37, np.float32)
        first, *others = (layer.gradient(*case) for layer in layers)
        for other in others:
            for name, value in first.items():
                np.testing.assert_array_equal(value, other[name])
