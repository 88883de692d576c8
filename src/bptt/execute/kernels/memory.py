"""The buffers of one call, lent to its results and taken back when they are gone.

A training run asks for the same buffers again and again, and fresh pages cost more than
a step of a small cell. A result handed out is a NumPy array whose base holds the loan,
so a buffer is never used again while anyone can still read it.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.codegen.reduce import count_reduce_work
from bptt.execute.codegen.turns import Turns, flat_turn, full_turns
from bptt.execute.compile.compiler import Executable
from bptt.execute.kernels.places import (
    boundaries,
    buffer_shapes,
    edges,
    entries,
    place_together,
)
from bptt.execute.kernels.workspace import empty_aligned, empty_together
from bptt.step.graph import Node

FloatArray = NDArray[Any]
Memory = Sequence[FloatArray | None]
MOST_LENGTHS = 3  # numbers of steps whose turns a workspace keeps


class StepMemory:
    """What kernels leave for each other and for the caller, apart from a workspace.

    A forward pass whose values live on keeps this alone; weights that are packed, sums
    and scratch serve the next call.
    """

    def __init__(self, executable: Executable, tau: int, n_b: int, dtype: Any) -> None:
        """Allocate, in one piece: small buffers take no page of their own."""
        self.shape, self.executable = (tau, n_b), executable
        starts, size = place_together(executable, tau, n_b)
        block = empty_together({"": size}, dtype, is_shared=False)[""]
        self.n_bytes = block.nbytes
        # What the second phase alone writes lies in the workspace that it runs in.
        self.buffers = cut_out(block, starts, buffer_shapes(executable, tau, n_b))
        clear_edges(executable, self.buffers)


def cut_out(
    block: FloatArray,
    starts: Sequence[int | None],
    shapes: Sequence[tuple[int, ...]],
) -> list[FloatArray | None]:
    """The arrays of `place_together` in its block; None for one that is not there."""
    return [
        None
        if start is None
        else block[start : start + math.prod(shape)].reshape(shape)
        for start, shape in zip(starts, shapes, strict=True)
    ]


def clear_edges(executable: Executable, memory: Memory) -> None:
    """Zero beyond the first and the last step, where a boundary value lies.

    Not where nothing reads it: a neighbour's rows may lie there.
    """
    for number, row in edges(executable):
        array = memory[number]
        if array is not None:
            array[row] = 0


class Workspace:
    """Every buffer that a call of an executable needs, for one tau and n_b.

    table: the kernels' addresses, those of the buffers filled in; `numbers` finds an
    entry by name; work: the addresses of the threads' work spaces for products over all
    rows; turns: of a full batch, by direction (0: all steps at once). A ragged
    batch takes the steps that its useful ones fill, and turns of its own. last: a
    token of the call that gave it back as it is, to go on in it.
    """

    def __init__(self, executable: Executable, tau: int, n_b: int, dtype: Any) -> None:
        """Allocate; a row beyond the last step holds a boundary value, or zero."""
        self.shape = self._capacity = (tau, n_b)
        self.dtype = np.dtype(dtype)
        self._executable, code = executable, executable.code
        self.buffers: Sequence[FloatArray] = ()
        self._own: Sequence[FloatArray] | None = None
        self._placed: Memory | None = None
        self._late: dict[int, FloatArray] = {}
        self.packed = empty_together({p.name: p.n_reals for p in code.packed}, dtype)
        self.results = [self._empty(size) for size in executable.sums.sizes]
        self.result_addresses = [address_of(result) for result in self.results]
        self._work_size = count_reduce_work(executable.target, executable.real_bytes)
        self._work: list[FloatArray] = []
        self.work: list[int] = []
        self.boundaries: list[tuple[str, FloatArray]] = []
        addresses = {name: address_of(array) for name, array in self.packed.items()}
        self.numbers = {name: number for number, name in enumerate(code.names)}
        self.table = (ctypes.c_void_p * max(1, len(code.names)))(
            *(addresses.get(name, 0) for name in code.names)
        )
        self.table_address = ctypes.addressof(self.table)
        self._turns: dict[int, dict[int, Turns]] = {}
        self.turns = self._make_turns()
        self.interfaces: dict[int, Any] = {}  # of results, made once: 1 us each
        self._aligned: dict[tuple[int, int], FloatArray] = {}
        self._pointed: dict[int, Any] = {}
        self.last: object = None
        # Whose addresses the table has: see `bindings.Steady`.
        self.bound: weakref.ref[Any] | None = None

    def place(self, memory: Memory | None = None) -> None:
        """Let the values between kernels lie in a caller's memory, or in its own.

        memory: what `buffer_shapes` says, of which a ragged batch takes a part; None
        for a buffer that is to lie here.
        """
        if memory is None:
            memory = self._get_own()
        if self._placed is memory:
            return
        self._placed = None  # an interrupt may come between any two lines
        self.buffers = [
            self._make_late(number) if array is None else array
            for number, array in enumerate(memory)
        ]
        for number in range(len(memory)):
            for name, address in self.addresses(number).items():
                if name in self.numbers:
                    self.table[self.numbers[name]] = address
        self.boundaries = [
            (name, self.buffers[place.buffer][row][:, place.column :][:, : place.width])
            for name, place, row in boundaries(self._executable)
        ]
        self._placed = memory

    def _make_late(self, number: int) -> FloatArray:
        """A buffer of its own, for as many steps as it was made for."""
        if number not in self._late:
            shape = buffer_shapes(self._executable, *self._capacity)[number]
            array = self._late[number] = self._empty(*shape)
            if self._executable.layout.buffers[number].is_padded:
                array[0] = array[-1] = 0
        return self._late[number]

    def _make_turns(self) -> dict[int, Turns]:
        """The turns of a full batch of this shape."""
        tau, n_b = self.shape
        if tau not in self._turns:
            if len(self._turns) > MOST_LENGTHS:
                self._turns.clear()
            self._turns[tau] = {
                1: Turns(full_turns(tau, n_b, 1)),
                -1: Turns(full_turns(tau, n_b, -1)),
                0: Turns(flat_turn(tau * n_b)),
            }
        return self._turns[tau]

    def _get_own(self) -> Sequence[FloatArray]:
        """Memory of its own, for as many steps as it was made for."""
        if self._own is None:
            shapes = buffer_shapes(self._executable, *self._capacity)
            own = [self._empty(*shape) for shape in shapes]
            clear_edges(self._executable, own)
            self._own = own
        return self._own

    def resize(self, tau: int) -> None:
        """Use the first part of its own memory, for so many steps."""
        if tau == self.shape[0]:
            return
        self.shape = (tau, self.shape[1])
        self.turns = self._make_turns()
        own = self._get_own()
        if self.shape != self._capacity:
            shapes = buffer_shapes(self._executable, *self.shape)
            own = _first_parts(own, shapes)
        self.place(own)

    def unfold(self) -> None:
        """Undo `resize`, and what calls left beyond the first and last steps."""
        self.resize(self._capacity[0])
        # A later call counts what it holds: turns of other lengths are not its own.
        self._turns = {self.shape[0]: self.turns}
        clear_edges(self._executable, self.buffers)

    def step_rows(self, node: Node, begin: int, count: int) -> FloatArray:
        """Rows of a value that other steps read, counted from those of the first."""
        place = self._executable.layout.places[node]
        buffer = self.buffers[place.buffer]
        rows = buffer.reshape(-1, buffer.shape[2])
        begin += self.shape[1]
        part: FloatArray = rows[begin : begin + count]
        return part[:, place.column : place.column + place.width]

    @property
    def n_bytes(self) -> int:
        """All memory that it has allocated."""
        turns = sum(t.n_bytes for kept in self._turns.values() for t in kept.values())
        own = self._own or ()
        arrays = (*own, *self.results, *self._work, *self._aligned.values(),
                  *self._late.values())  # fmt: skip
        packed = sum(array.nbytes for array in self.packed.values())
        return turns + packed + sum(array.nbytes for array in arrays)

    def adopt(self, memory: Sequence[FloatArray], *, is_new: bool) -> None:
        """Place the values in a caller's memory, whole or, if new, to be written."""
        shapes = buffer_shapes(self._executable, *self.shape)
        parts = _first_parts(memory, shapes)
        if is_new:
            clear_edges(self._executable, parts)
        self.place(parts)

    def point(self, name: str, address: int) -> None:
        """Let an entry of the table show elsewhere, until `restore`."""
        number = self.numbers[name]
        self._pointed.setdefault(number, self.table[number])
        self.table[number] = address

    def restore(self) -> None:
        """Undo what an earlier call did by `point`, and forget whose it was."""
        self.last = None
        # An interrupt may come between any two lines: what is undone twice is undone.
        for number, address in self._pointed.items():
            self.table[number] = address
        self._pointed.clear()

    def aligned(self, number: int, lag: int) -> FloatArray:
        """Space for a buffer's rows as they are read `lag` steps away."""
        key = (number, lag)
        if key not in self._aligned:
            n_rows = self._capacity[0] * self._capacity[1]
            self._aligned[key] = self._empty(n_rows, self.buffers[number].shape[2])
        return self._aligned[key]

    def drop_copies(self) -> None:
        """Forget the space that ragged batches copied to."""
        self._aligned.clear()

    def make_work(self, n_threads: int) -> None:
        """Let `work` hold the address of a work space for each of so many threads.

        Before they start: two threads that both make one could be given the same.
        """
        while len(self.work) < n_threads:
            space = empty_aligned((self._work_size,), self.dtype)
            self._work.append(space)
            self.work.append(address_of(space))

    def _empty(self, *shape: int) -> FloatArray:
        return empty_aligned(shape, self.dtype)

    def addresses(self, number: int) -> dict[str, int]:
        """A buffer's first row under its name, and its shifted readings."""
        start = address_of(self.buffers[number])
        found = entries(self._executable, self.shape[1], number)
        return {name: start + begin for name, begin in found.items()}


