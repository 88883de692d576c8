"""A call of a cell as a constant, or a module as a node, of a graph."""

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


def leave_whole(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """One node of a graph of torch.fx, as modules of torch.nn are."""
    given = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.fx.Proxy)]
    tracer = given[0].tracer
    name = tracer.path_of_module(module)
    return tracer.create_proxy("call_module", name, args, kwargs)
