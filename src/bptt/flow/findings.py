"""What a flow found: the numbers that text, page and figure show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bptt.flow.measure import Flow
from bptt.flow.non_finite import NonFinite
from bptt.flow.travel import TruncationLoss
from bptt.step.shapes import Array


@dataclass(frozen=True, eq=False)
class Findings:
    """How far gradients travel through time, in numbers.

    numbers: norms of ∇_{h^(t)} L with their two sources, singular values, exponents,
    slopes; None if a number is not finite, and `non_finite` says which came first
    lags: the norm of the terms of ∇_{s^(t)} L that come from L^(t+k), for k = 0, 1, ...
    truncations: cosine and norm ratio of the gradient with lags below k alone
    copies: ‖∇_{W^(t)} L‖ by parameter, (tau,)
    cancellation: ‖sum over t‖ / sum over t of ‖∇_{W^(t)} L‖: 1 when all agree, near 0
    when they cancel
    spectra: spectral radius and largest singular value of each square parameter, as
    context: neither says what the gradients do
    """

    loss: float | None
    n_b: int
    row: int
    numbers: Flow | None
    lags: Array
    truncations: tuple[TruncationLoss, ...]
    copies: Mapping[str, Array]
    cancellation: Mapping[str, float]
    spectra: Mapping[str, tuple[float, float]]
    non_finite: NonFinite | None
