"""Matrices that change in time, compiled: against the reference and against torch.

Bounds: both executors round in another order; 1e-12 of the largest element of a result
(float64) and 2e-5 (float32), where a result that is zero but for rounding is compared
with 0.1. The largest differences seen between the two are 1.3e-14 and 3.6e-6.
"""

import numpy as np
import pytest
import torch

from bptt import Cell
from tests.execute.library import make_case

CELLS = {
    "decay": """
        A[t] = 0.5 * A[t-1] + outer(x[t], x[t])
        L[t] = sum(A[t] @ x[t])""",
    # xLSTM's matrix memory, one head (Beck et al., 2024, equations 19-27)
    "mlstm": """
        m: (); b_i: (); b_f: () = 3
        q[t] = W_q @ x[t] + b_q; k[t] = W_k @ x[t] / 2 + b_k; v[t] = W_v @ x[t] + b_v
        i_log[t] = dot(w_i, x[t]) + b_i
        f_log[t] = -softplus(-(dot(w_f, x[t]) + b_f))
        m[t] = maximum(f_log[t] + m[t-1], i_log[t])
        i[t] = exp(i_log[t] - m[t]); f[t] = exp(f_log[t] + m[t-1] - m[t])
        C[t] = f[t] * C[t-1] + i[t] * outer(v[t], k[t])
        n[t] = f[t] * n[t-1] + i[t] * k[t]
        r[t] = C[t] @ q[t] / maximum(abs(dot(n[t], q[t])), exp(-m[t]))
        h[t] = sigmoid(W_o @ x[t] + b_o) * r[t]""",
    "delta": """
        q[t] = W_q @ x[t]; k[t] = tanh(W_k @ x[t]); v[t] = W_v @ x[t]
        b[t] = sigmoid(dot(w_b, x[t]))
        S[t] = S[t-1] - b[t] * outer(S[t-1] @ k[t], k[t]) + b[t] * outer(v[t], k[t])
        o[t] = S[t] @ q[t]""",
    # differentiable plasticity (Miconi, 2018), with classes and a mean of a matrix
    "plastic": """
        h[t] = tanh((W + A * H[t-1]) @ h[t-1] + U @ x[t])
        H[t] = 0.9 * H[t-1] + 0.1 * outer(h[t], h[t-1])
        o[t] = H[t].T @ h[t]
        L[t] = nll(softmax(o[t]), y[t]) + 0.1 * mean(H[t])""",
    "products": """
        S[t] = tanh(W @ S[t-1] @ V + outer(U @ x[t], p)).T
        c[t] = S[t-1].T @ softmax(S[t] @ g) + S[t][:, y[t]]
        L[t] = nll(softmax(c[t]), y[t])""",
    "backward": """
        S[t] = 0.7 * S[t+1] + outer(tanh(W @ x[t]), x[t])
        L[t] = sum(S[t] @ S[t].T) + sum(maximum(S[t], 0.1))""",
}
LIMITS = {np.float64: 1e-12, np.float32: 2e-5}
SIZES = (3, 2, 5, 9, 17, 35)


def sizes_for(cell):
    return dict(zip(cell.dims, SIZES, strict=False))


def gradient(cell, case, **options):
    nodes = tuple(cell.nodes)
    return cell.gradient(
        **case, nodes=nodes, input_gradient=True, initial_gradient=True, **options
    )


def groups(grad):
    found = dict(grad)
    for what in ("nodes", "inputs", "initial", "run", "final"):
        found |= {f"{what} {k}": v for k, v in getattr(grad, what).items()}
    return found


def assert_same(found, expected, limit):
    for name, value in groups(expected).items():
        scale = max(0.1, np.max(np.abs(value)))
        assert np.max(np.abs(groups(found)[name] - value)) <= limit * scale, name


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", CELLS)
def test_kernels_equal_the_reference(name, dtype):
    cell = Cell(CELLS[name])
    case = make_case(cell, sizes_for(cell), 6, 5, dtype)
    for lengths in (None, [6, 3, 1, 5, 2]):
        found = gradient(cell, case, lengths=lengths, threads=2)
        expected = gradient(cell, case, lengths=lengths, executor="reference")
        assert_same(found, expected, LIMITS[dtype])


def test_a_matrix_memory_equals_a_loop_in_torch():
    cell = Cell(CELLS["delta"])
    case = make_case(cell, {"n_x": 4, "n_k": 9, "n_o": 17}, 7, 3)
    p = {k: torch.tensor(v, requires_grad=True) for k, v in case["params"].items()}
    x = torch.tensor(case["inputs"]["x"])
    S = torch.tensor(case["initial"]["S"], requires_grad=True)
    start, total = S, 0
    for t in range(7):
        q, k, v = x[t] @ p["W_q"].T, torch.tanh(x[t] @ p["W_k"].T), x[t] @ p["W_v"].T
        b = torch.sigmoid(x[t] @ p["w_b"])[:, None, None]
        Sk = torch.einsum("bij,bj->bi", S, k)
        S = S - b * Sk[:, :, None] * k[:, None] + b * v[:, :, None] * k[:, None]
        o = torch.einsum("bij,bj->bi", S, q)
        total = total + (torch.tensor(case["seeds"]["o"][t]) * o).sum()
    total.backward()
    grad = cell.gradient(**case, initial_gradient=True)
    for name, value in p.items():
        np.testing.assert_allclose(grad[name], value.grad, rtol=0, atol=1e-10)
    np.testing.assert_allclose(grad.initial["S"], start.grad, rtol=0, atol=1e-10)


def test_a_decayed_matrix_keeps_itself_its_gradient_and_vectors():
    cell = Cell("A[t] = 0.5 * A[t-1] + outer(W @ x[t], x[t])\nL[t] = sum(A[t] @ x[t])")
    n = 64
    kept = cell.lower(n_x=n, n_A=n, dtype=np.float64).bytes_per_step
    assert 2 * 8 * n * n <= kept <= 2 * 8 * n * n + 8 * 8 * n
