"""Where arrays lie on many devices, as JAX's types tell it.

Inside `jax.shard_map` a type names the mesh axes along which a value varies. JAX sums a
gradient over an axis along which its primal does not vary, so a primitive must say how
its results vary: along every axis of any operand. Outside, in explicit mode, a type has
the sharding of its array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def vary_alike(operands: Sequence[Any]) -> list[Any]:
    """The operands, each cast to vary along every axis that any of them varies along.

    The transpose of such a cast is a sum over devices: the gradient of parameters that
    all devices share.
    """
    axes = [_varying(jax.typeof(operand)) for operand in operands]
    union = frozenset().union(*axes)
    if not union:
        return list(operands)
    return [
        _cast(operand, tuple(sorted(union - own))) if own != union else operand
        for operand, own in zip(operands, axes, strict=True)
    ]


def _varying(aval: Any) -> frozenset[str]:
    """The mesh axes of a type; JAX named the field `vma` before `mat.varying`."""
    kind = getattr(aval, "mat", None)
    found: frozenset[str] = (
        getattr(aval, "vma", frozenset()) if kind is None else kind.varying
    )
    return found


def _cast(operand: Any, axes: tuple[str, ...]) -> Any:
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(operand, axes, to="varying")
    return jax.lax.pvary(operand, axes)


def like(operand: Any, shape: Sequence[int], dtype: Any) -> Any:
    """The type of an array that varies as `operand` does, whole on every device."""
    if not hasattr(operand, "sharding"):
        return operand.update(shape=tuple(shape), dtype=dtype, weak_type=False)
    sharding = NamedSharding(operand.sharding.mesh, PartitionSpec())
    return operand.update(
        shape=tuple(shape), dtype=dtype, weak_type=False, sharding=sharding
    )
