"""A value that is read at earlier steps and at later ones, by equations of no circle.

The oracle is a loop over time in NumPy, and its complex step. The values before the
first step and after the last differ, so that no two can be exchanged.
"""

import itertools

import numpy as np
import pytest

import bptt
from bptt import errors

EXECUTORS = ("reference", "llvm")
TAU, N_B = 6, 3
LENGTHS = np.array([6, 2, 4])
WINDOW = """
h[t] = tanh(A @ {v}[t-2] + B @ {v}[t+1] + C @ {v}[t+3] + W @ h[t-1] + Q @ x[t])
L[t] = dot(h[t], h[t])
"""
SOURCES = {
    "an input": ("", "x", lambda p, x: x),
    "a layer": ("v[t] = tanh(P @ x[t])", "v", lambda p, x: np.tanh(x @ p["P"].T)),
}


def make(source):
    equations, name, value = SOURCES[source]
    cell = bptt.Cell(equations + WINDOW.format(v=name))
    params = cell.init(**{dim: 2 + i for i, dim in enumerate(cell.dims)}, seed=1)
    draw = np.random.default_rng(2).standard_normal
    x = draw((TAU, N_B, params["Q"].shape[1]))
    width = params["A"].shape[1]
    starts = {name: draw((2, N_B, width)), f"{name}_after": draw((3, N_B, width))}
    return cell, params, x, starts, value


def loss_of(params, x, starts, value, lengths):
    """The book of this cell, written out."""
    before, after = starts.values()
    total = 0.0
    for row in range(N_B):
        tau = lengths[row]
        v = value(params, x[:tau, row])
        line = [*before[:, row], *v, *after[:, row]]
        h = np.zeros(params["W"].shape[0])
        for t in range(tau):
            h = np.tanh(
                params["A"] @ line[t] + params["B"] @ line[t + 3]
                + params["C"] @ line[t + 5] + params["W"] @ h
                + params["Q"] @ x[t, row]
            )  # fmt: skip
            total = total + h @ h
    return total


def by_complex_step(params, name, loss):
    grad = np.zeros(params[name].shape)
    for place in np.ndindex(grad.shape):
        moved = {key: array.astype(complex) for key, array in params.items()}
        moved[name][place] += 1e-30j
        grad[place] = loss(moved).imag / 1e-30
    return grad


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_window_over_both_sides_of_a_step_has_its_gradient(source, lengths, executor):
    cell, params, x, starts, value = make(source)
    steps = np.full(N_B, TAU) if lengths is None else lengths
    found = cell.gradient(
        params, {"x": x}, initial=starts, lengths=lengths, executor=executor
    )

    def loss(p):
        return loss_of(p, x, starts, value, steps)

    np.testing.assert_allclose(found.loss, loss(params), rtol=1e-13)
    for name in params:
        expected = by_complex_step(params, name, loss)
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13)


CELLS = """
h[t] = tanh(A @ x[t-2] + B @ x[t+1] + C @ x[t+3] + Q @ x[t]); L[t] = dot(h[t], h[t])
h[0] = tanh(b0); h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = dot(h[t+2], h[t-1])
g[tau+1] = b0; g[t] = tanh(W @ g[t+1] + U @ x[t]); L[t] = dot(g[t+2], g[t-2])
h[t] = tanh(W @ h[t-1] + U[:, k[t-1]] + V[:, k[t+1]] + R[:, k[t]]); L[t] = sum(h[t])
q[t] = h[t+1] * x[t]; h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = dot(q[t], h[t-2])
"""


@pytest.mark.parametrize("text", CELLS.strip().splitlines())
def test_what_reads_both_ways_passes_every_oracle_and_prints_as_written(text):
    cell = bptt.Cell(text)
    assert cell.check().passed
    assert bptt.Cell(cell.canonical_text).canonical_text == cell.canonical_text
    assert "_after" not in cell.canonical_text


def test_a_circle_that_reads_both_ways_is_refused_where_it_stands():
    with pytest.raises(errors.TwoDirectionsError, match=r"through h\[t-1\]"):
        bptt.Cell("h[t] = tanh(W @ h[t-1] + R @ h[t+2] + x[t])")


def test_the_second_name_says_on_which_side_its_values_lie():
    early = bptt.Cell("h[t] = tanh(W @ h[t-1] + x[t]); L[t] = dot(h[t+2], h[t])")
    late = bptt.Cell("g[tau+1] = b; g[t] = tanh(W @ g[t+1] + x[t]); L[t] = sum(g[t-1])")
    assert "h_after" in early.states
    assert {"g", "g_before"} <= set(late.states)


def test_a_second_name_has_the_shape_that_is_declared_further_down():
    cell = bptt.Cell("""
        q[t] = b * s[t-1]
        s[t] = x[t] + 0.5 * s[t+1]
        L[t] = sum(q[t])
        s: (); x: ()
    """)
    assert cell.nodes["s_after"] == ()


@pytest.mark.parametrize("order", list(itertools.permutations("uvw")))
def test_names_of_one_value_have_initial_values_of_their_own(order):
    # Kernels once let an outer name share the array of an inner one, and its start.
    reads = " + ".join(
        f"{matrix} @ {n}[t-1]" for matrix, n in zip("ABC", order, strict=True)
    )
    cell = bptt.Cell(f"""
        v[t] = tanh(Q @ x[t])
        u[t] = v[t]
        w[t] = u[t]
        h[t] = tanh({reads} + D @ w[t+1])
        L[t] = dot(h[t], h[t])
    """)
    params = cell.init(n_x=2, n_w=3, n_h=4, seed=1)
    draw = np.random.default_rng(3).standard_normal
    starts = {state: draw((N_B, 3)) for state in cell.states}
    inputs = {"x": draw((TAU, N_B, 2))}
    for lengths in (None, LENGTHS):
        kernels, meaning = (
            cell.gradient(params, inputs, initial=starts, lengths=lengths,
                          executor=executor, initial_gradient=True)
            for executor in ("llvm", "reference")
        )  # fmt: skip
        np.testing.assert_allclose(kernels.loss, meaning.loss, rtol=1e-13)
        for name in params:
            np.testing.assert_allclose(kernels[name], meaning[name], rtol=1e-11)
        for name in starts:
            np.testing.assert_allclose(
                kernels.initial[name], meaning.initial[name], rtol=1e-11, atol=1e-14
            )
    assert cell.check().passed
