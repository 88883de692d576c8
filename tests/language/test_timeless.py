"""Equations without a step at places, `A[j] = ...`, against NumPy; refusals."""

import numpy as np
import pytest

from bptt import Cell, errors, stack

TAU, N_B = 4, 3
ENCODER = """
    l = 1, ..., 5
    m: (5, n_m) = input; n: () = input
    e[0] = 0
    e[l] = where(l > n, e[l-1], tanh(W_e @ e[l-1] + U_e @ m[l]))
    c = B @ e[5]
    h[0] = tanh(c)
    h[t] = tanh(W @ h[t-1] + U @ x[t])
"""
MARKOV = """
    i, j = 1, ..., n_z
    A: (n_z, n_z); p: n_z; alpha: n_z; x: n_z
    log_a[i] = log_softmax(A[i])
    alpha[0, j] = p[j] - logsumexp(i, p[i])
    alpha[t, j] = x[t, j] + logsumexp(i, log_a[i, j] + alpha[t-1, i])
"""
MASKED = """
    i, j = 1, ..., n_h
    W: (n_h, n_h)
    M[i, j] = where(i > j, W[i, j], 0)
    h[t] = tanh(M @ h[t-1] + U @ x[t])
"""
POWERS = """
    l = 1, ..., 3
    M[0] = eye(n_h)
    M[l] = M[l-1] @ W + eye(n_h)
    h[t] = tanh(M[3] @ h[t-1] + U @ x[t])
"""
LATE = """
    j = 1, ..., n_k
    h[t] = tanh(W @ h[t-1] + U @ x[t])
    e[t, j] = dot(v[j], h[t])
    c[j] = sum(t, softmax(t, e[t, j]) * h[t])
    o[j] = dot(v[j], h[tau]) + min(t, e[t, j]) + dot(a, c[j])
"""
CELLS = {
    "encoder": ENCODER, "markov": MARKOV, "masked": MASKED, "powers": POWERS,
    "late": LATE,
}  # fmt: skip
SIZES = {"n_m": 2, "n_e": 3, "n_h": 4, "n_x": 5, "n_z": 4, "n_k": 2, "n_c": 4}


def make(text):
    cell, rng = Cell(text), np.random.default_rng(3)
    params = cell.init(**{d: SIZES[d] for d in cell.dims})
    params = {n: rng.standard_normal(v.shape) for n, v in params.items()}
    rows = cell.graph.times.row_inputs
    inputs = {
        n: rng.standard_normal(
            (*(() if n in rows else (TAU,)), N_B, *(SIZES.get(d, d) for d in shape))
        )
        for n, shape in cell.inputs.items()
    }
    if "n" in inputs:
        inputs["n"] = np.array([5.0, 2.0, 1.0])
    return cell, params, inputs


def log_sum(u, axis):
    return np.log(np.exp(u).sum(axis))


def start_of_encoder(p, x):
    rows = []
    for words, n in zip(x["m"], x["n"], strict=True):
        e = np.zeros(SIZES["n_e"])
        for word in words[: int(n)]:
            e = np.tanh(p["W_e"] @ e + p["U_e"] @ word)
        rows.append(np.tanh(p["B"] @ e))
    return np.array(rows)


def plain(W, p, x, h):
    found = []
    for u in x["x"]:
        h = np.tanh(h @ W.T + u @ p["U"].T)
        found.append(h)
    return np.array(found)


def markov(p, x):
    log_a = p["A"] - log_sum(p["A"], 1)[:, None]
    alpha, found = np.tile(p["p"] - log_sum(p["p"], 0), (N_B, 1)), []
    for u in x["x"]:
        alpha = u + log_sum(log_a + alpha[:, :, None], 1)
        found.append(alpha)
    return np.array(found)


def powers(W):
    one = np.eye(len(W))
    return ((one @ W + one) @ W + one) @ W + one


