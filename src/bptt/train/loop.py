"""Truncated back-propagation through time, one window after another.

    window 1          window 2          window 3
    x -> gradient     x -> gradient     x -> gradient      exact inside a window
         | step            | step            | step
    h --------------> h --------------> h -------------->  a value, no gradient

The state where the next window begins is handed over as plain numbers. Nothing of a
window's graph lives on. The order inside a window is gradient, sum over processes,
clipping, step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cell import Cell
from bptt.train.clipping import clip_by_global_norm, clip_by_value
from bptt.train.data.windows import Block, Dataset, Window, weights_of
from bptt.train.errors import TrainingDivergedError
from bptt.train.evaluation import real_loss
from bptt.train.gaps import inputs_of
from bptt.train.network import Forward, differentiate
from bptt.train.nonfinite import find_nonfinite
from bptt.train.optimiser import Optimiser
from bptt.train.processes import ALONE, Processes, Share

Arrays = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Learned:
    """What one window gave.

    loss: before the step, the mean over the losses that count here, as they weigh, in
    nats for nll and bce; norm: the gradient's global norm before clipping; n: how many
    losses count, over all processes; nonfinite: where a value was not finite, and no
    step was taken.
    """

    loss: float
    norm: float
    n: int
    is_clipped: bool = False
    nonfinite: str | None = None


@dataclass(frozen=True)
class Learner:
    """A cell, its parameters and the optimiser that changes them in place."""

    cell: Cell
    parameters: Arrays
    optimiser: Optimiser
    clip: float = np.inf
    clip_value: float = np.inf
    skips_nonfinite: bool = False
    processes: Processes = ALONE
    seed: int = 0
    weight_noise: float = 0.0
    limit: Mapping[str, Any] = field(default_factory=dict)
    forward: Forward | None = None

    def learn_window(
        self, dataset: Dataset, window: Window, initial: Arrays | None, number: int = 1
    ) -> tuple[Learned, Arrays | None]:
        """Take one step along the exact gradient of one window.

        The loss is the mean over the window's losses that count, of all processes.
        Returns: what was learned, and the state where the next window begins, computed
        with the parameters before the step.
        Raises: TrainingDivergedError, with the parameters as they were, if loss or norm
        is not finite and such windows are not skipped.
        """
        first = window.stop - window.scored
        n = dataset.count(window.rows, first, window.stop)
        share = self.processes.share(window.rows)
        block, inputs = self._read(dataset, window, share, number)
        parameters = self._disturbed(number)
        if not n:  # no sequence ends here: the state goes on, and nothing is learned
            later = self._advance(parameters, inputs, block, window, initial)
            return Learned(0.0, 0.0, 0), later
        # 1/n where a loss counts: the sum over all processes is then the mean.
        total = dataset.weight(window.rows, first, window.stop)
        weights = weights_of(block, window.scored) / total * share.counts
        gradient = differentiate(
            self.cell,
            parameters,
            inputs,
            initial=initial,
            weights=weights,
            lengths=block.lengths,
            limit=self.limit,
        )
        if window.advance == window.stop - window.start:
            state: Arrays | None = gradient.final
        else:
            state = self._advance(parameters, inputs, block, window, initial)
        summed = self.processes.add({k: gradient[k] for k in self.parameters})
        part = np.array([real_loss(gradient.loss)])
        loss = float(self.processes.add({"loss": part})["loss"][0])
        clipped, norm = clip_by_global_norm(summed, self.clip)
        if not (isfinite(loss) and isfinite(norm)):
            where = find_nonfinite(self.cell, parameters, inputs, initial, weights)
            if not self.skips_nonfinite:
                raise _diverged(number, loss, norm, where)
            kept = state if state is not None and _is_finite(state) else initial
            return Learned(loss, norm, n, nonfinite=where), kept
        self.optimiser.step(clip_by_value(clipped, self.clip_value))
        return Learned(loss, norm, n, is_clipped=norm > self.clip), state

    def _read(
        self, dataset: Dataset, window: Window, share: Share, number: int
    ) -> tuple[Block, dict[str, Any]]:
        """The rows of this process, and all inputs of the cell for them.

        Masks and noise are drawn for every row of the group, from the seed and the
        window's number: whoever has a row, it is disturbed in the same way.
        """
        block = dataset.read(share.rows, window.start, window.stop)
        inputs = inputs_of(self.cell, block)
        if all(spec.draw is None for spec in self.cell.graph.inputs.values()):
            return block, inputs
        whole = dataset.read(window.rows, window.start, window.stop)
        seed = np.random.SeedSequence([self.seed, number]).generate_state(1)[0]
        given = inputs_of(self.cell, whole)
        drawn = self.cell.draw(self.parameters, given, seed=int(seed))
        rows = self.cell.graph.times.row_inputs
        return block, {
            n: array[share.places] if n in rows else array[:, share.places]
            for n, array in drawn.items()
        }

    def _disturbed(self, number: int) -> Arrays:
        """The parameters of one window: with Gaussian noise on every one of them.

        (Graves, 2011; Chung et al., 2014.) The step then changes those without noise.
        It is a function of the seed and the window's number: every process has it.
        """
        if not self.weight_noise:
            return self.parameters
        random = np.random.default_rng([self.seed, number, 0x0153])
        noisy = {}
        for name, value in self.parameters.items():
            # float32's infinity where it is too large: the loss then says so.
            with np.errstate(over="ignore"):
                noise = random.normal(0, self.weight_noise, value.shape)
                noisy[name] = value + noise.astype(value.dtype)
        return noisy

    def _advance(
        self,
        parameters: Arrays,
        inputs: Mapping[str, Any],
        block: Block,
        window: Window,
        initial: Arrays | None,
    ) -> Arrays | None:
        """The state where the next window begins."""
        if window.advance == 0:
            return initial
        rows = self.cell.graph.times.row_inputs
        first = {
            name: array if name in rows else array[: window.advance]
            for name, array in inputs.items()
        }
        lengths = block.lengths
        if lengths is not None:
            lengths = np.minimum(lengths, window.advance)
        forward = self.forward or self.cell.forward
        return forward(parameters, first, initial=initial, lengths=lengths).final


def _diverged(
    number: int, loss: float, norm: float, where: str
) -> TrainingDivergedError:
    if not isfinite(loss):
        return TrainingDivergedError(number, "loss", loss, where)
    return TrainingDivergedError(number, "norm of the gradient", norm, where)


def _is_finite(state: Arrays) -> bool:
    return all(np.isfinite(value).all() for value in state.values())
