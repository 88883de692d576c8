"""Where the first value is that is not a finite number."""

from collections.abc import Iterable, Mapping

import numpy as np

from bptt.cell import Cell
from bptt.step.shapes import Array


def find_nonfinite(
    cell: Cell,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    initial: Mapping[str, Array] | None,
    weights: Array,
) -> str:
    """Say in one sentence where infinity or NaN comes up first.

    Forward, the first is that with the smallest t, and at one t that of the equation
    written first. If all values are finite, the gradient is followed back: the largest
    t, and the equation written last. Then come the sums over t.
    """
    run = cell.forward(
        parameters, inputs, initial=initial, weights=weights, reduction="sum"
    )
    said = cell.graph.times.said
    found = _first(((said(name), run[name]) for name in cell.nodes), backward=False)
    if found:
        return f"First in the forward pass: {found}."
    gradient = cell.gradient(
        parameters,
        inputs,
        initial=initial,
        weights=weights,
        reduction="sum",
        nodes=tuple(cell.nodes),
    )
    names = reversed(tuple(cell.nodes))
    found = _first(
        ((f"∇_{said(n)} L", gradient.nodes[n]) for n in names), backward=True
    )
    if found:
        return f"Forward all values are finite; first in the backward pass: {found}."
    for name in parameters:
        if not np.isfinite(gradient[name]).all():
            return (
                "All values at every t are finite; the sum over t that gives "
                f"∇_{name} L is not."
            )
    return "Every value and every gradient of this process is finite."


def _first(values: Iterable[tuple[str, Array]], *, backward: bool) -> str:
    """The first bad value, in the order of time; ties go to the name that comes first.

    Shapes: (tau, n_b, ...) each.
    """
    best: tuple[int, str] | None = None
    for name, value in values:
        finite = np.isfinite(value.reshape(*value.shape[:2], -1))
        bad = np.logical_not(finite.all(axis=2))
        if not bad.any():
            continue
        steps = np.flatnonzero(bad.any(axis=1))
        t = int(steps[-1] if backward else steps[0])
        order = -t if backward else t
        if best is None or order < best[0]:
            row = int(np.argmax(bad[t]))
            elements = value[t, row].reshape(-1)
            what = elements[~np.isfinite(elements)][0]
            best = order, f"{name} at t = {t + 1}, row {row}, is {what}"
    return best[1] if best else ""
