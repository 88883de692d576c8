"""One array at a time: what a caller gave, viewed, checked and brought to one type.

Messages name the array and the place of the first element that is wrong, counted in the
array that the caller gave: of a ragged batch only useful steps are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bptt import errors
from bptt.execute.packing import Packing
from bptt.step.shapes import Array

FEW = 10_000  # elements; the arrays of a small cell, checked at every call


def as_array(what: str, value: Any) -> Array:
    """A value as an array of numbers. Raises: DtypeError."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        # RuntimeError: a torch tensor that records its gradient.
        raise errors.DtypeError(
            f"{what} cannot be viewed as an array: {error}"
        ) from None
    if array.dtype.kind not in "biufc":
        raise errors.DtypeError(
            f"{what} has element type {array.dtype}; numbers are needed"
        )
    return array


def element_of(dtype: Any) -> np.dtype[Any]:
    """An element type by whatever NumPy calls it. Raises: DtypeError."""
    try:
        element: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise errors.DtypeError(
            f"dtype {dtype!r}; use one of "
            f"{errors.list_known(dtype, ('float32', 'float64'))}"
        ) from None
    return element


def refuse_unknown(
    given: Iterable[str], known: Mapping[str, Any] | tuple[str, ...], kind: str
) -> None:
    """Names that a cell does not have. Raises: UnexpectedNameError."""
    for name in given:
        if name not in known:
            raise errors.UnexpectedNameError(
                f"{kind} {name} is not in the cell; its {kind}s are: "
                f"{errors.list_known(name, known)}"
            )


def _caller_index(index: Array, packing: Packing | None) -> tuple[int, ...]:
    """Where an element lies in the array that the caller gave."""
    numbers = tuple(int(i) for i in index)
    if packing is None:
        return numbers
    t, row = divmod(int(packing.places[numbers[0]]), packing.n_b)
    return (t, row, *numbers[1:])


def refuse_nan(what: str, array: Array, packing: Packing | None = None) -> None:
    """Raises: NotFiniteError if an element is NaN."""
    if array.dtype.kind not in "fc" or not _may_hold_nan(array):
        return
    bad = np.argwhere(np.isnan(array))
    if len(bad):
        raise errors.NotFiniteError(
            f"{what} holds NaN, {len(bad)} of {array.size} elements, the first at "
            f"index {_caller_index(bad[0], packing)}"
        )


def _may_hold_nan(array: Array) -> bool:
    """True if any element is NaN, and rarely otherwise; cheaper than a mask.

    Squares of reals are not negative, so their sum is NaN only if an element is. The
    sum of a large array is plain: a BLAS might wake its threads for a long dot product.
    """
    with np.errstate(all="ignore"):  # 1e30 ** 2 is infinite in float32, and no NaN
        if array.size <= FEW:
            flat = array.ravel()
            total = flat.dot(flat)
        else:
            total = array.sum()
    return math.isnan(total.real) or math.isnan(total.imag)


def to_real(
    what: str, array: Array, dtype: np.dtype[Any], packing: Packing | None = None
) -> Array:
    """An array in the element type of a call. Raises: DtypeError, NotFiniteError."""
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise errors.DtypeError(
            f"{what} is {array.dtype} but the parameters are {dtype}; "
            "complex values need complex128 parameters"
        )
    refuse_nan(what, array, packing)
    return array.astype(dtype, copy=False)


def refuse_reals(what: str, array: Array) -> None:
    """Raises: DtypeError for what holds no integers."""
    if array.dtype.kind not in "iu":
        raise errors.DtypeError(
            f"{what} is a token or class index, so it must hold integers; "
            f"got {array.dtype}"
        )


def check_index(
    what: str, array: Array, limit: int, shown: str, packing: Packing | None = None
) -> Array:
    """Integers from 0 to limit - 1, or an error that shows the first that is not."""
    refuse_reals(what, array)
    if array.min() < 0 or array.max() >= limit:
        bad = np.argwhere((array < 0) | (array >= limit))[0]
        t, row = _caller_index(bad, packing)
        raise errors.IndexRangeError(
            f"{what} holds {int(array[tuple(bad)])} at (t, row) = "
            f"({t + 1}, {row}); it must lie in 0..{limit - 1} "
            f"({shown})"
        )
    return array.astype(np.int64, copy=False)
