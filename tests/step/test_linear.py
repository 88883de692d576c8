"""Inverse, solve, Cholesky and expm in cells, against loops in torch."""

import sys

import numpy as np
import pytest
import torch

from bptt import Cell, errors

TAU, N_B, N_X, N_H = 4, 3, 2, 3
LENGTHS = np.array([4, 2, 3])

ROTATING = """
    # expRNN (Lezcano-Casado and Martinez-Rubio, 2019) and a scaled Cayley transform
    W = expm(A - A.T)
    S = B - B.T
    R = solve(eye(n_h) + S, (eye(n_h) - S) @ diag(d))
    h[t] = tanh(W @ h[t-1] + U @ x[t]) + R @ h[t-1] * 0.5
    L[t] = sum(h[t] * h[t]) + sum(inverse(M) @ h[t]) + dot(h[t], solve(M, h[t]))
"""


def rotating(p, x, tau):
    eye, h, total = torch.eye(N_H).double(), torch.zeros(N_H).double(), 0
    w, s = torch.matrix_exp(p["A"] - p["A"].T), p["B"] - p["B"].T
    r = torch.linalg.solve(eye + s, (eye - s) @ torch.diag(p["d"]))
    for t in range(tau):
        h = torch.tanh(w @ h + p["U"] @ x[t]) + r @ h * 0.5
        total = total + (h * h).sum() + (torch.linalg.inv(p["M"]) @ h).sum()
        total = total + h @ torch.linalg.solve(p["M"], h)
    return total


KALMAN = """
    # Kalman filter, log likelihood of x (Rauch, Tung and Striebel, 1965)
    P: (n_h, n_h); x: n_x
    m[t] = F @ h[t-1]
    Z[t] = F @ P[t-1] @ F.T + Q @ Q.T
    S[t] = H @ Z[t] @ H.T + R @ R.T
    v[t] = x[t] - H @ m[t]
    K[t] = solve(S[t], H @ Z[t]).T
    h[t] = m[t] + K[t] @ v[t]
    P[t] = Z[t] - K[t] @ H @ Z[t]
    C[t] = cholesky(S[t])
    L[t] = 0.5 * dot(v[t], solve(S[t], v[t])) + sum(log(diagonal(C[t])))
"""


def kalman(p, x, tau):
    f, h_matrix = p["F"], p["H"]
    h, cov, total = torch.zeros(N_H).double(), torch.zeros(N_H, N_H).double(), 0
    for t in range(tau):
        m, z = f @ h, f @ cov @ f.T + p["Q"] @ p["Q"].T
        s = h_matrix @ z @ h_matrix.T + p["R"] @ p["R"].T
        v, gain = x[t] - h_matrix @ m, z @ h_matrix.T @ torch.linalg.inv(s)
        h, cov = m + gain @ v, z - gain @ h_matrix @ z
        normal = torch.distributions.MultivariateNormal(torch.zeros(N_X).double(), s)
        total = total - normal.log_prob(v) - N_X / 2 * np.log(2 * np.pi)
    return total


CASES = {"rotating": (ROTATING, rotating), "kalman": (KALMAN, kalman)}


@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
@pytest.mark.parametrize("name", CASES)
def test_matrix_functions_are_those_of_torch_forward_and_backward(name):
    text, loop = CASES[name]
    cell, rng = Cell(text), np.random.default_rng(4)
    sizes = {dim: {"n_x": N_X, "n_h": N_H}.get(dim, 4) for dim in cell.dims}
    params = {n: rng.normal(size=v.shape) for n, v in cell.init(**sizes).items()}
    x = rng.normal(size=(TAU, N_B, N_X))
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in params.items()}
    total = sum(loop(leaves, torch.tensor(x[:, row]), int(n))
                for row, n in enumerate(LENGTHS))  # fmt: skip
    total.backward()
    for executor in ("reference", "llvm"):
        found = cell.gradient(params, {"x": x}, lengths=LENGTHS, executor=executor)
        np.testing.assert_allclose(found.loss, total.item(), rtol=1e-11)
        for n, leaf in leaves.items():
            np.testing.assert_allclose(found[n], leaf.grad, rtol=1e-9, atol=1e-10)


def test_parameter_matrices_run_in_kernels_and_state_matrices_say_that_they_do_not():
    cell = Cell(ROTATING)
    assert cell.lower(**dict.fromkeys(cell.dims, 4)).flops_per_step > 0
    with pytest.raises(errors.NotLowerableError, match="inside a time step"):
        Cell(KALMAN).lower(**dict.fromkeys(Cell(KALMAN).dims, 3))


@pytest.mark.filterwarnings("ignore::bptt.execute.dispatch.FallbackWarning")
@pytest.mark.parametrize("expression", [
    "sum(expm(A) @ x[t])", "sum(inverse(A) @ x[t]) ** 2", "dot(x[t], solve(A, x[t]))",
    "sum(cholesky(A @ A.T + eye(3)) @ x[t]) ** 2", "sum(solve(A, B) @ x[t]) ** 2",
])  # fmt: skip
def test_gradients_and_their_derivatives_are_exact(expression):
    cell = Cell(f"L[t] = {expression}\nA: (3, 3)")
    rng = np.random.default_rng(5)
    params = {n: rng.normal(size=(3, 3)) for n in cell.parameters}
    x = {"x": rng.normal(size=(2, 3))}
    for name, value in params.items():
        direction = rng.normal(size=(3, 3))
        step = {n: v + 0j for n, v in params.items()}
        step[name] = value + 1e-30j * direction
        moved = cell.gradient(step, x, executor="reference")
        first = cell.gradient(params, x)
        slope = (first[name] * direction).sum()
        assert moved.loss.imag / 1e-30 == pytest.approx(slope, rel=1e-11)
        directions = {n: np.zeros((3, 3)) for n in params} | {name: direction}
        second = cell.hessian_vector(params, x, direction=directions)
        for n in params:
            np.testing.assert_allclose(
                second[n], moved[n].imag / 1e-30, rtol=1e-9, atol=1e-9
            )


def test_without_scipy_expm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(errors.MissingExtraError, match=r"\.\[matrix\]"):
        Cell("h[t] = expm(A) @ x[t]").forward({"A": np.eye(2)}, {"x": np.ones((1, 2))})


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(errors.CellError, match="two sizes"):
        Cell("A: (2, 3)\nh[t] = inverse(A) @ x[t]")
    with pytest.raises(errors.RankError, match="only a square matrix has it"):
        Cell("h[t] = inverse(x[t])")


@pytest.mark.parametrize("text", ["cholesky(A[t])", "inverse(A[t])", "solve(A[t], C)"])
def test_a_matrix_that_cannot_be_taken_leaves_the_other_rows_as_they_are(text):
    cell = Cell(f"A: (n, n)\nC: (n, n)\nB[t] = {text} @ C")
    good, bad = np.array([[2.0, 1.0], [1.0, 3.0]]), np.zeros((2, 2))
    run = cell.forward(
        {"C": np.eye(2)}, {"A": np.array([[good, bad]])}, executor="reference"
    )
    assert np.isfinite(run["B"][0, 0]).all()
    assert np.isnan(run["B"][0, 1]).any()
