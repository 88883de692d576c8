"""The check is itself checked: every wrong gradient must be caught, all of them.

Wrong rows of the table of operations, wrong indices in time, and the mistakes that
people make with the book's recursion (10.18-10.28). A mutant that raises is caught too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bptt
from bptt.calculus import bprop, program, simplify
from bptt.check import CHECKS, PASSED, check_cell, check_instance, make_instance
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.step import ops
from bptt.step.graph import Graph, InputSpec, Node, shift, shift_of
from bptt.step.ops import OPS, apply
from tests.chapter import handwritten
from tests.step.op_cells import op_cell

# No gradient by definition: integers, comparisons, and what is stopped on purpose.
WITHOUT_GRADIENT = {
    ("greater", 0), ("greater", 1), ("greater_equal", 0), ("greater_equal", 1),
    ("where", 0), ("sign", 0), ("floor", 0), ("round", 0), ("with_derivative", 0),
    ("stop_gradient", 0), ("lookup", 1), ("scatter", 1),
    ("one_hot", 0), ("nll", 1), ("nll_logits", 1), ("total_scatter", 1),
}  # fmt: skip
# Made by simplification, after differentiation: their rules act in no first or second
# derivative of a cell, so they are checked on a graph of their own.
SUMS_OVER_TIME = ("total_outer", "total_scatter")
SLOTS = [
    (row.name, slot)
    for row in OPS.values()
    for slot in range(row.arity)
    if (row.name, slot) not in WITHOUT_GRADIENT
]
SWAPPED = ("sub", "mul", "div", "pow", "maximum", "minimum", "dot", "nll_soft",
           "bce", "bce_logits", "nll_soft_logits", "mse", "where")  # fmt: skip
TRANSPOSED = ("matvec", "matmul", "outer", "transpose", "lookup", "scatter",
              "total_outer", "total_scatter")  # fmt: skip


def mutate(monkeypatch, op, change):
    """Replace an operation's backward rule; returns the calls it received."""
    row = OPS[op]
    calls = []

    def wrong(g, y, *xs):
        parts = list(row.bprop(g, y, *xs))
        calls.append(False)
        try:
            changed = change(parts)
        except ops.s.ShapeRuleError:
            calls.append(True)
            raise
        calls.append(any(a is not b for a, b in zip(parts, changed, strict=True)))
        return tuple(changed)

    monkeypatch.setitem(OPS, op, replace(row, bprop=wrong))
    return calls


def sum_over_time_error(op):
    """The error of the backward rule of a fused sum over time, by the complex step."""
    e, x = Node("input", (), ("n_e",), "e"), Node("input", (), ("n_x",), "x")
    index = Node("input", (), (), "k")
    specs = {"e": InputSpec(("n_e",)), "x": InputSpec(("n_x",)),
             "k": InputSpec((), "n_x")}  # fmt: skip
    if op == "total_outer":
        y, targets = apply(op, e, x), [e, x]
    else:
        y, targets = apply(op, e, index, data=("n_x",)), [e]
    size = apply("sum", apply("sin", y), data=2)
    leaves = {node.data: node for node in (e, x, index)}
    adjoint = bprop.build_grad(leaves, {size: bprop.constant(1.0)}, targets)
    rng = np.random.default_rng(0)
    arrays = {"e": rng.normal(size=(5, 2, 3)), "x": rng.normal(size=(5, 2, 4)),
              "k": rng.integers(0, 4, (5, 2))}  # fmt: skip
    roots = {"size": size, **{f"∇{n}": g for n, g in adjoint.nodes.items()}}

    def run(values, dtype):
        graph = Graph({}, {}, specs, ())
        finished = program._finish(graph, roots, tuple(roots), leaves, {})
        bindings = Bindings(np.dtype(dtype), 5, 2, True, {"n_e": 3, "n_x": 4}, {},
                            values, {}, np.ones((5, 2)), {})  # fmt: skip
        found = reference.run(finished, bindings)
        return {name: found[finished.roots[name]] for name in roots}

    right, errors = run(arrays, float), []
    for node in targets:
        claimed = right.get(f"∇{node.data}")
        if claimed is None:
            return np.inf
        oracle = np.zeros(claimed.shape)
        for place in np.ndindex(oracle.shape):
            moved = {n: a if n == "k" else a.astype(complex) for n, a in arrays.items()}
            moved[node.data][place] += 1e-20j
            oracle[place] = run(moved, complex)["size"].imag / 1e-20
        errors.append(np.abs(claimed - oracle).max() / np.abs(oracle).max())
    return max(errors)


