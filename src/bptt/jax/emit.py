"""Instructions on words of memory, for the machine code that XLA calls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

WORD, HALF = ir.IntType(64), ir.IntType(32)


def python(name: str) -> int:
    """The address of a function of Python's C interface."""
    function = getattr(ctypes.pythonapi, name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def is_zero(b: Any, word: Any) -> Any:
    """Whether a word is 0."""
    return b.icmp_signed("==", word, WORD(0))


def place(b: Any, base: Any, offset: int, kind: Any = WORD) -> Any:
    """A pointer to what lies some bytes behind an address."""
    return b.inttoptr(b.add(base, WORD(offset)), kind.as_pointer())


def load(b: Any, base: Any, offset: int) -> Any:
    """The word that lies some bytes behind an address."""
    return b.load(place(b, base, offset))


def space(b: Any, n_words: int) -> Any:
    """The address of some words on the stack, zero."""
    memory = b.alloca(ir.ArrayType(WORD, n_words))
    b.store(ir.Constant(memory.type.pointee, [0] * n_words), memory)
    return b.ptrtoint(memory, WORD)


def call(b: Any, address: Any, result: Any, *arguments: Any) -> Any:
    """Call the C function at an address, known now or loaded."""
    kind = ir.FunctionType(result or ir.VoidType(), [WORD] * len(arguments))
    if isinstance(address, int):
        address = WORD(address)
    return b.call(b.inttoptr(address, kind.as_pointer()), arguments)


def loop(b: Any, count: Any, body: Callable[[Any, Any], Any], carried: Any) -> Any:
    """for i in range(count): carried = body(i, carried); the last of it."""
    function, before = b.function, b.block
    head, inside, after = (function.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    number, value = b.phi(WORD), b.phi(carried.type)
    b.cbranch(b.icmp_signed("<", number, count), inside, after)
    b.position_at_end(inside)
    result = body(number, value)
    following = b.add(number, WORD(1))
    number.add_incoming(WORD(0), before)
    number.add_incoming(following, b.block)
    value.add_incoming(carried, before)
    value.add_incoming(result, b.block)
    b.branch(head)
    b.position_at_end(after)
    return value
