"""The arrays of some consecutive steps, cut out of those of a whole call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bptt.execute.bindings import Bindings
from bptt.step.graph import Graph
from bptt.step.shapes import Array


def steps_of(bindings: Bindings) -> int:
    """The steps of the longest row."""
    packing = bindings.packing
    return bindings.tau if packing is None else int(packing.lengths.max())


def place_of(bindings: Bindings, t: int) -> int:
    """Where the rows of step t + 1 begin among all rows."""
    packing = bindings.packing
    return t * bindings.n_b if packing is None else int(packing.offsets[t])


def count_alive(bindings: Bindings, t: int) -> int:
    """How many rows run at step t + 1; they are the first ones in their order."""
    packing = bindings.packing
    return bindings.n_b if packing is None else int(packing.alive[t])


def cut_steps(bindings: Bindings, graph: Graph, begin: int, end: int) -> Bindings:
    """Steps begin..end, counted from 0, as a call of their own.

    The rows of a ragged batch keep their order, longest first. What an input is at the
    steps beside these is its initial value; states have none: see `kernels.stretches`.
    """
    first, last = begin, end
    if bindings.packing is not None:
        first, last = place_of(bindings, begin), place_of(bindings, end)
    packing = bindings.packing
    return replace(
        bindings,
        tau=end - begin,
        inputs={name: array[first:last] for name, array in bindings.inputs.items()},
        seeds={name: array[first:last] for name, array in bindings.seeds.items()},
        weight=bindings.weight[first:last],
        initial={
            name: _beside(bindings, graph, name, begin, end)
            for name in graph.states
            if name in bindings.inputs
        },
        packing=None if packing is None else packing.cut(begin, end),
    )


def silence(bindings: Bindings, heard: Array) -> Bindings:
    """The losses and seeds of some rows, numbered in order of time, taken away.

    heard: 1 for each row that keeps them, else 0.
    """

    def masked(array: Array) -> Array:
        lead = array.shape[: bindings.weight.ndim]
        found: Array = array * heard.reshape(*lead, *[1] * (array.ndim - len(lead)))
        return found

    seeds = {name: masked(array) for name, array in bindings.seeds.items()}
    return replace(bindings, weight=masked(bindings.weight), seeds=seeds)


def initial_of(bindings: Bindings, name: str, width: int) -> Array:
    """A state's value before its first step, (n_b, width), rows in their order."""
    value = bindings.initial.get(name)
    if value is None:
        return np.zeros((bindings.n_b, width), bindings.dtype)
    if bindings.packing is not None:
        value = value[bindings.packing.order]
    return value.reshape(bindings.n_b, width)


def _beside(bindings: Bindings, graph: Graph, name: str, begin: int, end: int) -> Array:
    """An input at the step before the first, or after the last, of these."""
    rows = bindings.inputs[name]
    core = rows.shape[1:] if bindings.packing is not None else rows.shape[2:]
    beside = np.zeros((bindings.n_b, *core), rows.dtype)
    if name in bindings.initial:
        value = bindings.initial[name]
        packing = bindings.packing
        beside[...] = value if packing is None else value[packing.order]
    t = begin - 1 if graph.lag(name) < 0 else end
    if 0 <= t < steps_of(bindings):
        alive = count_alive(bindings, t)
        if bindings.packing is None:
            beside[...] = rows[t]
        else:
            start = place_of(bindings, t)
            beside[:alive] = rows[start : start + alive]
    return beside
