"""What each operation means in torch, on tensors with any leading axes.

The core axes of a value come last, as in `bptt.step.meanings`. torch differentiates
these, twice if asked, on any device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bptt.step.places import PlaceReading, chosen
from bptt.step.table import Table


def matvec(a: Tensor, x: Tensor) -> Tensor:
    """A x for every row."""
    return x @ a.mT if a.ndim == 2 else (a @ x[..., None])[..., 0]


def pick(x: Tensor, index: Tensor) -> Tensor:
    """Element `index` of the last axis."""
    return torch.gather(x, -1, index[..., None])[..., 0]


def lookup(a: Tensor, index: Tensor) -> Tensor:
    """Column `index` of A for every row."""
    if a.ndim == 2:
        return a.T[index]
    wide = index[..., None, None].expand(*a.shape[:-1], 1)
    return torch.gather(a, -1, wide)[..., 0]


def one_hot(index: Tensor, sizes: tuple[int]) -> Tensor:
    """1 at the index, else 0, as whole numbers: the index has no real type."""
    return functional.one_hot(index, sizes[0])


def scatter(g: Tensor, index: Tensor, sizes: tuple[int]) -> Tensor:
    """The matrix with g in column `index`, else 0."""
    return g[..., :, None] * one_hot(index, sizes).to(g.dtype)[..., None, :]


def _axes(rank: int) -> tuple[int, ...]:
    return tuple(range(-rank, 0))


def sum_of(x: Tensor, rank: int) -> Tensor:
    """The sum over the core axes; `sum` without an axis would take all."""
    return x.sum(_axes(rank)) if rank else x


def mean_of(x: Tensor, rank: int) -> Tensor:
    """The mean over the core axes."""
    return x.mean(_axes(rank)) if rank else x


def fill(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A scalar repeated over the core axes."""
    return g.reshape(*g.shape, *(1 for _ in shape)).expand(*g.shape, *shape)


def _labelled(x: Tensor, given: list[int], wanted: list[int]) -> Tensor:
    """Axes in another order; one number twice is a diagonal."""
    return torch.einsum(x, [..., *given], [..., *wanted])


def read_place(x: Tensor, reading: PlaceReading) -> Tensor:
    """The elements at a place, for every value of its indices."""
    array, place, result = reading.letters()
    axis = len(reading.names)
    if reading.selects_all:
        return _labelled(x, [*array[:axis], place[0], *array[axis + 1 :]], result)
    where = torch.as_tensor(reading.positions(), device=x.device)
    n = x.ndim - len(array) + axis
    inside = (where >= 0) & (where < x.shape[n])
    flat = where.clamp(0, x.shape[n] - 1).reshape(-1)
    taken = x.index_select(n, flat).reshape(
        *x.shape[:n], *where.shape, *x.shape[n + 1 :]
    )
    mask = inside.reshape((*inside.shape, *(1,) * reading.rank))
    taken = torch.where(mask, taken, torch.zeros((), dtype=x.dtype, device=x.device))
    return _labelled(taken, [*array[:axis], *place, *array[axis + 1 :]], result)


def write_place(g: Tensor, reading: PlaceReading) -> Tensor:
    """The transpose of `read_place`."""
    array, place, result = reading.letters()
    axis = len(reading.names)
    if reading.selects_all:
        return _labelled(g, result, [*array[:axis], place[0], *array[axis + 1 :]])
    one = torch.as_tensor(chosen(reading, np.float64), device=g.device).to(g.dtype)
    return torch.einsum(g, [..., *result], one, [*place, array[axis]], [..., *array])


def fill_axis(x: Tensor, axis: int, size: int) -> Tensor:
    """The same for every value of an index, at `axis` of the result."""
    wide = x.unsqueeze(axis)
    shape = list(wide.shape)
    shape[axis] = size
    return wide.expand(shape)


def one_hot_of(k: Tensor, sizes: tuple[int]) -> Tensor:
    """1 at the place that a whole number of real type says, else 0."""
    return (k[..., None] == torch.arange(sizes[0], device=k.device)).to(k.dtype)


def total(x: Tensor, rank: int) -> Tensor:
    """The sum over time and batch; the core axes stay."""
    return x.sum(tuple(range(x.ndim - rank)))


