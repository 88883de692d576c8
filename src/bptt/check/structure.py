"""The checks against the explicit unrolled graph, and the invariants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bptt.check.context import COMPLEX_TOLERANCE, Trial, label
from bptt.check.ledger import Row
from bptt.check.oracles import EXACT
from bptt.check.probes import Moved
from bptt.check.rounding import measured, spread
from bptt.execute.dispatch import REFERENCE
from bptt.step.graph import name_of, shift_of, walk
from bptt.step.shapes import Array
from bptt.unrolled import Unrolled, unroll

SHIFT_INVARIANT = ("softmax", "log_softmax")


def _unroll_rows(context: Trial) -> list[Unrolled]:
    """One unrolled graph per batch row, with the row's final weights."""
    instance, b = context.instance, context.prober.bindings
    return [
        unroll(
            context.graph, instance.params,
            {name: array[:, row] for name, array in instance.inputs.items()},
            initial={name: array[row] for name, array in instance.initial.items()},
            seeds={name: array[:, row] for name, array in instance.seeds.items()},
            weights=b.weight[:, row],
        )
        for row in range(context.n_b)
    ]  # fmt: skip


def check_unrolled(context: Trial) -> Iterator[Row]:
    """Generic reverse mode on the unrolled graph gives the same; so do paths."""
    graphs = _unroll_rows(context)
    how = "unrolled graph, reverse mode"
    for target in context.targets():
        oracle = _from_graphs(context, target, graphs)
        error = context.relative(context.claimed(target), oracle, target)
        yield context.row(label(context, target), how, error, COMPLEX_TOLERANCE)
    for name in context.graph.parameters:
        copy = Moved("copy", name)
        oracle = np.stack([
            sum(g.grad(g.place(name, t + 1)) for g in graphs)
            for t in range(context.tau)
        ])  # fmt: skip
        error = context.relative(context.claimed(copy), oracle, copy)
        yield context.row(f"∇_{name}^(t)", how, error, COMPLEX_TOLERANCE)
        yield _paths_row(context, name, graphs)


def _from_graphs(context: Trial, target: Moved, graphs: list[Unrolled]) -> Array:
    if target.kind == "parameter":
        return np.asarray(sum(g.grad(g.place(target.name)) for g in graphs))
    if target.kind == "initial":
        step = 0 if context.graph.lag(target.name) < 0 else context.tau + 1
        return np.stack([g.grad(g.place(target.name, step)) for g in graphs])
    return np.stack([
        [g.grad(g.place(target.name, t + 1)) for g in graphs]
        for t in range(context.tau)
    ])  # fmt: skip


def _paths_row(context: Trial, name: str, graphs: list[Unrolled]) -> Row:
    count, total = 0, np.zeros(context.instance.params[name].shape)
    for graph in graphs:
        for path in graph.paths(graph.place(name)):
            total = total + path.product
            count += path.count
    error = context.relative(context.plain[name], total, Moved("parameter", name))
    return context.row(
        f"∇_{name}", "sum over paths", error, COMPLEX_TOLERANCE,
        note=f"{count // len(graphs)} paths per row",
    )  # fmt: skip


def check_consistency(context: Trial) -> Iterator[Row]:
    """Asking for node gradients changes no parameter gradient; ∂L/∂L^(t) is w_t."""
    for name in context.graph.parameters:
        target, full = Moved("parameter", name), np.asarray(context.full[name])
        error = context.relative(full, context.plain[name], target)
        if not (np.isfinite(full).all() or context.is_finite(target)):
            error = "the gradient of a node that is asked for is infinite"
        yield context.row(
            f"∇_{name}", "whichever nodes are asked for", error, COMPLEX_TOLERANCE
        )
    loss = context.graph.loss
    if loss is not None and not _is_read_on(context, loss):
        weight = context.prober.bindings.weight
        gap = float(np.max(np.abs(np.asarray(context.full.nodes[loss]) - weight)))
        yield context.row("∂L/∂L^(t)", "the weight w_t", gap, EXACT)


def _is_read_on(context: Trial, loss: str) -> bool:
    """Whether a later equation reads the loss, so that ∂L/∂L^(t) has more terms."""
    nodes = list(walk(context.graph.definitions.values()))
    root = context.graph.definitions[loss]
    is_input = any(root in node.inputs for node in nodes)
    return is_input or any(n.op == "shift" and shift_of(n)[0] == loss for n in nodes)


