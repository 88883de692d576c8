"""What the loss of each step weighs: masks, weights, and weights of classes.

    mask           (n, tau), (tau,): 1 where the loss of a step counts; or the shape of
                   a y of vectors: 1 where an element of it counts
    weights        the same, or (n,), () where a sequence has one target: numbers from 0
    class_weights  (n_o,): of every target of a class, besides

The loss is then the mean that they weigh: sum w L / sum w.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bptt.step.shapes import Array
from bptt.train.errors import BadRecordError

Arrays = Mapping[str, Array]
MASK, WEIGHTS, CLASS_WEIGHTS = "mask", "weights", "class_weights"
LEFT_OUT = -100  # a target of torch's losses that does not count


def check_weights(
    file: Path, arrays: Arrays, x_shape: tuple[int, ...], *, per_step: bool
) -> None:
    """Hold mask and weights to the shapes of x and y, and to numbers that can weigh.

    x_shape: (n, tau) of padded records, (tau,) of one. Raises: BadRecordError.
    """
    mask = arrays.get(MASK)
    if mask is not None:
        y_shape = arrays["y" if "y" in arrays else "x"].shape
        if not _is_mask(mask):
            reason = f"{MASK} holds {_odd_one(mask)}, where 0 and 1 are needed; "
            reason += f"{WEIGHTS} says what a loss weighs"
            raise BadRecordError(file, None, reason)
        if mask.shape not in (x_shape, y_shape):
            reason = (
                f"mask holds {mask.dtype} of shape {mask.shape}; 0 or 1 for each step "
                f"of x, {x_shape}, or for each element of y, {y_shape}, is needed"
            )
            raise BadRecordError(file, None, reason)
        if not per_step and mask.shape != y_shape:
            reason = "has a mask of steps, but one target for the sequence; "
            reason += "lengths say where a sequence ends"
            raise BadRecordError(file, 0, reason)
    wanted = x_shape if per_step else x_shape[:-1]
    each = "step of x" if per_step else "sequence"
    if WEIGHTS in arrays:
        _check(file, WEIGHTS, arrays[WEIGHTS], wanted, each)
    if CLASS_WEIGHTS in arrays:
        found = arrays[CLASS_WEIGHTS]
        _check(file, CLASS_WEIGHTS, found, (found.size,), "class")


def _is_mask(mask: Array) -> bool:
    """Whether an array holds 0 and 1 alone, of any type of numbers."""
    return mask.dtype.kind in "biuf" and bool(((mask == 0) | (mask == 1)).all())


def _odd_one(mask: Array) -> object:
    """A value that is neither 0 nor 1, or the type of what are no numbers."""
    if mask.dtype.kind not in "biuf":
        return mask.dtype
    return mask[(mask != 0) & (mask != 1)].flat[0]


def _check(
    file: Path, name: str, found: Array, wanted: tuple[int, ...], each: str
) -> None:
    is_number = found.dtype.kind in "biuf"
    if found.shape != wanted or not is_number:
        reason = (
            f"{name} holds {found.dtype} of shape {found.shape}; one number for each "
            f"{each}, {wanted}, is needed"
        )
        raise BadRecordError(file, None, reason)
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise BadRecordError(file, None, f"{name} holds what is no number from 0")


def weights_of_record(
    arrays: Arrays, number: int | None, length: int, *, per_step: bool
) -> Array | None:
    """What each step of a record weighs, (length,), or (1,) of its one target.

    None where every step counts alike. A mask stays one of truths.
    """
    given = [arrays[name] for name in (MASK, WEIGHTS) if name in arrays]
    if not given:
        return None
    rows = [one if number is None else one[number] for one in given]
    if not per_step:
        rows = [row[None] for row in rows]
    elif "y" not in arrays:  # the target of a step is the next x
        rows = [row[1:] for row in rows]
    found = rows[0][:length] != 0 if MASK in arrays else rows[0][:length]
    for row in rows[1:]:
        found = found * row[:length].reshape(-1, *[1] * (found.ndim - 1))
    return found if found.dtype == bool else found.astype(np.float64)


def gaps_as_mask(arrays: Arrays, *, may_lack: bool) -> Arrays:
    """Arrays of one part whose missing elements are zeros of its mask.

    A binary y of vectors that is -100 is missing; and, where values may lack, a real
    number that is NaN. A NaN in x then has the value of the step before it.
    """
    x, y = arrays["x"], arrays.get("y")
    known, filled = None, dict(arrays)
    if may_lack and x.dtype.kind == "f" and np.isnan(x).any():
        filled["x"] = carried_on(x, axis=max(0, x.ndim - 2))
        known = None if y is not None else ~np.isnan(x)
    if y is not None and may_lack and y.dtype.kind == "f" and np.isnan(y).any():
        known = ~np.isnan(y)
    elif y is not None and y.dtype.kind == "i" and _is_binary_with_gaps(y):
        known = y != LEFT_OUT
    if known is None:
        return filled
    if y is not None:
        filled["y"] = np.where(known, y, 0).astype(y.dtype)
    filled[MASK] = _both(known, arrays.get(MASK))
    return filled


def _both(known: Array, given: Array | None) -> Array:
    """The elements that count by both; `check_weights` refuses what is no mask."""
    if given is None:
        return known
    if not _is_mask(given) or given.shape != known.shape[: given.ndim]:
        return given
    wide = given.reshape(*given.shape, *[1] * (known.ndim - given.ndim))
    return np.asarray(known & (wide != 0))


def _is_binary_with_gaps(y: Array) -> bool:
    """Whether y is a vector of 0 and 1, of which some are missing."""
    is_left_out = y == LEFT_OUT
    return bool(
        y.ndim > 1 and is_left_out.any() and (is_left_out | (y == 0) | (y == 1)).all()
    )


def carried_on(x: Array, axis: int = 0) -> Array:
    """Every gap filled with the value before it; those of the beginning are left."""
    steps = np.arange(x.shape[axis]).reshape(-1, *[1] * (x.ndim - axis - 1))
    rows = np.maximum.accumulate(np.where(np.isnan(x), 0, steps), axis=axis)
    return np.asarray(np.take_along_axis(x, rows, axis=axis))


def class_weights_of(arrays: Arrays, y: Array, *, per_step: bool) -> Array | None:
    """What the class of each target weighs; None where classes have no weights.

    Raises: ValueError, in words, if y is no class that has a weight.
    """
    given = arrays.get(CLASS_WEIGHTS)
    if given is None:
        return None
    if y.dtype.kind not in "iu" or y.ndim != (1 if per_step else 0):
        raise ValueError(f"y is no class, a whole number, but {CLASS_WEIGHTS} is there")
    if y.max(initial=0) >= len(given):
        raise ValueError(f"y holds {y.max()}, and {CLASS_WEIGHTS} has {len(given)}")
    return np.atleast_1d(given[y].astype(np.float64))
