"""w_t, the weight of every L^(t) in the total, as a tensor with a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bptt.execute.weighting import as_column, weigh


def step_weights(
    reduction: str,
    given: Tensor | None,
    lengths: Tensor | None,
    like: Tensor,
    *,
    is_batched: bool = True,
    ends_in_loss: bool = False,
) -> Tensor:
    """w_t, (tau, n_b), as `weighting` makes it of a caller's weights.

    lengths: per row; like: an array (tau, n_b) of the element type wanted;
    ends_in_loss: of a cell whose loss follows the last step, which alone counts.
    Raises: ReductionError.
    """
    tau, n_b = like.shape
    ends = tau if lengths is None else lengths
    steps = torch.arange(1, tau + 1, device=like.device)[:, None]
    w = torch.ones_like(like)
    if given is not None:
        w = w * as_column(given, tau, n_b, is_batched).to(like.dtype)
    if lengths is not None:
        w = torch.where(steps <= ends, w, torch.zeros_like(w))
    if ends_in_loss:
        w = w * (steps == ends)
    return weigh(reduction, w, lambda: steps == ends, n_b)