def check_softmax(context: Trial) -> Iterator[Row]:
    """A softmax sums to 1, and the gradient at what it alone reads sums to 0."""
    values = context.cell.forward(
        context.instance.params, context.instance.inputs,
        initial=context.instance.initial,
        executor=REFERENCE,
    )  # fmt: skip
    for name, node in context.graph.definitions.items():
        if node.inputs[0].op == "softmax":
            gap = float(np.max(np.abs(values[name].sum(axis=-1) - 1)))
            yield context.row(f"sum of {name}", "invariant: 1", gap, COMPLEX_TOLERANCE)
    for name in _logits(context):
        grad = np.asarray(context.full.nodes[name])
        sums, rounding = grad.sum(axis=-1), partial(_rounding_of_sum, context, name)
        error = measured(sums, np.zeros_like(sums), context.size_of(grad), rounding)
        yield context.row(f"sum of ∇_{name}", "invariant: 0", error, COMPLEX_TOLERANCE)


def _rounding_of_sum(context: Trial, name: str) -> Array:
    """How far rounding moves what is added up: of every element, all together."""
    moved = [np.asarray(grad.nodes[name]) for grad in context.roundings.gradients]
    return np.asarray(spread(moved).sum(axis=-1))


def _logits(context: Trial) -> list[str]:
    """Definitions that softmaxes alone read."""
    readers: dict[str, set[str]] = {}
    for node in walk(context.graph.definitions.values()):
        if node.op == "shift":
            readers.setdefault(shift_of(node)[0], set()).add("shift")
        for child in node.inputs:
            if child.op == "named":
                readers.setdefault(name_of(child), set()).add(node.op)
    seeded = context.instance.seeds
    return [
        name
        for name, operations in readers.items()
        if operations <= set(SHIFT_INVARIANT) and name not in seeded
    ]


def check_causality(context: Trial) -> Iterator[Row]:
    """∇ of x^(s), or of a node at s, from the loss of step t is exactly 0 for s > t.

    A cell that reads t+1 anywhere has no such order in time, and gets no such row.
    """
    if context.graph.backward:
        return
    worst, earlier = 0.0, 0.0
    for t in range(context.tau):
        grad = context.ask(
            nodes=tuple(context.graph.definitions), input_gradient=True,
            initial_gradient=True, **_only_step(context, t),
        )  # fmt: skip
        arrays = [np.asarray(grad.nodes[name]) for name in context.graph.definitions]
        arrays += [np.asarray(grad.inputs[name]) for name in context.real_inputs]
        for array in arrays:
            worst = max(worst, float(np.max(np.abs(array[t + 1 :]), initial=0.0)))
            earlier = max(earlier, float(np.max(np.abs(array[: t + 1]))))
    what, how = "∇ at s of L^(t), s > t", "causality: exactly 0"
    if earlier:
        yield context.row(what, how, worst, EXACT)
    else:
        yield context.unchecked(what, how, EXACT, "every gradient is 0")


def _only_step(context: Trial, t: int) -> dict[str, Any]:
    """Options under which L is the loss, or the seed, of one step."""
    chosen = np.zeros((context.tau, context.n_b))
    chosen[t] = 1.0
    if context.graph.loss is not None:
        return {"weights": chosen, "reduction": "sum"}
    seeds = {
        name: array * chosen.reshape(chosen.shape + (1,) * (array.ndim - 2))
        for name, array in context.instance.seeds.items()
    }
    return {"seeds": seeds}


def check_reduction(context: Trial) -> Iterator[Row]:
    """batch_mean is the sum over n_b, mean the sum over n_b tau."""
    if context.graph.loss is None:
        return
    plain = context.ask(reduction="sum", weights=None)
    # The instance may divide its own loss, and its rounding.
    own = context.instance.reduction
    divisors = {"batch_mean": context.n_b, "mean": context.n_b * context.tau}
    for reduction, divisor in divisors.items():
        other = context.ask(reduction=reduction, weights=None)
        for name in context.graph.parameters:
            found, target = np.asarray(other[name]) * divisor, Moved("parameter", name)
            error = context.relative(
                found, np.asarray(plain[name]), target, divisors.get(own, 1)
            )
            yield context.row(
                f"∇_{name}", f"reduction {reduction}", error, COMPLEX_TOLERANCE
            )
