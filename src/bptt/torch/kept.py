"""What a forward pass leaves for the way back, as tensors that hooks see.

Under saved-tensor hooks (`save_on_cpu`, checkpoints, hooks of one's own) every buffer
goes through `save_for_backward`: a hook may then move it, compress it or throw it away
and bring it back. Elsewhere buffers stay where they are, and nothing is copied.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bptt.errors import ArgumentError
from bptt.step.shapes import Array

_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


def is_hooked() -> bool:
    """Whether what is saved for the way back goes through somebody's hooks."""
    top = torch._C._autograd._top_saved_tensors_default_hooks  # noqa: SLF001
    return top(True) is not None


class UnpackError(ArgumentError):
    """An unpack hook gives another tensor than its pack hook was given."""


def check_unpacked(
    tensors: Sequence[Tensor], expected: Sequence[tuple[torch.Size, torch.dtype]]
) -> None:
    """Raises: UnpackError, where a hook gave back another shape or element type."""
    for tensor, (shape, dtype) in zip(tensors, expected, strict=True):
        if (tensor.shape, tensor.dtype) != (shape, dtype):
            raise UnpackError(
                f"an unpack hook gave back {tensor.dtype} of shape "
                f"{tuple(tensor.shape)} for {dtype} of shape {tuple(shape)}: "
                "saved_tensors_hooks must give what was packed"
            )


class Buffers:
    """The buffers of one forward pass, as tensors."""

    def __init__(self) -> None:
        """None yet."""
        self.tensors: list[Tensor] = []

    def make(self, shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[Array]:
        """New ones, as arrays that do not keep them: a hook that drops one frees it."""
        self.tensors = [torch.empty(shape, dtype=_DTYPES[dtype]) for shape in shapes]
        return [_borrowed(tensor, dtype) for tensor in self.tensors]


def _borrowed(tensor: Tensor, dtype: np.dtype) -> Array:
    size = max(1, tensor.nbytes)
    place = tensor.data_ptr()
    if not place:  # no row, no step: nothing is read
        return np.empty(tuple(tensor.shape), dtype)
    memory = (ctypes.c_char * size).from_address(place)
    return np.ndarray(tuple(tensor.shape), dtype, memory)


def restored(tensors: Sequence[Tensor]) -> list[Array]:
    """Saved buffers as hooks gave them back, copied: the way back overwrites them."""
    return [tensor.detach().cpu().contiguous().clone().numpy() for tensor in tensors]
