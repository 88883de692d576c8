"""Where a number first stops being one, or a gradient becomes 0 by rounding alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bptt.step.shapes import Array


@dataclass(frozen=True)
class NonFinite:
    """The first infinity or NaN that was computed.

    t: 1..tau; name: of the node; row: of the batch; is_forward: in the node's value, or
    else in ∇ of it, where the last step is computed first.
    """

    t: int
    name: str
    row: int
    is_forward: bool
    value: float

    def __str__(self) -> str:
        what = f"{self.name}^({self.t})"
        if not self.is_forward:
            what = f"∇_{what} L"
        direction = "forward" if self.is_forward else "backward"
        return f"{what} of row {self.row} is {self.value}, the first ({direction})"


@dataclass(frozen=True)
class Underflow:
    """The first step, on the way back, where a whole gradient is 0 by rounding.

    t: 1..tau; name: of the state; row: of the batch; steps: of that row that get 0;
    exact: the norm there in float64.
    """

    t: int
    name: str
    row: int
    steps: int
    exact: float


def find_non_finite(
    names: Iterable[str], values: Mapping[str, Array], grads: Mapping[str, Array]
) -> NonFinite | None:
    """Search values in the order of time and equations, then gradients in reverse.

    values, grads: node -> (tau, n_b, *shape).
    """
    names = tuple(names)
    found = _first(names, values, is_forward=True)
    return found or _first(names[::-1], grads, is_forward=False)


def find_underflow(
    grads: Mapping[str, Array], exact: Mapping[str, Array]
) -> Underflow | None:
    """The first step on the way back where all of a row's gradient is 0, wrongly.

    grads: of the states in the run's element type; exact: in float64.
    """
    found: list[Underflow] = []
    for name, rows in grads.items():
        flat = rows.reshape(*rows.shape[:2], -1)
        true = np.abs(exact[name].reshape(*rows.shape[:2], -1)).max(axis=2)
        died = ~flat.any(axis=2) & (true > 0)
        for row in np.flatnonzero(died.any(axis=0)):
            t = int(np.flatnonzero(died[:, row])[-1])
            steps = int(died[:, row].sum())
            found.append(Underflow(t + 1, name, int(row), steps, float(true[t, row])))
    return max(found, key=lambda u: u.t, default=None)


def _first(
    names: tuple[str, ...], arrays: Mapping[str, Array], *, is_forward: bool
) -> NonFinite | None:
    best: NonFinite | None = None
    for name in names:
        array = arrays[name]
        flat = array.reshape(*array.shape[:2], -1)
        bad: Array = np.logical_not(np.isfinite(flat)).sum(axis=2) > 0
        steps = np.flatnonzero(bad.sum(axis=1))
        if not len(steps):
            continue
        index = int(steps[0] if is_forward else steps[-1])
        t = index + 1
        if best is None or (t < best.t if is_forward else t > best.t):
            row = int(np.flatnonzero(bad[index])[0])
            at = array[index, row].ravel()
            value = float(at[~np.isfinite(at)][0])
            best = NonFinite(t, name, row, is_forward, value)
    return best
