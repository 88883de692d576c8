"""`RNN`, `LSTM` and `GRU`: those of `torch.nn` with the gradient engine under them.

Constructor, call, outputs and `state_dict` are torch's. Every layer and direction is
one run of a cell of `bptt.cells`; `weights.TORCH` says which rows of a stacked matrix
are which gate's.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
)

from bptt import cells
from bptt.results import Copies
from bptt.torch.job import key_of
from bptt.torch.record import Record
from bptt.torch.run import run
from bptt.weights import TORCH_MODES, torch_cell

State: TypeAlias = Tensor | tuple[Tensor, ...] | None
STATES = {"LSTM": ("h", "s")}


# Two functions: torch.compile sees through a cache, and would trace what is below it.
@torch.compiler.assume_constant_result
def layer_key(
    mode: str,
    parameters: tuple[str, ...],
    *,
    has_initial: bool = False,
    has_lengths: bool = False,
    is_backward: bool = False,
) -> str:
    """The key of the job of one layer and direction."""
    return _make_key(
        mode, parameters, has_initial=has_initial, has_lengths=has_lengths,
        is_backward=is_backward,
    )  # fmt: skip


@functools.cache
def _make_key(
    mode: str,
    parameters: tuple[str, ...],
    *,
    has_initial: bool = False,
    has_lengths: bool = False,
    is_backward: bool = False,
) -> str:
    states = STATES.get(mode, ("h",))
    names = tuple(name.split("_l")[0] for name in parameters)
    cell = torch_cell(TORCH_MODES[mode], names)
    text = cells.get(cell).text
    return key_of(
        text=text.replace("[t-1]", "[t+1]") if is_backward else text,
        outputs=("h",), finals=states, initial=states if has_initial else (),
        stacking=cell, tensors=names, has_lengths=has_lengths,
    )  # fmt: skip


class _Layers(torch.nn.RNNBase):
    """What the three have in common: layers, directions, dropout between layers."""

    def forward(self, input: Tensor | PackedSequence, hx: State = None) -> Any:  # noqa: A002
        """Run over sequences; arguments and results are those of torch's layer."""
        states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
        if isinstance(input, PackedSequence):
            y, finals = self._run_packed(input, states)
        else:
            y, finals = self._run_padded(input, states)
        return y, finals if self.mode == "LSTM" else finals[0]

    def _run_padded(
        self, x: Tensor, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        self._check_rank(x, states)
        is_batched, batch_axis = x.dim() == 3, 0 if self.batch_first else 1
        if not is_batched:
            x = x.unsqueeze(batch_axis)
            states = tuple(state.unsqueeze(1) for state in states)
        x = x.transpose(0, 1) if self.batch_first else x
        y, finals = self._run(x, states, None)
        y = y.transpose(0, 1) if self.batch_first else y
        if is_batched:
            return y, finals
        return y.squeeze(batch_axis), tuple(state.squeeze(1) for state in finals)

    def _run_packed(
        self, packed: PackedSequence, states: tuple[Tensor, ...]
    ) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        """Rows in the order of the packing, longest first, there and back."""
        data, batch_sizes, order, inverse = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        if order is not None:
            states = tuple(state.index_select(1, order) for state in states)
        y, finals = self._run(x, states, lengths)
        rows = pack_padded_sequence(y, lengths).data
        if inverse is not None:
            finals = tuple(state.index_select(1, inverse) for state in finals)
        return PackedSequence(rows, batch_sizes, order, inverse), finals

    def _run(
        self, x: Tensor, states: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers on (tau, n_b, n_x): the last one's sequence, all last values."""
        x = self._check_dtype(x)
        self._check_sizes(x, states)
        n_directions = 2 if self.bidirectional else 1
        finals = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = torch.nn.functional.dropout(x, self.dropout, self.training)
            ys = []
            for direction in range(n_directions):
                number = layer * n_directions + direction
                y, *last = self._run_direction(x, states, lengths, number)
                ys.append(y)
                finals.append(last)
            x = torch.cat(ys, -1) if self.bidirectional else ys[0]
        if len(finals) == 1:
            return x, tuple(part[None] for part in finals[0])
        return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _run_direction(
        self,
        x: Tensor,
        states: tuple[Tensor, ...],
        lengths: Tensor | None,
        number: int,
    ) -> tuple[Tensor, ...]:
        names = self._all_weights[number]
        tensors = [*(getattr(self, name) for name in names), x]
        tensors += [state[number] for state in states]
        if lengths is not None:
            tensors.append(lengths)
        is_backward = self.bidirectional and number % 2 == 1
        key = layer_key(
            self.mode, tuple(names), has_initial=bool(states),
            has_lengths=lengths is not None, is_backward=is_backward,
        )  # fmt: skip
        record = None if torch.compiler.is_compiling() else self._records[number]
        return run(key, tensors, record)

    # ----- checks, with torch's error classes -----

    def _check_rank(self, x: Tensor, states: tuple[Tensor, ...]) -> None:
        if x.dim() not in {2, 3}:
            raise ValueError(
                f"{type(self).__name__}: expected input of 2 or 3 dimensions, got "
                f"{x.dim()}"
            )
        for state in states:
            if state.dim() != x.dim():
                raise RuntimeError(
                    f"{type(self).__name__}: for {x.dim()}-D input, hx should have "
                    f"{x.dim()} dimensions too, got {state.dim()}"
                )

    def _check_dtype(self, x: Tensor) -> Tensor:
        dtype = self.weight_ih_l0.dtype
        if x.dtype == dtype:
            return x
        if torch.is_autocast_enabled(x.device.type):
            return x.to(dtype)
        raise ValueError(
            f"{type(self).__name__}: input dtype {x.dtype} does not match weight dtype "
            f"{dtype}; use input.to({dtype}) or model.to({x.dtype})"
        )

    def _check_sizes(self, x: Tensor, states: tuple[Tensor, ...]) -> None:
        if x.size(-1) != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be input_size = "
                f"{self.input_size}, got {x.size(-1)}"
            )
        n_finals = self.num_layers * (2 if self.bidirectional else 1)
        n_b = x.size(1)
        widths = (self.proj_size or self.hidden_size, self.hidden_size)
        for number, state in enumerate(states):
            expected = (n_finals, n_b, widths[number])
            if tuple(state.shape) != expected:
                raise RuntimeError(
                    f"{type(self).__name__}: expected initial state {number} of size "
                    f"{expected}, got {tuple(state.shape)}"
                )

    # ----- looking inside -----

    @property
    def _records(self) -> list[Record]:
        """One record per layer and direction, made at the first call."""
        if "records" not in self.__dict__:
            n = self.num_layers * (2 if self.bidirectional else 1)
            self.__dict__["records"] = [Record() for _ in range(n)]
        found: list[Record] = self.__dict__["records"]
        return found

    def _record(self, layer: int, *, reverse: bool) -> Record:
        n_directions = 2 if self.bidirectional else 1
        if not 0 <= layer < self.num_layers or (reverse and not self.bidirectional):
            raise IndexError(
                f"layer {layer}{' reversed' if reverse else ''}: there are "
                f"{self.num_layers} layers in {n_directions} directions"
            )
        return self._records[layer * n_directions + reverse]

    def node_gradients(
        self, name: str, layer: int = 0, *, reverse: bool = False
    ) -> Tensor:
        """∇_{h^(t)} L for every t, of any node, after `backward()`: (tau, n_b, n_h).

        name: a node of the layer's cell, such as "h", "i" or "s"; reverse: of the
        direction that reads from the end. Computed when asked for.
        Raises: IndexError, NoRecordError, UnknownNodeError.
        """
        return self._record(layer, reverse=reverse).node_gradients(name)

    def copies(self, name: str, layer: int = 0, *, reverse: bool = False) -> Copies:
        """∇_{W^(t)} L for every t, of a parameter of the layer's cell: see `Copies`.

        name: such as "W_f", the recurrent matrix of the forget gate.
        Raises: IndexError, NoRecordError, UnknownNodeError.
        """
        return self._record(layer, reverse=reverse).copies(name)


class RNN(_Layers):
    """`torch.nn.RNN` by the equations of `bptt.cells.elman`.

    h^(t) = tanh(b + W h^(t-1) + U x^(t))   (Goodfellow et al., 10.8)
    Arguments, call, results and `state_dict` are those of `torch.nn.RNN`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.RNN(3, 4, num_layers=2, nonlinearity="relu")
    >>> y, h = layer(torch.zeros(6, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([6, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(type(self).__name__, kwargs)
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in {"tanh", "relu"}:
            raise ValueError(
                f"nonlinearity {nonlinearity!r} is not known; use 'tanh' or 'relu'"
            )
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)


class LSTM(_Layers):
    """`torch.nn.LSTM` by the equations of `bptt.cells.lstm`.

    s^(t) = f^(t) s^(t-1) + i^(t) g^(t)   (Goodfellow et al., 10.41)
    Arguments, call, results and `state_dict` are those of `torch.nn.LSTM`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.LSTM(3, 5, bidirectional=True, proj_size=4)
    >>> y, (h, c) = layer(torch.zeros(6, 2, 3))
    >>> y.shape, h.shape, c.shape
    (torch.Size([6, 2, 8]), torch.Size([2, 2, 4]), torch.Size([2, 2, 5]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(_Layers):
    """`torch.nn.GRU` by the equations of `bptt.cells.gru`.

    h^(t) = (1 - z^(t)) n^(t) + z^(t) h^(t-1)   (arXiv:1406.1078)
    Arguments, call, results and `state_dict` are those of `torch.nn.GRU`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.GRU(3, 4, batch_first=True)
    >>> y, h = layer(torch.zeros(2, 6, 3))
    >>> y.shape, h.shape
    (torch.Size([2, 6, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(type(self).__name__, kwargs)
        super().__init__("GRU", *args, **kwargs)


def _refuse_projection(name: str, kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError(f"proj_size is an argument of LSTM only, not of {name}")
