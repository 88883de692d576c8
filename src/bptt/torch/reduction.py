"""w_t, the weight of every L^(t) in the total, as a tensor with a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bptt import errors


def step_weights(
    reduction: str, given: Tensor | None, lengths: Tensor | None, like: Tensor
) -> Tensor:
    """w_t as `Cell.forward` has it, of the shape of the steps' losses.

    given: the caller's weights, (tau,) or of that shape; lengths: per row, (n_b,);
    like: an array (tau, n_b) or (tau,) of the element type wanted.
    Raises: ReductionError.
    """
    is_batched = like.ndim == 2
    w = torch.ones_like(like)
    if given is not None:
        if given.shape == like.shape[:1]:
            given = given.reshape(-1, *[1] * (like.ndim - 1))
        elif given.shape != like.shape:
            raise errors.ReductionError(
                f"weights should have shape (tau, n_b) = {tuple(like.shape)} or "
                f"(tau,), got {tuple(given.shape)}"
            )
        w = w * given.to(like.dtype)
    if lengths is not None:
        steps = torch.arange(like.shape[0], device=like.device)
        is_useful = steps[:, None] < lengths if is_batched else steps < lengths
        w = torch.where(is_useful, w, torch.zeros_like(w))
    if reduction == "batch_mean":
        return w / like.shape[1] if is_batched else w
    return w / w.sum() if reduction == "mean" else w
