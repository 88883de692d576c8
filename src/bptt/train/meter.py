"""Running figures of a training run."""

import time
from dataclasses import dataclass

from bptt.train.loop import Step

SMOOTHING = 0.98  # of the training loss that is shown: about the last 50 windows


@dataclass(frozen=True)
class Status:
    """A run after some windows; losses in bits per character."""

    window: int
    n_windows: int
    training: float
    validation: float | None
    characters_per_second: float


class Meter:
    """Adds up characters, time and the smoothed loss, and makes the JSON records.

    The clock stands still during a validation, so that the speed is that of training.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.validation: float | None = None
        self.characters = 0
        self.windows = 0
        self._n_windows = 0
        self._smooth: float | None = None
        self._started = time.perf_counter()
        self._elsewhere = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def status(self) -> Status:
        """The figures as they are shown."""
        learning = self.seconds - self._elsewhere
        return Status(
            window=self.windows,
            n_windows=self._n_windows,
            training=self._smooth if self._smooth is not None else float("nan"),
            validation=self.validation,
            characters_per_second=self.characters / learning,
        )

    def add(self, step: Step) -> dict[str, float | int]:
        """Take in one window; return its record for metrics.jsonl."""
        if self._smooth is None:
            self._smooth = step.bits
        self._smooth += (1 - SMOOTHING) * (step.bits - self._smooth)
        self.characters += step.n_characters
        self.windows, self._n_windows = step.number, step.n_windows
        return {
            "window": step.number,
            "characters": self.characters,
            "training_bits_per_character": step.bits,
            "gradient_norm": step.norm,
            "learning_rate": step.learning_rate,
            "seconds": round(self.seconds, 3),
        }

    def add_validation(self, bits: float, took: float) -> dict[str, float | int]:
        """Take in a validation that took so many seconds; return its record."""
        self.validation = bits
        self._elsewhere += took
        return {
            "window": self.windows,
            "characters": self.characters,
            "validation_bits_per_character": bits,
            "seconds": round(self.seconds, 3),
        }
