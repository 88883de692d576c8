"""Norms of the states' gradients while a model trains: t against iteration.

What `bptt.torch.FlowWatch` and `bptt.jax.FlowWatch` keep. ‖∇_{h^(t)} L‖ over rows and
units is kept for every layer, state and step t, of every watched iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from bptt import errors
from bptt.flow.numeric import norms
from bptt.flow.pacing import Pacer
from bptt.step.shapes import Array

DECADES = 8  # of a heat map's colours, down from its largest norm
# From dark to light through one hue, told apart in grey, too.
_DARK, _LIGHT = np.array([13.0, 27, 62]), np.array([255.0, 240, 165])
_MIDDLE = np.array([214.0, 84, 74])
GAP = np.array([128, 128, 128], np.uint8)  # no norm: the step is not there, or NaN


class WatchedNorms:
    """What was collected: layer and state -> a row of norms for every iteration.

    every: iterations of which one is watched, or "auto": as many as cost `budget`, a
    share of the time of all; board: a SummaryWriter of TensorBoard, or None;
    board_every: watched iterations between two heat maps.
    Raises: FlowError.
    """

    def __init__(
        self,
        every: int | str = "auto",
        board: Any = None,
        board_every: int = 100,
        budget: float = 0.1,
    ) -> None:
        """Nothing is watched yet."""
        if every != "auto" and (not isinstance(every, int) or every < 1):
            raise errors.FlowError(
                f'every={every!r}: a number of iterations from 1 on, or "auto"'
            )
        if not budget > 0:
            raise errors.FlowError(
                f"budget={budget}: the share of a step's time that watching may cost, "
                "above 0; 0.1 is a tenth"
            )
        self.every, self.board, self.board_every = every, board, board_every
        self.pacer = Pacer(budget)
        self.iteration = 0
        self.iterations: list[int] = []
        self._rows: dict[str, dict[int, Array]] = {}
        self._is_timed = False
        self._set_up()

    def note(self, layer: str, gradients: Mapping[str, Array]) -> None:
        """Keep the norms of a layer's states: state -> (tau, n_b, *shape)."""
        for state, array in gradients.items():
            rows = self._rows.setdefault(f"{layer}.{state}", {})
            now = quick_norms(np.asarray(array))
            before = rows.get(self.iteration)
            if before is not None and len(before) == len(now):
                now = np.hypot(before, now)  # a layer that ran twice in one step
            rows[self.iteration] = now

    @property
    def norms(self) -> dict[str, Array]:
        """Layer and state -> (iterations, tau), NaN where a sequence was shorter."""
        return {name: self._stack(rows) for name, rows in self._rows.items()}

    def _stack(self, rows: Mapping[int, Array]) -> Array:
        longest = max(map(len, rows.values()))
        found = np.full((len(self.iterations), longest), np.nan)
        for number, iteration in enumerate(self.iterations):
            if iteration in rows:
                found[number, : len(rows[iteration])] = rows[iteration]
        return found

    def heat_map(self, name: str) -> Array:
        """An image (tau, iterations, 3) of bytes: t upwards, iterations to the right.

        Light is large; the colours go down eight decades from the largest norm. There
        are as many columns as watched iterations, evenly spread over all iterations:
        each shows the last one that was watched before it.
        Raises: KeyError for a name that is not in `norms`.
        """
        values = self.norms[name][self._even_columns()].T[::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(values)
        finite = logs[np.isfinite(logs)]
        top = finite.max() if finite.size else 0.0
        share = np.clip((logs - top) / DECADES + 1, 0, 1)[..., None]
        low = _DARK + 2 * share * (_MIDDLE - _DARK)
        high = _MIDDLE + (2 * share - 1) * (_LIGHT - _MIDDLE)
        with np.errstate(invalid="ignore"):
            colours = np.where(share < 0.5, low, high)
        missing = ~np.isfinite(logs) & (values != 0)
        found = np.where(missing[..., None], GAP, np.nan_to_num(colours))
        return np.asarray(found.round().astype(np.uint8))

    def _even_columns(self) -> Array:
        at = np.array(self.iterations)
        wanted = np.rint(np.linspace(at[0], at[-1], len(at)))
        return np.asarray(np.searchsorted(at, wanted, side="right") - 1)

    def write(self) -> None:
        """Give the board a heat map of every layer and state, and the last norms."""
        if self.board is None or not self.iterations:
            return
        for name, values in self.norms.items():
            image = self.heat_map(name)
            self.board.add_image(
                f"flow/{name}", image, self.iterations[-1], dataformats="HWC"
            )
            first = values[-1][np.isfinite(values[-1])]
            if first.size:
                tag = f"flow/{name} first step"
                self.board.add_scalar(tag, float(first[0]), self.iterations[-1])

    def is_due(self) -> bool:
        """Whether the iteration that begins is watched."""
        if isinstance(self.every, str):
            return self.iteration == self.pacer.next
        return self.iteration % self.every == 0

    def begin(self) -> None:
        """A watched iteration begins."""
        self.iterations.append(self.iteration)

    def __enter__(self) -> Self:
        """Watch this step, if it is its turn."""
        is_watched = self.is_due()
        self._is_timed = self.every == "auto" and self.pacer.is_timed(self.iteration)
        if self._is_timed:
            self.pacer.settle(self._settle)
        elif is_watched:
            self._settle()
        if is_watched:
            self.begin()
            self._turn(is_on=True)
        self.pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching, and write to the board when it is due."""
        try:
            if self._is_timed or self.is_due():
                self._settle()
            if self._is_timed:
                self.pacer.stop(self.iteration)
        finally:
            self._turn(is_on=False)
            self.end()

    def _set_up(self) -> None:
        """What a front end needs besides."""

    def _settle(self) -> None:
        """Wait for what is being computed, where a front end runs ahead."""

    def _turn(self, *, is_on: bool) -> None:
        """Let the layers tell what they see, or no longer."""

    def end(self) -> None:
        """An iteration is over."""
        is_watched = self.iterations and self.iterations[-1] == self.iteration
        if is_watched and len(self.iterations) % self.board_every == 0:
            self.write()
        self.iteration += 1


def quick_norms(array: Array) -> Array:
    """‖array^(t)‖ for every t; again with care where squares leave the range."""
    flat = array.reshape(len(array), -1)
    with np.errstate(over="ignore"):
        found = np.sqrt(np.vecdot(flat, flat)).astype(np.float64)
    if not (found.min() > 1e-15 and found.max() < 1e15):
        doubtful = ~((found > 1e-15) & (found < 1e15))
        found[doubtful] = norms(flat[doubtful].astype(np.float64))
    return np.asarray(found)
