"""What each function and operator of a cell's text means, in torch."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812

Tensor = torch.Tensor


def _layer_norm(u: Tensor, eps: float = 1e-5) -> Tensor:
    centred = u - u.mean()
    return centred / ((centred * centred).mean() + eps).sqrt()


def _nll(p: Tensor, target: Tensor) -> Tensor:
    if target.dtype == torch.int64:
        return -p[target].log()
    return -(target * p.log()).sum()


def _sigmoid(u: Tensor) -> Tensor:
    p = torch.sigmoid(u)
    p.logits = u  # of p near 1 the difference 1 - p has no digits left
    return p


def _bce(p: Tensor, y: Tensor) -> Tensor:
    u = getattr(p, "logits", None)
    if u is None:
        return -(y * p.log() + (1 - y) * (1 - p).log()).sum()
    logistic = torch.nn.functional.logsigmoid
    return -(y * logistic(u) + (1 - y) * logistic(-u)).sum()


def _broadcast(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *parts: f(*torch.broadcast_tensors(*parts))


def _hardsigmoid(u: Tensor) -> Tensor:
    return ((u + 3) / 6).clamp(0, 1)


def _remainder(a: Tensor, b: Tensor) -> Tensor:
    return a - b * torch.floor(a / b)


def _joined(*parts: Tensor) -> Tensor:
    return torch.cat([part.reshape(1) if part.ndim == 0 else part for part in parts])


def part_of(u: Tensor, first: int, last: int) -> Tensor:
    """Elements or rows from one to another, counted from 1; outside they are 0."""
    zero = torch.zeros_like(u[0])
    return torch.stack([
        u[place - 1] if 1 <= place <= len(u) else zero
        for place in range(first, last + 1)
    ])  # fmt: skip


def _roll(u: Tensor, shift: Tensor) -> Tensor:
    return torch.roll(u, int(shift), 0)


def _argmax(u: Tensor) -> Tensor:
    return u.argmax().double()


def drawn(p: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The class that u draws, and how far each bound lies from u."""
    bounds = torch.cumsum(p, 0)
    return (bounds <= u * bounds[-1]).sum().double(), bounds - u * bounds[-1]


def _squareplus(u: Tensor) -> Tensor:
    return (u + (u * u + 4).sqrt()) / 2


def _sparse_plus(u: Tensor) -> Tensor:
    middle = (u + 1) ** 2 / 4
    return torch.where(u >= 1, u, torch.where(u <= -1, torch.zeros_like(u), middle))


def _cholesky(a: Tensor) -> Tensor:
    return torch.linalg.cholesky((a + a.T) / 2)


