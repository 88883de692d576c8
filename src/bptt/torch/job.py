"""A call of a cell as a constant of a compiled or exported graph."""

from __future__ import annotations

import functools
from typing import Any

import torch

from bptt.call import CellCall


# Two functions: torch.compile sees through a cache, and would trace what is below it.
@torch.compiler.assume_constant_result
def key_of(**fields: Any) -> str:
    """A call as text: a constant in a compiled or exported graph.

    fields: those of `CellCall`.
    """
    return _make_key(**fields)


@functools.cache
def _make_key(**fields: Any) -> str:
    return CellCall(**fields).encode()
