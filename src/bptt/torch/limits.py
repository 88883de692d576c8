"""What a layer may hold of its steps: `memory=`, `checkpoint=` and `truncate=`.

Kernels alone can run steps again with the same bits. Where torch's own operations run a
layer they keep every step, so a layer with a limit is refused there.
"""

from __future__ import annotations

from typing import Any

import torch

from bptt import errors
from bptt.execute.checkpoints import Limit, read_limit, reads_later


def limit_of(module: torch.nn.Module) -> Limit | None:
    """The limit of a layer; None for one that keeps every step."""
    found: Limit | None = module.__dict__.get("limit")
    return found


def set_limit(
    module: torch.nn.Module, memory: Any, checkpoint: Any, truncate: Any
) -> None:
    """Read and keep a layer's limit.

    Raises: MemoryBudgetError, CheckpointError, TruncationError.
    """
    limit = read_limit(memory, checkpoint, truncate)
    if limit is None:
        return
    if limit.truncate is not None and getattr(module, "bidirectional", False):
        raise reads_later(limit.truncate, "a bidirectional layer")
    module.__dict__["limit"] = limit


def refuse_limit(limit: Limit | None, why: str) -> None:
    """Raises: CheckpointError, where torch's own operations are to run."""
    if limit is not None:
        raise errors.CheckpointError(
            f"this layer was made with {show_limit(limit)}, and {why}, where torch's "
            "own operations keep every step: make the layer without it, or give it "
            "float32 or float64 in the CPU's memory and differentiate once"
        )


def show_limit(limit: Limit) -> str:
    """As it was given."""
    if limit.truncate is not None:
        return f"truncate={limit.truncate}"
    if limit.memory is not None:
        return f"memory={limit.memory}"
    return f"checkpoint={limit.checkpoint!r}"
