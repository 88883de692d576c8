"""Two tables by operation: how it is shown, and how a gradient passes through it.

A rule of `PULLS` gets the gradient g of the operation's result and says what each input
receives, as a product of matrices in front of g: diag(1 - y^2) g, W^T g, (diag(y) - y
y^T) g. Vectors are columns, so nothing here depends on how arrays are laid out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Number, minus, product, scaled, transpose
from bptt.step.graph import Node
from bptt.step.table import Table

ONE, TWO = Number(1.0), Number(2.0)
Given = tuple[Expr | None, ...]
COMPARISONS = frozenset({"greater", "greater_equal"})


@dataclass(frozen=True)
class Site:
    """An operation where it stands: its node, its inputs as shown, itself as shown."""

    node: Node
    x: tuple[Expr, ...]
    y: Expr = ONE

    def dims(self, i: int) -> tuple[Any, ...]:
        """The named dimensions of input i."""
        return self.node.inputs[i].shape


# ----- how it is shown -----


def _call(site: Site) -> Expr:
    return e.Applied(site.node.op, site.x)


def _product(site: Site) -> Expr:
    return product(*site.x)


def _mul(site: Site) -> Expr:
    ranks = [node.rank for node in site.node.inputs]
    if 0 in ranks:  # a scalar scales, and stands in front
        front, back = site.x if ranks[0] == 0 else site.x[::-1]
        return scaled(front, back)
    opened: list[Expr] = []
    for factor in site.x:
        opened.extend(factor.factors if isinstance(factor, e.Hadamard) else (factor,))
    return e.Hadamard(tuple(opened))


def _sum_all(site: Site) -> Expr:
    """1^T u, or 1^T M 1."""
    dims = site.dims(0)
    right = (e.Ones(dims[1]),) if len(dims) == 2 else ()
    return product(transpose(e.Ones(dims[0])), site.x[0], *right)


def _count(dims: tuple[Any, ...]) -> Expr:
    sizes = [_size(dim) for dim in dims]
    return product(*sizes) if sizes else ONE


def _size(dim: str | int) -> Expr:
    return Number(float(dim)) if isinstance(dim, int) else e.Size(dim)


def _mean(site: Site) -> Expr:
    return e.Quotient(_sum_all(site), _count(site.dims(0)))


def _picked(site: Site) -> Expr:
    """-log p_y."""
    target = site.x[1]
    assert isinstance(target, e.Value)
    return e.Negative(e.Applied("log", (e.Element(site.x[0], (target,)),)))


def _inner(a: Expr, b: Expr, dims: tuple[Any, ...]) -> Expr:
    """a^T b, or a b for scalars."""
    if not dims:
        return product(a, b)
    if len(dims) == 1:
        return product(transpose(a), b)
    return product(transpose(e.Ones(dims[0])), e.Hadamard((a, b)), e.Ones(dims[1]))


def _log(a: Expr) -> Expr:
    return e.Applied("log", (a,))


def _nll_soft(site: Site) -> Expr:
    p, q = site.x
    return e.Negative(_inner(q, _log(p), site.dims(0)))


def _bce(site: Site) -> Expr:
    p, q = site.x
    hit = _inner(q, _log(p), site.dims(0))
    miss = _inner(minus(ONE, q), _log(minus(ONE, p)), site.dims(0))
    return e.Sum((e.Negative(hit), e.Negative(miss)))


def _mse(site: Site) -> Expr:
    gap = minus(*site.x)
    dims = site.dims(0)
    if not dims:
        return e.Power(gap, TWO)
    return e.Quotient(_inner(gap, gap, dims), _count(dims))


def _layer_norm(site: Site) -> Expr:
    return e.Applied("layer_norm", site.x, float(_eps(site)))


def _log_sum_exp(site: Site) -> Expr:
    ones = e.Ones(_d(site.dims(0)[0]))
    return _log(product(transpose(ones), e.Applied("exp", site.x)))


def _eps(site: Site) -> float:
    eps: Any = site.node.data
    return float(eps)


# Shown as a function of their inputs.
CALLED = (
    "maximum", "minimum", "greater", "greater_equal", "where", "tanh", "sigmoid",
    "relu", "softplus", "exp", "log", "sqrt", "sin", "cos", "abs", "stop_gradient",
    "softmax", "log_softmax", "lookup", "sign", "floor", "round", "erf",
    "with_derivative", "max", "cumsum", "lower_part",
)  # fmt: skip
FILE = "explain/algebra/rules.py"
TRANSLATIONS: Table[Callable[[Site], Expr]] = Table("TRANSLATIONS", FILE, {
    "add": lambda s: e.total(*s.x),
    "sub": lambda s: minus(*s.x),
    "mul": _mul,
    "div": lambda s: e.Quotient(*s.x),
    "pow": lambda s: e.Power(*s.x),
    "neg": lambda s: e.negative(s.x[0]),
    "matvec": _product,
    "matmul": _product,
    "outer": lambda s: product(s.x[0], transpose(s.x[1])),
    "dot": lambda s: product(transpose(s.x[0]), s.x[1]),
    "transpose": lambda s: e.Transpose(s.x[0]),
    "sum": _sum_all,
    "mean": _mean,
    "expm1": lambda s: minus(e.Applied("exp", s.x), ONE),
    "logsumexp": _log_sum_exp,
    "layer_norm": _layer_norm,
    "nll": _picked,
    "nll_soft": _nll_soft,
    "bce": _bce,
    "mse": _mse,
    **dict.fromkeys(CALLED, _call),
})  # fmt: skip


# ----- how a gradient passes: element by element -----


def _through(site: Site, g: Expr, slope: Expr, i: int, *, is_plain: bool) -> Expr:
    """g times the slope of input i; a scalar that met a vector receives the sum.

    is_plain: the slope is a number, or a scalar: it scales.
    """
    rank, own = site.node.rank, site.node.inputs[i].rank
    if rank == 2:
        full = scaled(slope, g) if is_plain else e.Hadamard((slope, g))
        if own == 2:
            return full
        dims = site.node.shape
        return product(transpose(e.Ones(_d(dims[0]))), full, e.Ones(_d(dims[1])))
    if rank == own:
        is_scale = is_plain or rank == 0
        return scaled(slope, g) if is_scale else product(e.Diag(slope), g)
    if is_plain:
        return scaled(slope, transpose(e.Ones(_d(site.node.shape[0]))), g)
    return product(transpose(slope), g)


def _d(dim: Any) -> str | int:
    assert isinstance(dim, str | int)
    return dim


def _is_scalar(site: Site, *inputs: int) -> bool:
    """Whether all these inputs are scalars."""
    return all(site.node.inputs[i].rank == 0 for i in inputs)


def _plain(*slopes: float) -> Callable[[Site, Expr], Given]:
    def pull(site: Site, g: Expr) -> Given:
        found = []
        for i, slope in enumerate(slopes):
            part = _through(site, g, ONE, i, is_plain=True)
            found.append(part if slope > 0 else _negated(part))
        return tuple(found)

    return pull


def _negated(expr: Expr) -> Expr:
    return e.negative(expr)


def _pull_mul(site: Site, g: Expr) -> Given:
    a, b = site.x
    return (
        _through(site, g, b, 0, is_plain=_is_scalar(site, 1)),
        _through(site, g, a, 1, is_plain=_is_scalar(site, 0)),
    )


def _pull_div(site: Site, g: Expr) -> Given:
    b = site.x[1]
    bottom = _through(site, g, e.Quotient(site.y, b), 1, is_plain=site.node.rank == 0)
    top = _through(site, g, e.Quotient(ONE, b), 0, is_plain=_is_scalar(site, 1))
    return top, _negated(bottom)


def _pull_pow(site: Site, g: Expr) -> Given:
    base, exponent = site.x
    is_plain = _is_scalar(site, 0, 1)
    if isinstance(exponent, Number):
        rest = Number(exponent.value - 1)
        power = base if rest == ONE else e.Power(base, rest)
        return _through(site, g, product(exponent, power), 0, is_plain=is_plain), None
    power = e.Power(base, minus(exponent, ONE))
    slope = e.Hadamard((exponent, power))
    other = e.Hadamard((site.y, _log(base)))
    return (
        _through(site, g, slope, 0, is_plain=is_plain),
        _through(site, g, other, 1, is_plain=is_plain),
    )


def _pull_extreme(site: Site, g: Expr, *, larger: bool) -> Given:
    a, b = site.x if larger else site.x[::-1]
    # On a tie each side gets half: (1 + 1_{a > b} - 1_{b > a}) / 2.
    first, second = (
        e.Quotient(
            minus(e.total(ONE, e.Applied("greater", p)), e.Applied("greater", q)), TWO
        )
        for p, q in (((a, b), (b, a)), ((b, a), (a, b)))
    )
    is_plain = site.node.rank == 0
    return (
        _through(site, g, first, 0, is_plain=is_plain),
        _through(site, g, second, 1, is_plain=is_plain),
    )


def _pull_where(site: Site, g: Expr) -> Given:
    condition = site.x[0]
    if site.node.inputs[0].op not in COMPARISONS:
        condition = e.Applied("where", (condition, ONE, Number(0.0)))
    is_plain = _is_scalar(site, 0)
    return (
        None,
        _through(site, g, condition, 1, is_plain=is_plain),
        _through(site, g, minus(ONE, condition), 2, is_plain=is_plain),
    )


def _slope(rule: Callable[[Expr, Expr], Expr]) -> Callable[[Site, Expr], Given]:
    """A function of one input, by its slope as a function of y and x."""

    def pull(site: Site, g: Expr) -> Given:
        is_plain = site.node.rank == 0
        return (_through(site, g, rule(site.y, site.x[0]), 0, is_plain=is_plain),)

    return pull


# ----- how a gradient passes: the rest -----


def _pull_softmax(site: Site, g: Expr) -> Given:
    y = site.y
    return (product(minus(e.Diag(y), product(y, transpose(y))), g),)


def _pull_log_softmax(site: Site, g: Expr) -> Given:
    dim = _d(site.dims(0)[0])
    spread = product(e.Applied("softmax", site.x), transpose(e.Ones(dim)))
    return (product(minus(e.Identity(dim), spread), g),)


def _pull_layer_norm(site: Site, g: Expr) -> Given:
    """(I - (1 1^T + y y^T) / n) g / sqrt(variance + eps)."""
    dim, x, y = _d(site.dims(0)[0]), site.x[0], site.y
    ones = e.Ones(dim)
    centred = minus(x, e.Applied("mean", (x,)))
    variance = e.Applied("mean", (e.Power(centred, TWO),))
    scale = e.Applied("sqrt", (e.total(variance, Number(_eps(site))),))
    both = e.total(product(ones, transpose(ones)), product(y, transpose(y)))
    share = product(e.Quotient(ONE, _size(dim)), both)
    return (product(e.Quotient(ONE, scale), minus(e.Identity(dim), share), g),)


def _pull_sum(site: Site, g: Expr) -> Given:
    dims = site.dims(0)
    if len(dims) == 1:
        return (product(e.Ones(dims[0]), g),)
    return (scaled(g, e.Ones(dims[0]), transpose(e.Ones(dims[1]))),)


def _pull_mean(site: Site, g: Expr) -> Given:
    dims = site.dims(0)
    share = e.Quotient(ONE, _count(dims))
    (summed,) = _pull_sum(site, g)
    assert summed is not None
    return (product(share, summed),)


def _pull_matvec(site: Site, g: Expr) -> Given:
    a, x = site.x
    return product(g, transpose(x)), product(transpose(a), g)


def _pull_matmul(site: Site, g: Expr) -> Given:
    a, b = site.x
    return product(g, transpose(b)), product(transpose(a), g)


def _pull_outer(site: Site, g: Expr) -> Given:
    a, b = site.x
    return product(g, b), product(transpose(g), a)


def _pull_lookup(site: Site, g: Expr) -> Given:
    index = site.x[1]
    assert isinstance(index, e.Value)
    unit = e.UnitVector(index, _d(site.dims(0)[1]))
    return product(g, transpose(unit)), None


def _pull_nll(site: Site, g: Expr) -> Given:
    p, index = site.x
    assert isinstance(index, e.Value)
    unit = e.UnitVector(index, _d(site.dims(0)[0]))
    slope = e.Quotient(unit, e.Element(p, (index,)))
    return product(e.Negative(slope), g), None


def _pull_loss(
    rule: Callable[[Expr, Expr], tuple[Expr, Expr]], *, is_mean: bool = False
) -> Callable[[Site, Expr], Given]:
    """A loss of two inputs of one shape, by its two element-wise slopes."""

    def pull(site: Site, g: Expr) -> Given:
        dims = site.dims(0)
        shares = (e.Quotient(TWO, _count(dims)),) if dims else (TWO,)
        front = shares if is_mean else ()
        if len(dims) == 2:
            return tuple(scaled(g, *front, part) for part in rule(*site.x))
        return tuple(product(*front, part, g) for part in rule(*site.x))

    return pull


def _bce_slopes(p: Expr, q: Expr) -> tuple[Expr, Expr]:
    variance = e.Hadamard((p, minus(ONE, p)))
    return e.Quotient(minus(p, q), variance), minus(_log(minus(ONE, p)), _log(p))


def _erf_slope(y: Expr, x: Expr) -> Expr:
    """2 / sqrt(pi) exp(-x^2)."""
    bell = e.Applied("exp", (e.Negative(e.Power(x, TWO)),))
    return product(Number(2 / math.sqrt(math.pi)), bell)


def _pull_max(site: Site, g: Expr) -> Given:
    """g where x is the largest; equal ones share it."""
    at_top = e.Applied("greater_equal", (site.x[0], site.y))
    ones = e.Ones(_d(site.dims(0)[0]))
    return (product(e.Quotient(at_top, product(transpose(ones), at_top)), g),)


def _pull_cumsum(site: Site, g: Expr) -> Given:
    """An element is part of its own sum and of all later ones."""
    ones = e.Ones(_d(site.dims(0)[0]))
    earlier = minus(e.Applied("cumsum", (g,)), g)
    return (minus(product(ones, transpose(ones), g), earlier),)


# The derivative of a function of one number, from its value y and what it is of.
SLOPES: Mapping[str, Callable[[Expr, Expr], Expr]] = MappingProxyType({
    "tanh": lambda y, x: minus(ONE, e.Power(y, TWO)),
    "sigmoid": lambda y, x: e.Hadamard((y, minus(ONE, y))),
    "relu": lambda y, x: e.Applied("greater", (x, Number(0.0))),
    "softplus": lambda y, x: e.Applied("sigmoid", (x,)),
    "exp": lambda y, x: y,
    "log": lambda y, x: e.Quotient(ONE, x),
    "sqrt": lambda y, x: e.Quotient(ONE, product(TWO, y)),
    "sin": lambda y, x: e.Applied("cos", (x,)),
    "cos": lambda y, x: e.Negative(e.Applied("sin", (x,))),
    "abs": lambda y, x: e.Applied("sign", (x,)),
    "expm1": lambda y, x: e.Applied("exp", (x,)),
    "erf": _erf_slope,
})  # fmt: skip

PULLS: Table[Callable[[Site, Expr], Given]] = Table("PULLS", FILE, {
    "add": _plain(1, 1),
    "sub": _plain(1, -1),
    "neg": _plain(-1),
    "mul": _pull_mul,
    "div": _pull_div,
    "pow": _pull_pow,
    "maximum": lambda s, g: _pull_extreme(s, g, larger=True),
    "minimum": lambda s, g: _pull_extreme(s, g, larger=False),
    "greater": lambda s, g: (None, None),
    "greater_equal": lambda s, g: (None, None),
    "where": _pull_where,
    **{name: _slope(rule) for name, rule in SLOPES.items()},
    **dict.fromkeys(("stop_gradient", "sign", "floor", "round"), lambda s, g: (None,)),
    "with_derivative": lambda s, g: (None, _through(s, g, ONE, 1, is_plain=True)),
    "max": _pull_max,
    "cumsum": _pull_cumsum,
    "lower_part": lambda s, g: (e.Applied("lower_part", (g,)),),
    "logsumexp": lambda s, g: (product(e.Applied("softmax", s.x), g),),
    "softmax": _pull_softmax,
    "log_softmax": _pull_log_softmax,
    "layer_norm": _pull_layer_norm,
    "sum": _pull_sum,
    "mean": _pull_mean,
    "dot": lambda s, g: (product(s.x[1], g), product(s.x[0], g)),
    "matvec": _pull_matvec,
    "matmul": _pull_matmul,
    "outer": _pull_outer,
    "transpose": lambda s, g: (transpose(g),),
    "lookup": _pull_lookup,
    "nll": _pull_nll,
    "nll_soft": _pull_loss(lambda p, q: (e.Negative(e.Quotient(q, p)),
                                         e.Negative(_log(p)))),
    "bce": _pull_loss(_bce_slopes),
    "mse": _pull_loss(lambda o, q: (minus(o, q), minus(q, o)), is_mean=True),
})  # fmt: skip
