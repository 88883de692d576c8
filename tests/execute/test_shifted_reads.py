"""Values of other steps, read before, in and after loops of either direction.

Ragged batches, where a row's neighbour in time does not lie beside it, in workspaces
full of NaN. The oracle is the reference executor, one row at a time.
"""

from dataclasses import replace

import numpy as np
import pytest

from bptt import Cell, cells, stack
from bptt.execute.codegen.target import get_host_target
from bptt.execute.kernels import executor as kernels
from tests.execute.kernels.test_ragged import (
    LENGTHS,
    N_B,
    TAU,
    run_alone,
    run_ragged,
    spoil,
)
from tests.execute.library import make_case, sizes_of

# What is read at another step: nothing, or a loop either way, computes it.
SOURCES = {
    "an input": ("x: (n_v)\nk[t] = sin(x[t])", "x"),
    "a layer": ("v[t] = tanh(Q @ x[t])", "v"),
    "a loop forward": ("s[t] = tanh(Q @ x[t] + q * s[t-1])\nv[t] = sin(s[t])", "v"),
    "a loop backward": ("s[t] = tanh(Q @ x[t] + q * s[t+1])\nv[t] = sin(s[t])", "v"),
}
# Who reads it: each adds a vector of n_h to the loss.
READERS = {
    "a": "a[t] = sigmoid(A @ {v})",
    "h": "h[t] = tanh(B @ {v} + W @ h[t-1])",
    "g": "g[t] = tanh(C @ {v} + V @ g[t+1])",
    "m": "m[t] = 0.5 * m[t-1] + D @ {v}",
    "e": "e[t] = softmax(E @ {v}) * {last}[t]",
}
GROUPS = ["ah", "he", "gm", "ge", "ahgme"]
# Two taps on a layer: the convolution of a QRNN, Bradbury et al. 2016 (arXiv
# 1611.01576), equation 1 with k = 2, and its recurrence with forget gates, equation 4.
QRNN = Cell("""
z[t] = tanh(W_z @ x[t-1] + V_z @ x[t])
f[t] = sigmoid(W_f @ x[t-1] + V_f @ x[t])
h[t] = f[t] * h[t-1] + (1 - f[t]) * z[t]
""")


@pytest.fixture(autouse=True)
def _with_least_effort(monkeypatch):
    target = replace(get_host_target(), effort=0)
    monkeypatch.setattr(kernels, "host_target", lambda: target)


def write(source, lag, group):
    """A cell in which each reader of the group reads the source at t + lag."""
    text, name = SOURCES[source]
    names = list(group)
    readers = [
        READERS[r].format(v=f"{name}[t{lag}]", last=(["x0", *names])[i])
        for i, r in enumerate(names)
    ]
    loss = " + ".join(f"dot(w_{r}, {r}[t])" for r in names)
    product = " * ".join(f"{r}[t]" for r in names)
    return Cell("\n".join([
        "x0: (n_h)", text, *readers, f"L[t] = {loss} + sum({product} * x0[t])",
    ]))  # fmt: skip


def assert_equal(cell, case):
    """The bound of test_ragged: 200 rounding units of the largest of a kind."""
    expected = run_alone(cell, case)
    found = run_ragged(cell, spoil(case))
    assert found.keys() == expected.keys()
    sizes = {}
    for key, value in expected.items():
        kind = key.partition(" ")[0] if " " in key else ""
        sizes[kind] = max(sizes.get(kind, 0), np.abs(value).max(initial=0))
    for key, value in expected.items():
        kind = key.partition(" ")[0] if " " in key else ""
        bound = 200 * np.finfo(np.float64).eps * sizes[kind]
        assert np.abs(found[key] - value).max(initial=0) <= bound, key


@pytest.mark.parametrize("lag", ["-1", "+1"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("group", GROUPS)
def test_every_reader_of_another_step_gets_what_was_written(source, lag, group):
    cell = write(source, lag, group)
    sizes = {dim: 2 + number for number, dim in enumerate(cell.dims)}
    assert_equal(cell, make_case(cell, sizes, TAU, N_B))


def test_a_loop_and_an_equation_after_it_may_read_one_layer_late():
    """The gradient of Q summed memory that no kernel had written."""
    cell = Cell("""
        v[t] = tanh(Q @ x[t])
        q[t] = P @ v[t-1]
        h[t] = 0.5 * h[t-1] + Z @ v[t-1]
        L[t] = dot(q[t], h[t])
    """)
    assert_equal(cell, make_case(cell, {"n_x": 3, "n_v": 4, "n_h": 5}, TAU, N_B))


@pytest.mark.parametrize("below", ["elman", "gru", "mingru"])
def test_a_qrnn_of_two_taps_on_any_layer(below):
    layers = stack([cells.get(below), QRNN, QRNN]).with_readout()
    assert_equal(layers, make_case(layers, sizes_of(layers), TAU, N_B))


def test_poison_shows_what_nobody_wrote(monkeypatch):
    """A copy that is made once, before all of its columns are written, is found."""

    class Stale(set):
        def __contains__(self, key):
            return any(key[1] == lag for _, lag in self)

    begin = kernels.Ragged.__init__

    def init(ragged, *arguments):
        begin(ragged, *arguments)
        ragged._aligned = Stale()

    monkeypatch.setattr(kernels.Ragged, "__init__", init)
    cell = write("a layer", "-1", ("a", "h"))
    sizes = {dim: 2 + number for number, dim in enumerate(cell.dims)}
    case = make_case(cell, sizes, TAU, N_B)
    grad = cell.gradient(**case, lengths=LENGTHS)
    assert any(np.isnan(value).any() for value in grad.values())
