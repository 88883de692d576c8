"""Named dimensions, shape rules, and the unification that infers them.

A shape is a tuple of dimensions: `()` a scalar, `("n_h",)` a column vector,
`("n_h", "n_x")` a matrix. Time and batch are not part of a shape. While a cell is being
read a dimension may still be a `DimVar`, an unknown that unification resolves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from bptt import errors

# An array of any element type, as every room passes them.
Array = NDArray[Any]


class DimVar:
    """A dimension not yet known; a union-find node."""

    __slots__ = ("_parent", "value")

    def __init__(self, value: str | int | None = None) -> None:
        """Start alone; `value` is a declared name or a fixed size."""
        self._parent: DimVar | None = None
        self.value = value

    def find(self) -> DimVar:
        """The representative of all dimensions found equal to this one."""
        root = self
        while root._parent is not None:
            root = root._parent
        while self._parent is not None and self._parent is not root:
            self._parent, self = root, self._parent
        return root

    def join(self, other: DimVar) -> None:
        """Make the two one dimension; two different declared values do not join."""
        a, b = self.find(), other.find()
        if a is b:
            return
        if None not in (a.value, b.value) and a.value != b.value:
            raise ShapeRuleError("clash", f"{a.value} and {b.value}")
        a.value = a.value if a.value is not None else b.value
        b._parent = a


Dim = str | int | DimVar
Shape = tuple[Dim, ...]
Unify = Callable[[Dim, Dim], Dim]
ShapeRule = Callable[..., Shape]


class ShapeRuleError(Exception):
    """A shape rule refuses its inputs; callers turn it into an error with a place.

    `kind` is "rank", "product" or "clash"; `detail` says what was met.
    """

    def __init__(self, kind: str, detail: str) -> None:
        """Keep the kind for the caller that knows the source text."""
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


def unify_strict(a: Dim, b: Dim) -> Dim:
    """Dimensions of a finished graph: equal or an error."""
    if a != b:
        raise ShapeRuleError("clash", f"{a} and {b}")
    return a


def unify_inferring(a: Dim, b: Dim) -> Dim:
    """Dimensions of a cell being read: make the two one."""
    _as_var(a).join(_as_var(b))
    return a


def _as_var(dim: Dim) -> DimVar:
    return dim if isinstance(dim, DimVar) else DimVar(dim)


RANK_NAMES = ("a scalar", "a vector", "a matrix", "an array of three dimensions",
              "an array of four dimensions")  # fmt: skip


def unify_shapes(unify: Unify, a: Shape, b: Shape) -> Shape:
    """Two shapes of one rank, dimension by dimension."""
    if len(a) != len(b):
        raise ShapeRuleError("rank", f"{RANK_NAMES[len(a)]} and {RANK_NAMES[len(b)]}")
    return tuple(unify(x, y) for x, y in zip(a, b, strict=True))


def elementwise(unify: Unify, *shapes: Shape) -> Shape:
    """Equal shapes, except that a scalar goes with anything."""
    result: Shape = ()
    for shape in shapes:
        if shape and result:
            result = unify_shapes(unify, result, shape)
        elif shape:
            result = shape
    return result


def _need_ranks(ranks: tuple[int, ...], shapes: tuple[Shape, ...]) -> None:
    found = tuple(len(shape) for shape in shapes)
    if found != ranks:
        wanted = " and ".join(RANK_NAMES[rank] for rank in ranks)
        met = " and ".join(RANK_NAMES[rank] for rank in found)
        raise ShapeRuleError("rank", f"takes {wanted}, got {met}")


def matvec(unify: Unify, a: Shape, x: Shape) -> Shape:
    """(n, m) @ (m) -> (n)."""
    _need_ranks((2, 1), (a, x))
    unify(a[1], x[0])
    return a[:1]


def matmul(unify: Unify, a: Shape, b: Shape) -> Shape:
    """(n, m) @ (m, k) -> (n, k)."""
    _need_ranks((2, 2), (a, b))
    unify(a[1], b[0])
    return (a[0], b[1])


def outer(unify: Unify, g: Shape, x: Shape) -> Shape:
    """(n), (m) -> (n, m)."""
    _need_ranks((1, 1), (g, x))
    return (g[0], x[0])


def outer_at(unify: Unify, g: Shape, x: Shape) -> Shape:
    """(i, ..., n), (m) -> (i, ..., n, m)."""
    _need_ranks((1,), (x,))
    return (*g, x[0])


def transpose(unify: Unify, a: Shape) -> Shape:
    """(n, m) -> (m, n)."""
    _need_ranks((2,), (a,))
    return (a[1], a[0])


def diag(unify: Unify, x: Shape) -> Shape:
    """(n) -> (n, n)."""
    _need_ranks((1,), (x,))
    return (x[0], x[0])


def diagonal(unify: Unify, a: Shape) -> Shape:
    """(n, n) -> (n)."""
    _need_ranks((2,), (a,))
    unify(a[0], a[1])
    return a[:1]


def same(unify: Unify, x: Shape) -> Shape:
    """The shape of the only input."""
    return x


def vector(unify: Unify, x: Shape) -> Shape:
    """(n) -> (n)."""
    _need_ranks((1,), (x,))
    return x


def matrix(unify: Unify, a: Shape) -> Shape:
    """(n, m) -> (n, m)."""
    _need_ranks((2,), (a,))
    return a


def only_vector(unify: Unify, x: Shape) -> Shape:
    """(n) -> ()."""
    _need_ranks((1,), (x,))
    return ()


def reduction(unify: Unify, x: Shape) -> Shape:
    """(n) or (n, m) -> ()."""
    if not x:
        raise ShapeRuleError("rank", "takes a vector or a matrix, got a scalar")
    return ()


def dot(unify: Unify, x: Shape, y: Shape) -> Shape:
    """(n), (n) -> ()."""
    _need_ranks((1, 1), (x, y))
    unify(x[0], y[0])
    return ()


def pairwise_loss(unify: Unify, x: Shape, y: Shape) -> Shape:
    """Two equal shapes -> ()."""
    unify_shapes(unify, x, y)
    return ()


def indexed_loss(unify: Unify, x: Shape, index: Shape) -> Shape:
    """(n) and an integer -> ()."""
    _need_ranks((1, 0), (x, index))
    return ()


def lookup(unify: Unify, a: Shape, index: Shape) -> Shape:
    """(n, m) and an integer below m -> (n)."""
    _need_ranks((2, 0), (a, index))
    return a[:1]


def number_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """A named dimension's size; a fixed one is its own."""
    if isinstance(dim, int):
        return dim
    if str(dim) in sizes:  # a sum, too, if no array tells its parts
        return sizes[str(dim)]
    if "+" in str(dim):
        return sum(number_of(part, sizes) for part in summands(str(dim)))
    parts = with_parts(sizes)
    if str(dim) in parts:
        return parts[str(dim)]
    whole = next((s for s in sizes if str(dim) in s.split("+")), "")
    if whole:  # 5 = n_p+n_q may be 2+3 or 3+2
        raise errors.MissingSizeError(
            f"what was given has the size {whole} = {sizes[whole]}, and nothing has "
            f"{dim} alone: write a number for it, such as "
            f"`h: {whole.replace(str(dim), '2', 1)}`, or give a parameter or an input "
            f"this size, `b: {dim}`"
        )
    raise errors.MissingSizeError(
        f"nothing that was given has the size {dim}, so it is not known: give an "
        f"initial state that has it, or a number in a declaration, such as "
        f"`h: (5)` instead of `h: ({dim})`"
    )


