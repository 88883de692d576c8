"""Arrays with one value per row, (n_b, *shape), given the steps that the rest has.

An input without time is the same at every step; a gradient that arrives at a value of
the last step arrives there. A state that is read several steps back has several values
before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt import errors
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape, show_shape


def is_per_row(graph: Graph, name: str) -> bool:
    """Whether an input, or a definition, has one value per row."""
    return name in graph.times.row_inputs or name in graph.times.once


def spread_input(
    what: str, array: Array, shape: Shape, lead: tuple[int, int], *, is_batched: bool
) -> Array:
    """(n_b, *shape), or (*shape) without a batch axis, at every step.

    An array that has steps already is left as it is. Raises: InputRankError, SizeError.
    """
    tau, n_b = lead
    core = "".join(f", {dim}" for dim in shape)
    extra = array.ndim - len(shape)
    if extra == 2 or (extra == 1 and not is_batched and array.shape[0] == tau):
        if array.shape[:extra] != ((tau, n_b) if extra == 2 else (tau,)):
            raise errors.SizeError(
                f"{what} has shape {array.shape}, but there are tau = {tau} steps and "
                f"n_b = {n_b} rows"
            )
        return array
    if extra != int(is_batched):
        raise errors.InputRankError(
            f"{what} has one value per row: its shape should be "
            f"{f'(n_b{core})' if is_batched else show_shape(shape)}, got {array.shape}"
        )
    if is_batched and array.shape[0] != n_b:
        raise errors.SizeError(
            f"{what} (n_b{core}) has shape {array.shape}, but n_b is {n_b}"
        )
    return np.broadcast_to(array, (tau, *array.shape))


def place_seed(
    array: Array, shape: Shape, lead: tuple[int, int], lengths: Any, *, is_batched: bool
) -> Array:
    """A gradient per row at each row's last step, zero at the others."""
    tau, n_b = lead
    if array.ndim != len(shape) + is_batched:
        return array
    result = np.zeros((tau, *array.shape), array.dtype)
    last = np.broadcast_to(np.asarray(tau if lengths is None else lengths) - 1, n_b)
    if is_batched:
        result[last, np.arange(n_b)] = array
    else:
        result[last[0]] = array
    return result


def split_delays(
    graph: Graph, given: Mapping[str, Any], *, is_batched: bool
) -> dict[str, Any]:
    """An initial value of several steps as one for each definition that holds a step.

    h: (d, n_b, *shape) with h^(0) last; of a backward loop h^(tau+1) is the first.
    Raises: InputRankError, UnexpectedNameError.
    """
    result = dict(given)
    for name, holders in graph.times.delays.items():
        value = given.get(name)
        value = np.asarray(value) if isinstance(value, (list, tuple)) else value
        spec = graph.definitions.get(name) or graph.inputs[name]
        if (
            value is None
            or getattr(value, "ndim", 0) != len(spec.shape) + 1 + is_batched
        ):
            continue
        if not 1 <= len(value) <= len(holders) + 1:
            raise errors.InputRankError(
                f"initial state {name} holds {len(value)} steps; the cell reads at "
                f"most {len(holders) + 1} of them"
            )
        steps = [value[number] for number in range(len(value))]
        if name not in graph.backward:
            steps.reverse()
        result |= dict(zip((name, *holders), steps, strict=False))
    for name, start in graph.times.starts.items():
        flags = {"begun", "going"} & graph.times.hidden.keys()
        if name in given and not flags & given.keys():
            where = graph.times.hidden[start][2]
            raise errors.UnexpectedNameError(
                f"initial state {name} is given, but the cell has an equation for it, "
                f"`{name}[{where}] = ...`; leave one of the two out"
            )
    return result
