"""Tokens and classes that are read at other steps: whole numbers before the first one.

A step graph holds every value as a real number, also that of a token some steps away;
what comes in and what goes out are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt import errors
from bptt.execute.checks import refuse_reals
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Dim, number_of


def counted_by(graph: Graph, name: str) -> Dim | None:
    """The dimension that a token or class counts; None for every other value.

    name: of an input, or of a definition, which may hold an input of another step.
    """
    spec = graph.inputs.get(graph.times.origin(name)[0])
    return None if spec is None else spec.index


def give_out(graph: Graph, name: str, array: Array) -> Array:
    """A definition's value as a caller gets it: of a token int64."""
    if counted_by(graph, name) is None:
        return array
    whole: Array = array.real.astype(np.int64)
    return whole


def start_of(
    graph: Graph, name: str, array: Array, sizes: Mapping[str, int], dtype: Any
) -> Array:
    """A state's start as an executor holds it; of a token checked, element by element.

    array: (n_b, *shape); dtype: of reals. Raises: DtypeError, IndexRangeError.
    """
    index = counted_by(graph, name)
    if index is None:
        return array
    delays = graph.times.delays.items()
    given = next((owner for owner, holders in delays if name in holders), name)
    what, limit = f"initial state {given}", number_of(index, sizes)
    refuse_reals(what, array)
    if array.min() < 0 or array.max() >= limit:
        row = int(np.argmax((array < 0) | (array >= limit)))
        raise errors.IndexRangeError(
            f"{what} holds {int(array[row])} at (t, row) = "
            f"({_step_of(graph, name)}, {row}); it must lie in 0..{limit - 1} "
            f"({index} = {limit})"
        )
    return array.astype(np.int64 if name in graph.inputs else dtype, copy=False)


def _step_of(graph: Graph, name: str) -> str:
    """The step of the value that a start gives."""
    away = graph.times.origin(name)[1]
    return f"tau+{1 + away}" if name in graph.backward else f"{away}"
