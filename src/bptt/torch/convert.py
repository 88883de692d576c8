"""Swaps the recurrent layers of a model, in place, for ours and back."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.parametrize import is_parametrized

from bptt import errors
from bptt.errors import list_known
from bptt.torch.layers import KINDS
from bptt.torch.network import run_apart
from bptt.torch.verify import Gaps, measure, measure_gaps

TARGETS = ("bptt", "torch")
KEEP = ("isinstance", "type", "graph")
CELLS = (torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)


class UnknownTargetError(errors.ArgumentError):
    """A model is to be converted to something that `convert` does not know."""


class ConversionError(errors.ArgumentError):
    """A converted model gives other numbers than before; it was changed back."""


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    model: the model itself; changed: names of the layers that were swapped; left: the
    name of every other recurrent module, and why it was left alone; gaps: how far
    outputs and gradients are from those before, where `verify` was given. `print` it.
    """

    model: Any
    changed: tuple[str, ...]
    left: dict[str, str]
    gaps: Gaps | None = None

    def __str__(self) -> str:
        lines = [f"changed: {_layer_of(name)}" for name in self.changed]
        lines += [f"left: {name}: {reason}" for name, reason in self.left.items()]
        if not lines:
            lines = ["the model has no RNN, LSTM or GRU"]
        if self.gaps is not None:
            lines.append(f"verified: {self.gaps}")
        return "\n".join(lines)


def _layer_of(name: str) -> str:
    """A layer's name as a name: the first of a Sequential is "0", no count."""
    return f"layer {name}" if name else "the model itself"


def convert(
    model: torch.nn.Module,
    to: str = "bptt",
    *,
    keep: str = "isinstance",
    verify: Any = None,
) -> Conversion:
    """Make every `torch.nn.RNN`, `LSTM` and `GRU` in a model one of ours, or back.

    The modules stay the objects they are: parameters, hooks, the training flag and
    every optimiser that holds the parameters go on as before. A class derived from one
    of them has a forward of its own and is left alone.

    to: "bptt" or "torch". keep: what the rest of the program still finds.
    "isinstance": layers of classes derived from torch's; "type": torch's class itself,
    of which only the forward is replaced; "graph": layers that `torch.compile` keeps in
    its graphs, which are no instances of torch's classes. verify: a tuple of arguments
    of the model, or one tensor: outputs and gradients for them are compared before and
    after, to rounding, and a model that differs is changed back.
    Returns: what was changed, what was left and why.
    Raises: UnknownTargetError, ConversionError.

    >>> import torch, bptt.torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(3, 4)})
    >>> print(bptt.torch.convert(model))
    changed: layer rnn
    >>> type(model["rnn"]).__module__
    'bptt.torch.layers'
    >>> done = bptt.torch.convert(model, to="torch")
    >>> type(model["rnn"]).__module__
    'torch.nn.modules.rnn'
    """
    if to not in TARGETS:
        raise UnknownTargetError(f"to={to!r}: use one of {list_known(to, TARGETS)}")
    if keep not in KEEP:
        raise UnknownTargetError(f"keep={keep!r}: use one of {list_known(keep, KEEP)}")
    before = None if verify is None else measure(model, verify)
    form = "torch" if to == "torch" else keep
    modules = dict(model.named_modules())
    found = {name: form_of(module) for name, module in modules.items()}
    forms = {name: now for name, now in found.items() if now not in (None, form)}
    for name in forms:
        _set_form(modules[name], form)
    left = {
        name: reason
        for name, module in modules.items()
        if found[name] is None and (reason := _reason(module))
    }
    if before is None:
        return Conversion(model, tuple(forms), left)
    gaps = measure_gaps(before, measure(model, verify))
    if not gaps.are_rounding:
        for name, now in forms.items():
            _set_form(modules[name], now)
        raise ConversionError(
            f"after the conversion of {', '.join(forms)} the model differs: {gaps}; it "
            "was changed back. Does it draw random numbers beyond torch's generator, "
            "or keep state from call to call?"
        )
    return Conversion(model, tuple(forms), left, gaps)


def form_of(module: torch.nn.Module) -> str | None:
    """How a layer is kept now: torch's own, or one of KEEP; None for other modules."""
    for theirs, derived, apart in KINDS:
        if type(module) is theirs:
            return "type" if "forward" in module.__dict__ else "torch"
        if type(module) in (derived, apart):
            return "isinstance" if type(module) is derived else "graph"
    return None


def _set_form(module: torch.nn.Module, form: str | None) -> None:
    kinds = next(kinds for kinds in KINDS if type(module) in kinds)
    module.__dict__.pop("records", None)
    module.__dict__.pop("forward", None)
    module.__class__ = kinds[{"isinstance": 1, "graph": 2}.get(form or "", 0)]
    if form == "type":
        # No method of a class: a copy of the module gets a forward of its own.
        module.__dict__["forward"] = functools.partial(run_apart, module)


def _reason(module: torch.nn.Module) -> str:
    """Why a recurrent module that is none of torch's layers is left; else nothing."""
    name = type(module).__name__
    if isinstance(module, CELLS):
        return f"a {name} runs single steps; kernels run whole sequences"
    if not isinstance(module, torch.nn.RNNBase):
        is_script = getattr(module, "original_name", None) in {"RNN", "LSTM", "GRU"}
        return "it is TorchScript, compiled already" if is_script else ""
    if is_parametrized(module):
        return (
            f"a {name} computes parameters by torch.nn.utils.parametrize; convert the "
            "model before that is registered"
        )
    return f"its class {name} may have a forward of its own"
