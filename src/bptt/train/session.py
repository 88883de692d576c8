"""A run as it goes on: learn, validate, save, and stop where it can be taken up."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from bptt.execute.dispatch import drop_spare
from bptt.train.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    Parameters,
    Position,
    write_checkpoint,
)
from bptt.train.data.task import TrainingTask
from bptt.train.data.windows import (
    Dataset,
    Window,
    count_steps,
    count_windows,
    plan_epoch,
)
from bptt.train.door.limits import Refusal
from bptt.train.evaluation import evaluate_part
from bptt.train.fitting import reads_targets_back
from bptt.train.gradient_norms import measure_norms
from bptt.train.interrupt import StoppedError, never
from bptt.train.log import Log, NoMetrics
from bptt.train.loop import Learner
from bptt.train.meter import Meter
from bptt.train.model import Model
from bptt.train.network import Forward, choose_forward
from bptt.train.optimiser import Optimiser
from bptt.train.options import CHECKPOINT_SECONDS, TrainingOptions
from bptt.train.processes import Processes
from bptt.train.progress import TrainingProgress
from bptt.train.run_folder import Metrics
from bptt.train.sampling import Sampler
from bptt.train.schedule import EPOCH, VALIDATION, WINDOW, make_schedule
from bptt.train.tensorboard import BOARD, Board

SAMPLE_LENGTH = 200  # of those that are kept on the way
SAMPLE_TEMPERATURE = 0.7
# Measured after Ctrl-C: so few steps, or those that training takes in so many seconds.
FEW_STEPS = 20_000
LAST_SECONDS = 2.0

State = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Setting:
    """What does not change in a run: options, data, model, and who takes part."""

    options: TrainingOptions
    task: TrainingTask
    model: Model
    folder: Path
    processes: Processes

    @cached_property
    def steps_measured(self) -> int:
        """The steps of the parts that are not learned from."""
        parts = self.task.parts.items()
        return sum(count_steps(part) for name, part in parts if name != "training")

    def forward(self, parameters: Parameters) -> Forward:
        """What computes values where no gradient is wanted."""
        steps, limit = self.steps_measured, self.options.limit
        return choose_forward(self.model, parameters, steps, limit)


def validate(
    setting: Setting,
    parameters: Parameters,
    meter: Meter,
    log: Log,
    should_stop: Callable[[], bool] = never,
    *,
    is_last_word: bool = False,
) -> bool | None:
    """Measure the validation part and log it; return whether it is the best.

    is_last_word: the run is interrupted, and the measurement is for the person alone: a
    run that is taken up again knows nothing of it. Nothing is then returned, and a long
    part is not measured.
    Raises: StoppedError where one process alone should stop, and it would take long.
    """
    is_soon = is_soon_measured(setting, "validation", meter)
    if is_last_word and not is_soon:
        meter.forget_validation()
        return None
    is_left = setting.processes.size == 1 and not is_soon
    drop_spare()
    began = time.perf_counter()
    found = evaluate_part(
        setting.model, parameters, setting.task, "validation", setting.processes,
        setting.forward(parameters), should_stop if is_left else never,
    )  # fmt: skip
    record, is_best = meter.add_validation(found, time.perf_counter() - began)
    log.write(record)
    return None if is_last_word else is_best


def board_folder(setting: Setting) -> Path | None:
    """Where TensorBoard's files of a run are; None where this process writes none."""
    wanted = setting.options.tensorboard and setting.processes.is_first
    return setting.folder / BOARD if wanted else None


def is_soon_measured(setting: Setting, part: str, meter: Meter) -> bool:
    """Whether a part is so short that Ctrl-C can wait until it is measured.

    The first process says so for all: each has a speed of its own.
    """
    parts = setting.task.parts
    # The meter counts targets: of a sequence there may be one alone.
    targets = max(1, _count_targets(parts["training"]))
    speed = meter.status.speed * count_steps(parts["training"]) / targets
    is_soon = count_steps(parts[part]) <= max(FEW_STEPS, LAST_SECONDS * speed)
    said = setting.processes.first_says({"soon": np.array([is_soon], np.float64)})
    return bool(said["soon"][0])


def _count_targets(data: Dataset) -> int:
    """How many steps of all rows have a loss that counts."""
    return sum(data.count(rows, 0, data.length_of(rows)) for rows in data.groups(0))


def write_sample(
    setting: Setting, parameters: Parameters, *, length: int
) -> str | None:
    """A text from a new line, seeded like the run; None from a model that writes none.

    One of other data, one whose scores have no name, or that reads its targets back.
    """
    model, vocabulary = setting.model, setting.task.vocabulary
    if vocabulary is None or model.loss != "nll" or model.scores is None:
        return None
    if reads_targets_back(model.cell, model.scores):
        return None
    forward = setting.forward(parameters)
    sampler = Sampler(model, parameters, vocabulary, forward)
    seed = setting.options.seed
    characters = sampler.write("\n", length, temperature=SAMPLE_TEMPERATURE, seed=seed)
    return "".join(characters)


