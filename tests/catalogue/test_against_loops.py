"""Every cell of examples/catalogue against an independent torch loop, and compiled.

1e-10 in float64: the two sum in other orders. The largest difference seen is 2.6e-11,
of a gradient of 20,000 (vrnn, W_g).
"""

import warnings

import numpy as np
import pytest
import torch

from bptt import Cell
from tests.catalogue.cases import FOLDER, LENGTHS, N_B, TAU, Case, load
from tests.catalogue.loops import LOOPS

# A matrix that changes in time is solved in NumPy, step by step.
IN_NUMPY = {"kalman_vector"}


def leaves(arrays):
    def leaf(value):
        tensor = torch.tensor(value)
        return tensor.requires_grad_() if tensor.is_floating_point() else tensor

    return {name: leaf(value) for name, value in arrays.items()}


def torch_gradients(loop, node, case, lengths):
    """What the loop returns, rows below one another, and every gradient of it."""
    params, inputs, initial = map(leaves, (case.params, case.inputs, case.initial))
    total, values = 0, []
    for b, tau in enumerate(lengths):
        row = {
            n: v[b] if n in case.rows else v[:tau, b] for n, v in inputs.items()
        }  # fmt: skip
        value = loop(params, row, {n: v[b] for n, v in initial.items()}, tau)
        values.append(value.detach().numpy())
        seed = case.seeds[node][:tau, b] if node in case.seeds else 1.0
        total = total + (value * torch.tensor(seed)).sum()
    total.backward()
    groups = {"params": params, "inputs": inputs, "initial": initial}
    return values, {
        (kind, name): value.grad.numpy()
        for kind, group in groups.items()
        for name, value in group.items()
        if value.grad is not None
    }


def test_every_cell_of_the_catalogue_has_a_loop():
    assert {path.stem for path in FOLDER.glob("*.cell")} == set(LOOPS)


def assert_same(found, expected, message):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10, err_msg=message)


def nearest(name, value, case):
    """The start beside the first step: those further away are zero here."""
    return value[-1] if name in case.cell.graph.times.delays else value


WAYS = pytest.mark.parametrize(
    ("executor", "lengths"),
    [("llvm", None), ("llvm", LENGTHS), ("reference", LENGTHS)],
    ids=["llvm", "llvm-ragged", "reference-ragged"],
)


@WAYS
@pytest.mark.parametrize("name", LOOPS)
def test_values_and_gradients_equal_a_loop_in_torch(name, executor, lengths):
    loop, node = LOOPS[name]
    compare(Case(name, node), loop, node, executor, lengths)


def check_compiled(text):
    """A cell of a text: as it prints, without a fall-back, and by every oracle."""
    cell = Cell(text)
    assert Cell(cell.canonical_text).canonical_text == cell.canonical_text
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fall-back to NumPy warns
        ledger = cell.check(instances=1)
    assert ledger.passed, ledger


def compare(case, loop, node, executor, lengths):
    """Values and every gradient, of a case and of its loop in torch."""
    name = case.name
    values, expected = torch_gradients(loop, node, case, lengths or [TAU] * N_B)
    with warnings.catch_warnings():
        # a fall-back to NumPy warns
        warnings.simplefilter("ignore" if name in IN_NUMPY else "error")
        grad = case.cell.gradient(
            case.params, case.inputs, initial=case.initial, seeds=case.seeds,
            lengths=lengths, input_gradient=True, initial_gradient=True,
            executor=executor,
        )  # fmt: skip
    if node == case.cell.graph.loss:
        assert_same(grad.loss, sum(v.sum() for v in values), "L")
    else:
        for b, value in enumerate(values):
            assert_same(grad.run[node][: len(value), b], value, node)
    found = {("params", n): v for n, v in grad.items()}
    found |= {("inputs", n): v for n, v in grad.inputs.items()}
    found |= {("initial", n): nearest(n, v, case) for n, v in grad.initial.items()}
    assert found.keys() >= expected.keys()
    for key, value in expected.items():
        assert_same(found[key], value, str(key))


@pytest.mark.parametrize("name", LOOPS)
def test_the_canonical_text_reads_back_to_itself(name):
    text = load(name).canonical_text
    assert Cell(text).canonical_text == text
