"""What each operation means in NumPy, on arrays with any leading axes.

The core axes of a value (none, one or two) come last; time and batch, when present,
come first. Everything works for float32, float64 and complex128, and nothing
conjugates, so that the complex step can pass through: a comparison, a kink or a
stabilising shift looks at the real part alone.
"""

from __future__ import annotations

import numpy as np

from bptt.step.shapes import Array


def real(x: Array) -> Array:
    """The part that decides comparisons."""
    return np.real(x)


def product_by_rows(a: Array, x: Array) -> Array:
    """A x of every row alone: the same bits among any rows, in any order of memory."""
    return np.asarray((np.ascontiguousarray(a) @ x[..., None])[..., 0])


def is_static_matrix(a: Array) -> bool:
    """A matrix shared by all rows has two axes; one per row has more."""
    return a.ndim == 2


def matvec(a: Array, x: Array) -> Array:
    """A x for every row; one matrix product for all rows when A is shared."""
    if is_static_matrix(a):
        rows = x.reshape(-1, x.shape[-1])
        return (rows @ a.T).reshape(*x.shape[:-1], a.shape[0])
    return np.asarray(np.einsum("...ij,...j->...i", a, x))


def outer(g: Array, x: Array) -> Array:
    """g x^T for every row."""
    return g[..., :, None] * x[..., None, :]


def transpose(a: Array) -> Array:
    """A^T."""
    return np.swapaxes(a, -1, -2)


def sum_axis(x: Array, axis: int, size: int) -> Array:
    """The sum over the axis of an index."""
    return np.asarray(x.sum(axis=axis))


def fill_axis(x: Array, axis: int, size: int) -> Array:
    """The same for every value of an index, at `axis` of the result."""
    place = x.ndim + 1 + axis
    wide = np.expand_dims(x, place)
    return np.broadcast_to(wide, (*x.shape[:place], size, *x.shape[place:]))


def diag(x: Array) -> Array:
    """The matrix with x on its diagonal."""
    return np.asarray(x[..., :, None] * np.eye(x.shape[-1], dtype=x.dtype))


def diagonal(a: Array) -> Array:
    """The diagonal of a square matrix."""
    return np.diagonal(a, axis1=-2, axis2=-1)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow: exp is only taken of -|x|."""
    positive = real(x) >= 0
    decay = np.exp(np.where(positive, -x, x))
    return np.asarray(np.where(positive, 1, decay) / (1 + decay))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    positive = real(x) >= 0
    return np.where(positive, x, 0) + np.log1p(np.exp(np.where(positive, -x, x)))


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return np.where(real(x) <= 0, 0, x)


def absolute(x: Array) -> Array:
    """|x| for real x, continued analytically on either side of 0."""
    return np.where(real(x) < 0, -x, x)


def sign(x: Array) -> Array:
    """-1, 0 or 1."""
    return np.sign(real(x)).astype(x.dtype)


def floor(x: Array) -> Array:
    """The largest whole number that is not above x."""
    return np.floor(real(x)).astype(x.dtype)


def nearest(x: Array) -> Array:
    """The nearest whole number, the even one of two."""
    return np.rint(real(x)).astype(x.dtype)


def with_derivative(value: Array, like: Array) -> Array:
    """The value of the first; only what a complex step put into the second."""
    shape = np.broadcast_shapes(np.shape(value), np.shape(like))
    result: Array = np.broadcast_to(value, shape)
    if np.iscomplexobj(value) or np.iscomplexobj(like):
        result = real(result) + 1j * np.imag(like)
    return result


def largest(x: Array) -> Array:
    """The largest element of the last axis, by real part."""
    if not np.iscomplexobj(x):
        return np.asarray(x.max(axis=-1))
    place = real(x).argmax(axis=-1)
    return np.asarray(np.take_along_axis(x, place[..., None], axis=-1)[..., 0])


def product(x: Array) -> Array:
    """The product of all elements."""
    return np.asarray(x.prod(axis=-1))


def first_largest(x: Array) -> Array:
    """The place of the largest element, the first of equal ones, from 0."""
    return np.asarray(real(x).argmax(axis=-1)).astype(x.dtype)


def one_hot_of(k: Array, sizes: tuple[int]) -> Array:
    """1 at the place that a whole number of real type says, else 0."""
    found = real(k)[..., None] == np.arange(sizes[0])
    return np.asarray(found.astype(k.dtype))


def cumsum(x: Array) -> Array:
    """Sums of the first 1, 2, ... elements."""
    return np.asarray(np.cumsum(x, axis=-1))


def lower_part(a: Array) -> Array:
    """A with zeros above its diagonal."""
    return np.tril(a)


def maximum(x: Array, y: Array) -> Array:
    """The larger by real part."""
    if np.iscomplexobj(x) or np.iscomplexobj(y):
        return np.where(real(x) >= real(y), x, y)
    return np.asarray(np.maximum(x, y))


def minimum(x: Array, y: Array) -> Array:
    """The smaller by real part."""
    if np.iscomplexobj(x) or np.iscomplexobj(y):
        return np.where(real(x) <= real(y), x, y)
    return np.asarray(np.minimum(x, y))


def greater(x: Array, y: Array) -> Array:
    """1 where x > y, else 0, in the element type of x."""
    return (real(x) > real(y)).astype(np.result_type(x, y))


def greater_equal(x: Array, y: Array) -> Array:
    """1 where x >= y, else 0, in the element type of x."""
    return (real(x) >= real(y)).astype(np.result_type(x, y))


def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition is not 0, else y."""
    return np.where(real(condition) != 0, x, y)


def _axes(rank: int) -> tuple[int, ...]:
    return tuple(range(-rank, 0))