def summands(dim: str) -> tuple[str | int, ...]:
    """The parts of a dimension that is a sum.

    >>> summands("n_h+n_x+1")
    ('n_h', 'n_x', 1)
    """
    return tuple(int(t) if t.isdigit() else t for t in dim.split("+"))


def with_parts(sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes with every part of a sum that follows from the others: 5 - 2 = 3.

    Sizes may be symbols.
    """
    known, count = dict(sizes), -1
    while len(known) > count:
        count = len(known)
        for whole in [name for name in sizes if "+" in name]:
            parts = summands(whole)
            unknown = [p for p in parts if isinstance(p, str) and p not in known]
            if unknown and len({*unknown}) == 1:
                rest = sum(known.get(str(p), 0) if isinstance(p, str) else p
                           for p in parts)  # fmt: skip
                known[unknown[0]] = (sizes[whole] - rest) // len(unknown)
    return known


def numbers_of(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in named dimensions as numbers.

    >>> numbers_of(("n_h", 3), {"n_h": 5})
    (5, 3)
    """
    return tuple(number_of(dim, sizes) for dim in shape)


def show_shape(shape: Shape) -> str:
    """`(n_h, n_x)`, `(n_h)`, `()`; an unknown dimension is shown as `?`."""
    return "(" + ", ".join(_show_dim(dim) for dim in shape) + ")"


def _show_dim(dim: Dim) -> str:
    if isinstance(dim, DimVar):
        value = dim.find().value
        return "?" if value is None else str(value)
    return str(dim)
