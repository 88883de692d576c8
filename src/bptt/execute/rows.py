"""Arrays with one value per row, (n_b, *shape), given the steps that the rest has.

An input without time is the same at every step; a gradient that arrives at a value of
the last step arrives there. A state that is read several steps back has several values
before the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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


class Delay(NamedTuple):
    """A name that is read several steps away, and the definitions that hold it.

    rank: of one step's value; is_backward: whether later steps are read.
    """

    name: str
    holders: tuple[str, ...]
    rank: int
    is_backward: bool

    @property
    def in_time(self) -> tuple[str, ...]:
        """Who holds the value of each step, in order of time."""
        names = (self.name, *self.holders)
        return names if self.is_backward else names[::-1]


class Starts(NamedTuple):
    """What a cell's text says of values before the first step, in plain values.

    delays: see `Delay`; equations: state -> the left side of the equation for its
    start; flags: the definitions by which a row knows that it goes on.
    """

    delays: tuple[Delay, ...]
    equations: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]


def starts_of(graph: Graph) -> Starts:
    """What `split_delays` and `join_delays` ask of a cell."""
    times = graph.times
    delays = tuple(
        Delay(
            name, holders,
            len((graph.definitions.get(name) or graph.inputs[name]).shape),
            name in graph.backward or holders[0] in graph.backward,
        )
        for name, holders in times.delays.items()
    )  # fmt: skip
    equations = tuple(
        (name, f"{name}[{times.hidden[start][2]}] = ...")
        for name, start in times.starts.items()
    )
    flags = tuple(n for n in ("begun", "going") if n in times.hidden)
    return Starts(delays, equations, flags)


def split_initial(
    graph: Graph, given: Mapping[str, Any], *, is_batched: bool
) -> Mapping[str, Any]:
    """`split_delays` for a cell; most calls need none of it."""
    if given and (graph.times.delays or graph.times.starts):
        return split_delays(starts_of(graph), given, is_batched=is_batched)
    return given


def split_delays(
    starts: Starts, given: Mapping[str, Any], *, is_batched: bool
) -> dict[str, Any]:
    """An initial value of several steps as one for each definition that holds a step.

    h: (d, n_b, *shape) with h^(0) last; of a backward loop h^(tau+1) is the first.
    Raises: InputRankError, UnexpectedNameError.
    """
    result = dict(given)
    for delay in starts.delays:
        name = delay.name
        value = given.get(name)
        value = np.asarray(value) if isinstance(value, (list, tuple)) else value
        if value is None or getattr(value, "ndim", 0) != delay.rank + 1 + is_batched:
            continue
        depth = len(delay.holders) + 1
        if not 1 <= len(value) <= depth:
            raise errors.InputRankError(
                f"initial state {name} holds {len(value)} steps; the cell reads at "
                f"most {depth} of them"
            )
        steps = [value[number] for number in range(len(value))]
        if not delay.is_backward:
            steps.reverse()
        result |= dict(zip((name, *delay.holders), steps, strict=False))
    for name, equation in starts.equations:
        if name in given and not any(flag in given for flag in starts.flags):
            raise errors.UnexpectedNameError(
                f"initial state {name} is given, but the cell has an equation for it, "
                f"`{equation}`; leave one of the two out"
            )
    return result


def join_delays(
    starts: Starts, found: Mapping[str, Any], stack: Callable[[list[Any]], Any]
) -> dict[str, Any]:
    """What `split_delays` takes apart: one value of several steps for each name.

    stack: joins arrays along a new first axis.
    """
    result = dict(found)
    for delay in starts.delays:
        if all(name in found for name in delay.in_time):
            result[delay.name] = stack([found[name] for name in delay.in_time])
            for name in delay.holders:
                del result[name]
    return result


def take_apart(graph: Graph, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `join_delays` made, as one value for each definition that holds a step."""
    if not graph.times.delays:
        return found
    result = dict(found)
    for delay in starts_of(graph).delays:
        if delay.name in found:
            result |= dict(zip(delay.in_time, found[delay.name], strict=True))
    return result
