"""`RNN`, `LSTM` and `GRU`: those of `torch.nn` with the gradient engine under them.

Constructor, call, outputs and `state_dict` are torch's; so is the class, as a base.
Every layer and direction is one run of a cell of `bptt.cells`; `weights.TORCH` says
which rows of a stacked matrix are which gate's.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from bptt.results import Copies
from bptt.torch.limits import set_limit
from bptt.torch.network import records_of, run_apart, run_network
from bptt.torch.record import Record


class _Layers(torch.nn.RNNBase):
    """What all have in common: the call, and looking inside."""

    def __init__(
        self,
        *args: Any,
        memory: int | str | None = None,
        checkpoint: int | str | None = None,
        truncate: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        """Torch's arguments, and what may be held for the way back.

        memory, checkpoint, truncate: see `Cell.gradient`; of bytes each layer and
        direction takes an equal part.
        Raises: MemoryBudgetError, CheckpointError, TruncationError.
        """
        super().__init__(*args, **kwargs)
        set_limit(self, memory, checkpoint, truncate)

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run over sequences; arguments and results are those of torch's layer."""
        return run_apart(self, input, hx)

    def __prepare_scriptable__(self) -> torch.nn.RNNBase:
        """What TorchScript compiles in place of this: torch's layer, same tensors."""
        twin = copy.copy(self)
        twin.__dict__.pop("records", None)
        twin.__dict__.pop("limit", None)
        twin.__class__ = torch_class(type(self))
        return twin

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

    def _record(self, layer: int, *, reverse: bool) -> Record:
        n_directions = 2 if self.bidirectional else 1
        if not 0 <= layer < self.num_layers or (reverse and not self.bidirectional):
            raise IndexError(
                f"layer {layer}{' reversed' if reverse else ''}: there are "
                f"{self.num_layers} layers in {n_directions} directions"
            )
        return records_of(self)[layer * n_directions + reverse]


class RNN(_Layers, torch.nn.RNN):
    """`torch.nn.RNN` by the equations of `bptt.cells.elman`.

    h^(t) = tanh(b + W h^(t-1) + U x^(t))   (Goodfellow et al., 10.8)
    Arguments, call, results and `state_dict` are those of `torch.nn.RNN`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.RNN(3, 4, num_layers=2, nonlinearity="relu")
    >>> y, h = layer(torch.zeros(6, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([6, 2, 4]), torch.Size([2, 2, 4]))
    """


class LSTM(_Layers, torch.nn.LSTM):
    """`torch.nn.LSTM` by the equations of `bptt.cells.lstm`.

    s^(t) = f^(t) s^(t-1) + i^(t) g^(t)   (Goodfellow et al., 10.41)
    Arguments, call, results and `state_dict` are those of `torch.nn.LSTM`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.LSTM(3, 5, bidirectional=True, proj_size=4)
    >>> y, (h, c) = layer(torch.zeros(6, 2, 3))
    >>> y.shape, h.shape, c.shape
    (torch.Size([6, 2, 8]), torch.Size([2, 2, 4]), torch.Size([2, 2, 5]))
    >>> isinstance(layer, torch.nn.LSTM)
    True
    """


class GRU(_Layers, torch.nn.GRU):
    """`torch.nn.GRU` by the equations of `bptt.cells.gru`.

    h^(t) = (1 - z^(t)) n^(t) + z^(t) h^(t-1)   (arXiv:1406.1078)
    Arguments, call, results and `state_dict` are those of `torch.nn.GRU`.

    >>> import torch, bptt.torch
    >>> layer = bptt.torch.GRU(3, 4, batch_first=True)
    >>> y, h = layer(torch.zeros(2, 6, 3))
    >>> y.shape, h.shape
    (torch.Size([2, 6, 4]), torch.Size([1, 2, 4]))
    """


# torch.compile keeps every instance of torch.nn.RNN, LSTM and GRU out of its graphs.
# `convert(model, keep="graph")` makes these, which it does not recognise.


class _InGraphs(_Layers):
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run over sequences; arguments and results are those of torch's layer."""
        return run_network(self, input, hx)


class GraphRNN(_InGraphs):
    """`RNN` for graphs of `torch.compile`: no instance of `torch.nn.RNN`."""


class GraphLSTM(_InGraphs):
    """`LSTM` for graphs of `torch.compile`: no instance of `torch.nn.LSTM`."""

    get_expected_cell_size = torch.nn.LSTM.get_expected_cell_size
    check_forward_args = torch.nn.LSTM.check_forward_args
    permute_hidden = torch.nn.LSTM.permute_hidden


class GraphGRU(_InGraphs):
    """`GRU` for graphs of `torch.compile`: no instance of `torch.nn.GRU`."""


KINDS: tuple[tuple[type[torch.nn.RNNBase], ...], ...] = (
    (torch.nn.RNN, RNN, GraphRNN),
    (torch.nn.LSTM, LSTM, GraphLSTM),
    (torch.nn.GRU, GRU, GraphGRU),
)


def torch_class(kind: type) -> type[torch.nn.RNNBase]:
    """The class of torch.nn that a class of ours stands for."""
    return next(theirs for theirs, *ours in KINDS if issubclass(kind, tuple(ours)))