class Session:
    """One process's part of a run, from a checkpoint to an end.

    `position` and `state` say where it is: `state` belongs to this process's rows, and
    is None where a sequence begins.
    """

    def __init__(self, setting: Setting, start: Checkpoint) -> None:
        """Take up a run at a checkpoint; its parameters are changed in place."""
        self.setting = setting
        options, task = setting.options, setting.task
        self.parameters: Parameters = start.parameters
        self._training = task.parts["training"]
        epochs = range(options.epochs)
        counts = [count_windows(self._training, e, task.truncation) for e in epochs]
        self._total = sum(counts)
        self._every = max(1, counts[0] // options.validations)
        self._optimiser = Optimiser(
            options.optimiser,
            self.parameters,
            options.learning_rate,
            options.optimiser_options,
            weight_decay=options.weight_decay,
        )
        self._schedule = make_schedule(options, self._optimiser, self._total)
        self._learner = Learner(
            setting.model.cell,
            self.parameters,
            self._optimiser,
            clip=options.clip,
            clip_value=options.clip_value,
            skips_nonfinite=options.on_nonfinite == "skip",
            processes=setting.processes,
            seed=options.seed,
            weight_noise=options.weight_noise,
            limit=options.limit,
            forward=setting.forward(self.parameters),
        )
        assert task.unit is not None
        self.meter = Meter(task.unit, self._total)
        self._take_up(start)

    def _take_up(self, start: Checkpoint) -> None:
        """Go to where a checkpoint is. Raises: Refusal if that is nowhere."""
        self._position = start.position
        self._whole_state = start.state
        self._state: State | None = None
        self._next_is_first = start.state is None
        self._owes_validation = bool(start.numbers.get("owes_validation", False))
        self._metrics_length = int(start.numbers.get("metrics_length", 0))
        if start.numbers.get("meter") is not None:
            self.meter.load(start.numbers["meter"])
        self._refuse_nowhere(start)
        if start.optimiser:
            self._optimiser.load(start.optimiser.get("optimiser", {}))
            self._schedule.load(start.optimiser.get("schedule", {}))

    def _refuse_nowhere(self, start: Checkpoint) -> None:
        """Hold position, figures and state to the windows of the data."""
        task, at = self.setting.task, start.position
        epochs = range(min(at.epoch, self.setting.options.epochs))
        done = sum(count_windows(self._training, e, task.truncation) for e in epochs)
        if (
            at.epoch > self.setting.options.epochs
            or done + at.window != self.meter.windows
        ):
            raise Refusal(f"{at} is not after {self.meter.windows} windows")
        if self.is_over() or at.epoch == self.setting.options.epochs:
            return
        windows = list(plan_epoch(self._training, at.epoch, task.truncation))
        if at.window >= len(windows):
            raise Refusal(f"{at}: the epoch has {len(windows)} windows")
        window = windows[at.window]
        if window.is_first != (start.state is None):
            raise Refusal(f"{at}: a state is there or lacks where it should not")
        if start.state is not None:
            self._refuse_other_state(start.state, len(window.rows))

    def _refuse_other_state(self, state: State, n_rows: int) -> None:
        graph = self.setting.model.cell.graph
        if set(state) != set(graph.states):
            raise Refusal(f"the state holds {', '.join(sorted(state)) or 'nothing'}")
        for name, value in state.items():
            fits = value.ndim > 0 and len(value) == n_rows
            if not fits or value.dtype not in (np.float32, np.float64):
                raise Refusal(f"the state {name} is not one of {n_rows} rows")

    def is_over(self) -> bool:
        """Whether there is nothing more to learn."""
        if self._owes_validation:
            return False
        patience = self.setting.options.patience
        out_of_patience = 0 < patience <= self.meter.bad_validations
        return self.meter.windows >= self._total or out_of_patience

    def run(self, console: Console, should_stop: Callable[[], bool]) -> None:
        """Learn until the run is over, or until `should_stop`, asked every window.

        Raises: TrainingDivergedError, FolderNotWritableError; the last checkpoint that
        was written is then still there.
        """
        with (
            self._open_metrics() as metrics,
            TrainingProgress(console, self.meter.status) as progress,
            Board(board_folder(self.setting), self.meter.windows) as board,
        ):
            log = Log(metrics, board)
            if self._owes_validation:
                if not self._settle(log, should_stop, stops=False):
                    return
                self._save(log)
            if self.is_over():
                return
            if not self.meter.windows:
                self._record_norms(log)
                drop_spare()
            saved = time.perf_counter()
            for window in self._windows():
                self._learn(window, log)
                stops, is_due = self._agree(should_stop(), self._is_due(saved))
                if is_validated := self._is_validation_due():
                    if not self._settle(log, should_stop, stops=stops):
                        return
                    is_due = True
                if stops and not self.is_over():
                    self._save(log)
                    if not is_validated:
                        self._validate(log, is_last_word=True)
                    return
                if is_due or self.is_over():
                    self._save(log)
                    saved = time.perf_counter()
                progress.show(self.meter.status)
                if self.is_over():
                    return

    # ----- one window -----

    def _windows(self) -> Iterator[Window]:
        """The windows that are left, and the position after each."""
        task, first = self.setting.task, self._position
        for epoch in range(first.epoch, self.setting.options.epochs):
            windows = list(plan_epoch(self._training, epoch, task.truncation))
            skipped = first.window if epoch == first.epoch else 0
            for number in range(skipped, len(windows)):
                ends = number + 1 == len(windows)
                self._next = Position(epoch + 1 if ends else epoch,
                                      0 if ends else number + 1)  # fmt: skip
                self._next_is_first = ends or windows[number + 1].is_first
                yield windows[number]

    def _learn(self, window: Window, log: Log) -> None:
        if window.is_first:
            self._state = None
        elif self._whole_state is not None:
            share = self.setting.processes.share(window.rows)
            self._state = {n: v[share.places] for n, v in self._whole_state.items()}
        self._whole_state = None
        self._schedule.before(self.meter.windows)
        rate = self._optimiser.learning_rate
        number = self.meter.windows + 1
        learned, self._state = self._learner.learn_window(
            self._training, window, self._state, number
        )
        log.write(self.meter.add(learned, rate))
        self._schedule.after(WINDOW)
        if self._next.window == 0:
            self._schedule.after(EPOCH)
        self._position, self._window = self._next, window

    def _agree(self, stops: bool, is_due: bool) -> tuple[bool, bool]:
        """What any process wants, all of them do, after the same window."""
        wishes = np.array([stops, is_due], np.float64)
        both = self.setting.processes.add({"wishes": wishes})["wishes"]
        return bool(both[0]), bool(both[1])

    # ----- validation -----

    def _is_validation_due(self) -> bool:
        done, left = self.meter.windows, self._total - self.meter.windows
        # Not just before the last one: two validations of nearly one model.
        return left == 0 or (done % self._every == 0 and left >= self._every // 2)

    def _settle(
        self, log: Log, should_stop: Callable[[], bool], *, stops: bool
    ) -> bool:
        """Make the validation that is due; return whether it was made.

        Ctrl-C, before it or during it, does not wait for a long one: the run is saved
        as one that owes it, and when it is taken up again, it begins with that.
        """
        self._owes_validation = True
        try:
            if stops and not is_soon_measured(self.setting, "validation", self.meter):
                raise StoppedError
            self._validate(log, should_stop)
        except StoppedError:
            self._save(log)
            self.meter.forget_validation()
            return False
        return True

    def _validate(
        self,
        log: Log,
        should_stop: Callable[[], bool] = never,
        *,
        is_last_word: bool = False,
    ) -> None:
        """Measure the validation part; keep the parameters if they are the best.

        Arguments and errors as those of `validate`.
        """
        is_best = validate(
            self.setting, self.parameters, self.meter, log, should_stop,
            is_last_word=is_last_word,
        )  # fmt: skip
        if is_best is None:
            return
        self._owes_validation = False
        drop_spare()
        self._record_norms(log)
        self._record_sample(log)
        drop_spare()
        self._schedule.after(VALIDATION, self.meter.validation)
        if is_best:
            self._save(log, BEST)

    def _record_norms(self, log: Log) -> None:
        if not self.setting.processes.is_first:
            return
        norms = measure_norms(
            self.setting.model.cell,
            self.parameters,
            self._training,
            self.setting.task.truncation,
            self.setting.options.limit,
        )
        log.write({"window": self.meter.windows, "gradient_norms": norms})

    def _record_sample(self, log: Log) -> None:
        if not self.setting.processes.is_first:
            return
        sample = write_sample(self.setting, self.parameters, length=SAMPLE_LENGTH)
        if sample is not None:
            log.write({"window": self.meter.windows, "sample": sample})

    # ----- saving -----

    def _is_due(self, saved: float) -> bool:
        every = self.setting.options.checkpoint_every
        if every is not None:
            return (self.meter.windows % every) == 0
        return time.perf_counter() - saved >= CHECKPOINT_SECONDS

    def _save(self, log: Log, name: str = LAST) -> None:
        """Write a checkpoint, once the metrics it counts are on the disk."""
        processes = self.setting.processes
        state = self._whole_state
        if state is None and not self._next_is_first and self._state is not None:
            rows = self._window.rows
            share = processes.share(rows)
            state = processes.gather_rows(share, self._state, len(rows))
        if not processes.is_first:
            return
        checkpoint = Checkpoint(
            parameters=self.parameters,
            optimiser={
                "optimiser": self._optimiser.state(),
                "schedule": self._schedule.state(),
            },
            position=self._position,
            state=state,
            numbers={
                "meter": self.meter.numbers(),
                "metrics_length": log.sync(),
                "owes_validation": self._owes_validation,
            },
        )
        write_checkpoint(self.setting.folder, name, checkpoint)

    def _open_metrics(self) -> Metrics | NoMetrics:
        if self.setting.processes.is_first:
            return Metrics(self.setting.folder, self._metrics_length)
        return NoMetrics()
