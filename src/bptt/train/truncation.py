"""Truncated back-propagation: how far back a gradient goes, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Truncation:
    """Every k1 steps a gradient through k2 steps; None: over whole sequences."""

    k1: int | None
    k2: int | None
