"""w_t, the weight of every L^(t) in the total: ∂L/∂L^(t) (Goodfellow et al., 10.17).

The one home of every reduction, for NumPy, kernels, torch, JAX and the explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bptt import errors

REDUCTIONS = ("sum", "batch_mean", "mean", "last")


def check_reduction(reduction: str) -> None:
    """Refuse a reduction that does not exist. Raises: ReductionError."""
    if reduction not in REDUCTIONS:
        raise errors.ReductionError(
            f"reduction {reduction!r} is not known; use one of "
            f"{errors.list_known(reduction, REDUCTIONS)}"
        )


def as_column(given: Any, tau: int, n_b: int, is_batched: bool) -> Any:
    """A caller's weights so that they multiply (tau, n_b): one per step as a column.

    Raises: ReductionError if they are neither (tau,) nor (tau, n_b).
    """
    if tuple(given.shape) == (tau,):
        return given[:, None]
    if tuple(given.shape) != (tau, n_b) or not is_batched:
        raise errors.ReductionError(
            f"weights should have shape (tau, n_b) = ({tau}, {n_b}) or (tau,), "
            f"got {tuple(given.shape)}"
        )
    return given


def weigh(reduction: str, w: Any, is_last: Callable[[], Any], n_b: int) -> Any:
    """The weights that a reduction makes of the steps' own.

    sum: w; batch_mean: w / n_b; mean: w / Σ w; last: w at each row's own last useful
    step, else 0.

    w: what the caller gave, or 1; 0 in the padding. is_last: gives 1 at each row's last
    useful step, else 0. Both are arrays of one library, whichever it is, of one shape.
    Raises: ReductionError if a mean divides by 0, where that can be seen.
    """
    if reduction == "last":
        return w * is_last()
    if reduction == "batch_mean":
        return w / n_b
    return w / w.sum() if reduction == "mean" else w


def refuse_no_weight(reduction: str, total: Any) -> None:
    """Refuse a mean over weights whose sum is 0. Raises: ReductionError."""
    if reduction == "mean" and total == 0:
        raise errors.ReductionError(
            "reduction 'mean' divides by the sum of the weights, which is 0"
        )
