"""A call of a cell on tensors, by kernels, as an operator, or by torch's operations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from bptt.execute.tokens import counted_by
from bptt.torch import operators
from bptt.torch.function import CellFunction, run_without_gradient
from bptt.torch.guard import HALF_TYPES, Way, choose, describe, refuse_layouts
from bptt.torch.interpret import interpret
from bptt.torch.limits import refuse_limit
from bptt.torch.plan import plan_of
from bptt.torch.record import Record

WHY = {
    Way.TORCH: "kernels cannot read its tensors",
    Way.TRACED: "torch.jit.trace is recording",
    Way.DERIVED: "a transformation of torch.func is going on",
    Way.WATCHED: "a mode of torch.overrides watches torch's functions",
}


class InterpretedWarning(UserWarning):
    """A cell runs by torch's operations, because kernels cannot read its tensors."""


def run(
    key: str, tensors: Sequence[Tensor], record: Record | None = None
) -> tuple[Tensor, ...]:
    """What comes out of the call `key`.

    Kernels run it on the CPU in float32 and float64. Compiled, exported and traced
    programs hold it as one operator. Elsewhere, and inside transformations of
    `torch.func`, torch's own operations do: slower, and just as correct.
    Raises: LayoutError.
    """
    way = choose(tensors)
    if way is Way.TORCH:
        refuse_layouts(tensors)
        wide = _widen(tensors)
        if choose(wide) is Way.KERNELS:
            return run_on(Way.KERNELS, key, wide, record, tensors[0].dtype)
        warn_of(tensors, "this cell runs step by step in torch", 5)
    return run_on(way, key, tensors, record)


def warn_of(tensors: Sequence[Tensor], what: str, level: int) -> None:
    """Say that kernels do not run; Python shows it once for each place and text."""
    warnings.warn(
        f"{what}: kernels read float32 and float64 in the CPU's memory, not "
        f"{describe(tensors)}",
        InterpretedWarning,
        stacklevel=level + 1,
    )


def _widen(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Half precision as float32."""
    return [t.float() if t.dtype in HALF_TYPES else t for t in tensors]


def run_on(
    way: Way,
    key: str,
    tensors: Sequence[Tensor],
    record: Record | None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, ...]:
    """What comes out of the call `key`, by the way that `guard.choose` found.

    dtype: of the results, where it is another.
    """
    if dtype is not None:
        out, whole = run_on(way, key, tensors, record), _tokens_of(key)
        return tuple(t if n in whole else t.to(dtype) for n, t in enumerate(out))
    if way in {Way.OPERATOR, Way.TRACED}:
        if tensors[0].dtype in HALF_TYPES:
            return run_on(way, key, _widen(tensors), record, tensors[0].dtype)
        return _call_operator(key, tensors, keeps_always=way is Way.TRACED)
    plan = plan_of(key)
    if way is not Way.KERNELS:
        refuse_limit(plan.limit, WHY[way])
        return interpret(plan, tensors)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        found: tuple[Tensor, ...] = CellFunction.apply(plan, record, *tensors)
        return found
    return run_without_gradient(plan, tensors, record)


@torch.compiler.assume_constant_result
def _tokens_of(key: str) -> tuple[int, ...]:
    """The numbers of results that hold tokens: half precision has no 257."""
    call = plan_of(key).call
    finals = enumerate(call.finals, len(call.outputs))
    return tuple(n for n, name in finals if counted_by(call.graph, name) is not None)


def _call_operator(
    key: str, tensors: Sequence[Tensor], *, keeps_always: bool
) -> tuple[Tensor, ...]:
    """keeps_always: a traced graph is run later, perhaps for gradients."""
    records = torch.is_grad_enabled()
    needs = [
        int(t.is_floating_point() if keeps_always else records and t.requires_grad)
        for t in tensors
    ]
    return tuple(operators.forward(key, list(tensors), needs)[:-1])
