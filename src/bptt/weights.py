"""The one table from other libraries' parameters to the cells' own.

torch and Keras stack the matrices of all gates in one, block beside block, and may have
two biases where one is enough. `TORCH` and `KERAS` say, for each parameter of a cell,
which blocks add up to it; everything that reads or writes such parameters follows them
by name, and docs/notation.md is tested against them.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.step.shapes import Array

Block = tuple[str, int]


@dataclass(frozen=True)
class Stacking:
    """How one library stacks the parameters of a cell.

    n_gates: equal blocks of rows in every stacked tensor; blocks: parameter of the cell
    -> the blocks whose sum it is, as (tensor, number of the block). A tensor outside
    `stacked` is a single block whatever the number of gates. is_transposed: the library
    has matrices of (columns, rows); the methods here take and give them as the cell
    has them.
    """

    n_gates: int
    blocks: Mapping[str, tuple[Block, ...]]
    stacked: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    is_transposed: bool = False

    def split(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The cell's parameters, as views where one block is all of it.

        tensors: arrays of NumPy, torch or JAX by name; biases may be absent, and then
        so are the parameters that they make up.
        """
        return {
            name: parts[0] if len(parts) == 1 else parts[0] + parts[1]
            for name, parts in self.split_parts(tensors).items()
        }

    def split_parts(self, tensors: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The blocks, one or two, that every parameter is the sum of."""
        found = {}
        for name, blocks in self.blocks.items():
            parts = [
                self._block(tensors[tensor], tensor, number)
                for tensor, number in blocks
                if tensor in tensors
            ]
            if parts:
                found[name] = parts
        return found

    @functools.cached_property
    def order(self) -> dict[str, tuple[str, ...]]:
        """For every tensor, the parameters that its blocks are part of, in order."""
        found: dict[str, dict[int, str]] = {}
        for name, blocks in self.blocks.items():
            for tensor, number in blocks:
                found.setdefault(tensor, {})[number] = name
        return {
            tensor: tuple(names[number] for number in range(len(names)))
            for tensor, names in found.items()
        }

    def shapes(self, shapes: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        """The shapes of the parameters that `split` gives for tensors of these."""
        found = {}
        for name, blocks in self.blocks.items():
            given = [tensor for tensor, _ in blocks if tensor in shapes]
            if given:
                rows, *rest = shapes[given[0]]
                n_gates = self.n_gates if given[0] in self.stacked else 1
                found[name] = (rows // n_gates, *rest)
        return found

    def join_values(self, params: Mapping[str, Array]) -> dict[str, Array]:
        """The library's tensors that hold these parameters; undone by `split`.

        A parameter that is a sum of blocks goes into the first of them, and the others
        are zero.
        """
        pieces: dict[str, dict[int, Array]] = {}
        for name, parts in self.blocks.items():
            if name in params:
                for position, (tensor, number) in enumerate(parts):
                    value = np.zeros_like(params[name]) if position else params[name]
                    pieces.setdefault(tensor, {})[number] = value
        return {
            tensor: np.concatenate([found[number] for number in range(len(found))])
            for tensor, found in pieces.items()
        }

    def _block(self, tensor: Any, name: str, number: int) -> Any:
        if name not in self.stacked or self.n_gates == 1:
            return tensor
        n_rows = tensor.shape[0] // self.n_gates
        return tensor[number * n_rows : (number + 1) * n_rows]


def _gates(names: str, u: str, w: str, *biases: str) -> dict[str, tuple[Block, ...]]:
    """The parameters of gates in the order in which their blocks are stacked."""
    found: dict[str, tuple[Block, ...]] = {}
    for number, gate in enumerate(names):
        found[f"U_{gate}"] = ((u, number),)
        found[f"W_{gate}"] = ((w, number),)
        found[f"b_{gate}"] = tuple((bias, number) for bias in biases)
    return found


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_ELMAN = Stacking(1, {
    "U": (("weight_ih", 0),), "W": (("weight_hh", 0),),
    "b": (("bias_ih", 0), ("bias_hh", 0)),
})  # fmt: skip
_LSTM = _gates("ifgq", *_NAMES)

# Cells of the library by the mode of torch's layers.
TORCH_MODES = {
    "RNN_TANH": "elman", "RNN_RELU": "elman_relu", "LSTM": "lstm", "GRU": "gru"
}  # fmt: skip


def torch_cell(kind: str, tensors: Container[str]) -> str:
    """The name of the cell of a layer of this kind: its own where it projects h."""
    return "lstm_projection" if "weight_hr" in tensors else kind


# The candidate of the GRU keeps its second bias, which the reset gate scales.
TORCH: Mapping[str, Stacking] = {
    "elman": _ELMAN,
    "elman_relu": _ELMAN,
    "lstm": Stacking(4, _LSTM),
    "lstm_projection": Stacking(4, _LSTM | {"P": (("weight_hr", 0),)}),
    "gru": Stacking(3, _gates("rzn", *_NAMES) | {
        "b_n": (("bias_ih", 2),), "d_n": (("bias_hh", 2),),
    }),
}  # fmt: skip


def _keras(n_gates: int, blocks: Mapping[str, tuple[Block, ...]]) -> Stacking:
    """Keras has one bias; with `reset_after` its two rows are `bias` and `bias[1]`."""
    stacked = ("kernel", "recurrent_kernel", "bias", "bias[1]")
    return Stacking(n_gates, blocks, stacked, is_transposed=True)


_KERAS_NAMES = ("kernel", "recurrent_kernel", "bias")
_KERAS_ELMAN = _keras(1, {
    "U": (("kernel", 0),), "W": (("recurrent_kernel", 0),), "b": (("bias", 0),),
})  # fmt: skip
# Keras calls the cell's candidate g and its output gate q c and o, the GRU's n h.
KERAS: Mapping[str, Stacking] = {
    "elman": _KERAS_ELMAN,
    "elman_relu": _KERAS_ELMAN,
    "lstm": _keras(4, _gates("ifgq", *_KERAS_NAMES)),
    "gru": _keras(3, _gates("zrn", *_KERAS_NAMES, "bias[1]") | {
        "b_n": (("bias", 2),), "d_n": (("bias[1]", 2),),
    }),
    "gru_reset_before": _keras(3, _gates("zrn", *_KERAS_NAMES)),
}  # fmt: skip
