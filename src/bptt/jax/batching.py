"""`jax.vmap`: a batch of calls is one call.

Where all share the parameters, and no gradient of parameters is asked for each alone,
the calls are one call with more rows. Else they are members of one task, run one after
another inside one call from XLA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from bptt.jax.task import Task


def batch(
    primitive: Primitive, operands: Sequence[Any], axes: Sequence[Any], *, task: Task
) -> tuple[list[Any], list[Any]]:
    """The batching rule of a forward or a backward pass."""
    count = next(
        o.shape[a] for o, a in zip(operands, axes, strict=True) if a is not None
    )
    if _is_empty(count):
        return _nothing(primitive, operands, axes, task)
    n_params = len(task.graph.parameters)
    is_own = any(axis is not None for axis in axes[:n_params])
    if task.members or is_own or any(number < n_params for number in task.wrt):
        return _join_members(primitive, operands, axes, task, count)
    return _join_rows(primitive, operands, axes, task, count)


def _is_empty(count: Any) -> bool:
    return isinstance(count, int) and count == 0


def _nothing(
    primitive: Primitive, operands: Sequence[Any], axes: Sequence[Any], task: Task
) -> tuple[list[Any], list[Any]]:
    """A batch of no calls: nothing of what one would give."""
    one = [
        o if a is None else jnp.zeros(o.shape[:a] + o.shape[a + 1 :], o.dtype)
        for o, a in zip(operands, axes, strict=True)
    ]
    avals, _ = primitive.abstract_eval(*map(jax.typeof, one), task=task)
    results = [jnp.zeros((0, *aval.shape), aval.dtype) for aval in avals]
    return results, [0] * len(results)


# ----- more rows -----


def _join_rows(
    primitive: Primitive,
    operands: Sequence[Any],
    axes: Sequence[Any],
    task: Task,
    count: Any,
) -> tuple[list[Any], list[Any]]:
    if task.is_backward and task.n_kept and task.call.has_lengths:
        # Rows of different lengths lie in the buffers in an order of their own.
        operands, axes, task = _without_kept(operands, axes, task)
    folded = [
        _fold(operand, axis, lead, count)
        for operand, axis, lead in zip(operands, axes, _lead_axes(task), strict=True)
    ]
    results = primitive.bind(*folded, task=task)
    leads = _lead_axes(task)
    out = [leads[n] for n in task.wrt] if task.is_backward else _result_axes(task)
    return [_unfold(r, a, count) for r, a in zip(results, out, strict=True)], out


def _without_kept(
    operands: Sequence[Any], axes: Sequence[Any], task: Task
) -> tuple[Sequence[Any], Sequence[Any], Task]:
    """A backward pass that computes the forward pass's values again."""
    first, end = len(task.kinds), len(task.kinds) + task.n_kept
    operands = [*operands[:first], *operands[end:]]
    return operands, [*axes[:first], *axes[end:]], replace(task, kept=0)


def _lead_axes(task: Task) -> list[int | None]:
    """Where rows lie in every operand: axis 1 of sequences, 0 of initial states."""
    axes = {"parameter": None, "input": 1, "initial": 0, "rest": 0}
    results = _result_axes(replace(task, keeps=False))
    kept = _kept_axes(task) if task.is_backward else []
    own: list[int | None] = [axes[kind] for kind, _ in task.kinds]
    return [*own, *kept, *[results[number] for number in task.seeded]]


def _kept_axes(task: Task) -> list[int | None]:
    """Of the buffers, and of their stamp."""
    return [*[1] * (task.n_kept - 1), None] if task.n_kept else []


def _result_axes(task: Task) -> list[int | None]:
    rows = [*[1 for _ in task.call.outputs], *[0 for _ in task.call.finals]]
    return [*rows, *_kept_axes(task)]


def _fold(operand: Any, axis: int | None, lead: int | None, count: Any) -> Any:
    """The batch axis and the axis of rows as one, at `lead`."""
    if lead is None:  # parameters, shared by all; any stamp, since all are equal
        return operand if axis is None else jnp.take(operand, 0, axis)
    if axis is None:
        shape = (*operand.shape[:lead], count, *operand.shape[lead:])
        operand = jnp.broadcast_to(jnp.expand_dims(operand, lead), shape)
    else:
        operand = jnp.moveaxis(operand, axis, lead)
    shape = operand.shape
    return operand.reshape(
        *shape[:lead], shape[lead] * shape[lead + 1], *shape[lead + 2 :]
    )


def _unfold(result: Any, lead: int | None, count: Any) -> Any:
    if lead is None:
        return result
    shape = result.shape
    return result.reshape(
        *shape[:lead], count, shape[lead] // count, *shape[lead + 1 :]
    )


# ----- members -----


def _join_members(
    primitive: Primitive,
    operands: Sequence[Any],
    axes: Sequence[Any],
    task: Task,
    count: Any,
) -> tuple[list[Any], list[Any]]:
    """Calls with arrays of their own, each on the first axis of what it has alone."""
    before = task.members or (False,) * len(operands)
    old = next(
        (
            operand.shape[0 if axis is None or axis > 0 else 1]
            for operand, axis, is_own in zip(operands, axes, before, strict=True)
            if is_own
        ),
        None,
    )
    kept = range(len(task.kinds), len(task.kinds) + task.n_kept)
    joined, members = [], []
    for number, (operand, axis, is_own) in enumerate(
        zip(operands, axes, before, strict=True)
    ):
        # A backward pass overwrites the buffers: each member has some of its own.
        is_kept = task.is_backward and number in kept
        if axis is None and not is_own and not is_kept:
            joined.append(operand)
            members.append(False)
            continue
        joined.append(_spread(operand, axis, is_own, count, old))
        members.append(True)
    results = primitive.bind(*joined, task=replace(task, members=tuple(members)))
    if old is not None:
        results = [r.reshape(count, old, *r.shape[1:]) for r in results]
    return results, [0] * len(results)


def _spread(operand: Any, axis: int | None, is_own: bool, count: Any, old: Any) -> Any:
    """One array for every member, old ones inside new ones."""
    operand = operand[None] if axis is None else jnp.moveaxis(operand, axis, 0)
    if old is None:
        return jnp.broadcast_to(operand, (count, *operand.shape[1:]))
    if not is_own:
        operand = operand[:, None]
    rest = operand.shape[2:]
    return jnp.broadcast_to(operand, (count, old, *rest)).reshape(count * old, *rest)
