"""`h[t-k]`: another step for every value of an index, against NumPy loops."""

import numpy as np
import pytest

from bptt import Cell, errors

TAU, N_B = 7, 2
WINDOW = """
    d = 0, ..., 3
    k[t] = W_k @ x[t]; v[t] = W_v @ x[t]; q[t] = W_q @ x[t]
    a[t, d] = softmax(d, dot(q[t], k[t-d]))
    o[t] = sum(d, a[t, d] * v[t-d])
"""
MIST = """
    d = 0, ..., 2
    o[t] = tanh(sum(d, A[d] @ o[t - 2**d]) + U @ x[t])
"""


def back(values, t, d, like):
    return values[t - d] if t >= d else np.zeros_like(like)


def window(p, x):
    k, v, q = (x @ p[f"W_{n}"].T for n in "kvq")
    found = []
    for t in range(TAU):
        keys = np.array([back(k, t, d, k[0]) for d in range(4)])
        share = np.exp((keys * q[t]).sum(-1))
        share /= share.sum(0)
        values = np.array([back(v, t, d, v[0]) for d in range(4)])
        found.append((share[..., None] * values).sum(0))
    return np.array(found)


def mist(p, x):
    found = []
    for t in range(TAU):
        total = x[t] @ p["U"].T
        for d in range(3):
            total = total + back(found, t, 2**d, total) @ p["A"][d].T
        found.append(np.tanh(total))
    return np.array(found)


CELLS = {"window": (WINDOW, window), "mist": (MIST, mist)}


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("name", CELLS)
def test_every_lag_is_read(name, executor):
    text, expected = CELLS[name]
    cell, rng = Cell(text), np.random.default_rng(0)
    params = {
        n: rng.standard_normal(v.shape)
        for n, v in cell.init(**dict(zip(cell.dims, (3, 4, 2), strict=False))).items()
    }
    n_x = params["U" if "U" in params else "W_q"].shape[1]
    x = rng.standard_normal((TAU, N_B, n_x))
    run = cell.forward(params, {"x": x}, executor=executor)
    # Sums in another order: the largest difference seen is 1e-15.
    np.testing.assert_allclose(run["o"], expected(params, x), atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_is_right_and_the_text_reads_back(name):
    cell = Cell(CELLS[name][0])
    assert cell.check(instances=1, executor="reference").passed
    assert Cell(cell.canonical_text).canonical_text == cell.canonical_text


@pytest.mark.parametrize(
    ("lag", "kind", "problem"),
    [
        ("t-k", errors.IndexUseError, "the cell says how many"),
        ("t*k", errors.IndexUseError, "the cell says how many"),
        ("t-999", errors.DistantStepError, "512 steps away"),
    ],
)
def test_what_is_no_step_is_refused(lag, kind, problem):
    with pytest.raises(kind, match=problem):
        Cell(f"k = 1, ..., n_k\nh[t] = sum(k, A[k] @ h[{lag}]) + U @ x[t]")


def test_a_step_is_t_and_a_number():
    with pytest.raises(errors.UnsupportedSyntaxError, match="a step is written"):
        Cell("k = 1, ..., 3\nh[t] = sum(k, A[k] @ h[t*2-k]) + U @ x[t]")
    with pytest.raises(errors.DistantStepError):
        Cell("k = 1, ..., 3\nh[t] = sum(k, A[k] @ h[t - 9**k]) + U @ x[t]")
