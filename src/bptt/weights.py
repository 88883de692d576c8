"""The one table from other libraries' parameters to the cells' own.

torch stacks the matrices of all gates in one, block under block, and has two biases
where one is enough. `TORCH` says, for each parameter of a cell, which blocks add up to
it; everything that reads or writes such parameters follows it by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Block = tuple[str, int]


@dataclass(frozen=True)
class Stacking:
    """How one library stacks the parameters of a cell.

    n_gates: equal blocks of rows in every stacked tensor; blocks: parameter of the cell
    -> the blocks whose sum it is, as (tensor, number of the block). A tensor outside
    `stacked` is a single block whatever the number of gates.
    """

    n_gates: int
    blocks: Mapping[str, tuple[Block, ...]]
    stacked: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def split(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The cell's parameters, as views where one block is all of it.

        tensors: arrays of NumPy, torch or JAX by name; biases may be absent, and then
        so are the parameters that they make up.
        """
        params = {}
        for name, blocks in self.blocks.items():
            parts = [
                self._block(tensors[tensor], tensor, number)
                for tensor, number in blocks
                if tensor in tensors
            ]
            if parts:
                params[name] = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return params

    def join(self, params: Mapping[str, Array], names: tuple[str, ...]) -> list[Array]:
        """Gradients of the cell's parameters as gradients of the stacked `names`.

        Each block gets the gradient of the one parameter that it is part of.
        """
        return [self._stack(params, tensor) for tensor in names]

    def _block(self, tensor: Any, name: str, number: int) -> Any:
        if name not in self.stacked or self.n_gates == 1:
            return tensor
        n_rows = tensor.shape[0] // self.n_gates
        return tensor[number * n_rows : (number + 1) * n_rows]

    def _stack(self, params: Mapping[str, Array], tensor: str) -> Array:
        parts = {
            number: params[name]
            for name, blocks in self.blocks.items()
            for owner, number in blocks
            if owner == tensor
        }
        return np.concatenate([parts[number] for number in range(len(parts))])


def _gates(names: str) -> dict[str, tuple[Block, ...]]:
    """The parameters of gates in the order in which their blocks are stacked."""
    found: dict[str, tuple[Block, ...]] = {}
    for number, gate in enumerate(names):
        found[f"U_{gate}"] = (("weight_ih", number),)
        found[f"W_{gate}"] = (("weight_hh", number),)
        found[f"b_{gate}"] = (("bias_ih", number), ("bias_hh", number))
    return found


# The candidate of the GRU keeps its second bias, which the reset gate scales.
TORCH: Mapping[str, Stacking] = {
    "elman": Stacking(1, {
        "U": (("weight_ih", 0),), "W": (("weight_hh", 0),),
        "b": (("bias_ih", 0), ("bias_hh", 0)),
    }),
    "lstm": Stacking(4, _gates("ifgq") | {"P": (("weight_hr", 0),)}),
    "gru": Stacking(3, _gates("rzn") | {
        "b_n": (("bias_ih", 2),), "d_n": (("bias_hh", 2),),
    }),
}  # fmt: skip