def is_caught_for(op):
    """Whether the check of an operation fails."""
    if op not in SUMS_OVER_TIME:
        return is_caught(op_cell(op))
    try:
        return not sum_over_time_error(op) < 1e-12
    except (ValueError, IndexError, ops.s.ShapeRuleError):
        return True


def ledgers(cell):
    """A one-instance check by one oracle after the other."""
    for oracle in CHECKS:
        yield check_cell(cell, instances=1, executor="reference", checks=(oracle,))


def is_caught(cell):
    """Whether one of the oracles fails, or one cannot even be asked.

    The first that sees it is enough. Any error counts: asked of the right rules, in
    `test_every_operation_passes_unmutated`, the same calls raise none.
    """
    try:
        return any(ledger.failures for ledger in ledgers(cell))
    except (ValueError, IndexError, RuntimeError, bptt.BpttError, ops.s.ShapeRuleError):
        return True


@pytest.mark.parametrize("op", OPS)
def test_every_operation_passes_unmutated(op):
    """By the calls of `is_caught`, so that no mutant is caught for another reason."""
    found = list(ledgers(op_cell(op)))
    for ledger in found:
        assert not ledger.failures, str(ledger)
    assert any(row.status == PASSED for ledger in found for row in ledger.rows)
    if op in SUMS_OVER_TIME:
        assert not is_caught_for(op)


@pytest.mark.parametrize(("op", "slot"), SLOTS)
def test_a_backward_rule_scaled_by_a_thousandth_is_caught(monkeypatch, op, slot):
    def scale(parts):
        return [
            part * 1.001 if i == slot and part is not None else part
            for i, part in enumerate(parts)
        ]

    calls = mutate(monkeypatch, op, scale)
    assert is_caught_for(op), f"{op} slot {slot} survived"
    assert any(calls), f"{op} slot {slot} was never reached"


@pytest.mark.parametrize(("op", "slot"), SLOTS)
def test_a_backward_rule_without_one_slot_is_caught(monkeypatch, op, slot):
    def drop(parts):
        return [None if i == slot else part for i, part in enumerate(parts)]

    calls = mutate(monkeypatch, op, drop)
    assert is_caught_for(op), f"{op} slot {slot} survived"
    assert any(calls)


@pytest.mark.parametrize("op", SWAPPED)
def test_swapped_slots_are_caught(monkeypatch, op):
    calls = mutate(monkeypatch, op, lambda parts: [*parts[:-2], parts[-1], parts[-2]])
    assert is_caught_for(op), f"{op} survived"
    assert any(calls)


def transposed(node):
    """The same product with its matrix, or its factors, the other way round."""
    if node is None:
        return None
    if node.rank == 2:
        return apply("transpose", node)
    if node.op == "matvec":
        matrix, vector = node.inputs
        return apply("matvec", ops.transpose(matrix), vector)
    if node.op == "lookup":
        matrix, index = node.inputs
        return apply("lookup", ops.transpose(matrix), index)
    return node


@pytest.mark.parametrize("op", TRANSPOSED)
def test_a_transposed_backward_rule_is_caught(monkeypatch, op):
    calls = mutate(monkeypatch, op, lambda parts: [transposed(p) for p in parts])
    assert is_caught_for(op), f"{op} survived"
    assert any(calls)


BOOK = "book"


def test_a_carry_that_is_read_at_the_wrong_step_is_caught(monkeypatch):
    monkeypatch.setattr(
        bprop, "shift", lambda name, lag, shape: shift(name, -lag, shape)
    )
    assert is_caught(bptt.Cell(bptt.cells.get(BOOK).text))


def test_a_dropped_future_term_is_caught(monkeypatch):
    def nothing(name, lag, shape):
        return ops.apply("spread", ops.fill(bprop.constant(0.0), shape))

    monkeypatch.setattr(bprop, "shift", nothing)
    assert is_caught(bptt.Cell(bptt.cells.get(BOOK).text))


