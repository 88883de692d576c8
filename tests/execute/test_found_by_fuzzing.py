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
    "a node inside one loop, read late by another": """
        s: n_h
        h[t] = tanh(W @ a[t-1] + R @ h[t-1])
        a[t] = Q @ x[t] * h[t]
        s[t] = 0.5 * s[t-1] + a[t-1] * a[t-1]
        L[t] = sum(s[t] ** 2)
    """,
    "a node of the step, read late by another loop": """
        s: n_h
        a[t] = W @ h[t-1] + Q @ x[t]
        h[t] = tanh(a[t])
        s[t] = 0.5 * s[t-1] + a[t-1]
        L[t] = sum(s[t] ** 2)
    """,
    "a backward loop, read by a forward one": """
        alpha: (); x: (); h: (); s: ()
        h[t] = x[t] * h[t+1] + alpha
        s[t] = 0.5 * s[t-1] + h[t-1]
        L[t] = s[t] ** 2
    """,
    "a backward loop's number, declared below its first read": """
        alpha: (); x: (); h: ()
        q[t] = b * h[t-1]
        h[t] = sin(x[t] * h[t+1]) + alpha
        L[t] = sum(q[t] ** 2)
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
        known = sum(float(g.loss) for g in graphs)
        np.testing.assert_allclose(grad.loss, known, rtol=1e-12)
        for name in params:
            known = sum(g.grad(g.place(name)) for g in graphs)
            np.testing.assert_allclose(grad[name], known, rtol=1e-11, atol=1e-13)
            copies = grad.copies[name].stack().sum(axis=0)
            np.testing.assert_allclose(copies, known, rtol=1e-11, atol=1e-13)
        for name in initial:
            is_backward = name in cell.graph.backward
            known = [g.grad(g.place(name, n + 1 if is_backward else 0))
                     for g, n in zip(graphs, rows, strict=True)]  # fmt: skip
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
    "h[t] = W[:, argmax(b)][1, ..., 2] + U[:, k[t]][2, ..., 3]",
    "h[t] = (b[1, ..., 4])[2, ..., 3] + (x[t, 1, ..., 3])[2, ..., 3]",
])  # fmt: skip
def test_a_part_of_an_expression_prints_and_reads_back(text):
    printed = bptt.Cell(text).canonical_text
    assert bptt.Cell(printed).canonical_text == printed


@pytest.mark.parametrize("lengths", [None, (4, 2, 1)])
def test_numbers_at_every_place_have_their_last_row_where_few_steps_are_kept(lengths):
    cell = bptt.Cell("""
        l = 1, ..., 3
        m: (3, n_r); b: n_r
        m[4] = b
        m[l] = 0.5
        h[t] = tanh(W @ x[t] + U @ h[t-1])
        L[t] = sum(h[t]) + sum(b)
    """)
    params = cell.init(**{dim: n for n, dim in enumerate(cell.dims, start=4)})
    x = np.random.default_rng(0).standard_normal((4, 3, params["W"].shape[1]))
    few = cell.gradient(params, {"x": x}, lengths=lengths, checkpoint=2)
    whole = cell.gradient(params, {"x": x}, lengths=lengths)
    size = params["b"].size
    np.testing.assert_array_equal(few.run["m"], np.full((3, 3, size), 0.5))
    np.testing.assert_array_equal(
        few.run["m_4"], np.broadcast_to(params["b"], (3, size))
    )
    for name in params:
        np.testing.assert_array_equal(few[name], whole[name])


@pytest.mark.parametrize("way", ["t-1", "t+1"])
@pytest.mark.parametrize("lengths", [(1, 1, 1, 2, 2), (3, 2, 2, 1, 3)])
def test_initial_gradients_have_the_bits_of_a_call_that_keeps_every_step(way, lengths):
    cell = bptt.Cell(f"h: n_h; h[t] = W @ h[{way}] + U @ x[t]; g[t] = V @ h[{way}]")
    sizes = {dim: 17 - n for n, dim in enumerate(cell.dims)}
    rng = np.random.default_rng(0)
    params = {n: rng.standard_normal([sizes[d] for d in shape])
              for n, shape in cell.parameters.items()}  # fmt: skip
    tau = max(lengths)
    x = rng.standard_normal((tau, 5, params["U"].shape[1]))
    seeds = {n: rng.standard_normal((tau, 5, params[m].shape[0]))
             for n, m in (("h", "W"), ("g", "V"))}  # fmt: skip
    whole, *few = (
        cell.gradient(params, {"x": x}, seeds=seeds, lengths=lengths,
                      initial_gradient=True, input_gradient=True, checkpoint=kept)
        for kept in (None, 1, 2)
    )  # fmt: skip
    for found in few:
        np.testing.assert_array_equal(found.initial["h"], whole.initial["h"])
        np.testing.assert_array_equal(found.final["h"], whole.final["h"])
        np.testing.assert_array_equal(found.inputs["x"], whole.inputs["x"])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_gradient_that_is_one_number_is_an_array_of_it(executor):
    cell = bptt.Cell("a: (); L[t] = bce(sigmoid(2 - 1.5), a) - min(c[t])")
    c = np.arange(6.0).reshape(3, 2)
    grad = cell.gradient({"a": np.float64(0.3)}, {"c": c}, executor=executor)
    assert isinstance(grad["a"], np.ndarray)
    assert not grad["a"].flags.writeable
    np.testing.assert_allclose(grad["a"], -3 * 0.5, rtol=1e-14)
    still = bptt.Cell("a: (); L[t] = bce(sigmoid(2 - 2), a) - min(c[t])")
    grad = still.gradient({"a": np.float64(0.3)}, {"c": c[:1]}, executor=executor)
    assert isinstance(grad["a"], np.ndarray)
    assert grad["a"] == 0