def _first_parts(
    memory: Sequence[FloatArray], shapes: Sequence[tuple[int, ...]]
) -> list[FloatArray]:
    return [
        array.reshape(-1)[: math.prod(shape)].reshape(shape)
        for array, shape in zip(memory, shapes, strict=True)
    ]


def address_of(array: FloatArray) -> int:
    """Where a contiguous array's data begins.

    Through the buffer, six times as quick as `array.ctypes`; a read-only array has none
    that ctypes takes.
    """
    if array.flags.writeable:
        buffer: Any = array
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    address: int = array.__array_interface__["data"][0]
    return address


def array_at(
    address: int, n_rows: int, width: int, stride: int, dtype: np.dtype[Any]
) -> FloatArray:
    """Rows of a buffer as an array; the caller keeps the memory alive."""
    n_bytes = ((n_rows - 1) * stride + width) * dtype.itemsize
    memory = (ctypes.c_char * n_bytes).from_address(address)
    strides = (stride * dtype.itemsize, dtype.itemsize)
    return np.ndarray((n_rows, width), dtype, memoryview(memory), 0, strides)


class _Spare(weakref.ref["Loan"]):
    """A workspace that goes to the spare ones when its loan is gone.

    By C functions alone. Python would run what a signal asks for inside a finaliser of
    its own, too, and an exception there is lost, Ctrl-C's with it.
    """

    __slots__ = ("workspace",)
    workspace: Any