def total_outer(g: Tensor, x: Tensor) -> Tensor:
    """The sum of g x^T over time and batch."""
    return g.flatten(0, -2).mT @ x.flatten(0, -2)


def total_outer_at(g: Tensor, x: Tensor, rank: int) -> Tensor:
    """The sum of g x^T over time and batch, g with indices before its vector."""
    shape = g.shape[g.ndim - rank :]
    rows = g.reshape(-1, shape.numel())
    return (rows.mT @ x.reshape(len(rows), -1)).reshape(*shape, x.shape[-1])


def _bce(p: Tensor, y: Tensor, rank: int) -> Tensor:
    return -sum_of(y * torch.log(p) + (1 - y) * torch.log1p(-p), rank)


def _bce_logits(o: Tensor, y: Tensor, rank: int) -> Tensor:
    loss = functional.binary_cross_entropy_with_logits
    return sum_of(loss(o, y.expand_as(o), reduction="none"), rank)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def _with_derivative(value: Tensor, like: Tensor) -> Tensor:
    # The difference is an exact zero, whatever the size of `value`.
    return value.detach() + (like - like.detach())


MEANINGS: Table[Callable[..., Tensor]] = Table("MEANINGS", "torch/meanings.py", {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "pow": torch.pow, "neg": torch.neg,
    "maximum": torch.maximum, "minimum": torch.minimum,
    "greater": lambda x, y: (x > y).to(torch.result_type(x, y)),
    "greater_equal": lambda x, y: (x >= y).to(torch.result_type(x, y)),
    "where": lambda c, x, y: torch.where(c != 0, x, y),
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
    "softplus": _softplus, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "sin": torch.sin, "cos": torch.cos, "abs": torch.abs, "sign": torch.sign,
    "floor": torch.floor, "round": torch.round, "expm1": torch.expm1,
    "erf": torch.erf, "with_derivative": _with_derivative,
    "stop_gradient": Tensor.detach,
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "layer_norm": lambda x, eps: functional.layer_norm(x, x.shape[-1:], eps=eps),
    "max": lambda x: torch.amax(x, -1), "cumsum": lambda x: torch.cumsum(x, -1),
    "lower_part": torch.tril, "logsumexp": lambda x: torch.logsumexp(x, -1),
    "sum": sum_of, "mean": mean_of, "dot": lambda x, y: (x * y).sum(-1), "fill": fill,
    "matvec": matvec, "matmul": torch.matmul,
    "outer": lambda g, x: g[..., :, None] * x[..., None, :],
    "transpose": lambda a: a.mT, "lookup": lookup, "scatter": scatter,
    "one_hot": one_hot,
    "nll": lambda p, index: -torch.log(pick(p, index)),
    "nll_logits": lambda o, index: torch.logsumexp(o, -1) - pick(o, index),
    "nll_soft": lambda p, q: -(q * torch.log(p)).sum(-1),
    "nll_soft_logits": lambda o, q: -(q * torch.log_softmax(o, -1)).sum(-1),
    "bce": _bce, "bce_logits": _bce_logits,
    "mse": lambda o, y, rank: mean_of((o - y) ** 2, rank),
    "at": read_place, "put": write_place, "index_fill": fill_axis,
    "index_sum": lambda x, axis, size: x.sum(axis),
    "prod": lambda x: torch.prod(x, -1),
    "argmax": lambda x: x.detach().argmax(-1).to(x.dtype), "one_hot_of": one_hot_of,
    "inverse": torch.linalg.inv, "expm": torch.matrix_exp,
    "solve": lambda a, b: torch.linalg.solve(a, b[..., None])[..., 0],
    "solve_columns": torch.linalg.solve,
    "cholesky": lambda a: torch.linalg.cholesky((a + a.mT) / 2),
    "diag": torch.diag_embed, "diagonal": lambda a: torch.diagonal(a, 0, -2, -1),
    "named": lambda x, *_: x, "spread": lambda x: x,
    "total": total, "total_outer": total_outer, "total_outer_at": total_outer_at,
    "total_scatter": lambda g, index, sizes: total(scatter(g, index, sizes), 2),
})  # fmt: skip


def evaluate(op: str, arguments: list[Tensor], extra: tuple[Any, ...]) -> Tensor:
    """An operation of the table on its inputs and data."""
    return MEANINGS[op](*arguments, *extra)
