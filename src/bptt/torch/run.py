"""Which way a job runs: kernels, a custom operator, or torch's own operations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from bptt.torch import operators
from bptt.torch.function import CellFunction, run_without_gradient
from bptt.torch.interpret import interpret
from bptt.torch.plan import plan_of
from bptt.torch.record import Record
from torch import Tensor

KERNEL_TYPES = (torch.float32, torch.float64)
PLAIN = (torch.Tensor, torch.nn.Parameter)


class InterpretedWarning(UserWarning):
    """A cell runs by torch's operations, because kernels cannot read its tensors."""


def run(
    key: str, tensors: Sequence[Tensor], record: Record | None = None
) -> tuple[Tensor, ...]:
    """What comes out of the job `key`.

    Kernels run it on the CPU in float32 and float64. Compiled and exported programs
    hold it as one operator. Elsewhere, and inside transformations of `torch.func`,
    torch's own operations do: slower, and just as correct.
    """
    if torch.compiler.is_compiling():
        return _call_operator(key, tensors)
    plan = plan_of(key)
    if not all(type(t) in PLAIN for t in tensors):
        return _call_operator(key, tensors)
    if torch._C._are_functorch_transforms_active():  # noqa: SLF001
        return interpret(plan, tensors)
    if tensors[0].device.type != "cpu" or tensors[0].dtype not in KERNEL_TYPES:
        # Python shows a warning once for each place and text.
        warnings.warn(
            f"this cell runs step by step in torch: kernels read float32 and float64 "
            f"in the CPU's memory, not {tensors[0].dtype} on {tensors[0].device.type}",
            InterpretedWarning,
            stacklevel=4,
        )
        return interpret(plan, tensors)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        out: tuple[Tensor, ...] = CellFunction.apply(plan, record, *tensors)
        return out
    return run_without_gradient(plan, tensors)


def _call_operator(key: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    records = torch.is_grad_enabled()
    needs = [records and t.requires_grad for t in tensors]
    return tuple(operators.forward(key, list(tensors), needs)[:-1])
