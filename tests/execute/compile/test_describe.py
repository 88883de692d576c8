"""The plan of a compiled gradient, as a person reads it."""

import pytest

from bptt import Cell, cells, errors
from bptt.execute.compile import lowerings


def test_the_books_network_is_planned_as_the_documentation_says():
    text = str(cells.book.lower(n_x=20, n_h=5, n_o=3))
    assert text.splitlines()[1:] == [
        "all steps at once",
        "  stage 1: U @ x[t]; saves U @ x[t]",
        "loop t = 1..tau",
        "  stage 1: W @ h[t-1]; saves h[t]",
        "all steps at once",
        "  stage 1: V @ h[t]; saves o[t]",
        (
            "  stage 2: row_max of o[t], row_sum of exp(..), pick of o[t]; "
            "saves mul(..), grad(o)[t]"
        ),
        "loop t = tau..1",
        "  stage 1: V.T @ grad(o)[t], W.T @ grad(a)[t+1]; saves grad(a)[t]",
        "sums over all steps",
        "  (grad(o)[t]) times h[t] transposed",
        "  (grad(a)[t]) times h[t-1] transposed",
        "  (grad(a)[t]) times x[t] transposed",
        "  total of mul(..)",
        # h, grad(a), grad(o), o and w L: U x gives its place to h.
        "per step and row: 68 bytes kept, 640 flops of matrix products",
    ]


def test_flops_are_those_of_the_products():
    n_x, n_h = 20, 8
    plan = cells.lstm.lower(n_x=n_x, n_h=n_h)
    products = 4 * n_h * (n_x + n_h)  # forward; as much for the sums over time
    assert plan.flops_per_step == 2 * (2 * products + 4 * n_h * n_h)


def test_an_lstm_keeps_seven_vectors_a_step():
    plan = cells.lstm.lower(n_x=20, n_h=8)
    assert plan.bytes_per_step == 4 * 8 * 7
    assert "define" in plan.ir


def test_a_program_without_kernels_has_no_plan(monkeypatch):
    monkeypatch.delitem(lowerings.LOWERINGS, "sin")
    cell = Cell("h[t] = sin(0.5 * h[t-1] + x[t])\nL[t] = sum(h[t])")
    with pytest.raises(errors.NotLowerableError, match="the operation sin inside a"):
        cell.lower(n_h=3)


def test_a_matrix_that_changes_in_time_is_planned_as_a_stage():
    cell = Cell("A[t] = 0.5 * A[t-1] + outer(x[t], x[t])\nL[t] = sum(A[t] @ x[t])")
    text = str(cell.lower(n_x=3))
    assert "loop t = 1..tau\n  stage 1: equations only; saves A[t]" in text