def test_h_of_t_for_h_of_t_minus_1_in_the_sum_over_t_is_caught(monkeypatch):
    right = reference.ReferenceValues._leaf

    def late(self, node):
        if node.op == "shift" and shift_of(node) == ("h", -1):
            return self.padded("h")[1:-1]
        return right(self, node)

    monkeypatch.setattr(reference.ReferenceValues, "_leaf", late)
    assert is_caught(bptt.Cell(bptt.cells.get(BOOK).text))


def test_a_fused_total_with_its_factors_exchanged_is_caught(monkeypatch):
    right = simplify._RULES["total"]

    def exchanged(node):
        new = right(node)
        if new.op != "total_outer":
            return new
        return apply(
            "transpose", Node("total_outer", new.inputs[::-1], new.shape[::-1])
        )

    monkeypatch.setitem(simplify._RULES, "total", exchanged)
    # The same value twice over: exchanging and transposing is right, and must pass.
    assert not is_caught(bptt.Cell(bptt.cells.get(BOOK).text))
    monkeypatch.setitem(
        simplify._RULES, "total",
        lambda node: Node("total_outer", right(node).inputs[::-1], node.shape)
        if right(node).op == "total_outer" else node,
    )  # fmt: skip
    assert is_caught(bptt.Cell(bptt.cells.get(BOOK).text))


def test_a_missing_sum_over_a_broadcast_is_caught(monkeypatch):
    cell = bptt.Cell("k: ()\nh[t] = tanh(k * h[t-1] + x[t])\nL[t] = sum(h[t] ** 2)")
    assert not is_caught(cell)
    monkeypatch.setattr(
        bprop, "unbroadcast",
        lambda grad, node: grad if grad.shape == node.shape or node.shape
        else ops.mean(grad),
    )  # fmt: skip
    assert is_caught(bptt.Cell(cell.text))


# ----- the mistakes that people make with the book's recursion -----


def handwritten_gradient(mistake):
    def gradient(params, inputs, **options):
        return handwritten.gradient(params, inputs, mistake=mistake, **options)

    return gradient


def test_the_right_handwritten_recursion_passes():
    ledger = check_cell(bptt.cells.book, gradient=handwritten_gradient(None))
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("mistake", handwritten.MISTAKES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_mistake_in_the_recursion_is_caught(mistake, number):
    instance = make_instance(bptt.cells.book.graph, number, seed=0)
    rows = check_instance(
        bptt.cells.book, instance, gradient=handwritten_gradient(mistake)
    )
    failed = {row.what for row in rows if row.status == "failed"}
    assert "∇_W" in failed, mistake


@pytest.mark.parametrize(
    ("mistake", "published"),
    [
        ("printed order", 0.20), ("W^T alone", 0.15), ("index t", 0.20),
        ("(1-h)^2", 0.17), ("W for W^T", 0.46), ("future term dropped", 0.31),
        ("h(t) for h(t-1)", 1.5), ("y_hat - 1 for all i", 1.5),
    ],
)  # fmt: skip
def test_the_size_of_each_mistake_is_as_measured(mistake, published):
    errors = []
    for seed in range(20):
        params, inputs, initial = handwritten.problem(seed)
        right = handwritten.gradient(params, inputs, initial=initial)["W"]
        wrong = handwritten.gradient(params, inputs, initial=initial, mistake=mistake)
        gap = np.linalg.norm(wrong["W"] - right) / np.linalg.norm(right)
        errors.append(gap)
    # One instance was measured; over random ones the order of magnitude holds.
    assert published / 10 < np.median(errors) < published * 10
    # A check on V and c alone proves nothing: they stay right in all but the last.
    same = np.allclose(wrong["V"], handwritten.gradient(
        params, inputs, initial=initial)["V"], rtol=1e-12)  # fmt: skip
    assert same == (mistake != "y_hat - 1 for all i")


def test_with_one_hidden_unit_the_printed_order_is_right():
    params, inputs, initial = handwritten.problem(0, n_h=1)
    right = handwritten.gradient(params, inputs, initial=initial)
    wrong = handwritten.gradient(
        params, inputs, initial=initial, mistake="printed order"
    )
    assert np.allclose(right["W"], wrong["W"], rtol=1e-14)


def test_the_printed_order_in_two_dimensions_is_a_shape_error():
    params, _, _ = handwritten.problem(0)
    w, h = params["W"], np.full((len(params["W"]), 1), 0.5)
    grad = np.ones_like(h)
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        w.T @ grad @ np.diag(1 - h[:, 0] ** 2)
