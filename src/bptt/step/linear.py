"""Inverse, solve, Cholesky factor and exponential of square matrices.

Values are those of NumPy's LAPACK, of SciPy for the exponential. Costs of one call for
an n x n matrix: about 2 n^3 operations for an inverse, 2/3 n^3 for a solve, 1/3 n^3 for
a Cholesky factor, 20 to 40 n^3 for an exponential; the gradient of an exponential is
the exponential of a 2n x 2n matrix, eight times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from bptt import errors
from bptt.step import shapes as s
from bptt.step.graph import Node, constant
from bptt.step.operation import REAL_LINE, Gradients, Op
from bptt.step.places import UNNAMED, IndexPlace, PlaceTerm
from bptt.step.shapes import Array, Dim

Apply = Callable[..., Node]
TWO = (REAL_LINE, REAL_LINE)


# ----- values -----


def _flipped(a: Array) -> Array:
    return np.swapaxes(a, -1, -2)


def or_nan(f: Callable[..., Array], *ranks: int) -> Callable[..., Array]:
    """f, with NaN for a matrix that it cannot take, as it divides by zero elsewhere.

    ranks: of its arguments. One row of a batch leaves the others as they are.
    """

    def checked(*arrays: Array) -> Array:
        """f of all rows at once, or row by row where one of them is refused."""
        try:
            return np.asarray(f(*arrays))
        except np.linalg.LinAlgError:
            pairs = [(a, a.ndim - n) for a, n in zip(arrays, ranks, strict=True)]
            lead = np.broadcast_shapes(*(a.shape[:n] for a, n in pairs))
            found = np.full(lead + arrays[-1].shape[pairs[-1][1] :], np.nan)
            if not lead:
                return found.astype(arrays[-1].dtype)
            wide = [np.broadcast_to(a, lead + a.shape[n:]) for a, n in pairs]
            for row in np.ndindex(lead):
                found[row] = checked(*(a[row] for a in wide))
            return found.astype(arrays[-1].dtype)

    return checked


def _solve_vector(a: Array, b: Array) -> Array:
    return np.asarray(np.linalg.solve(a, b[..., None])[..., 0])


def _cholesky(a: Array) -> Array:
    return np.asarray(np.linalg.cholesky(a))


solve_vector = or_nan(_solve_vector, 2, 1)
solve_columns = or_nan(np.linalg.solve, 2, 2)
inverse = or_nan(np.linalg.inv, 2)
_factor = or_nan(_cholesky, 2)


def cholesky(a: Array) -> Array:
    """The lower factor of the symmetric part of A.

    For complex numbers without conjugation, so that the complex step passes through.
    """
    symmetric = (a + _flipped(a)) / 2
    if not np.iscomplexobj(a):
        return _factor(symmetric)
    found = np.zeros_like(symmetric)
    for j in range(a.shape[-1]):
        rest = symmetric[..., j:, j].copy()
        rest -= (found[..., j:, :j] * found[..., j, None, :j]).sum(-1)
        found[..., j:, j] = rest / np.sqrt(rest[..., :1])
    return found


def exponential(a: Array) -> Array:
    """exp(A), the sum of A^k / k!. Raises: MissingExtraError without SciPy."""
    try:
        expm: Any = import_module("scipy.linalg").expm
    except ImportError as error:
        raise errors.MissingExtraError("expm(A)", "scipy", "matrix") from error
    return np.asarray(expm(a))


# ----- shapes -----


def square(unify: s.Unify, a: s.Shape) -> s.Shape:
    """(n, n) -> (n, n)."""
    s.matrix(unify, a)
    unify(a[0], a[1])
    return a


def solved(unify: s.Unify, a: s.Shape, b: s.Shape) -> s.Shape:
    """(n, n), (n) -> (n)."""
    square(unify, a)
    return s.matvec(unify, a, b)


def solved_columns(unify: s.Unify, a: s.Shape, b: s.Shape) -> s.Shape:
    """(n, n), (n, m) -> (n, m)."""
    square(unify, a)
    return s.matmul(unify, a, b)


# ----- backward rules -----


def _inverse_rule(apply: Apply) -> Callable[..., Gradients]:
    def rule(g: Node, y: Node, a: Node) -> Gradients:
        flipped = apply("transpose", y)
        return (-apply("matmul", flipped, apply("matmul", g, flipped)),)

    return rule


def _solve_rule(apply: Apply, name: str, outer: str) -> Callable[..., Gradients]:
    def rule(g: Node, y: Node, a: Node, b: Node) -> Gradients:
        u = apply(name, apply("transpose", a), g)
        last = y if outer == "outer" else apply("transpose", y)
        return -apply(outer, u, last), u

    return rule


def _cholesky_rule(apply: Apply) -> Callable[..., Gradients]:
    """sym(L^-T phi(L^T G) L^-1), where phi halves the diagonal (Murray, 2016)."""

    def rule(g: Node, y: Node, a: Node) -> Gradients:
        low = apply("lower_part", apply("matmul", apply("transpose", y), g))
        phi = low - 0.5 * apply("diag", apply("diagonal", low))
        inverse = apply("inverse", y)
        left = apply("matmul", apply("transpose", inverse), phi)
        found = apply("matmul", left, inverse)
        return (0.5 * (found + apply("transpose", found)),)

    return rule


def _exponential_rule(apply: Apply) -> Callable[..., Gradients]:
    """The upper right part of exp([A^T, G; 0, A^T])   (Najfeld and Havel, 1995)."""

    def rule(g: Node, y: Node, a: Node) -> Gradients:
        dim = a.shape[0]
        zero = apply("fill", constant(0.0), data=(dim, dim))
        upper = _joined(apply, a, apply("transpose", g))
        lower = _joined(apply, zero, a)
        whole = apply("expm", _joined(apply, _turned(apply, upper),
                                      _turned(apply, lower)))  # fmt: skip
        top = _part(apply, whole, dim, 0)
        return (_turned(apply, _part(apply, _turned(apply, top), dim, 1)),)

    return rule


def _turned(apply: Apply, a: Node) -> Node:
    return apply("transpose", a)


def _twice(dim: Dim) -> Dim:
    return 2 * dim if isinstance(dim, int) else f"{dim}+{dim}"


def _joined(apply: Apply, a: Node, b: Node) -> Node:
    """The rows of a, then those of b, of which there are as many."""
    dim, both = a.shape[0], _twice(a.shape[0])
    term = PlaceTerm(UNNAMED, both)
    parts = [
        apply("at", x, data=IndexPlace(dim, (term,), dims=before, part="joined"))
        for x, before in ((a, ()), (b, ((dim, -1),)))
    ]
    return apply("put", parts[0] + parts[1], data=(IndexPlace(both, (term,)), ()))


def _part(apply: Apply, a: Node, dim: Dim, number: int) -> Node:
    """The first half of the rows, or the second."""
    term = PlaceTerm(UNNAMED, dim)
    place = IndexPlace(a.shape[0], (term,), dims=((dim, number),), part="slice")
    part = apply("at", a, data=place)
    return apply("put", part, data=(IndexPlace(dim, (term,)), ()))


def linear_rows(apply: Apply) -> tuple[Op, ...]:
    """Their rows of the table of operations."""
    return (
        Op("inverse", 1, square, inverse, _inverse_rule(apply), "y",
           "{0}^{{-1}}"),
        Op("solve", 2, solved, solve_vector, _solve_rule(apply, "solve", "outer"),
           "xy", "{0}^{{-1}} {1}", domain=TWO),
        Op("solve_columns", 2, solved_columns, solve_columns,
           _solve_rule(apply, "solve_columns", "matmul"), "xy", "{0}^{{-1}} {1}", "",
           domain=TWO),
        Op("cholesky", 1, square, cholesky, _cholesky_rule(apply), "y",
           r"\operatorname{{chol}}\left({0}\right)"),
        Op("expm", 1, square, exponential, _exponential_rule(apply), "x",
           r"\exp\left({0}\right)"),
    )  # fmt: skip
