"""Every cell the language accepts runs in both executors, whatever is asked of it.

Values that parameters alone determine, programs without a loop, linear states and loops
backward, with every combination of nodes, inputs, initial values, copies and seeds.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from bptt import Cell
from bptt.execute.codegen.target import get_host_target
from bptt.execute.kernels import executor as kernels
from tests.execute.library import make_case

CELLS = {
    "a static loss": "L[t] = nll(softmax(b), y[t])",
    "a static loss beside a loop": """
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = nll(softmax(b), y[t]) + sum(h[t])
""",
    "static soft targets": """
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = nll(softmax(h[t]), softmax(b))
""",
    "static soft targets, no loop": """
h[t] = tanh(U @ x[t])
L[t] = nll(softmax(h[t]), softmax(b)) + nll(softmax(c), h[t] ** 2)
""",
    "static terms of losses": """
h[t] = tanh(W @ h[t-1] + U @ x[t])
L[t] = mse(tanh(b), h[t]) + bce(sigmoid(b), sigmoid(h[t])) + dot(layer_norm(b), h[t])
""",
    "a static product over time": """
h[t] = h[t-1] * (W @ softmax(b))
L[t] = dot(h[t], x[t]) + mean(log_softmax(b)) * sum(h[t])
""",
    "no loop": "o[t] = V @ tanh(U @ x[t])\nL[t] = nll(softmax(o[t]), y[t])",
    "a linear state": "h[t] = 0.5 * h[t-1] + x[t]\nL[t] = dot(h[t], w)",
    "a sum": "h[t] = h[t-1] + b\nL[t] = dot(h[t], x[t])",
    "a state that stays": "h[t] = h[t-1]\nL[t] = dot(h[t], x[t])",
    "a linear state backward": "h[t] = 0.5 * h[t+1] + x[t]\nL[t] = sum(h[t] * w)",
    "a loop backward": "h[t] = tanh(W @ h[t+1] + U @ x[t])\no[t] = V @ h[t]",
    "both ways": """
h[t] = tanh(W @ h[t-1] + U @ x[t])
g[t] = tanh(R @ g[t+1] + S @ x[t])
L[t] = dot(h[t], g[t])
""",
    "linear states, no loss": "h[t] = 0.5 * h[t-1] + x[t]\nc[t] = 0.25 * c[t-1] + h[t]",
}
TAU, N_B = 5, 3


def arrays_of(grad):
    """Every array of a gradient, by name."""
    found = dict(grad)
    found |= {f"copies {n}": c.stack() for n, c in grad.copies.items()}
    found |= {f"norms {n}": c.norms() for n, c in grad.copies.items()}
    for kind in ("nodes", "inputs", "initial", "run", "final"):
        found |= {f"{kind} {n}": v for n, v in getattr(grad, kind).items()}
    return found | ({} if grad.loss is None else {"loss": grad.loss})


def requests(cell):
    """Arguments of a gradient and the names of seeds: all combinations."""
    names = tuple(cell.nodes)
    seeds = ((), names) if cell.graph.loss else (names[-1:],)
    flags = tuple(product((False, True), repeat=2))
    for (inputs, initial), nodes, seeded in product(flags, ((), names), seeds):
        yield (
            {"input_gradient": inputs, "initial_gradient": initial, "nodes": nodes},
            seeded,
        )


@pytest.mark.parametrize("name", CELLS)
def test_every_combination_of_requests_runs_in_both_executors(name, monkeypatch):
    target = replace(get_host_target(), effort=0)
    monkeypatch.setattr(kernels, "host_target", lambda: target)
    cell = Cell(CELLS[name])
    sizes = {dim: 2 + number for number, dim in enumerate(cell.dims)}
    rng = np.random.default_rng(0)
    for number, (options, seeded) in enumerate(requests(cell)):
        case = make_case(cell, sizes, TAU, N_B)
        shapes = {n: [sizes[d] for d in cell.nodes[n]] for n in seeded}
        case["seeds"] = {
            n: rng.standard_normal((TAU, N_B, *shape)) for n, shape in shapes.items()
        }
        lengths = [3, 5, 1] if number % 3 == 0 else None
        first, second = (
            arrays_of(cell.gradient(**case, **options, lengths=lengths, executor=which))
            for which in ("reference", "llvm")
        )
        assert first.keys() == second.keys()
        for key, value in first.items():
            # Sums of a few dozen terms of about 1: thousands of their roundings.
            np.testing.assert_allclose(second[key], value, 0, 1e-12, err_msg=key)


def test_a_product_that_no_kernel_reads_a_part_of_is_summed():
    """A bare linear layer: the gradient of W is what arrives, times the input."""
    cell = Cell("q[t] = W @ x[t]")
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2))
    params = {"W": rng.standard_normal((2, 5))}
    for lengths in (None, [2, 4, 1]):
        kept = np.arange(4)[:, None] < np.array(lengths or [4, 4, 4])
        grad = cell.gradient(params, {"x": x}, seeds={"q": g}, lengths=lengths)
        expected = np.einsum("tbi,tbj,tb->ij", g, x, kept)
        np.testing.assert_allclose(grad["W"], expected, atol=1e-13)
