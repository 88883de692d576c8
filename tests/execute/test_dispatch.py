"""Which executor runs a call, and what is said when it is not the one expected."""

import numpy as np
import pytest

import bptt
from bptt.errors import ThreadsError, UnknownExecutorError
from bptt.execute.compile import lowerings
from bptt.execute.dispatch import FallbackWarning


def make_case():
    """A state that is a matrix."""
    cell = bptt.Cell(
        "P: (n_p, n_p)\nW: (n_p, n_p)\n"
        "P[t] = tanh(W + 0.5 * P[t-1])\nL[t] = sum(P[t]) * mean(x[t])"
    )
    params = cell.init(n_p=3, seed=0)
    return cell, params, {"x": np.ones((4, 2, 2))}


def test_an_unknown_executor_is_named_with_those_there_are():
    cell, params, inputs = make_case()
    with pytest.raises(UnknownExecutorError) as caught:
        cell.forward(params, inputs, executor="fast")
    assert str(caught.value).startswith("executor 'fast'; use one of ")
    assert "reference" in str(caught.value)


def test_a_cell_without_kernels_says_so_and_gives_the_reference_values(monkeypatch):
    monkeypatch.delitem(lowerings.LOWERINGS, "tanh")
    cell, params, inputs = make_case()
    reference = cell.gradient(params, inputs, executor="reference")
    with pytest.warns(FallbackWarning, match="no form for the operation tanh inside"):
        fallen_back = cell.gradient(params, inputs)
    assert fallen_back.loss == reference.loss
    np.testing.assert_array_equal(fallen_back["W"], reference["W"])


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_restated(threads):
    cell = bptt.cells.book
    params = cell.init(n_x=2, n_h=3, n_o=2, seed=0)
    inputs = {"x": np.ones((4, 2, 2)), "y": np.zeros((4, 2), int)}
    with pytest.raises(ThreadsError, match=f"threads={threads}: use a whole number"):
        cell.gradient(params, inputs, threads=threads)
