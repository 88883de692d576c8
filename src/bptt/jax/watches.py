"""Watches by number: a compiled program holds the number, and finds the watch by it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Protocol

from bptt.living import Living
from bptt.step.shapes import Array


class Watch(Protocol):
    """What looks at the gradients of a layer's states, while it is on."""

    is_on: bool

    def note(self, layer: str, gradients: Mapping[str, Array]) -> None:
        """See one backward pass: state -> (tau, n_b, *shape)."""


_WATCHES: Living[Watch] = Living()
_NUMBERS = itertools.count()


def enrol(watch: Watch) -> int:
    """A number for a watch, as long as it lives."""
    number = next(_NUMBERS)
    _WATCHES[number] = watch
    return number


def is_on(number: int) -> bool:
    """Whether a watch wants to see the backward pass that runs now."""
    watch = _WATCHES.get(number)
    return watch is not None and watch.is_on


def note(number: int, layer: str, gradients: Mapping[str, Array]) -> None:
    """Tell a watch of a backward pass; one that is gone is not missed."""
    watch = _WATCHES.get(number)
    if watch is not None:
        watch.note(layer, gradients)
