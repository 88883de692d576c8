"""The buffers of one call, lent to its results and taken back when they are gone.

A training run asks for the same buffers again and again, and fresh pages cost more than
a step of a small cell. A result handed out is a NumPy array whose base holds the loan,
so a buffer is never used again while anyone can still read it.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.codegen.reduce import count_reduce_work
from bptt.execute.codegen.turns import Turns, flat_turn, full_turns
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.layout import Buffer, Layout
from bptt.execute.kernels.workspace import empty_aligned, empty_together

FloatArray = NDArray[Any]
KEPT = 3  # spare workspaces per executable


class Workspace:
    """Every buffer that a call of an executable needs, for one tau and n_b.

    table: the kernels' addresses, those of the buffers filled in; `numbers` finds an
    entry by name; work: the addresses of the threads' work spaces for products over all
    rows; turns: of a full batch, by direction (0: all steps at once). A ragged
    batch takes the steps that its useful ones fill, and turns of its own.
    """

    def __init__(self, executable: Executable, tau: int, n_b: int, dtype: Any) -> None:
        """Allocate; a row beyond the last step holds a boundary value, or zero."""
        self.shape = (tau, n_b)
        self.dtype = np.dtype(dtype)
        layout, code = executable.layout, executable.code
        self.layout = layout
        self.buffers = [self._buffer(buffer) for buffer in layout.buffers]
        self.packed = empty_together({p.name: p.n_reals for p in code.packed}, dtype)
        self.results = [self._empty(size) for size in executable.sums.sizes]
        self.result_addresses = [address_of(result) for result in self.results]
        self._work_size = count_reduce_work(executable.target, executable.real_bytes)
        self._work: list[FloatArray] = []
        self.work: list[int] = []
        self.boundaries: list[tuple[str, FloatArray]] = []
        addresses = {name: address_of(array) for name, array in self.packed.items()}
        padded = {node: name for name, node in executable.plan.padded.items()}
        for number in range(len(layout.buffers)):
            addresses |= self._addresses(layout, number)
        for node, place in layout.places.items():
            if node in padded:
                row = -1 if padded[node] in executable.program.graph.backward else 0
                part = self.buffers[place.buffer][row, :, place.column :][
                    :, : place.width
                ]
                self.boundaries.append((padded[node], part))
        self.numbers = {name: number for number, name in enumerate(code.names)}
        self.table = (ctypes.c_void_p * max(1, len(code.names)))(
            *(addresses.get(name, 0) for name in code.names)
        )
        self.table_address = ctypes.addressof(self.table)
        self.turns = {
            1: Turns(full_turns(tau, n_b, 1)),
            -1: Turns(full_turns(tau, n_b, -1)),
            0: Turns(flat_turn(tau * n_b)),
        }
        self._aligned: dict[tuple[int, int], FloatArray] = {}
        self._pointed: dict[int, Any] = {}

    def point(self, name: str, address: int) -> None:
        """Let an entry of the table show elsewhere, until `restore`."""
        number = self.numbers[name]
        self._pointed.setdefault(number, self.table[number])
        self.table[number] = address

    def restore(self) -> None:
        """Undo what an earlier call did by `point`."""
        # An interrupt may come between any two lines: what is undone twice is undone.
        for number, address in self._pointed.items():
            self.table[number] = address
        self._pointed.clear()

    def aligned(self, number: int, lag: int) -> FloatArray:
        """Space for a buffer's rows as they are read `lag` steps away."""
        key = (number, lag)
        if key not in self._aligned:
            n_rows = self.shape[0] * self.shape[1]
            self._aligned[key] = self._empty(n_rows, self.buffers[number].shape[2])
        return self._aligned[key]

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

    def _buffer(self, buffer: Buffer) -> FloatArray:
        tau, n_b = self.shape
        array = self._empty(tau + 2 * buffer.is_padded, n_b, buffer.stride)
        if buffer.is_padded:
            array[0] = 0
            array[-1] = 0
        return array

    def _addresses(self, layout: Layout, number: int) -> dict[str, int]:
        """A buffer's first row under its name, and its shifted readings."""
        buffer, item = layout.buffers[number], self.dtype.itemsize
        start = address_of(self.buffers[number])
        name = f"m{number}"
        if not buffer.is_padded:
            return {name: start}
        row = self.shape[1] * buffer.stride * item
        return {name: start + row, f"{name}@-1": start, f"{name}@+1": start + 2 * row}


def address_of(array: FloatArray) -> int:
    """Where a contiguous array's data begins.

    Through the buffer, six times as quick as `array.ctypes`; a read-only array has none
    that ctypes takes.
    """
    if array.flags.writeable:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    address: int = array.__array_interface__["data"][0]
    return address


class Loan:
    """Holds a workspace; when nobody holds the loan any more, it is lent again."""

    def __init__(self, workspace: Workspace, pool: list[Workspace]) -> None:
        """Lend `workspace`, to be returned to `pool`."""
        self.workspace = workspace
        weakref.finalize(self, _give_back, workspace, pool).atexit = False

    def view(self, array: FloatArray) -> FloatArray:
        """The same memory as an array that keeps the loan alive."""
        return np.asarray(_Lent(self, array))


class _Lent:
    """NumPy makes this object the base of the array it builds from it."""

    def __init__(self, loan: Loan, array: FloatArray) -> None:
        self._loan = loan
        self._array = array
        self.__array_interface__ = array.__array_interface__


def _give_back(workspace: Workspace, pool: list[Workspace]) -> None:
    # The oldest goes: a caller whose tau changed would else find the pool full of
    # shapes that it never asks for again, and allocate at every call.
    pool.append(workspace)
    del pool[:-KEPT]


def borrow(pool: list[Workspace], shape: tuple[int, int], make: Any) -> Loan:
    """A spare workspace of the right shape, or a new one.

    Spare ones of another shape stay until newer ones push them out. `list.pop` and
    `append` are atomic, so two threads never get the same one.
    """
    kept: list[Workspace] = []
    found = None
    while pool:
        try:
            candidate = pool.pop()
        except IndexError:
            break
        if candidate.shape == shape and found is None:
            found = candidate
        else:
            kept.append(candidate)
    pool.extend(reversed(kept))
    return Loan(found if found is not None else make(), pool)
