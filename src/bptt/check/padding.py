"""The check that padding has no influence: a ragged batch is its rows run alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bptt.check.context import COMPLEX_TOLERANCE, GradientLike, Trial, label
from bptt.check.ledger import Row
from bptt.check.probes import Moved
from bptt.execute.dispatch import REFERENCE
from bptt.step.shapes import Array

NO_TOKEN = -1


def check_padding(context: Trial) -> Iterator[Row]:
    """With lengths, NaN in the padding changes nothing: every row as if run alone.

    The oracle runs each row without a batch, cut at its length, in the reference
    executor. Node and input gradients must be exactly 0 in the padding.
    """
    tau, n_b = context.tau, context.n_b
    lengths = tau - np.arange(n_b) % tau
    is_dead = np.arange(tau)[:, None] >= lengths
    found = context.gradient(
        context.instance.params,
        _spoil(context.instance.inputs, is_dead),
        initial=context.instance.initial,
        seeds=_spoil(context.instance.seeds, is_dead),
        weights=_spoil({"w": context.prober.bindings.weight}, is_dead)["w"],
        lengths=lengths,
        nodes=tuple(context.graph.definitions),
        input_gradient=True,
        initial_gradient=True,
    )
    alone = [_run_alone(context, row, lengths[row]) for row in range(n_b)]
    how = "each row alone, without padding"
    for target in context.targets():
        claimed = context.read(found, target)
        expected = _join(target, [context.read(grad, target) for grad in alone], tau)
        error = context.relative(claimed, expected, target)
        if target.kind in ("node", "input") and np.any(claimed[is_dead] != 0):
            error = float("inf")
        yield context.row(label(context, target), how, error, COMPLEX_TOLERANCE)


def _spoil(arrays: Mapping[str, Array], is_dead: Array) -> dict[str, Array]:
    """The same sequences with NaN, or a token that does not exist, as padding."""
    spoilt = {}
    for name, array in arrays.items():
        spoilt[name] = array.copy()
        spoilt[name][is_dead] = np.nan if array.dtype.kind == "f" else NO_TOKEN
    return spoilt


def _run_alone(context: Trial, row: int, length: int) -> GradientLike:
    instance = context.instance

    def cut(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array[:length, row] for name, array in arrays.items()}

    return context.cell.gradient(
        instance.params,
        cut(instance.inputs),
        initial={name: array[row] for name, array in instance.initial.items()},
        seeds=cut(instance.seeds),
        weights=context.prober.bindings.weight[:length, row],
        nodes=tuple(context.graph.definitions),
        input_gradient=True,
        initial_gradient=True,
        executor=REFERENCE,
    )


def _join(target: Moved, rows: list[Array], tau: int) -> Array:
    """What the rows give together: their sum, or side by side with zeros after each."""
    if target.kind == "parameter":
        return np.asarray(sum(rows))
    if target.kind == "initial":
        return np.stack(rows)
    padded = np.zeros((tau, len(rows), *rows[0].shape[1:]))
    for number, row in enumerate(rows):
        padded[: len(row), number] = row
    return padded
