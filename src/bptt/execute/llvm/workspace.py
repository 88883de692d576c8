"""Aligned memory that outlives a call, and the table of addresses a kernel reads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["build_table", "empty_aligned"]

ALIGNMENT = 64  # bytes: one cache line, and the widest vector


def empty_aligned(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """An uninitialised array whose data begins at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + n_bytes].view(dtype).reshape(shape)


def build_table(
    names: Sequence[str], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> Any:
    """The ctypes array of addresses for a kernel's `names`.

    The caller keeps `arrays` alive during the call. Raises: KeyError for a missing name.
    """
    addresses = [arrays[name].ctypes.data for name in names]
    return (ctypes.c_void_p * len(addresses))(*addresses)