class Loan:
    """Holds a workspace; when nobody holds the loan any more, it is lent again.

    Or a memory of steps, of which `view_result` knows nothing.
    """

    def __init__(self, workspace: Any, pool: deque[Any]) -> None:
        """Lend `workspace`, to be returned to `pool`."""
        self.workspace = workspace
        # Of a full pool the oldest goes: a caller whose tau changed would else find
        # shapes there that it never asks for again, and allocate at every call.
        self._spare = _Spare(self, pool.append)
        self._spare.workspace = workspace

    def view(self, array: FloatArray) -> FloatArray:
        """The same memory as an array that keeps the loan alive."""
        return np.asarray(_Lent(self, array, array.__array_interface__))

    def view_result(self, number: int) -> FloatArray:
        """The same of one of the workspace's results."""
        array, known = self.workspace.results[number], self.workspace.interfaces
        if number not in known:
            known[number] = array.__array_interface__
        return np.asarray(_Lent(self, array, known[number]))


class _Lent:
    """NumPy makes this object the base of the array it builds from it."""

    __slots__ = ("__array_interface__", "_array", "_loan")

    def __init__(self, loan: Loan, array: FloatArray, interface: Any) -> None:
        self._loan = loan
        self._array = array
        self.__array_interface__ = interface


def borrow(pool: deque[Any], shape: tuple[int, int], make: Any) -> Loan:
    """A spare workspace, or memory of steps, of the right shape, or a new one.

    Spare ones of another shape stay until newer ones push them out. `pop` and `append`
    are atomic, so two threads never get the same one.
    """
    kept: list[Any] = []
    found = None
    while pool:
        try:
            candidate = pool.pop()
        except IndexError:
            break
        if candidate.workspace.shape == shape and found is None:
            found = candidate.workspace
        else:
            kept.append(candidate)
    pool.extend(reversed(kept))
    return Loan(found if found is not None else make(), pool)
