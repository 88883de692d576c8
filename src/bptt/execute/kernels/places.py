"""Where values lie in the buffers of a call, in steps, rows and bytes.

What follows from an executable, a number of steps and one of rows, whoever's memory it
is: a workspace's, a caller's block, or one that a script is given.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.layout import BufferPlace
from bptt.execute.kernels.workspace import ALIGNMENT
from bptt.step.graph import Node, shift_of, walk


def buffer_shapes(executable: Executable, tau: int, n_b: int) -> list[tuple[int, ...]]:
    """The shapes of the buffers in which kernels leave values for each other."""
    return [
        (tau + 2 * buffer.is_padded, n_b, buffer.stride)
        for buffer in executable.layout.buffers
    ]


def place_together(
    executable: Executable, tau: int, n_b: int
) -> tuple[list[int | None], int]:
    """Where the buffers of a first phase begin in one block, and its size, in reals.

    A boundary row that nothing reads lies over a neighbour's rows: of a single step it
    would be a third of the memory.
    """
    step = ALIGNMENT // executable.real_bytes
    early, reads = executable.early_buffers, boundaries_read(executable)
    shapes = buffer_shapes(executable, tau, n_b)
    starts: list[int | None] = [None] * len(shapes)
    end = size = 0
    # One without a first row lies over the end of the others, so it comes after them,
    # the widest row last.
    for number in sorted(early, key=lambda n: (not reads[n][0], shapes[n][2], n)):
        has_first, has_last = reads[number]
        row, whole = n_b * shapes[number][2], math.prod(shapes[number])
        start = end if has_first else max(0, end - row)
        starts[number] = start = -(-start // step) * step
        end = start + whole - (0 if has_last else row)
        size = max(size, start + whole)
    return starts, size


@functools.lru_cache(maxsize=64)
def boundaries_read(executable: Executable) -> list[tuple[bool, bool]]:
    """Per buffer, whether anything reads its row before the first or after the last."""
    layout, padded = executable.layout, executable.plan.padded
    shifts = [n for n in walk(executable.program.roots.values()) if n.op == "shift"]
    shifts += [node for nodes in executable.other_steps for node in nodes]
    lags: dict[int, set[int]] = {}
    for name, lag in map(shift_of, shifts):
        if name in padded:
            lags.setdefault(layout.places[padded[name]].buffer, set()).add(lag)
    both = {-1, 1}
    read = [
        lags.get(number, both) if buffer.is_padded else both
        for number, buffer in enumerate(layout.buffers)
    ]
    return [(-1 in found, 1 in found) for found in read]


def edges(executable: Executable) -> Iterator[tuple[int, int]]:
    """The buffers' rows that are zero where no value is given: (buffer, 0 or -1).

    Not where nothing reads it: a neighbour's rows may lie there.
    """
    reads = boundaries_read(executable)
    for number, buffer in enumerate(executable.layout.buffers):
        if buffer.is_padded:
            is_apart = number not in executable.early_buffers
            for is_read, row in zip(reads[number], (0, -1), strict=True):
                if is_read or is_apart:
                    yield number, row


def boundaries(executable: Executable) -> Iterator[tuple[str, BufferPlace, int]]:
    """The states' initial values: name, columns, and the row of the buffer, 0 or -1."""
    reads = boundaries_read(executable)
    names = {node: name for name, node in executable.plan.padded.items()}
    for node, place in executable.layout.places.items():
        if node in names:
            row = -1 if names[node] in executable.program.graph.backward else 0
            if reads[place.buffer][row]:  # else other rows may lie over it
                yield names[node], place, row


def entries(executable: Executable, n_b: int, number: int) -> dict[str, int]:
    """What a table has of a buffer: bytes to its first row, and to shifted readings."""
    buffer = executable.layout.buffers[number]
    name = f"m{number}"
    if not buffer.is_padded:
        return {name: 0}
    row = n_b * buffer.stride * executable.real_bytes
    return {name: row, f"{name}@-1": 0, f"{name}@+1": 2 * row}


@dataclass(frozen=True)
class StepRows:
    """A value's rows of all steps: `start` bytes into a buffer; strides in bytes."""

    buffer: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def find_rows(
    executable: Executable, node: Node | None, tau: int, n_b: int,
    numbers: Callable[[Any], tuple[int, ...]],
) -> StepRows | None:  # fmt: skip
    """Where a value of steps is, (tau, n_b, *core); None if no kernel leaves it."""
    if node is None or not node.timed:
        return None
    layout, item = executable.layout, executable.real_bytes
    node = executable.plan.canon(node)
    place = layout.left_at(node)
    if place is None:
        return None
    buffer = layout.buffers[place.buffer]
    row = n_b * buffer.stride * item
    core = numbers(node.axes)
    cores = np.empty(core, f"f{item}").strides
    begin = row * buffer.is_padded + place.column * item
    strides = (row, buffer.stride * item, *cores)
    return StepRows(place.buffer, begin, (tau, n_b, *core), strides)
