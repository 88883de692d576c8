"""A script: small operations on addresses, which machine code follows one by one.

A call of a small cell is a few kernels and a hundred things around them: addresses go
into a table, boundary values into rows, sums to where they are asked for. Written down
as numbers once, all of that runs without Python. An operation is `WORDS` words:

    POINT  dst src                             the address src goes to where dst is
    MOVE   dst src sizes strides strides       reals, in up to four loops
    ADD    the same                            dst + src goes to dst
    SUM    dst src rows width stride           0 + the rows, from the first to the last
    CALL   function, then its arguments

A place (dst, src, an argument) is two words: the number of a base and bytes from there.
Base 0 is 0: what is counted from there is an address, or a number.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, POINTER, Emitter, start_function
from bptt.execute.codegen.target import Target

__all__ = [
    "ADD", "CALLS", "FOLLOW_TYPES", "LOOPS", "MOVE", "POINT", "SUM", "WORDS",
    "emit_follow",
]  # fmt: skip

POINT, MOVE, ADD, SUM = range(4)
CALLS = {1: 4, 5: 5, 13: 6}  # the operation, by the function's number of arguments
WORDS = 32
LOOPS = 4
DST, SRC = 1, 3
SIZES, DST_STRIDES, SRC_STRIDES = 5, 5 + LOOPS, 5 + 2 * LOOPS  # strides in bytes
ROWS, WIDTH, STRIDE = 5, 6, 7  # the stride in bytes
FUNCTION, ARGUMENTS = 1, 3

# (operations, how many, the addresses of the bases)
FOLLOW_TYPES: list[Any] = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]

Value = Any


def emit_follow(module: ir.Module, name: str, target: Target, real_bytes: int) -> None:
    """Write `name`, with the arguments of FOLLOW_TYPES, for reals of one type."""
    kinds = [POINTER, INDEX, POINTER]
    e = start_function(module, name, kinds, target, real_bytes, is_public=True)
    operations, count, bases = e.function.args
    step = _Following(e, bases)

    def follow(number: Value) -> None:
        step.begin(operations, number)
        step.on(POINT, step.point)
        step.on(MOVE, lambda: step.move(is_added=False))
        step.on(ADD, lambda: step.move(is_added=True))
        step.on(SUM, step.sum)
        for n_arguments, code in CALLS.items():
            step.on(code, lambda n=n_arguments: step.call(n))

    e.loop(e.index(0), count, 1, follow)
    e.finish()


class _Following:
    """Writes what one operation does."""

    def __init__(self, e: Emitter, bases: Value) -> None:
        self._e, self._bases = e, bases
        self._words: Value = None

    def begin(self, operations: Value, number: Value) -> None:
        start = self._e.builder.mul(number, self._e.index(WORDS))
        self._words = self._gep(operations, start)

    def on(self, code: int, write: Any) -> None:
        b = self._e.builder
        self._e.when(b.icmp_signed("==", self._word(0), self._e.index(code)), write)

    def _gep(self, pointer: Value, words: Value) -> Value:
        return self._e.builder.gep(pointer, [words], source_etype=INDEX)

    def _load(self, pointer: Value, words: Value) -> Value:
        return self._e.builder.load(self._gep(pointer, words), typ=INDEX, align=8)

    def _word(self, number: int) -> Value:
        return self._load(self._words, self._e.index(number))

    def _place(self, number: int) -> Value:
        base = self._load(self._bases, self._word(number))
        return self._e.builder.add(base, self._word(number + 1))

    def _pointer(self, address: Value) -> Value:
        return self._e.builder.inttoptr(address, POINTER)

    def point(self) -> None:
        dst, src = self._place(DST), self._place(SRC)
        self._e.builder.store(src, self._pointer(dst), align=8)

    def call(self, n_arguments: int) -> None:
        numbers = [self._place(ARGUMENTS + 2 * n) for n in range(n_arguments)]
        kind = ir.FunctionType(ir.VoidType(), [INDEX] * n_arguments)
        b = self._e.builder
        b.call(b.inttoptr(self._word(FUNCTION), kind.as_pointer()), numbers)

    # ----- reals -----

    def move(self, *, is_added: bool) -> None:
        self._loop(0, self._place(DST), self._place(SRC), is_added=is_added)

    def _loop(self, depth: int, dst: Value, src: Value, *, is_added: bool) -> None:
        """The loops from one depth on; the innermost in vectors where it can be."""
        b, index = self._e.builder, self._e.index
        size = self._word(SIZES + depth)
        steps = self._word(DST_STRIDES + depth), self._word(SRC_STRIDES + depth)

        def at(number: Value) -> Sequence[Value]:
            return [b.add(place, b.mul(number, step))
                    for place, step in zip((dst, src), steps, strict=True)]  # fmt: skip

        if depth < LOOPS - 1:
            self._e.loop(
                index(0), size, 1,
                lambda n: self._loop(depth + 1, *at(n), is_added=is_added),
            )  # fmt: skip
            return
        item = index(self._e.real_bytes)
        is_dense = b.and_(*[b.icmp_signed("==", step, item) for step in steps])
        with b.if_else(is_dense) as (dense, strided):
            with dense:
                self._rows(dst, src, size, is_added=is_added)
            with strided:
                self._e.loop(
                    index(0), size, 1, lambda n: self._one(*at(n), is_added=is_added)
                )

    def _rows(self, dst: Value, src: Value, size: Value, *, is_added: bool) -> None:
        e = self._e

        def copy(column: Value) -> None:
            mask = e.mask_first(e.builder.sub(size, column))
            here, there = (e.at(self._pointer(p), column) for p in (src, dst))
            value = e.load(here, mask)
            if is_added:
                value = e.builder.fadd(e.load(there, mask), value)
            e.store(value, there, mask)

        e.loop(e.index(0), size, e.lanes, copy)

    def _one(self, dst: Value, src: Value, *, is_added: bool) -> None:
        e = self._e
        value, there = e.load_scalar(self._pointer(src)), self._pointer(dst)
        if is_added:
            value = e.builder.fadd(e.load_scalar(there), value)
        e.builder.store(value, there, align=e.real_bytes)

    def sum(self) -> None:
        """DST[column] = the sum of SRC's rows, a vector of columns at a time."""
        e = self._e
        dst, src = self._place(DST), self._place(SRC)
        n_rows, width, stride = (self._word(n) for n in (ROWS, WIDTH, STRIDE))

        def columns(column: Value) -> None:
            mask = e.mask_first(e.builder.sub(width, column))

            def add(row: Value, total: Value) -> list[Value]:
                begin = e.builder.add(src, e.builder.mul(row, stride))
                value = e.load(e.at(self._pointer(begin), column), mask)
                return [e.builder.fadd(total, value)]

            zero = e.constant(0.0)
            (total,) = e.fold(e.index(0), n_rows, 1, add, [zero])
            e.store(total, e.at(self._pointer(dst), column), mask)

        e.loop(e.index(0), width, e.lanes, columns)
