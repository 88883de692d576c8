"""Whether nested numbers of a file are of the kind that a fresh object has."""

from collections.abc import Mapping
from math import inf
from typing import Any

from bptt.train.door.limits import Refusal

LARGEST = 1e30


def refuse_unlike(found: Any, expected: Any, place: str) -> None:
    """Hold nested numbers to the names, kinds, shapes and lengths of others.

    Where one has nothing (None) the other may have a number: it was not yet needed.
    Raises: Refusal with the place of the first difference.
    """
    if hasattr(expected, "shape"):
        _refuse_unlike_array(found, expected, place)
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(expected):
            raise Refusal(
                f"{place} has other names than {', '.join(map(str, expected))}"
            )
        for name, value in expected.items():
            refuse_unlike(found[name], value, f"{place}.{name}")
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            raise Refusal(f"{place} is no list of {len(expected)}")
        for i, value in enumerate(expected):
            refuse_unlike(found[i], value, f"{place}[{i}]")
    elif isinstance(expected, bool | str):
        if type(found) is not type(expected):
            raise Refusal(f"{place} is {found!r:.40}, no {type(expected).__name__}")
    elif not (found is None or _is_number(found)):
        raise Refusal(f"{place} is {found!r:.40}, no number")
    elif found is None and isinstance(expected, int | float):
        raise Refusal(f"{place} is nothing")


def _is_number(value: Any) -> bool:
    """Infinity is one, where nothing was measured yet; what float32 lacks is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (abs(value) < LARGEST or value in (inf, -inf))


def _refuse_unlike_array(found: Any, expected: Any, place: str) -> None:
    if not hasattr(found, "shape"):
        raise Refusal(f"{place} is no tensor")
    if tuple(found.shape) != tuple(expected.shape):
        shapes = f"{tuple(found.shape)}, not {tuple(expected.shape)}"
        raise Refusal(f"{place} has shape {shapes}")
    if str(found.dtype).split(".")[-1] != str(expected.dtype).split(".")[-1]:
        raise Refusal(f"{place} is {found.dtype}, not {expected.dtype}")
