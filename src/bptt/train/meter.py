"""Running figures of a training run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from bptt.train.data.form import LossUnit
from bptt.train.evaluation import Evaluation
from bptt.train.loop import Learned
from bptt.train.tallies import Figures

SMOOTHING = 50  # windows that the training loss which is shown is a mean of, about


@dataclass(frozen=True)
class Status:
    """A run after some windows; losses in the unit, the speed in items per second.

    norm: of the last gradient before clipping; clip_share: how many windows of those
    learned were clipped, from 0 to 1; skipped: windows left out for a value that is not
    finite.
    """

    window: int
    n_windows: int
    unit: LossUnit
    training: float
    validation: float | None
    speed: float
    norm: float = 0.0
    clip_share: float = 0.0
    skipped: int = 0


class Meter:
    """Adds up items, time and the smoothed loss, and makes the JSON records.

    The clock stands still during a validation, so that the speed is that of training.
    """

    def __init__(self, unit: LossUnit, n_windows: int) -> None:
        """Start the clock."""
        self.unit = unit
        self.validation: float | None = None
        self.figures: Figures = {}
        self.best_figures: Figures = {}
        self.best_by_class: Sequence[float | None] | None = None
        self.best = inf
        self.best_window = 0
        self.bad_validations = 0
        self.items = 0
        self.windows = 0
        self.n_windows = n_windows
        self.clipped = 0
        self.skipped = 0
        self._norm = 0.0
        self._smooth: float | None = None
        self._started = time.perf_counter()
        self._elsewhere = 0.0
        self._items_before = 0  # before this process took the run up
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the run, those before it was stopped and taken up included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def status(self) -> Status:
        """The figures as they are shown."""
        learning = time.perf_counter() - self._started - self._elsewhere
        return Status(
            window=self.windows,
            n_windows=self.n_windows,
            unit=self.unit,
            training=self._smooth if self._smooth is not None else float("nan"),
            validation=self.validation,
            speed=(self.items - self._items_before) / learning,
            norm=self._norm,
            clip_share=self.clipped / max(1, self.windows),
            skipped=self.skipped,
        )

    def add(self, learned: Learned, learning_rate: float) -> dict[str, Any]:
        """Take in one window; return its record for metrics.jsonl."""
        self.windows += 1
        self.items += learned.n
        record: dict[str, Any] = {
            "window": self.windows,
            self._count_name: self.items,
            "learning_rate": learning_rate,
            "seconds": round(self.seconds, 3),
        }
        if learned.nonfinite is not None:
            self.skipped += 1
            return record | {"skipped": learned.nonfinite}
        if not learned.n:
            return record
        loss = learned.loss * self.unit.factor
        if self._smooth is None:
            self._smooth = loss
        self._smooth += (loss - self._smooth) / min(self.windows, SMOOTHING)
        self._norm = learned.norm
        self.clipped += learned.is_clipped
        return record | {
            f"training_{self._loss_name}": loss,
            "gradient_norm": learned.norm,
        }

    def add_validation(
        self, found: Evaluation, took: float
    ) -> tuple[dict[str, Any], bool]:
        """Take in a validation, its loss in the unit, that took so many seconds.

        Returns: its record, and whether it is the best so far.
        """
        loss = found.loss
        self.validation, self.figures = loss, found.figures
        self._elsewhere += took
        is_best = loss < self.best
        if is_best:
            self.best, self.best_window, self.bad_validations = loss, self.windows, 0
            self.best_figures, self.best_by_class = found.figures, found.by_class
        else:
            self.bad_validations += 1
        record: dict[str, Any] = {
            "window": self.windows,
            self._count_name: self.items,
            f"validation_{self._loss_name}": loss,
            "seconds": round(self.seconds, 3),
        }
        figures = {f"validation_{name}": v for name, v in found.figures.items()}
        return record | figures, is_best

    def forget_validation(self) -> None:
        """The last one is not of these parameters, and there is none of them."""
        self.validation, self.figures = None, {}

    def numbers(self) -> dict[str, Any]:
        """The figures that a checkpoint keeps."""
        return {
            "windows": self.windows,
            "items": self.items,
            "clipped": self.clipped,
            "skipped": self.skipped,
            "validation": self.validation,
            "figures": dict(self.figures),
            "best_figures": dict(self.best_figures),
            "best_by_class": self.best_by_class,
            "best": self.best,
            "best_window": self.best_window,
            "bad_validations": self.bad_validations,
            "smooth": self._smooth,
            "norm": self._norm,
            "seconds": self.seconds,
        }

    def load(self, numbers: Mapping[str, Any]) -> None:
        """Take up the figures of a checkpoint."""
        for name in (
            "windows", "items", "clipped", "skipped", "validation", "best",
            "best_window", "bad_validations",
        ):  # fmt: skip
            setattr(self, name, numbers[name])
        self.figures = numbers.get("figures", {})  # older checkpoints have none
        self.best_figures = numbers.get("best_figures", {})
        self.best_by_class = numbers.get("best_by_class")
        self._smooth, self._norm = numbers["smooth"], numbers["norm"]
        self._items_before = self.items
        self._seconds_before = numbers["seconds"]

    @property
    def _loss_name(self) -> str:
        return self.unit.name.replace(" ", "_")

    @property
    def _count_name(self) -> str:
        return self.unit.item + "s"