def total_of(x: Array, rank: int) -> Array:
    """The sum over the core axes."""
    return np.asarray(x.sum(axis=_axes(rank)))


def mean_of(x: Array, rank: int) -> Array:
    """The mean over the core axes."""
    return np.asarray(x.mean(axis=_axes(rank)))


def dot(x: Array, y: Array) -> Array:
    """Sum of products; never conjugates."""
    return np.asarray((x * y).sum(axis=-1))


def fill(g: Array, shape: tuple[int, ...]) -> Array:
    """A scalar repeated over the core axes."""
    expanded = g.reshape(g.shape + (1,) * len(shape))
    return np.broadcast_to(expanded, g.shape + shape)


def log_sum_exp(x: Array) -> Array:
    """log of the sum of exp over the last axis; the shift is real."""
    shift = real(x).max(axis=-1, keepdims=True)
    # All -inf (or a +inf) would make the shift itself the only information.
    shift = np.where(np.isfinite(shift), shift, 0)
    return np.asarray(np.log(np.exp(x - shift).sum(axis=-1)) + shift[..., 0])


def softmax(x: Array) -> Array:
    """exp(x) over its sum; the shift is real."""
    decay = np.exp(x - real(x).max(axis=-1, keepdims=True))
    return np.asarray(decay / decay.sum(axis=-1, keepdims=True))


def log_softmax(x: Array) -> Array:
    """x minus its log-sum-exp."""
    return x - log_sum_exp(x)[..., None]


def layer_norm(x: Array, eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps), the variance with divisor n."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + eps))


def lookup(a: Array, index: Array) -> Array:
    """Column `index` of A for every row."""
    if is_static_matrix(a):
        return a.T[index]
    places = index[..., None, None]
    # A matrix for every index, one for all steps: E[j][:, k[t]].
    matrices = a.reshape((*(1,) * (places.ndim - a.ndim), *a.shape))
    columns = np.take_along_axis(matrices, places, axis=-1)
    return np.asarray(columns[..., 0])


def one_hot(index: Array, sizes: tuple[int]) -> Array:
    """1 at the index, else 0."""
    found = index[..., None] == np.arange(sizes[0])
    return np.asarray(found.astype(np.float32))


def scatter(g: Array, index: Array, sizes: tuple[int]) -> Array:
    """The matrix with g in column `index`, else 0."""
    chosen = one_hot(index, sizes)[..., None, :].astype(g.dtype)
    return np.asarray(g[..., :, None] * chosen)


def pick(x: Array, index: Array) -> Array:
    """Element `index` of the last axis, or of the one vector that all rows share."""
    if x.ndim == 1:
        return np.asarray(x[index])
    return np.take_along_axis(x, index[..., None], axis=-1)[..., 0]


def nll(p: Array, index: Array) -> Array:
    """-log p_index, in nats."""
    return np.asarray(-np.log(pick(p, index)))


def nll_logits(o: Array, index: Array) -> Array:
    """-log softmax(o)_index, in nats, as log-sum-exp(o) - o_index."""
    return log_sum_exp(o) - pick(o, index)


def nll_soft(p: Array, q: Array) -> Array:
    """-sum q log p, in nats."""
    return np.asarray(-(q * np.log(p)).sum(axis=-1))


def nll_soft_logits(o: Array, q: Array) -> Array:
    """-sum q log softmax(o), in nats."""
    return np.asarray(-(q * log_softmax(o)).sum(axis=-1))


def _sum_all(x: Array, rank: int) -> Array:
    return total_of(x, rank) if rank else x


def bce(p: Array, y: Array, rank: int) -> Array:
    """-sum of y log p + (1 - y) log(1 - p), in nats."""
    return -_sum_all(y * np.log(p) + (1 - y) * np.log1p(-p), rank)


def bce_logits(o: Array, y: Array, rank: int) -> Array:
    """The same for p = sigmoid(o), as sum of max(o, 0) - y o + log(1 + exp(-|o|)).

    In this order a sure and right o keeps its small loss: softplus(o) - o loses it. The
    first two terms are (1 - y) o or -y o: their difference would lose digits, too.
    """
    excess = np.where(real(o) >= 0, (1 - y) * o, -y * o)  # as |o|, at 0 too
    return _sum_all(excess + np.log1p(np.exp(-absolute(o))), rank)


def mse(o: Array, y: Array, rank: int) -> Array:
    """Mean over features of (o - y)^2."""
    squares = (o - y) * (o - y)
    return mean_of(squares, rank) if rank else squares


def total(x: Array, rank: int) -> Array:
    """The sum over time and batch; the core axes stay."""
    return np.asarray(x.sum(axis=tuple(range(x.ndim - rank))))


def total_outer(g: Array, x: Array) -> Array:
    """The sum of g x^T over time and batch, as one matrix product."""
    return g.reshape(-1, g.shape[-1]).T @ x.reshape(-1, x.shape[-1])


def total_outer_at(g: Array, x: Array, rank: int) -> Array:
    """The sum of g x^T over time and batch, g with indices before its vector."""
    shape = g.shape[g.ndim - rank :]
    rows = g.reshape(-1, int(np.prod(shape)))
    return (rows.T @ x.reshape(len(rows), -1)).reshape(*shape, x.shape[-1])


def total_scatter(g: Array, index: Array, sizes: tuple[int]) -> Array:
    """The sum over time and batch of g in column `index`; segments, never dense."""
    rows, flat = g.reshape(-1, g.shape[-1]), index.reshape(-1)
    result = np.zeros((sizes[0], rows.shape[1]), dtype=g.dtype)
    order = np.argsort(flat, kind="stable")
    found, starts = np.unique(flat[order], return_index=True)
    result[found] = np.add.reduceat(rows[order], starts, axis=0)
    return result.T
