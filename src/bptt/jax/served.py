"""Calls from XLA that machine code does alone: their script is known.

A `CallBoard` lists what Python has written down, an entry for each task and list of
shapes. The handler looks there first, and follows the entry's script on XLA's buffers:
no Python, no lock, memory of its own for each call. An entry stays as it is for ever,
with all that it points at, since any thread may be in it; so there are at most
`MOST_ENTRIES`, and calls beyond them go through Python.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

from bptt.jax.emit import WORD, call, is_zero, load, loop, place, python

MOST_ENTRIES = 512
EXECUTE = 3  # XLA_FFI_ExecutionStage_EXECUTE
ALIGNMENT = 64

# XLA_FFI_CallFrame, in bytes; see `ffi`.
FRAME_STAGE, FRAME_ATTRIBUTES = 32, 160
FRAME_ARGUMENTS, FRAME_RESULTS = (56, 72), (96, 112)
BUFFER_ELEMENT, BUFFER_DATA, BUFFER_RANK, BUFFER_DIMS = 16, 24, 32, 40

FIELDS = (
    "next", "n_arguments", "n_results", "text_size", "text", "signature", "scratch",
    "operations", "n_operations", "follow", "members", "strides", "stamp_use",
    "stamp_base", "stamp",
)  # fmt: skip
NO_STAMP, CHECKS_STAMP, WRITES_STAMP = range(3)
FIXED_BASES = 2  # 0, and the scratch; then arguments and results


@dataclass(frozen=True)
class Script:
    """What a call does: see `codegen.script`.

    operations: words; scratch: bytes; follow: the address of the function that follows
    it; strides: of every base, bytes from one member of a batch to the next; stamp: how
    it is used, the base where it lies, and what it is; alive: what addresses in the
    operations point at.
    """

    operations: Sequence[int]
    n_operations: int
    scratch: int
    follow: int
    members: int
    strides: Sequence[int]
    stamp: tuple[int, int, int]
    alive: Sequence[Any]


class CallBoard:
    """The list of entries, read by machine code while Python adds to it.

    address: of the word that holds the address of the newest.
    """

    def __init__(self) -> None:
        """Empty."""
        self._first = (ctypes.c_int64 * 1)()
        self.address = ctypes.addressof(self._first)
        self._alive: list[Any] = []
        self._lock = threading.Lock()
        self.n_entries = 0
        self._is_aside = False

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return self._is_aside or self.n_entries >= MOST_ENTRIES

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Let all calls go through Python meanwhile, for comparison."""
        with self._lock:
            self._is_aside, first = True, self._first[0]
            self._first[0] = 0
        try:
            yield
        finally:
            with self._lock:
                self._is_aside, self._first[0] = False, first

    def add(
        self, text: bytes, signature: Sequence[int], counts: tuple[int, int],
        script: Script, publish: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        """Let calls with this text and these buffers follow the script.

        signature: element type, rank and sizes of every argument; counts: of arguments
        and of results; publish: stores a number so that all before it is seen first.
        """
        memory = ctypes.create_string_buffer(text, len(text))
        words = [_words(part) for part in (signature, script.operations,
                                           script.strides)]  # fmt: skip
        signed, operations, strides = map(ctypes.addressof, words)
        use, base, stamp = script.stamp
        with self._lock:
            if self.is_full:
                return
            entry = _words((
                self._first[0], *counts, len(text), ctypes.addressof(memory), signed,
                script.scratch + ALIGNMENT, operations, script.n_operations,
                script.follow, script.members, strides, use, base, stamp,
            ))  # fmt: skip
            self._alive.append((entry, memory, words, script))
            self.n_entries += 1
            publish(self.address, ctypes.addressof(entry))


def _words(numbers: Sequence[int]) -> Any:
    return (ctypes.c_int64 * max(1, len(numbers)))(*numbers)


def _field(b: Any, entry: Any, name: str) -> Any:
    return load(b, entry, 8 * FIELDS.index(name))


def _function(module: Any, name: str, n_arguments: int) -> Any:
    kind = ir.FunctionType(WORD, [WORD] * n_arguments)
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    return function, ir.IRBuilder(function.append_basic_block())


# ----- what XLA's call runs -----


def emit_serve(module: Any, board: int) -> Any:
    """Write serve(frame): 1 where an entry of the board did the call, else 0."""
    matches, follow = _emit_matches(module), _emit_run(module)
    function, b = _function(module, "serve", 1)
    (frame,) = function.args
    stage = b.load(place(b, frame, FRAME_STAGE, ir.IntType(32)))
    with b.if_then(b.icmp_signed("!=", stage, ir.IntType(32)(EXECUTE))):
        b.ret(WORD(0))
    before = b.block
    first = b.load_atomic(place(b, WORD(board), 0), "acquire", 8)
    head, body, end, after = (function.append_basic_block() for _ in range(4))
    b.branch(head)
    b.position_at_end(head)
    entry = b.phi(WORD)
    b.cbranch(is_zero(b, entry), end, body)
    b.position_at_end(body)
    found = b.call(matches, [entry, frame])
    with b.if_then(b.not_(is_zero(b, found))):
        b.ret(b.call(follow, [entry, frame]))
    b.branch(after)
    b.position_at_end(after)
    following = _field(b, entry, "next")
    b.branch(head)
    entry.add_incoming(first, before)
    entry.add_incoming(following, after)
    b.position_at_end(end)
    b.ret(WORD(0))
    return function


def emit_publish(module: Any) -> None:
    """Write publish(place, number)."""
    kind = ir.FunctionType(ir.VoidType(), [WORD, WORD])
    function = ir.Function(module, kind, "publish")
    b = ir.IRBuilder(function.append_basic_block())
    where, number = function.args
    b.store_atomic(number, place(b, where, 0), "release", 8)
    b.ret_void()


def _emit_matches(module: Any) -> Any:
    """Write matches(entry, frame): whether it is the entry's text and buffers."""
    function, b = _function(module, "matches", 2)
    entry, frame = function.args

    def want(found: Any, expected: Any) -> None:
        with b.if_then(b.icmp_signed("!=", found, expected)):
            b.ret(WORD(0))

    text = load(b, load(b, frame, FRAME_ATTRIBUTES), 0)
    data, size = load(b, text, 0), load(b, text, 8)
    want(size, _field(b, entry, "text_size"))
    for name, (count, _) in (("n_arguments", FRAME_ARGUMENTS),
                             ("n_results", FRAME_RESULTS)):  # fmt: skip
        want(load(b, frame, count), _field(b, entry, name))
    items = load(b, frame, FRAME_ARGUMENTS[1])

    def check(number: Any, signature: Any) -> Any:
        """Compare one argument's element type and sizes; where the next ones begin."""
        buffer = load(b, b.add(items, b.mul(number, WORD(8))), 0)
        kind = b.load(place(b, buffer, BUFFER_ELEMENT, ir.IntType(32)))
        want(b.sext(kind, WORD), load(b, signature, 0))
        rank, dims = load(b, buffer, BUFFER_RANK), load(b, buffer, BUFFER_DIMS)
        want(rank, load(b, signature, 8))

        def check_size(axis: Any, signature: Any) -> Any:
            at = b.mul(axis, WORD(8))
            want(load(b, b.add(dims, at), 0), load(b, b.add(signature, at), 16))
            return signature

        loop(b, rank, check_size, signature)
        return b.add(signature, b.mul(b.add(rank, WORD(2)), WORD(8)))

    count = load(b, frame, FRAME_ARGUMENTS[0])
    loop(b, count, check, _field(b, entry, "signature"))
    known = _field(b, entry, "text")
    _compare(b, data, known, size, want)
    b.ret(WORD(1))
    return function


def _compare(b: Any, data: Any, known: Any, size: Any, want: Any) -> None:
    """All bytes of two texts, eight at a time as far as that goes."""

    def check(kind: Any, step: int) -> Any:
        """Compare the pieces of one size, `step` bytes."""

        def one(number: Any, start: Any) -> Any:
            at = b.add(start, b.mul(number, WORD(step)))
            pair = [b.load(place(b, b.add(text, at), 0, kind), align=1)
                    for text in (data, known)]  # fmt: skip
            want(*pair)
            return start

        return one

    whole = b.udiv(size, WORD(8))
    loop(b, whole, check(WORD, 8), WORD(0))
    done = b.mul(whole, WORD(8))
    loop(b, b.sub(size, done), check(ir.IntType(8), 1), done)


def _emit_run(module: Any) -> Any:
    """Write run(entry, frame): 1, or 0 where nothing was done and Python is to."""
    function, b = _function(module, "run", 2)
    entry, frame = function.args
    n_bases = b.add(_field(b, entry, "n_arguments"), _field(b, entry, "n_results"))
    n_bases = b.add(n_bases, WORD(FIXED_BASES))
    bases = b.ptrtoint(b.alloca(WORD, size=n_bases), WORD)
    _gather(b, frame, bases)
    use, stamp = _field(b, entry, "stamp_use"), _field(b, entry, "stamp")
    stamp = b.trunc(stamp, ir.IntType(32))
    members = _field(b, entry, "members")
    at = b.add(bases, b.mul(_field(b, entry, "stamp_base"), WORD(8)))

    def with_stamp(kind: int, do: Callable[[Any], None]) -> None:
        with b.if_then(b.icmp_signed("==", use, WORD(kind))):
            stamps = load(b, at, 0)

            def one(member: Any, stamps: Any) -> Any:
                where = b.add(stamps, b.mul(member, WORD(4)))
                do(place(b, where, 0, ir.IntType(32)))
                return stamps

            loop(b, members, one, stamps)

    def check(where: Any) -> None:
        """Give 0, so that Python takes the call, where a stamp is another call's."""
        with b.if_then(b.icmp_signed("!=", b.load(where), stamp)):
            b.ret(WORD(0))

    with_stamp(CHECKS_STAMP, check)
    scratch = call(b, python("PyMem_RawMalloc"), WORD, _field(b, entry, "scratch"))
    with b.if_then(is_zero(b, scratch)):
        b.ret(WORD(0))
    aligned = b.and_(b.add(scratch, WORD(ALIGNMENT - 1)), WORD(-ALIGNMENT))
    b.store(WORD(0), place(b, bases, 0))
    b.store(aligned, place(b, bases, 8))
    # Before the bases move on from member to member.
    with_stamp(WRITES_STAMP, lambda where: b.store(stamp, where))
    _follow_all(b, entry, bases, n_bases)
    call(b, python("PyMem_RawFree"), None, scratch)
    b.ret(WORD(1))
    return function


def _follow_all(b: Any, entry: Any, bases: Any, n_bases: Any) -> None:
    """Follow the script for each member of a batch, on its part of every buffer."""
    follow, strides = _field(b, entry, "follow"), _field(b, entry, "strides")
    operations = _field(b, entry, "operations")
    count = _field(b, entry, "n_operations")

    def one(_: Any, bases: Any) -> Any:
        call(b, follow, None, operations, count, bases)

        def move(number: Any, strides: Any) -> Any:
            at = b.mul(number, WORD(8))
            where = place(b, b.add(bases, at), 0)
            b.store(b.add(b.load(where), load(b, b.add(strides, at), 0)), where)
            return strides

        loop(b, n_bases, move, strides)
        return bases

    loop(b, _field(b, entry, "members"), one, bases)


def _gather(b: Any, frame: Any, bases: Any) -> None:
    """The addresses of the arguments, then of the results, behind the fixed bases."""
    start = b.add(bases, WORD(8 * FIXED_BASES))
    for count_at, items_at in (FRAME_ARGUMENTS, FRAME_RESULTS):
        count, items = load(b, frame, count_at), load(b, frame, items_at)

        def take(number: Any, start: Any, items: Any = items) -> Any:
            at = b.mul(number, WORD(8))
            buffer = load(b, b.add(items, at), 0)
            b.store(load(b, buffer, BUFFER_DATA), place(b, b.add(start, at), 0))
            return start

        loop(b, count, take, start)
        start = b.add(start, b.mul(count, WORD(8)))
