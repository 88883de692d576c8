"""What one call of a cell computes, as plain data."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Job:
    """A cell and the names of the tensors that go in and come out, in order.

    text: the cell's equations; parameters: names of the parameters' tensors; stacking:
    the key of `weights.TORCH` that they follow, or "" where they are the cell's own;
    inputs: sequences; outputs: nodes whose sequences come out; finals: states whose
    last value comes out; initial: states whose first value is given; reduction: of the
    loss; has_weights, has_lengths: whether the weights of the steps' losses, and
    the rows' numbers of steps, are given.

    Going in: parameters, inputs, initial, weights, lengths. Coming out: outputs,
    finals, and the total loss if the cell has one.
    """

    text: str
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    finals: tuple[str, ...]
    initial: tuple[str, ...] = ()
    stacking: str = ""
    reduction: str = "sum"
    has_weights: bool = False
    has_lengths: bool = False

    @classmethod
    def from_key(cls, key: str) -> Job:
        """The job of a key."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(key).items()
        }
        return cls(**fields)


# Two functions: torch.compile sees through a cache, and would trace what is below it.
@torch.compiler.assume_constant_result
def key_of(**fields: Any) -> str:
    """A job as text: a constant in a compiled or exported graph.

    fields: those of `Job`.
    """
    return _make_key(**fields)


@functools.cache
def _make_key(**fields: Any) -> str:
    return json.dumps(asdict(Job(**fields)))
