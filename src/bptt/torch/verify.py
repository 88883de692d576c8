"""Two versions of a model on the same inputs: outputs and gradients compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

# Two orders of the same sums, step after step: at most this many roundings of the
# largest element are taken for rounding. Seen in 100 steps: 30.
ROUNDINGS = 2000


@dataclass(frozen=True)
class Gaps:
    """The largest distance between two versions of a model.

    outputs, gradients: over the largest element of each tensor, in roundings of its
    element type (1.2e-7 in float32); worst: the name of the tensor.
    """

    outputs: float
    gradients: float
    worst: str

    @property
    def are_rounding(self) -> bool:
        """Whether all of it can be rounding."""
        return max(self.outputs, self.gradients) <= ROUNDINGS

    def __str__(self) -> str:
        return (
            f"outputs differ by {self.outputs:.3g} roundings, gradients by "
            f"{self.gradients:.3g}, most in {self.worst}"
        )


def measure(model: torch.nn.Module, arguments: Any) -> dict[str, Tensor]:
    """Outputs and gradients of a model, of a loss that weighs every element.

    Nothing is left behind: no gradient, no buffer and no random number is changed.
    """
    given = arguments if isinstance(arguments, (tuple, list)) else (arguments,)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        out = [t for t in pytree.tree_leaves(model(*given)) if isinstance(t, Tensor)]
        found = {f"output {number}": t.detach() for number, t in enumerate(out)}
        weighed = [
            (t * torch.randn_like(t)).sum() for t in out if t.is_floating_point()
        ]
        wanted = {n: p for n, p in model.named_parameters() if p.requires_grad}
        if weighed and wanted and any(loss.requires_grad for loss in weighed):
            total = torch.stack([loss for loss in weighed if loss.requires_grad]).sum()
            grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
            pairs = zip(wanted, grads, strict=True)
            found |= {name: grad for name, grad in pairs if grad is not None}
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return found


def measure_gaps(before: dict[str, Tensor], after: dict[str, Tensor]) -> Gaps:
    """The distance of two measurements; infinite where one lacks what the other has."""
    gaps = {
        name: _gap(before[name], after[name])
        if name in before and name in after
        else float("inf")
        for name in [*before, *after]
    }
    outputs = [gap for name, gap in gaps.items() if name.startswith("output ")]
    gradients = [gap for name, gap in gaps.items() if not name.startswith("output ")]
    worst = max(gaps, key=lambda name: gaps[name], default="nothing")
    return Gaps(max(outputs, default=0.0), max(gradients, default=0.0), worst)


def _gap(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if not a.is_floating_point():
        return 0.0 if torch.equal(a, b) else float("inf")
    if not a.numel():
        return 0.0
    is_same = (a == b) | (a.isnan() & b.isnan())
    a, b = a.masked_fill(is_same, 0), b.masked_fill(is_same, 0)
    scale = max(float(a.abs().max()), float(b.abs().max()))
    if scale == 0:
        return 0.0
    gap = float((a - b).abs().max()) / scale / torch.finfo(a.dtype).eps
    return gap if math.isfinite(gap) else float("inf")
