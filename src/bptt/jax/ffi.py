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

from bptt.step.shapes import Array

# (the task, the arguments, the results to fill in)
Run = Callable[[str, Sequence[Array], Sequence[Array]], None]

METADATA = 1  # XLA_FFI_Extension_Metadata
INTERNAL = 13  # XLA_FFI_Error_Code_INTERNAL
# XLA_FFI_DataType: the element types that a cell's arrays have
ELEMENTS: dict[int, np.dtype[Any]] = {
    4: np.dtype(np.int32), 5: np.dtype(np.int64), 8: np.dtype(np.uint32),
    11: np.dtype(np.float32), 12: np.dtype(np.float64),
}  # fmt: skip


class _Extension(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
    ]


class _Version(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    ]


class _Metadata(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("version", _Version)]


class _MetadataExtension(ctypes.Structure):
    _fields_ = [("base", _Extension), ("metadata", ctypes.POINTER(_Metadata))]


class _ErrorArguments(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    ]


_CREATE_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_ErrorArguments))


class _Api(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("version", _Version),
        ("internal", ctypes.c_void_p),
        ("create_error", _CREATE_ERROR),
    ]


class _Buffers(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("types", ctypes.c_void_p),
        ("items", ctypes.c_void_p),
    ]


# XLA_FFI_Buffer: struct_size, extension, element type, data, rank, dims
_BUFFER = struct.Struct("@NPiPqP")


class _Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Attributes(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("types", ctypes.c_void_p),
        ("names", ctypes.c_void_p),
        ("items", ctypes.POINTER(ctypes.POINTER(_Text))),
    ]


class _Frame(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.POINTER(_MetadataExtension)),
        ("api", ctypes.POINTER(_Api)),
        ("context", ctypes.c_void_p),
        ("stage", ctypes.c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    ]


_HANDLER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Frame))


def make_handler(run: Run) -> Any:
    """The C function by which XLA calls `run`(task, arguments, results).

    The call has one attribute, the text `task`. An exception of `run` becomes an error
    of XLA with the exception's class and message. Keep the returned object alive as
    long as XLA may call it.
    """

    def handle(pointer: Any) -> int | None:
        frame = pointer.contents
        if frame.extension and frame.extension.contents.base.type == METADATA:
            _describe(frame)
            return None
        try:
            text = frame.attributes.items[0].contents
            task = ctypes.string_at(text.data, text.size).decode()
            given, wanted = frame.arguments, frame.results
            run(
                task,
                _views(given.size, given.items),
                _views(wanted.size, wanted.items),
            )
        except Exception as error:  # noqa: BLE001  C cannot raise: it is told by value
            return _create_error(frame, f"{type(error).__name__}: {error}")
        return None

    return _HANDLER(handle)


def register(target: str, run: Run) -> Any:
    """Let XLA on CPUs call `run` for the custom call `target`.

    Returns: the C function. XLA keeps its address until the process ends, so the caller
    must keep the function, too.
    """
    handler = make_handler(run)
    address = ctypes.cast(handler, ctypes.c_void_p).value
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(address), platform="cpu")
    return handler


def _describe(frame: Any) -> None:
    """XLA asks for which version of the interface the function was made.

    The fields used here are in every version 0.x: the one of the caller is right.
    """
    own = frame.extension.contents.metadata.contents.version
    own.major = frame.api.contents.version.major
    own.minor = frame.api.contents.version.minor


def _create_error(frame: Any, message: str) -> int:
    arguments = _ErrorArguments(
        ctypes.sizeof(_ErrorArguments), None, message.encode(), INTERNAL
    )
    address: int = frame.api.contents.create_error(ctypes.byref(arguments))
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
