"""Forward passes that wait for their backward pass, found again by a token.

A program of JAX is a function of arrays, and the buffers in which a forward pass left
its values are no array. So the forward pass returns a token beside its results, and the
backward pass gets it among its operands. The token is a mere hint: who does not find
the buffers any more (they were used, or too many waited) computes the values again from
the operands, which are all there.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Hashable
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.passes import ForwardPass

LIMIT = 8  # forward passes whose backward pass may still come
TOKEN_SHAPE, TOKEN_TYPE = (2,), np.dtype(np.uint32)


class Kept:
    """Forward passes by token, the newest LIMIT of them.

    Single operations of a dictionary are atomic, so threads of XLA need no lock.
    """

    def __init__(self) -> None:
        """Empty; tokens of another process or store are never found here."""
        self._passes: OrderedDict[int, tuple[Hashable, ForwardPass]] = OrderedDict()
        self._store = secrets.randbits(32)
        self._numbers = count(1)

    def put(self, key: Hashable, forward: ForwardPass) -> NDArray[Any]:
        """Keep a pass; key: what it computed. Returns: its token."""
        number = next(self._numbers) % 2**32
        self._passes[number] = (key, forward)
        while len(self._passes) > LIMIT:
            self._passes.popitem(last=False)
        return np.array([self._store, number], TOKEN_TYPE)

    def take(self, key: Hashable, token: NDArray[Any]) -> ForwardPass | None:
        """The pass of this token, if it computed `key`; it is then no longer kept."""
        store, number = token.tolist()
        if store != self._store:
            return None
        found = self._passes.pop(number, None)
        return found[1] if found is not None and found[0] == key else None
