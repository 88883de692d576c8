"""XLA's foreign function interface, spoken by Python: buffers in, buffers out.

XLA calls a C function with a frame that points at the buffers of the arguments and of
the results. That function is made here by ctypes, and hands Python NumPy views of the
very buffers: nothing is copied and no JAX array is made. `jax.pure_callback` wraps the
same call in JAX arrays, which costs more than a small cell's kernels (docs/jax.md) and
can deadlock, because such an array is filled by the pool of threads that waits for the
callback (jax-ml/jax issue 24255).

The structures are those of `xla/ffi/api/c_api.h`, which jaxlib carries, version 0.1 and
later; a new minor version only appends fields.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
from collections.abc import Callable, Sequence
from ctypes import string_at
from typing import Any

import jax
import numpy as np

from bptt.jax.native import (
    API_CREATE_ERROR,
    FRAME_API,
    INTERNAL,
    Answer,
    Handler,
    HeldBack,
)
from bptt.jax.served import Script
from bptt.step.shapes import Array

# (the task, the arguments, the results to fill in)
Run = Callable[[str, Sequence[Array], Sequence[Array]], None]
# What the same call is in machine code, or None
WriteDown = Callable[[str, Sequence[Array], Sequence[Array]], Script | None]
MOST_SEEN = 4096  # calls of which it is known whether they have a script

# XLA_FFI_DataType: the element types that a cell's arrays have
ELEMENTS: dict[int, np.dtype[Any]] = {
    4: np.dtype(np.int32), 5: np.dtype(np.int64), 8: np.dtype(np.uint32),
    11: np.dtype(np.float32), 12: np.dtype(np.float64),
}  # fmt: skip
_NUMBERS = {dtype: number for number, dtype in ELEMENTS.items()}
# XLA_FFI_CallFrame in words of 8 bytes: struct_size, extension, api, context, stage;
# then arguments, results (struct_size, extension, size, types, items each) and
# attributes (the same with names before items)
FRAME_WORDS = 21
ARGUMENTS, RESULTS, ATTRIBUTES = (7, 9), (12, 14), 20
# XLA_FFI_Buffer: struct_size, extension, element type, data, rank, dims
_BUFFER = struct.Struct("@NPiPqP")


class _ErrorArguments(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    ]


_CREATE_ERROR = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_ErrorArguments))


def make_handler(run: Run, write_down: WriteDown | None = None) -> Handler:
    """The C function by which XLA calls `run`(task, arguments, results).

    write_down: after the first such call, gives the script by which machine code does
    the later ones without Python.

    The call has one attribute, the text `task`. An exception of `run` becomes an error
    of XLA with the exception's class and message. An interrupt (Ctrl-C) waits until XLA
    returns to the main thread; what another signal raises is raised there, too. Keep
    the returned object alive as long as XLA may call it.
    """
    seen: set[Any] = set()

    def ask(frame: int, place: int) -> None:
        """One call of XLA's, whose answer is written at `place`."""
        answer = Answer.from_address(place)
        with HeldBack(answer):
            answer.is_begun = 1
            try:
                call = _read_frame(frame)
                run(*call)
                if write_down is not None:
                    _offer(handler, seen, write_down, *call)
            except BaseException as error:  # noqa: BLE001  C is told by value
                answer.error = _create_error(frame, f"{type(error).__name__}: {error}")
                if not isinstance(error, Exception):
                    answer.keep(error)
            answer.is_done = 1

    handler = Handler(ask)
    return handler


def _offer(
    handler: Handler, seen: set[Any], write_down: WriteDown, task: str,
    given: Sequence[Array], wanted: Sequence[Array],
) -> None:  # fmt: skip
    """Put a call's script on the board, the first time that such a call comes."""
    signature = [n for a in given for n in (_NUMBERS[a.dtype], a.ndim, *a.shape)]
    key = (task, len(wanted), *signature)
    if key in seen or handler.board.is_full:
        return
    if len(seen) >= MOST_SEEN:
        seen.clear()
    seen.add(key)
    script = write_down(task, given, wanted)
    if script is not None:
        counts = (len(given), len(wanted))
        handler.board.add(task.encode(), signature, counts, script, handler.publish)


def register(target: str, run: Run, write_down: WriteDown | None = None) -> Handler:
    """Let XLA on CPUs call `run` for the custom call `target`; see `make_handler`.

    Returns: the C function. XLA keeps its address until the process ends, so the caller
    must keep the function, too.
    """
    handler = make_handler(run, write_down)
    capsule = jax.ffi.pycapsule(handler.address)
    jax.ffi.register_ffi_target(target, capsule, platform="cpu")
    return handler


def _read_frame(frame: int) -> tuple[str, list[Array], list[Array]]:
    """The task, the arguments and the results of a call."""
    words = _words(FRAME_WORDS).from_address(frame)
    text = _words(1).from_address(words[ATTRIBUTES])[0]
    data, size = _words(2).from_address(text)
    task = string_at(data, size).decode()
    (n_given, given), (n_wanted, wanted) = (
        (words[n], words[place]) for n, place in (ARGUMENTS, RESULTS)
    )
    return task, _views(n_given, given), _views(n_wanted, wanted)


def _create_error(frame: int, message: str) -> int:
    arguments = _ErrorArguments(
        ctypes.sizeof(_ErrorArguments), None, message.encode(), INTERNAL
    )
    api = _words(1).from_address(frame + FRAME_API)[0]
    create = _CREATE_ERROR(_words(1).from_address(api + API_CREATE_ERROR)[0])
    address: int = create(ctypes.byref(arguments))
    return address


def _views(size: int, items: int) -> list[Array]:
    """NumPy views of `size` buffers, to which `items` points."""
    addresses = _words(size).from_address(items) if size else ()
    return [_view(address) for address in addresses]


def _view(address: int) -> Array:
    _, _, element, data, rank, dims = _BUFFER.unpack(string_at(address, _BUFFER.size))
    shape = _words(rank).from_address(dims)[:] if rank else ()
    dtype, memory = _layout(element, *shape)
    return np.ndarray(shape, dtype, memory.from_address(data))


@functools.lru_cache(maxsize=64)
def _words(size: int) -> Any:
    return ctypes.c_uint64 * size


@functools.lru_cache(maxsize=1024)
def _layout(element: int, *shape: int) -> tuple[np.dtype[Any], Any]:
    """The element type, and the type of a block of memory of this shape's size."""
    dtype: np.dtype[Any] = ELEMENTS[element]
    return dtype, ctypes.c_char * (math.prod(shape) * dtype.itemsize)
