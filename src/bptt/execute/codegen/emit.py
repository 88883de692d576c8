"""A builder of vector IR: constants, arithmetic, memory and loops for one real type."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.target import Target

__all__ = ["BYTE", "INDEX", "POINTER", "Emitter", "start_function"]

INDEX = ir.IntType(64)
POINTER = ir.PointerType()
BYTE = ir.IntType(8)

Value = Any  # llvmlite ships no type stubs; an SSA value of LLVM IR


# Kept, because an LLVM constant writes its text once, and sixteen lanes take a while.
@functools.lru_cache(maxsize=1024)
def _vector_constant(real_bytes: int, lanes: int, value: float) -> Value:
    if real_bytes == 4:
        value = struct.unpack("f", struct.pack("f", value))[0]
    real = ir.FloatType() if real_bytes == 4 else ir.DoubleType()
    return ir.Constant(ir.VectorType(real, lanes), [value] * lanes)


class Emitter:
    """Writes the instructions of one function, on vectors of `lanes` reals.

    `builder` writes where the code is now; `entry` writes into the function's first
    block, for addresses that do not change inside its loops. Call `finish` once at the
    end: it joins the two and returns.
    """

    def __init__(self, function: ir.Function, target: Target, real_bytes: int) -> None:
        self.function = function
        self.module: ir.Module = function.module
        self.target = target
        self.real_bytes = real_bytes
        self.lanes = target.count_lanes(real_bytes)
        self.real = ir.FloatType() if real_bytes == 4 else ir.DoubleType()
        self.integer = ir.IntType(8 * real_bytes)
        self.vector = ir.VectorType(self.real, self.lanes)
        self.integers = ir.VectorType(self.integer, self.lanes)
        self.mask = ir.VectorType(ir.IntType(1), self.lanes)
        self.suffix = f"v{self.lanes}f{8 * real_bytes}"
        first = function.append_basic_block("entry")
        self.entry = ir.IRBuilder(first)
        self.builder = ir.IRBuilder(function.append_basic_block("body"))
        self._body = self.builder.block

    def finish(self) -> None:
        """Return from the function and join its first block to its body."""
        self.builder.ret_void()
        self.entry.branch(self._body)

    # Constants and lanes.

    def index(self, value: int) -> Value:
        """A constant of the type of sizes, rows and columns (64-bit integer)."""
        return ir.Constant(INDEX, value)

    def constant(self, value: float) -> Value:
        """A vector with `value`, rounded to the real type, in every lane."""
        return _vector_constant(self.real_bytes, self.lanes, value)

    def integer_constant(self, value: int) -> Value:
        """A vector of integers as wide as the reals, `value` in every lane."""
        return ir.Constant(self.integers, [value] * self.lanes)

    def splat(self, scalar: Value) -> Value:
        """A vector with the same scalar in every lane."""
        kind = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        zero = ir.Constant(ir.IntType(32), 0)
        first = self.builder.insert_element(undefined, scalar, zero)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return self.builder.shuffle_vector(first, undefined, lanes)

    # Arithmetic that is not a plain instruction.

    def call(self, name: str, result: Any, operands: Sequence[Value]) -> Value:
        """Call the intrinsic or function `name`, declaring it if needed."""
        callee = self.module.globals.get(name)
        if callee is None:
            kind = ir.FunctionType(result, [operand.type for operand in operands])
            callee = ir.Function(self.module, kind, name)
        return self.builder.call(callee, list(operands))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c with one rounding (the C library's where the CPU has none)."""
        return self.call(f"llvm.fma.{self.suffix}", self.vector, [a, b, c])

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, with one rounding where the CPU does that, else with two."""
        if self.target.has_fma:
            return self.fma(a, b, c)
        return self.builder.fadd(self.builder.fmul(a, b), c)

    def unary(self, name: str, x: Value) -> Value:
        """The vector intrinsic llvm.`name` of one operand."""
        return self.call(f"llvm.{name}.{self.suffix}", self.vector, [x])

    def as_integers(self, x: Value) -> Value:
        """The bits of a vector of reals."""
        return self.builder.bitcast(x, self.integers)

    def as_reals(self, bits: Value) -> Value:
        """The reals that have these bits."""
        return self.builder.bitcast(bits, self.vector)

    # Memory. Arrays are aligned to one real only; panels and scratch to a vector.

    def at(self, pointer: Value, *offsets: Value | int) -> Value:
        """The address `offsets` reals (their sum) behind `pointer`."""
        for offset in offsets:
            if isinstance(offset, int) and offset == 0:
                continue
            step = self.index(offset) if isinstance(offset, int) else offset
            pointer = self.builder.gep(pointer, [step], source_etype=self.real)
        return pointer

    def load_scalar(self, pointer: Value) -> Value:
        """One real."""
        return self.builder.load(pointer, typ=self.real, align=self.real_bytes)

    def load(
        self, pointer: Value, mask: Value = None, *, aligned: bool = False
    ) -> Value:
        """One vector; lanes outside `mask` are zero and their memory is not touched."""
        align = self.target.vector_bytes if aligned else self.real_bytes
        if mask is None:
            return self.builder.load(pointer, typ=self.vector, align=align)
        name = f"llvm.masked.load.{self.suffix}.p0"
        return self._masked(name, self.vector, [pointer, mask, self.constant(0.0)], 0)

    def store(
        self, value: Value, pointer: Value, mask: Value = None, *, aligned: bool = False
    ) -> None:
        """Store one vector; memory of lanes outside `mask` is not touched."""
        align = self.target.vector_bytes if aligned else self.real_bytes
        if mask is None:
            self.builder.store(value, pointer, align=align)
            return
        name = f"llvm.masked.store.{self.suffix}.p0"
        self._masked(name, ir.VoidType(), [value, pointer, mask], 1)

    def _masked(
        self, name: str, result: Any, operands: list[Value], pointer: int
    ) -> Value:
        # The alignment is an i32 operand behind the pointer; every LLVM that reads this
        # text upgrades it to the newer attribute form if it has one.
        align = ir.Constant(ir.IntType(32), self.real_bytes)
        operands.insert(pointer + 1, align)
        return self.call(name, result, operands)

    def mask_first(self, count: Value) -> Value:
        """The mask whose first `count` lanes are on (all of them if count >= lanes)."""
        # Numbers as wide as the reals, so that the mask fits the vector it is used on;
        # a count is at most a row's width and never leaves 32 bits once it is clamped.
        wide = self.minimum_index(count, self.index(self.lanes))
        wide = self.builder.select(
            self.builder.icmp_signed("<", wide, self.index(0)), self.index(0), wide
        )
        if self.real_bytes == 4:
            wide = self.builder.trunc(wide, self.integer)
        numbers = ir.Constant(self.integers, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(wide))

    def prefetch(self, pointer: Value, level: int = 3) -> None:
        """Ask for the cache line at `pointer`; any address is allowed.

        `level` 3 brings it into the first-level cache, 2 into the second.
        """
        flags = [ir.Constant(ir.IntType(32), value) for value in (0, level, 1)]
        name = "llvm.prefetch.p0"  # read, how close to keep it, data
        self.call(name, ir.VoidType(), [pointer, *flags])

    def allocate(self, n_reals: int) -> Value:
        """Scratch on the stack, aligned to a vector; it lasts until the return."""
        memory = self.entry.alloca(self.real, size=self.index(n_reals))
        memory.align = self.target.vector_bytes
        # llvmlite gives this one instruction a typed pointer; all others here are
        # opaque.
        memory.type = POINTER
        return memory

    # Control.

    def minimum_index(self, a: Value, b: Value) -> Value:
        """The smaller of two indices."""
        is_less = self.builder.icmp_signed("<", a, b)
        return self.builder.select(is_less, a, b)

    def maximum_index(self, a: Value, b: Value) -> Value:
        """The larger of two indices."""
        is_less = self.builder.icmp_signed("<", a, b)
        return self.builder.select(is_less, b, a)

    def loop(
        self, begin: Value, end: Value, step: int, body: Callable[[Value], Any]
    ) -> None:
        """for i in range(begin, end, step): body(i).

        The body runs zero times if begin >= end; `step` > 0. It is emitted once and may
        itself emit loops.
        """

        def run(i: Value) -> list[Value]:
            body(i)
            return []

        self.fold(begin, end, step, run, [])

    def fold(
        self,
        begin: Value,
        end: Value,
        step: int,
        body: Callable[..., Sequence[Value]],
        carried: Sequence[Value],
    ) -> list[Value]:
        """A loop whose body maps carried values to carried values; returns the last.

        for i in range(begin, end, step): carried = body(i, *carried)
        """
        builder = self.builder
        before = builder.block
        head = self.function.append_basic_block("loop")
        after = self.function.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", begin, end), head, after)
        builder.position_at_end(head)
        i = builder.phi(INDEX)
        phis = [builder.phi(value.type) for value in carried]
        results = list(body(i, *phis))
        following = builder.add(i, self.index(step))
        last = builder.block
        i.add_incoming(begin, before)
        i.add_incoming(following, last)
        for phi, value, result in zip(phis, carried, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, last)
        builder.cbranch(builder.icmp_signed("<", following, end), head, after)
        builder.position_at_end(after)
        outs = []
        for value, result in zip(carried, results, strict=True):
            out = builder.phi(value.type)
            out.add_incoming(value, before)
            out.add_incoming(result, last)
            outs.append(out)
        return outs

    def when(self, condition: Value, body: Callable[[], None]) -> None:
        """if condition: body()."""
        with self.builder.if_then(condition):
            body()


def start_function(
    module: ir.Module,
    name: str,
    arguments: Sequence[Any],
    target: Target,
    real_bytes: int,
    *,
    is_public: bool = False,
) -> Emitter:
    """A new function returning nothing, and the emitter that writes it.

    A private function is never inlined: it is one copy of code called from several
    tiles, and inlining it would multiply the time to compile.
    """
    kind = ir.FunctionType(ir.VoidType(), list(arguments))
    function = ir.Function(module, kind, name)
    if not is_public:
        function.linkage = "internal"
        function.attributes.add("noinline")
    function.attributes.add("nounwind")
    return Emitter(function, target, real_bytes)
