"""Objects by number, each as long as somebody else holds it."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

T = TypeVar("T")
FIRST_SWEEP = 16


class Living(Generic[T]):
    """A table of references without a callback.

    A `WeakValueDictionary` has one, in Python: Ctrl-C that comes while it runs is
    printed and lost. Here entries of what is gone stay until the table has doubled.
    Threads may use it at once; one that adds while another sweeps may see its entry
    swept, if it has the number of an object that is gone.
    """

    def __init__(self) -> None:
        """Empty."""
        self._references: dict[int, weakref.ref[T]] = {}
        self._next_sweep = FIRST_SWEEP

    def __setitem__(self, number: int, one: T) -> None:
        if len(self._references) >= self._next_sweep:
            for other, reference in self._references.copy().items():
                if reference() is None:
                    self._references.pop(other, None)
            self._next_sweep = FIRST_SWEEP + 2 * len(self._references)
        self._references[number] = weakref.ref(one)

    def get(self, number: int) -> T | None:
        """The object; None where it is gone."""
        reference = self._references.get(number)
        return None if reference is None else reference()

    def __len__(self) -> int:
        references = self._references.copy().values()
        return sum(reference() is not None for reference in references)
