"""How hard LLVM tries, for code that runs a few times on small arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LEAST: ContextVar[bool] = ContextVar("least_effort", default=False)


@contextmanager
def least_effort() -> Iterator[None]:
    """Generate machine code in a third of the time, from the same IR.

    The IR says which operations are done in which order and precision, so every number
    is the same; the code runs several times slower.
    """
    token = _LEAST.set(True)
    try:
        yield
    finally:
        _LEAST.reset(token)


def is_least() -> bool:
    """Whether kernels are generated with the least effort here."""
    return _LEAST.get()
