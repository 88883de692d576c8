"""Tiles that products share: the same bits, and code that grows with the products."""

from dataclasses import replace

import numpy as np
import pytest

from bptt import Cell, cells
from bptt.calculus.program import gradient_program
from bptt.execute.codegen.target import get_host_target
from bptt.execute.compile import generate
from bptt.execute.compile.compiler import compile_program
from bptt.execute.kernels import executor
from tests.execute.fingerprints import _request
from tests.execute.library import make_case

CELLS = {
    "gru": cells.gru.with_readout().text,
    "lstm": cells.lstm.text,
    # Several products into one slot, and widths of one and of several vectors.
    "sums of products": """
h: (n_h)
h[t] = tanh(A @ x[t] + B @ h[t-1] + C @ (x[t] * x[t]) + D @ z[t-1])
z[t] = sigmoid(E @ h[t] + F @ z[t-1]) * (G @ h[t])
L[t] = sum(h[t] ** 2) + mean(z[t])
""",
}


@pytest.fixture(autouse=True)
def _with_least_effort(monkeypatch):
    target = replace(get_host_target(), effort=0)
    monkeypatch.setattr(executor, "host_target", lambda: target)


def results(cell, case, lengths):
    grad = cell.gradient(**case, lengths=lengths, initial_gradient=True)
    return {**grad, **{f"initial {n}": v for n, v in grad.initial.items()}}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CELLS)
def test_shared_tiles_give_the_same_bits(name, dtype, monkeypatch):
    cell, other = Cell(CELLS[name]), Cell(CELLS[name])  # each is compiled
    sizes = {dim: 19 if dim == "n_h" else 7 + i for i, dim in enumerate(cell.dims)}
    for n_b in (5, 1, 2, 31):
        case = make_case(cell, sizes, 4, n_b, dtype)
        for lengths in (None, [4, *[1 + row % 3 for row in range(n_b - 1)]]):
            expected = results(cell, case, lengths)
            with monkeypatch.context() as patch:
                patch.setattr(generate, "MANY_PRODUCTS", -1)
                found = results(other, case, lengths)
            for key, value in expected.items():
                assert value.tobytes() == found[key].tobytes(), (key, n_b)


def gates(count):
    """A cell of 4 products for each of `count` gates, like a HyperLSTM's."""
    lines = [f"g{i}: (n_h)" for i in range(count)]
    lines += [
        f"g{i}[t] = sigmoid(A{i} @ x[t] + (B{i} @ z[t-1]) * (C{i} @ h[t-1]) "
        f"+ D{i} @ h[t-1] + b{i})"
        for i in range(count)
    ]
    lines.append("h[t] = tanh(" + " + ".join(f"g{i}[t]" for i in range(count)) + ")")
    lines.append("z[t] = tanh(R @ h[t] + S @ z[t-1])")
    return Cell("\n".join([*lines, "L[t] = sum(h[t] ** 2)"]))


def test_code_grows_no_faster_than_the_products():
    """40 and 80 products: time on a machine in use says little, lines of code do."""
    lines = []
    for count in (10, 20):
        cell = gates(count)
        sizes = {dim: 16 + i for i, dim in enumerate(cell.dims)}
        program = gradient_program(cell.graph, _request(cell))
        built = compile_program(program, sizes, 4, executor.host_target())
        lines.append(len(built.code.text.splitlines()))
    assert lines[1] <= 2 * lines[0]
    # 15,000 lines take 2 s; each product with tiles of its own gave 70,000.
    assert lines[0] <= 20_000
