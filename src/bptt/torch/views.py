"""A layer's parameters as a cell's own, kept from call to call while nothing moves.

An LSTM's four tensors are twelve parameters: cutting them out, and finding their
addresses, takes longer than a step's kernels. A tensor that lies where it lay, in its
shape and type, has the same views; what is a sum of two biases is summed anew by every
call, in the same place: no way back reads a bias.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bptt.errors import ArgumentError
from bptt.execute.bindings import Steady
from bptt.step.shapes import Array
from bptt.torch.guard import LayoutError, are_plain, describe
from bptt.weights import Stacking

# From an address on, as far as an array may reach; an instance may hold a tensor.
_Memory = ctypes.c_char * (1 << 46)


class NoMemoryError(ArgumentError):
    """A tensor's elements are gone: its storage was freed."""


@functools.cache
def element_of(dtype: torch.dtype) -> np.dtype[Any]:
    """NumPy's name of a type that kernels read."""
    return np.dtype(str(dtype).removeprefix("torch."))


def place_of(tensor: Tensor) -> int:
    """Where a tensor's elements lie.

    Raises: NoMemoryError, where it has some and they lie nowhere.
    """
    place = tensor.data_ptr()
    if not place and tensor.numel():
        raise NoMemoryError(
            f"a tensor of shape {tuple(tensor.shape)} has no memory: its storage was "
            "resized to 0 bytes; fill it before the layer, or its way back, reads it"
        )
    return place


def array_of(tensor: Tensor) -> Array:
    """A tensor as an array, without a copy.

    `Tensor.numpy` would do, but for good forbids torch to resize what it has shown: it
    could free and gather no weights any more, as FSDP does around every call. The array
    keeps the memory, whatever the tensor's `.data` is set to later.
    Raises: NoMemoryError; LayoutError, for what an unpack hook may give.
    """
    tensor = tensor.detach()
    if not are_plain((tensor,)):
        tensor = tensor.resolve_conj().resolve_neg()
        if not are_plain((tensor,)):
            raise LayoutError(
                f"a tensor of shape {tuple(tensor.shape)} is {describe((tensor,))}, "
                "and kernels read plain float32 and float64 in the CPU's memory: "
                "give them that in the unpack hook"
            )
    place, dtype = place_of(tensor), element_of(tensor.dtype)
    shape = tuple(tensor.shape)
    if not place:
        return np.empty(shape, dtype)
    memory: Any = _Memory.from_address(place)
    memory.tensor = tensor
    if tensor.is_contiguous():
        return np.ndarray(shape, dtype, memory)
    strides = [dtype.itemsize * step for step in tensor.stride()]
    return np.ndarray(shape, dtype, memory, 0, strides)


def lie(tensor: Tensor) -> tuple[Any, ...]:
    """Where and how a tensor's elements lie."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


class AsRead(NamedTuple):
    """Tensors as a call read them: `.data` may be set anew, and these stay.

    tensors: share the storage, which FSDP frees and fills again, maybe elsewhere;
    places: where they lay.
    """

    tensors: list[Tensor]
    places: list[int]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> AsRead:
        """As they are now."""
        own = [tensor.detach() for tensor in tensors]
        return cls(own, [tensor.data_ptr() for tensor in own])

    def has_moved(self) -> bool:
        """Whether some lie elsewhere now, or nowhere."""
        return [tensor.data_ptr() for tensor in self.tensors] != self.places


class Views:
    """The arrays of a layer's last call, and the parameters cut out of them."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._lies: list[Any] = []
        self._own = AsRead([], [])
        self._arrays: list[Array] = []
        self._names: tuple[str, ...] = ()
        self._params: Steady | None = None
        self._sums: list[tuple[Array, Array, Array]] = []

    def read(self, tensors: Sequence[Tensor], count: int) -> list[Array]:
        """Tensors as arrays; the first `count` are the layer's own."""
        own = tensors[:count]
        lies = list(map(lie, own))
        if lies != self._lies or self._own.has_moved():
            self._lies, self._params, self._own = lies, None, AsRead.of(own)
            self._arrays = list(map(array_of, self._own.tensors))
        return [*self._arrays, *map(array_of, tensors[count:])]

    def own(self, tensors: Sequence[Tensor]) -> AsRead:
        """What `read` has just read, the layer's own as they are known here."""
        layer = self._own
        rest = AsRead.of(tensors[len(layer.tensors) :])
        return AsRead([*layer.tensors, *rest.tensors], [*layer.places, *rest.places])

    def split(self, stacking: Stacking, tensors: Mapping[str, Array]) -> dict[str, Any]:
        """`Stacking.split` of the arrays that were read last."""
        if self._params is None or self._names != tuple(tensors):
            return self._cut(stacking, tensors)
        for out, one, other in self._sums:
            np.add(one, other, out=out)
        return self._params

    def _cut(
        self, stacking: Stacking, tensors: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Cut them out, and keep them if each lies in one piece."""
        params = stacking.split(tensors)
        self._names, self._sums = tuple(tensors), []
        for name, parts in stacking.split_parts(tensors).items():
            if len(parts) == 2:
                self._sums.append((params[name], parts[0], parts[1]))
        is_whole = all(array.flags.c_contiguous for array in params.values())
        has_all = len(params) == len(stacking.blocks)
        if not (is_whole and has_all):
            self._params = None
            return params
        self._params = Steady(params)
        return self._params
