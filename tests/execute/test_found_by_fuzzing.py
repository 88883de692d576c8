"""Cells that the fuzzer found, made small: each was wrong or stopped once."""

import numpy as np
import pytest

import bptt
from bptt.execute.dispatch import EXECUTORS

CELLS = {
    "a softmax of a parameter, copy by copy": "L[t] = nll(softmax(b), k[t])",
    "an initial gradient that needs a loop of its own": """
        W: (n_p, n_q); alpha: (); x: ()
        h[t] = alpha * h[t+1] + W @ g[t+1]
        g[t] = x[t] * g[t+1] + 0.5 * g[t+1]
        L[t] = sum(h[t] ** 2)
    """,
    "a column of parameters beside a matrix that changes": """
        P: (n_q, n_q)
        h[t] = W @ U[:, k[t]]
        P[t] = sigmoid(outer(x[t], x[t]))
        L[t] = sum(h[t]) * sum(P[t])
    """,
    "a value of parameters read at t+1": """
        h[t] = tanh(b)
        g[t] = 0.5 * g[t+1] + W @ h[t+1]
        L[t] = sum(g[t] * (V @ x[t]))
    """,
}


SHIFTED = ("h[t] = x[t-1]\ng[t] = x[t]", "h[t] = x[t+1]\ng[t] = x[t]")


@pytest.mark.parametrize("text", SHIFTED)
@pytest.mark.parametrize("lengths", [None, (4, 2, 1)])
def test_an_input_of_another_step_is_a_value_by_itself(text, lengths):
    cell = bptt.Cell(text)
    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((4, 3, 2)), rng.standard_normal((3, 2))
    found = cell.forward({}, {"x": x}, initial={"x": start}, lengths=lengths)["h"]
    for row, length in enumerate(lengths or (4, 4, 4)):
        lag = 1 if "t+1" in text else -1
        wide = np.concatenate([start[None, row], x[:length, row], start[None, row]])
        np.testing.assert_array_equal(
            found[:length, row], wide[1 + lag : 1 + lag + length]
        )


@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("lengths", [None, (4, 2, 1)])
def test_kernels_and_numpy_agree_with_the_unrolled_graph(text, lengths):
    cell = bptt.Cell(text)
    rng = np.random.default_rng(0)
    sizes = {dim: size for size, dim in enumerate(cell.dims, start=2)}
    params = {n: rng.standard_normal([sizes[d] for d in shape])
              for n, shape in cell.parameters.items()}  # fmt: skip
    inputs = {n: rng.integers(0, 2, (4, 3)) if n == "k" else
              rng.standard_normal((4, 3, *(sizes[d] for d in shape)))
              for n, shape in cell.inputs.items()}  # fmt: skip
    initial = {n: rng.standard_normal((3, *(sizes[d] for d in cell.nodes[n])))
               for n in cell.states}  # fmt: skip
    rows = [4, 4, 4] if lengths is None else lengths
    graphs = [
        cell.unroll(params, {n: a[: rows[b], b] for n, a in inputs.items()},
                    initial={n: a[b] for n, a in initial.items()})
        for b in range(3)
    ]  # fmt: skip
    for executor in EXECUTORS:
        grad = cell.gradient(params, inputs, initial=initial, lengths=lengths,
                             initial_gradient=True, executor=executor)  # fmt: skip
        for name in params:
            known = sum(g.grad(g.place(name)) for g in graphs)
            np.testing.assert_allclose(grad[name], known, rtol=1e-11, atol=1e-13)
            copies = grad.copies[name].stack().sum(axis=0)
            np.testing.assert_allclose(copies, known, rtol=1e-11, atol=1e-13)
        for name in initial:
            known = [g.grad(g.place(name, n + 1)) for g, n in
                     zip(graphs, rows, strict=True)]  # fmt: skip
            np.testing.assert_allclose(
                grad.initial[name], known, rtol=1e-11, atol=1e-13
            )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_sum_of_sizes_is_known_where_its_parts_are_not(executor):
    cell = bptt.Cell("""
        W: (n_r, n_p+n_q); x: n_p+n_q
        h[t] = tanh(W @ x[t] + b_r * h[t-1])
        L[t] = sum(h[t]) + sum(F[:, k[t]])
    """)
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((2, 5)), "b_r": np.ones(2),
              "F": rng.standard_normal((3, 4))}  # fmt: skip
    x, k = rng.standard_normal((3, 1, 5)), np.zeros((3, 1), int)
    grad = cell.gradient(params, {"x": x, "k": k}, executor=executor)
    h, total = np.zeros(2), 3 * params["F"][:, 0].sum()
    for t in range(3):
        h = np.tanh(params["W"] @ x[t, 0] + h)
        total += h.sum()
    np.testing.assert_allclose(grad.loss, total, rtol=1e-14)
    with pytest.raises(bptt.errors.SizeError, match=r"n_p\+n_q is expected"):
        cell.gradient(params, {"x": x[..., :4], "k": k}, executor=executor)


@pytest.mark.parametrize("text", [
    "h[t] = (W.T @ x[t])[1, ..., 2]",
    "h[t] = ([x[t]; b])[2, ..., 3] + (x[t] + b)[1, ..., 2]",
    "h[t] = (x[t] / (2 + cos(b)))[0, ..., 1] + (-x[t])[1, ..., 2]",
    "h[t] = (roll(x[t], 1))[1, ..., 2] + b[1, ..., 2] + h[t-1, 1, ..., 2]",
])  # fmt: skip
def test_a_part_of_an_expression_prints_and_reads_back(text):
    printed = bptt.Cell(text).canonical_text
    assert bptt.Cell(printed).canonical_text == printed