def late(p, x):
    h = plain(p["W"], p, x, np.zeros((N_B, SIZES["n_c"])))
    scores = h @ p["v"].T
    share = np.exp(scores) / np.exp(scores).sum(0)
    return scores[-1] + scores.min(0) + np.einsum("tbj,tb->bj", share, h @ p["a"])


EXPECTED = {
    "encoder": ("h", lambda p, x: plain(p["W"], p, x, start_of_encoder(p, x))),
    "markov": ("alpha", markov),
    "masked": ("h", lambda p, x: plain(np.tril(p["W"], -1), p, x, np.zeros((N_B, 4)))),
    "powers": ("h", lambda p, x: plain(powers(p["W"]), p, x, np.zeros((N_B, 4)))),
    "late": ("o", late),
}


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("name", CELLS)
def test_values_are_those_of_numpy(name, executor):
    cell, params, inputs = make(CELLS[name])
    node, expected = EXPECTED[name]
    run = cell.forward(params, inputs, executor=executor)
    # Sums in another order: the largest difference seen is 4e-15.
    np.testing.assert_allclose(run[node], expected(params, inputs), atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_the_text_reads_back_and_the_gradient_is_right(name):
    cell = Cell(CELLS[name])
    assert Cell(cell.canonical_text).canonical_text == cell.canonical_text
    assert cell.check(instances=1, executor="reference").passed


def test_what_is_made_of_parameters_keeps_its_line_and_is_made_once():
    text = Cell(MARKOV).canonical_text
    assert "log_a[i] = log_softmax(A[i])" in text
    assert "logsumexp(i, log_a[i, j] + alpha[t-1, i])" in text
    assert "log_a" not in Cell(MARKOV).nodes


def test_two_layers_keep_the_lines_apart():
    layers = stack(Cell(MASKED), 2)
    found = layers.canonical_text
    assert Cell(found).canonical_text == found
    assert found.count("where(i") == 2


REFUSED = {
    "j = 1, ..., n_z\na: n_z\na[t, j] = x[t, j] + a[t-1, j]": (
        errors.RankError, "a is declared as a vector", "declare `x: n_z`"
    ),
    "l = 1, ..., 3\ne[l] = tanh(W @ e[l-1])\nh[t] = tanh(e[3] + U @ x[t])": (
        errors.InnerStepError, "e[0] has no equation", "e[0] = 0"
    ),
    "l = 1, ..., 3\ne[0] = 0\ne[l] = tanh(W @ e[l-1] + U @ x[t])\nh[t] = e[3]": (
        errors.OutOfTimeError, "x has a step here, but e[l] has none", "e[t, l] = ..."
    ),
    "j = 1, ..., 3\ne[j] = b[j]\ne[t] = tanh(e[t-1] + U @ x[t])": (
        errors.DuplicateDefinitionError, "none on another line", "e_2"
    ),
    "h[t] = tanh(U @ x[t])\nc = h[tau]\ns[0] = c\ns[t] = s[t-1] + h[t]": (
        errors.OutOfTimeError, "the start waits for it", "inputs without time"
    ),
    "h[t] = tanh(U @ x[t])\nA[j] = W @ h[t]": (
        errors.UnsupportedSyntaxError, "a step is written", "`j = 1, ..., n_j`"
    ),
    "h[t] = min(h[t-1], U @ x[t])": (
        errors.ArgumentCountError, "min takes one vector", "minimum(h[t-1], U @ x[t])"
    ),
    "h[t] = min(t, 3) * tanh(U @ x[t])": (
        errors.OutOfTimeError, "min over t", "minimum(t, u) for two values"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_mistake_is_named(text):
    kind, problem, fix = REFUSED[text]
    with pytest.raises(kind) as caught:
        Cell(text)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_a_size_is_a_number_where_no_index_is_declared():
    cell = Cell("k[t] = W @ x[t] / sqrt(n_k)")
    x = np.ones((2, 1, 3))
    run = cell.forward({"W": np.ones((4, 3))}, {"x": x})
    np.testing.assert_allclose(run["k"], 1.5)
    assert cell.parameters == {"W": ("n_k", "n_x")}
