"""SciPy's L-BFGS on the loss of all training sequences at once."""

from collections.abc import Callable
from importlib import import_module

import numpy as np
import numpy.typing as npt
from rich.console import Console

from bptt.train.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    Parameters,
    Position,
    write_checkpoint,
)
from bptt.train.clipping import global_norm
from bptt.train.data.windows import Window, plan_epoch, weights_of
from bptt.train.errors import TrainExtraMissingError, TrainingDivergedError
from bptt.train.evaluation import real_loss
from bptt.train.gaps import inputs_of
from bptt.train.gradient_norms import measure_norms
from bptt.train.interrupt import StoppedError, never
from bptt.train.log import Log
from bptt.train.loop import Learned
from bptt.train.meter import Meter
from bptt.train.network import differentiate
from bptt.train.nonfinite import find_nonfinite
from bptt.train.progress import TrainingProgress
from bptt.train.run_folder import Metrics
from bptt.train.session import Setting, board_folder, validate
from bptt.train.tensorboard import Board
from bptt.train.truncation import Truncation

# L-BFGS starts with an empty memory after every so many iterations, and only there a
# checkpoint is written: a run that is taken up then goes the same way, bit for bit.
ROUND = 50

Vector = npt.NDArray[np.floating]


class FullBatchSession:
    """A run whose "windows" are iterations of L-BFGS, `epochs` of them, in float64.

    L = mean over all targets of the training part; the gradient is exact through whole
    sequences, accumulated over batches of n_b rows.
    """

    def __init__(self, setting: Setting, start: Checkpoint) -> None:
        """Take up a run at a checkpoint; its parameters are changed in place."""
        self.setting = setting
        self.parameters = start.parameters
        self._data = setting.task.parts["training"]
        assert setting.task.unit is not None
        self.meter = Meter(setting.task.unit, setting.options.epochs)
        self._metrics_length = int(start.numbers.get("metrics_length", 0))
        self._owes_validation = False
        self._has_converged = bool(start.numbers.get("has_converged", False))
        if start.numbers.get("meter") is not None:
            self.meter.load(start.numbers["meter"])
        whole = Truncation(None, None)
        self._windows = list(plan_epoch(self._data, 0, whole))
        self._norm = 0.0
        self._n = sum(self._data.count(w.rows, 0, w.stop) for w in self._windows)
        self._weight = sum(self._data.weight(w.rows, 0, w.stop) for w in self._windows)

    def is_over(self) -> bool:
        """Whether there is nothing more to do."""
        patience = self.setting.options.patience
        out_of_patience = 0 < patience <= self.meter.bad_validations
        done = self.meter.windows >= self.meter.n_windows
        is_over = done or out_of_patience or self._has_converged
        return is_over and not self._owes_validation

    def run(self, console: Console, should_stop: Callable[[], bool]) -> None:
        """Iterate in rounds until the run is over, or until `should_stop`.

        Raises: TrainExtraMissingError without scipy, TrainingDivergedError,
        FolderNotWritableError.
        """
        with (
            Metrics(self.setting.folder, self._metrics_length) as metrics,
            TrainingProgress(console, self.meter.status) as progress,
            Board(board_folder(self.setting), self.meter.windows) as board,
        ):
            log = Log(metrics, board)
            if not self.meter.windows:
                self._record_norms(log)
            while not self.is_over():
                if self._run_round(log, progress, should_stop):
                    self._validate(log)
                    return
                try:
                    self._validate(log, should_stop)
                except StoppedError:  # the round is done again when it is taken up
                    self._owes_validation = True
                    self.meter.forget_validation()
                    return
                self._save(log, LAST)

    def _run_round(
        self,
        log: Log,
        progress: TrainingProgress,
        should_stop: Callable[[], bool],
    ) -> bool:
        """Up to ROUND iterations; return whether the person stopped them."""
        try:
            minimize = import_module("scipy.optimize").minimize
        except ImportError as error:
            raise TrainExtraMissingError("scipy") from error
        left = min(ROUND, self.meter.n_windows - self.meter.windows)
        first = self.meter.windows
        stopped = False

        def after(intermediate_result: object) -> None:
            nonlocal stopped
            loss = float(intermediate_result.fun)  # type: ignore[attr-defined]
            learned = Learned(loss, self._norm, self._n)
            log.write(self.meter.add(learned, 1.0))
            progress.show(self.meter.status)
            if should_stop():
                stopped = True
                raise StopIteration

        found = minimize(
            self._evaluate,
            self._flat(self.parameters),
            jac=True,
            method="L-BFGS-B",
            callback=after,
            options={"maxiter": left, "maxfun": 20 * left},
        )
        self._put(found.x)
        self._has_converged = not stopped and self.meter.windows - first < left
        return stopped

    def _evaluate(self, vector: Vector) -> tuple[float, Vector]:
        self._put(vector)
        loss = 0.0
        total = {name: np.zeros_like(p) for name, p in self.parameters.items()}
        for window in self._windows:
            part = self._differentiate(window)
            loss += part[0]
            for name in total:
                total[name] += part[1][name]
        self._norm = global_norm(total)
        return loss, self._flat(total)

    def _differentiate(self, window: Window) -> tuple[float, Parameters]:
        block = self._data.read(window.rows, 0, window.stop)
        weights = weights_of(block, window.stop) / self._weight
        cell = self.setting.model.cell
        # Masks at their mean: a line search needs the same function at every call.
        inputs = cell.draw(self.parameters, inputs_of(cell, block), mean=True)
        gradient = differentiate(
            cell, self.parameters, inputs, weights=weights, lengths=block.lengths,
            limit=self.setting.options.limit,
        )  # fmt: skip
        loss = real_loss(gradient.loss)
        by_name = {name: gradient[name] for name in self.parameters}
        norm = global_norm(by_name)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            where = find_nonfinite(cell, self.parameters, inputs, None, weights)
            raise TrainingDivergedError(self.meter.windows + 1, "loss", loss, where)
        return loss, by_name

    def _flat(self, arrays: Parameters) -> Vector:
        return np.concatenate([arrays[n].ravel() for n in self.parameters])

    def _put(self, vector: Vector) -> None:
        start = 0
        for parameter in self.parameters.values():
            stop = start + parameter.size
            parameter[...] = vector[start:stop].reshape(parameter.shape)
            start = stop

    def _validate(
        self, log: Log, should_stop: Callable[[], bool] | None = None
    ) -> None:
        """Measure the validation part; keep the parameters if they are the best.

        Without should_stop it is the last word of an interrupted run: see `validate`.
        """
        is_best = validate(
            self.setting, self.parameters, self.meter, log, should_stop or never,
            is_last_word=should_stop is None,
        )  # fmt: skip
        if is_best is None:
            return
        self._record_norms(log)
        if is_best:
            self._save(log, BEST)

    def _record_norms(self, log: Log) -> None:
        task = self.setting.task
        cell = self.setting.model.cell
        norms = measure_norms(
            cell, self.parameters, self._data, task.truncation,
            self.setting.options.limit,
        )  # fmt: skip
        log.write({"window": self.meter.windows, "gradient_norms": norms})

    def _save(self, log: Log, name: str) -> None:
        numbers = {
            "meter": self.meter.numbers(),
            "metrics_length": log.sync(),
            "has_converged": self._has_converged,
        }
        position = Position(self.meter.windows, 0)
        checkpoint = Checkpoint(self.parameters, {}, position, None, numbers)
        write_checkpoint(self.setting.folder, name, checkpoint)
