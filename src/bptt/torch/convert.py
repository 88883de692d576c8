"""Swaps the recurrent layers of a model, in place, for ours and back."""

from __future__ import annotations

from typing import TypeVar

import torch
from bptt import errors
from bptt.torch.layers import GRU, LSTM, RNN

Model = TypeVar("Model", bound="torch.nn.Module")
PAIRS = ((torch.nn.RNN, RNN), (torch.nn.LSTM, LSTM), (torch.nn.GRU, GRU))
TARGETS = {"bptt": dict(PAIRS), "torch": {ours: theirs for theirs, ours in PAIRS}}


class UnknownTargetError(errors.ArgumentError):
    """A model is to be converted to something that is neither bptt nor torch."""


def convert(model: Model, to: str = "bptt") -> Model:
    """Make every `torch.nn.RNN`, `LSTM` and `GRU` in a model one of ours, or back.

    The modules stay the objects they are: parameters, hooks, the training flag and
    every optimiser that holds the parameters go on as before. A class derived from one
    of them has a forward of its own and is left alone.

    to: "bptt" or "torch". Returns: the model itself.
    Raises: UnknownTargetError.

    >>> import torch, bptt.torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 4)})
    >>> type(bptt.torch.convert(model)["rnn"]).__module__
    'bptt.torch.layers'
    >>> type(bptt.torch.convert(model, to="torch")["rnn"]).__module__
    'torch.nn.modules.rnn'
    """
    if to not in TARGETS:
        raise UnknownTargetError(f"to={to!r}: use one of {', '.join(TARGETS)}")
    for module in model.modules():
        target = TARGETS[to].get(type(module))
        if target is not None:
            module.__dict__.pop("records", None)
            module.__class__ = target
    return model
