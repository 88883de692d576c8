"""`RNN`, `LSTM` and `GRU`: those of `torch.nn` with the gradient engine under them.

Constructor, call, outputs and `state_dict` are torch's. Every layer and direction is
one run of a cell of `bptt.cells`; `weights.TORCH` says which rows of a stacked matrix
are which gate's.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from bptt import cells
from bptt.results import Copies
from bptt.torch.job import key_of
from bptt.torch.record import Record
from bptt.torch.run import run

Tensor = torch.Tensor
State = Tensor | tuple[Tensor, ...] | None
STATES = {"LSTM": ("h", "s")}


@functools.cache
def _text(mode: str, *, is_projected: bool) -> str:
    """The cell of a mode of torch.nn."""
    if mode == "GRU":
        return cells.get("gru").text
    if mode == "LSTM":
        text = cells.get("lstm").text
        return text.replace("h[t] = ", "m[t] = ") + (
            "\nh[t] = R @ m[t]\n") if is_projected else text  # fmt: skip
    text = cells.get("elman").text
    return text if mode == "RNN_TANH" else text.replace("tanh(", "relu(")


@torch.compiler.assume_constant_result
@functools.cache
def _key(mode: str, parameters: tuple[str, ...], has_initial: bool) -> str:
    """The job of one layer and direction."""
    states = STATES.get(mode, ("h",))
    stacking = {"LSTM": "lstm", "GRU": "gru"}.get(mode, "elman")
    return key_of(
        text=_text(mode, is_projected="weight_hr" in parameters),
        parameters=parameters, inputs=("x",), outputs=("h",), finals=states,
        initial=states if has_initial else (), stacking=stacking,
    )  # fmt: skip