BINARY: Mapping[type, Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.MatMult: lambda a, b: a @ b,
    ast.Mod: _remainder,
}
COMPARE: Mapping[type, Callable[[Tensor, Tensor], Tensor]] = {
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": _sigmoid,
    "relu": torch.relu,
    "softplus": lambda u: torch.logaddexp(u, torch.zeros_like(u)),
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "abs": torch.abs,
    "maximum": _broadcast(torch.maximum),
    "minimum": _broadcast(torch.minimum),
    "where": lambda c, u, v: torch.where(c != 0, u, v),
    "softmax": lambda u: torch.softmax(u, 0),
    "log_softmax": lambda u: torch.log_softmax(u, 0),
    "layer_norm": _layer_norm,
    "sum": torch.sum,
    "mean": torch.mean,
    "dot": torch.dot,
    "outer": torch.outer,
    "stop_gradient": lambda u: u.detach(),
    "nll": _nll,
    "bce": _bce,
    "mse": lambda u, v: ((u - v) ** 2).mean(),
    "expm1": torch.expm1,
    "erf": torch.erf,
    "floor": torch.floor,
    "round": torch.round,
    "sign": torch.sign,
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "softsign": F.softsign,
    "log_sigmoid": lambda u: -torch.logaddexp(-u, torch.zeros_like(u)),
    "mish": lambda u: u * torch.tanh(torch.logaddexp(u, torch.zeros_like(u))),
    "hardtanh": F.hardtanh,
    "clip": lambda u, low, high: torch.minimum(torch.maximum(u, low), high),
    "cumsum": lambda u: torch.cumsum(u, 0),
    "rms_norm": lambda u, eps: u / ((u * u).mean() + eps).sqrt(),
    "softmin": lambda u: torch.softmax(-u, 0),
    "glu": lambda u, v: u * torch.sigmoid(v),
    "with_derivative": lambda v, u: u + (v - u).detach(),
    "max": torch.amax,
    "min": torch.amin,
    "logsumexp": lambda u: torch.logsumexp(u, 0),
    "norm": torch.linalg.vector_norm,
    "lower_part": torch.tril,
    "joined": _joined,
    "roll": _roll,
    "argmax": _argmax,
    "sample": lambda p, u: drawn(p, u)[0],
    "ceil": torch.ceil,
    "prod": torch.prod,
    "swish": F.silu,
    "softshrink": F.softshrink,
    "relu6": F.relu6,
    "selu": F.selu,
    "celu": F.celu,
    "tanhshrink": F.tanhshrink,
    # torch's own have the slope 1/6 of float32.
    "hardsigmoid": _hardsigmoid,
    "hardswish": lambda u: u * _hardsigmoid(u),
    "prelu": lambda u, slope: torch.where(u > 0, u, slope * u),
    "exponential": torch.exp,
    "gelu_tanh": lambda u: F.gelu(u, approximate="tanh"),
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda u: ((u + 1) / 2).clamp(0, 1),
    "threshold": lambda u, at, value: torch.where(u > at, u, value),
    "hardshrink": F.hardshrink,
    "inverse": torch.linalg.inv,
    "solve": torch.linalg.solve,
    "expm": torch.matrix_exp,
    "cholesky": _cholesky,
    "diag": torch.diag,
    "diagonal": torch.diagonal,
    "eye": lambda n: torch.eye(int(n), dtype=torch.float64),
    "fill": lambda u, n: u.expand(int(n)),
}
# What runs along an index, and what is left of it there: nothing, or its own place.
ALONG: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda u: u.sum(0),
    "mean": lambda u: u.mean(0),
    "prod": lambda u: torch.prod(u, 0),
    "logsumexp": lambda u: torch.logsumexp(u, 0),
    "max": lambda u: functools.reduce(torch.maximum, u),  # in time: ties halve
    "min": lambda u: functools.reduce(torch.minimum, u),
}
ALONG_AT_A_PLACE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda u: torch.softmax(u, 0),
    "log_softmax": lambda u: torch.log_softmax(u, 0),
    "cumsum": lambda u: torch.cumsum(u, 0),
}


def kinks(name: str, arguments: list[Tensor]) -> list[Tensor]:
    """How far a call's arguments lie from each of its kinks and jumps."""
    u = arguments[0]
    if name in ("maximum", "minimum"):
        return [u - arguments[1]]
    if name == "threshold":
        return [u - arguments[1]]
    if name == "clip":
        return [u - arguments[1], u - arguments[2]]
    if name == "sample":
        return [drawn(*arguments)[1]]
    if name in ("max", "min", "argmax"):
        ordered = u.flatten().sort().values
        return [ordered[1:] - ordered[:-1]]
    return [distance(u) for distance in KINKS.get(name, ())]


def _from_zero(u: Tensor) -> Tensor:
    return u


KINKS: Mapping[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    **dict.fromkeys(
        ("relu", "abs", "where", "sign", "leaky_relu", "elu", "selu", "celu", "prelu"),
        (_from_zero,),
    ),
    **dict.fromkeys(("floor", "ceil"), (lambda u: u - u.round(),)),
    "round": (lambda u: (u - 0.5) - (u - 0.5).round(),),
    **dict.fromkeys(("softshrink", "hardshrink"), (lambda u: u.abs() - 0.5,)),
    **dict.fromkeys(("sparse_plus", "sparse_sigmoid"), (lambda u: u.abs() - 1,)),
    "relu6": (_from_zero, lambda u: u - 6),
    **dict.fromkeys(("hardsigmoid", "hardswish"), (lambda u: u.abs() - 3,)),
    "hardtanh": (lambda u: u.abs() - 1,),
}
