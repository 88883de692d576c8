"""Indices, inner steps, parts and starts together: Hessian products by value."""

import numpy as np

from bptt import Cell

TEXT = """
    j = 1, ..., 2; l = 1, ..., 3
    h[0, j] = B[j]
    s[t, 0] = [x[t]; x[t, 2, ..., 3]]
    s[t, l] = tanh(W[l] @ s[t, l-1] + sum(j, U[j] @ h[t-1, j])) + roll(s[t, l-1], 1)
    h[t, j] = sigmoid(R[j] @ s[t, 3]) * h[t-1, j] + prod(v) * D[j] @ s[t, 2]
    L[t] = sum(j, dot(h[t, j], h[t, j]))
    B: (2, n_h)
"""


def test_hessian_products_are_the_complex_step_of_gradients():
    cell, rng = Cell(TEXT), np.random.default_rng(6)
    sizes = {dim: {"n_x": 3, "n_h": 4}.get(dim, 2) for dim in cell.dims}
    params = {n: rng.normal(size=v.shape) / 2 for n, v in cell.init(**sizes).items()}
    inputs = {"x": rng.normal(size=(5, 2, 3))}
    direction = {n: rng.normal(size=v.shape) for n, v in params.items()}
    moved = {n: v + 1e-30j * direction[n] for n, v in params.items()}
    wanted = cell.gradient(moved, inputs, executor="reference")
    found = cell.hessian_vector(params, inputs, direction=direction)
    for n in params:
        np.testing.assert_allclose(found[n], wanted[n].imag / 1e-30, atol=1e-10)
