"""A layer's parameters as a cell's own, kept from call to call while nothing moves.

An LSTM's four tensors are twelve parameters: cutting them out, and finding their
addresses, takes longer than a step's kernels. A tensor that lies where it lay, in its
shape and type, has the same views; what is a sum of two biases is summed anew by every
call, in the same place: no way back reads a bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from bptt.execute.bindings import Steady
from bptt.step.shapes import Array
from bptt.weights import Stacking


class Views:
    """The arrays of a layer's last call, and the parameters cut out of them."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._places: list[Any] = []
        self._arrays: list[Array] = []
        self._names: tuple[str, ...] = ()
        self._params: Steady | None = None
        self._sums: list[tuple[Array, Array, Array]] = []

    def read(self, tensors: Sequence[Tensor], count: int) -> list[Array]:
        """Tensors as arrays; the first `count` are the layer's own."""
        own = tensors[:count]
        places = [(t.data_ptr(), t.shape, t.stride(), t.dtype) for t in own]
        if places != self._places:
            self._places, self._params = places, None
            self._arrays = [t.detach().numpy() for t in own]
        return [*self._arrays, *(t.detach().numpy() for t in tensors[count:])]

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
