"""A plain call of an executable as a script: see `codegen.script`.

What `quick` does in Python at every call is decided here once: where each entry of the
table shows, which rows hold boundary values, which kernels and sums run, in that order.
Where an array lies is a place, the number of a base and bytes from there; base 1 is
memory that the call is given for its own time.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]
import numpy as np

from bptt.execute.codegen.jit import Compiled
from bptt.execute.codegen.objects import build
from bptt.execute.codegen.reduce import count_reduce_work
from bptt.execute.codegen.script import (
    ADD,
    CALLS,
    FOLLOW_TYPES,
    LOOPS,
    MOVE,
    POINT,
    SUM,
    WORDS,
    emit_follow,
)
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.turns import Turns, flat_turn, full_turns
from bptt.execute.compile.compiler import Executable
from bptt.execute.kernels.memory import address_of
from bptt.execute.kernels.places import (
    boundaries,
    buffer_shapes,
    edges,
    entries,
    find_rows,
)
from bptt.execute.kernels.quick import Recipe
from bptt.execute.kernels.totals import block_rows
from bptt.execute.kernels.workspace import ALIGNMENT
from bptt.step.graph import Node, name_of
from bptt.step.shapes import Array, numbers_of

Place = tuple[int, int]
NOWHERE: Place = (0, 0)  # read by nothing
SCRATCH = 1  # the number of a call's own memory
# Above this a call takes memory that is kept: the pages of fresh memory cost more.
MOST_SCRATCH = 8 << 20


class NoScriptError(LookupError):
    """A call does something that a script has no operation for."""


class Strided:
    """An array somewhere: its place, shape, and strides in bytes."""

    __slots__ = ("place", "shape", "strides")

    def __init__(
        self, place: Place, shape: Sequence[int], strides: Sequence[int]
    ) -> None:
        self.place, self.shape, self.strides = place, tuple(shape), tuple(strides)

    @classmethod
    def dense(cls, place: Place, shape: Sequence[int], item: int) -> Strided:
        """One in a piece."""
        strides = [item * prod(shape[n + 1 :]) for n in range(len(shape))]
        return cls(place, shape, strides)

    def step(self, number: int) -> Strided:
        """Its rows of one step, from the front or, if < 0, from the back."""
        number += self.shape[0] if number < 0 else 0
        base, begin = self.place
        place = (base, begin + number * self.strides[0])
        return Strided(place, self.shape[1:], self.strides[1:])


class ScriptWriter:
    """Writes the script of an executable's plain call, from its recipe.

    sizes: of named dimensions; operations: what was written; scratch: bytes of the
    call's own memory; alive: arrays that addresses in the operations point at.
    """

    def __init__(
        self, executable: Executable, recipe: Recipe, sizes: Mapping[str, int]
    ) -> None:
        """Raises: NoScriptError."""
        self.executable, self.recipe, self.sizes = executable, recipe, sizes
        self.program = executable.program
        self.tau, self.n_b = recipe.shape
        self.item = executable.real_bytes
        self.operations: list[int] = []
        self.scratch = 0
        self.alive: list[Any] = []
        self._zero = self.keep(np.zeros(1, f"f{self.item}"))
        names = executable.code.names
        self._table = self.take(8 * len(names))
        self._entries: dict[int, Place] = {}
        self._numbers = {name: number for number, name in enumerate(names)}
        self._buffers: Sequence[Place] = ()

    # ----- memory -----

    def take(self, n_bytes: int) -> Place:
        """Some of the call's own memory."""
        begin = -(-self.scratch // ALIGNMENT) * ALIGNMENT
        self.scratch = begin + n_bytes
        if self.scratch > MOST_SCRATCH:
            raise NoScriptError("a call that takes much memory")
        return SCRATCH, begin

    def keep(self, array: Array) -> Place:
        """An array that is the same in all calls."""
        self.alive.append(array)
        return 0, address_of(array)

    def take_buffers(self) -> list[Place]:
        """Memory for what kernels leave for each other, of the call's own."""
        shapes = buffer_shapes(self.executable, *self.recipe.shape)
        return [self.take(prod(shape) * self.item) for shape in shapes]

    def dense(self, place: Place, shape: Sequence[int]) -> Strided:
        """An array of reals in a piece."""
        return Strided.dense(place, shape, self.item)

    def numbers(self, shape: Any) -> tuple[int, ...]:
        """A shape with named dimensions as numbers."""
        return numbers_of(shape, self.sizes)

    # ----- operations -----

    def write(self, *words: int) -> None:
        """One operation."""
        self.operations += [*words, *[0] * (WORDS - len(words))]

    @property
    def n_operations(self) -> int:
        """How many were written."""
        return len(self.operations) // WORDS

    def move(
        self, dst: Strided, src: Strided | None, *, is_added: bool = False
    ) -> None:
        """Copy or add an array of the same shape; None: zeros."""
        if src is None:
            src = Strided(self._zero, dst.shape, [0] * len(dst.shape))
        if dst.shape != src.shape:
            raise NoScriptError("an array of another shape")
        sizes, dst_strides, src_strides = _join_loops(dst, src, self.item)
        if len(sizes) > LOOPS:
            raise NoScriptError("an array of many axes")
        rest = LOOPS - len(sizes)
        self.write(
            ADD if is_added else MOVE, *dst.place, *src.place,
            *[1] * rest, *sizes, *[0] * rest, *dst_strides, *[0] * rest, *src_strides,
        )  # fmt: skip

    def call(self, function: Callable[..., Any], *arguments: int | Place) -> None:
        """Call machine code that is loaded; it must stay."""
        self.alive.append(function)
        kept: Any = function
        address = ctypes.cast(kept, ctypes.c_void_p).value or 0
        places = [(0, a) if isinstance(a, int) else a for a in arguments]
        words = [number for place in places for number in place]
        self.write(CALLS[len(places)], address, 0, *words)

    # ----- a call -----

    def enter(
        self, buffers: Sequence[Place], leaves: Mapping[str, Place],
        parameters: Mapping[str, Place],
    ) -> None:  # fmt: skip
        """Fill the table; what no kernel reads stays nowhere.

        buffers: where each lies; leaves: inputs and seeds by their names in the table.
        Raises: NoScriptError, where kernels read what NumPy makes.
        """
        self._buffers = buffers
        for number, (base, begin) in enumerate(buffers):
            for name, n_bytes in entries(self.executable, self.n_b, number).items():
                self._entries[self._numbers.get(name, -1)] = base, begin + n_bytes
        self._entries.pop(-1, None)
        for part in self.executable.code.packed:
            self._enter(part.name, self.take(part.n_reals * self.item))
        for name, place in leaves.items():
            self._enter(name, place)
        ones = np.ones(self.recipe.n_rows, f"f{self.item}")
        if self.recipe.weight is not None:
            self._enter("weight", self.keep(ones))
        statics = self.executable.code.statics
        if statics.tables:
            raise NoScriptError("a table that NumPy makes")
        for name, node in statics.arrays.items():
            self._enter(name, parameters[_parameter(node)])
        base, begin = self._table
        for number in self._numbers.values():
            place = self._entries.get(number, NOWHERE)
            self.write(POINT, base, begin + 8 * number, *place)

    def _enter(self, name: str, place: Place) -> None:
        if name in self._numbers:
            self._entries[self._numbers[name]] = place

    def clear_edges(self) -> None:
        """As `memory.clear_edges`: zeros beyond the first and the last step."""
        for number, row in edges(self.executable):
            stride = self.executable.layout.buffers[number].stride
            self.move(self._columns(number, 0, stride).step(row), None)

    def fill_boundaries(self, initial: Mapping[str, Place]) -> None:
        """The values before the first step, zeros where none are given."""
        for name, spot, row in boundaries(self.executable):
            rows = self._columns(spot.buffer, spot.column, spot.width).step(row)
            given = initial.get(name)
            self.move(rows, None if given is None else self.dense(given, rows.shape))

    def _columns(self, number: int, column: int, width: int) -> Strided:
        """Columns of a whole buffer, boundary rows and all."""
        shape = buffer_shapes(self.executable, *self.recipe.shape)[number]
        base, begin = self._buffers[number]
        row = shape[2] * self.item
        return Strided(
            (base, begin + column * self.item),
            (*shape[:2], width), (shape[1] * row, row, self.item),
        )  # fmt: skip

    def pack(self) -> None:
        """Weights as the kernels want them."""
        if self.executable.pack is not None:
            self.call(self.executable.pack, self._table)

    def run_phase(self, phase: int) -> None:
        """The kernels of a phase, all rows each."""
        turns = {
            1: Turns(full_turns(self.tau, self.n_b, 1)),
            -1: Turns(full_turns(self.tau, self.n_b, -1)),
            0: Turns(flat_turn(self.recipe.n_rows)),
        }
        self.alive.append(turns)
        for when, direction, kernel, rows in self.recipe.kernels:
            if when == phase:
                order = turns[direction]
                self.call(kernel, order.place, order.count, 0, rows, self._table)

    def sum_all(self) -> list[Place]:
        """The products over all rows; where the results lie, as in a workspace."""
        executable = self.executable
        found = [self.take(n * self.item) for n in executable.sums.sizes]
        work = self.take(count_reduce_work(executable.target, self.item) * self.item)
        places = iter(found)
        for a, m, b, n, keeps in self.recipe.products:
            place, sums = next(places), next(places)
            self.call(
                executable.reduce, self.recipe.n_rows, self._operand(a), a[2], 0, m,
                self._operand(b), b[2], n, place, n, sums if keeps else NOWHERE, work,
                0,
            )  # fmt: skip
        return found

    def _operand(self, operand: tuple[int, int, int]) -> Place:
        number, begin, _ = operand
        base, start = self._entries[number]
        return base, start + begin

    # ----- what is where -----

    def find(self, node: Node | None) -> Strided:
        """A value of steps, (tau, n_b, *core). Raises: NoScriptError."""
        rows = find_rows(self.executable, node, self.tau, self.n_b, self.numbers)
        if rows is None:
            raise NoScriptError("a value that no kernel leaves")
        base, begin = self._buffers[rows.buffer]
        return Strided((base, begin + rows.start), rows.shape, rows.strides)

    def total(self, node: Node, dst: Strided) -> None:
        """A total over time that is no product, as `totals.Total` sums it.

        Raises: NoScriptError.
        """
        rows = self.find(node.inputs[0])
        core, width = rows.shape[2:], prod(rows.shape[2:])
        if node.op != "total" or dst.shape != core or width < 2:
            raise NoScriptError("a total that NumPy makes")
        (base, begin), stride = rows.place, rows.strides[1]
        blocks = _cut(
            self.recipe.n_rows, block_rows(width), self.executable.sweeps.direction
        )
        part = self.dense(self.take(width * self.item), core) if blocks[1:] else dst
        for number, (start, end) in enumerate(blocks):
            here = part if number else dst
            source = (base, begin + start * stride)
            self.write(SUM, *here.place, *source, end - start, width, stride)
            if number:
                self.move(dst, part, is_added=True)


def _parameter(node: Node) -> str:
    """The parameter that a static value is. Raises: NoScriptError."""
    while node.op == "stop_gradient":
        (node,) = node.inputs
    if node.op != "parameter":
        raise NoScriptError("a value that NumPy makes of parameters")
    return name_of(node)


def _join_loops(dst: Strided, src: Strided, item: int) -> tuple[list[int], ...]:
    """Sizes and strides with as few loops as they allow; at least one."""
    sizes, dst_strides, src_strides = [1], [item], [item]
    for size, d, s in zip(
        reversed(dst.shape), reversed(dst.strides), reversed(src.strides), strict=True
    ):
        if size == 1:
            continue
        if sizes == [1]:
            sizes, dst_strides, src_strides = [size], [d], [s]
        elif d == sizes[0] * dst_strides[0] and s == sizes[0] * src_strides[0]:
            sizes[0] *= size
        else:
            sizes.insert(0, size)
            dst_strides.insert(0, d)
            src_strides.insert(0, s)
    return sizes, dst_strides, src_strides


def _cut(n_rows: int, size: int, direction: int) -> list[tuple[int, int]]:
    """The blocks of `totals.Blocks`, in the order in which they are summed."""
    ends = [(n, min(n + size, n_rows)) for n in range(0, n_rows, size)]
    if direction > 0:
        return ends
    return [(n_rows - end, n_rows - begin) for begin, end in ends]


@functools.cache
def compile_follow(target: Target, real_bytes: int) -> Compiled:
    """The function that follows scripts, `follow`; one for every element type."""

    def write() -> str:
        module = ir.Module()
        emit_follow(module, "follow", target, real_bytes)
        return str(module)

    signatures = {"follow": FOLLOW_TYPES}
    return build(("follow", real_bytes), write, target, signatures)
