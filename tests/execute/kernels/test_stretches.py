"""A gradient run in stretches has the bits of one that keeps every step.

For every kind of cell, full and ragged batches, every request. The cells are compiled
without optimisation: bits are compared with those of the same code.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bptt import Cell, bidirectional, errors, stack
from bptt.execute.kernels import executor, stretches, threads
from tests.execute.library import LIBRARY_NAMES, library, make_case, sizes_of

TAU, N_B = 23, 3
LENGTHS = (None, [5, 21, 2])
FOLDER = Path(__file__).parents[3] / "examples" / "catalogue"
CELLS = library()
TEXTS = {
    "the end alone": """
        h[t] = tanh(W @ h[t-1] + U @ x[t])
        L = nll(softmax(V @ h[tau]), y)""",
    "delays": "h[t] = tanh(W @ h[t-1] + R @ h[t-3] + U @ x[t]); L[t] = sum(h[t] ** 2)",
    "other steps": """
        v[t] = tanh(Q @ x[t])
        q[t] = P @ v[t-1] + S @ x[t-1]
        h[t] = 0.5 * h[t-1] + Z @ v[t-1]
        L[t] = dot(q[t], h[t])""",
    "a look ahead": """
        v[t] = tanh(Q @ x[t])
        q[t] = P @ v[t+1]
        h[t] = 0.5 * h[t-1] + Z @ q[t]
        L[t] = dot(v[t], h[t])""",
    "a gradient read elsewhere": """
        x: (n_h)
        s[t] = b * s[t-1] + tanh(x[t-1])
        z[t] = x[t]
        L[t] = sum(s[t] ** 2)""",
    "backward": "h[t] = tanh(W @ h[t+1] + U @ x[t]); L[t] = sum(h[t] ** 2)",
    "no loop": "o[t] = tanh(U @ x[t]); L[t] = sum(o[t] ** 2)",
    "vectors": "h[t] = tanh(w * h[t-1] + U @ x[t] + b) * s; L[t] = sum(h[t] ** 2)",
}
CELLS |= {name: Cell(text) for name, text in TEXTS.items()}
CELLS["a stack"] = stack([CELLS["gru"], CELLS["lstm"]]).with_readout()
both = stack(bidirectional(CELLS["gru"]), 2)
CELLS["both directions"] = both.with_readout()
MATRICES = ("mlstm", "gated_deltanet", "s6", "attention_decoder")
CELLS |= {name: Cell.load(FOLDER / f"{name}.cell") for name in MATRICES}
# The others are compared in one batch each: they differ in equations alone.
CLOSELY = (
    *TEXTS,
    "a stack",
    "both directions",
    "rows",
    "lstm",
    "gru of tokens",
    "mlstm",
)
PLAIN = tuple(name for name in LIBRARY_NAMES if " " not in name and name != "rows")
NAMES = tuple(dict.fromkeys((*PLAIN, *CLOSELY, *MATRICES)))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    target = replace(executor.host_target(), effort=0)
    monkeypatch.setattr(executor, "host_target", lambda: target)
    monkeypatch.setattr(stretches, "host_target", lambda: target)
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)


def case_of(cell, n_b, dtype):
    sizes = sizes_of(cell) if "n_h" in cell.dims else {
        dim: 3 + number for number, dim in enumerate(cell.dims)
    }  # fmt: skip
    case = make_case(cell, sizes, TAU, n_b, dtype)
    rows = cell.graph.times.row_inputs
    inputs = case["inputs"].items()
    return case | {"inputs": {n: a[0] if n in rows else a for n, a in inputs}}


def assert_same(found, expected):
    assert found.loss == expected.loss
    for part in ("nodes", "inputs", "initial", "final"):
        a, b = getattr(found, part), getattr(expected, part)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], f"{part} {name}")
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], name)


@pytest.mark.parametrize("name", NAMES)
def test_bits_do_not_depend_on_what_is_kept(name):
    cell = CELLS[name]
    number = NAMES.index(name)
    batches = ((1, None), (N_B, [5, 21, 2]), (N_B, None))
    is_close = name in CLOSELY
    for n_b, lengths in batches if is_close else [batches[number % 3]]:
        number += 1  # element types, threads and numbers of states by turns
        dtype = (np.float32, np.float64)[number % 2]
        case = case_of(cell, n_b, dtype) | {
            "lengths": lengths, "nodes": tuple(cell.nodes)[:2],
            "input_gradient": True, "initial_gradient": True,
        }  # fmt: skip
        whole = cell.gradient(**case, threads=1)
        way = (11, 1, "sqrt", "optimal")[number % 4]
        for kept in (3, way) if is_close else (way,):
            found = cell.gradient(**case, checkpoint=kept, threads=1 + number // 2 % 2)
            assert_same(found, whole)
            assert found.schedule.measured <= found.schedule.predicted


WEIGHTED = {"reduction": "mean", "weights": np.random.default_rng(1).uniform(1, 2, TAU)}


@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_dropped_and_found_again(lengths):
    """A budget so small that steps are run forward three times and more."""
    cell, case = CELLS["lstm read out"], case_of(CELLS["lstm read out"], N_B, "f4")
    case |= {"lengths": lengths, **WEIGHTED}
    whole = cell.gradient(**case)
    with pytest.raises(errors.MemoryBudgetError) as caught:
        cell.gradient(**case, memory=1)
    least = int(str(caught.value).split("here is ")[1].split()[0].replace(",", ""))
    found = cell.gradient(**case, memory=least + 200)
    assert found.schedule.forward_steps > 2 * found.schedule.tau
    assert_same(found, whole)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_what_was_not_asked_for_is_found_once_more(lengths):
    cell = CELLS["other steps"]
    case = case_of(cell, N_B, np.float64) | {"lengths": lengths}
    whole, found = cell.gradient(**case), cell.gradient(**case, checkpoint=3)
    np.testing.assert_array_equal(found.losses, whole.losses)
    np.testing.assert_allclose(whole.losses, whole.run["L"], rtol=1e-14, atol=1e-14)
    for name in cell.parameters:
        norms = whole.copies[name].norms()
        np.testing.assert_allclose(found.copies[name].norms(), norms, rtol=1e-13)
        np.testing.assert_array_equal(found.copies[name][7], whole.copies[name][7])
    assert_same(found, whole)


def test_the_next_call_finds_its_workspace_as_it_should_be():
    cell = CELLS["lstm read out"]
    case = case_of(cell, N_B, np.float32)
    whole = cell.gradient(**case)
    n_steps = cell.gradient(**case, checkpoint=2).schedule.stretch
    short = {n: a[:n_steps] for n, a in case["inputs"].items()}
    expected = cell.gradient(case["params"], short, executor="reference")
    found = cell.gradient(case["params"], short)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=2e-4)
    assert_same(cell.gradient(**case), whole)
