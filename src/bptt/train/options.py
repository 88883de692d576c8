"""What a training run can be told, with the defaults in this one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite

from bptt.train.errors import OptionError
from bptt.train.schedule import SCHEDULES

# The default run: sized in characters and steps, never by the clock, so that it gives
# the same figures on every machine. Measured in docs/training.md.
CELL = "gru"
N_H = 192
N_B = 16
TAU = 32
EPOCHS = 1
LEARNING_RATE = 0.006
OPTIMISER = "adam"
CLIP = 1.0
SCHEDULE = "cosine"
HELD_OUT = 0.05
STANDARD_LIBRARY_CHARACTERS = 4_000_000
N_VALIDATIONS = 4  # per epoch


@dataclass(frozen=True)
class TrainingOptions:
    """The options of one training run; every field is written to config.json.

    n_h: size of every dimension of the cell that is not tied to the vocabulary.
    n_b: parallel streams. tau: steps per window, the length of truncation.
    clip: limit of the gradient's global norm, inf for none.
    held_out: fraction of the text kept for validation, its last piece.
    sizes: sizes of named dimensions that differ from n_h.
    Raises: OptionError if a value is outside its range; the message names the option.
    """

    cell: str = CELL
    n_h: int = N_H
    n_b: int = N_B
    tau: int = TAU
    epochs: int = EPOCHS
    optimiser: str = OPTIMISER
    optimiser_options: Mapping[str, float | bool | tuple[float, ...]] = field(
        default_factory=dict
    )
    learning_rate: float = LEARNING_RATE
    schedule: str = SCHEDULE
    clip: float = CLIP
    held_out: float = HELD_OUT
    seed: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every range."""
        for option in ("n_h", "n_b", "tau", "epochs"):
            name = "--" + option.replace("_", "-")
            _require_positive(name, getattr(self, option))
        for dimension, size in self.sizes.items():
            _require_positive(f"--size {dimension}", size)
        if not (self.learning_rate > 0 and isfinite(self.learning_rate)):
            raise OptionError("--learning-rate", self.learning_rate, "a number above 0")
        if not self.clip > 0:
            expected = f"a number above 0, or {inf} for no clipping"
            raise OptionError("--clip", self.clip, expected)
        if not 0 < self.held_out < 1:
            expected = "a fraction between 0 and 1"
            raise OptionError("--held-out", self.held_out, expected)
        if self.seed < 0:
            raise OptionError("--seed", self.seed, "a whole number from 0")
        if self.schedule not in SCHEDULES:
            expected = f"one of {', '.join(SCHEDULES)}"
            raise OptionError("--schedule", self.schedule, expected)


def _require_positive(option: str, value: int) -> None:
    if value < 1:
        raise OptionError(option, value, "a whole number from 1")


def parse_assignment(option: str, text: str) -> tuple[str, str]:
    """Split NAME=VALUE of a repeatable option.

    Raises: OptionError if there is no name or no value.
    """
    name, sign, value = text.partition("=")
    if not (sign and name.strip() and value.strip()):
        raise OptionError(option, text, "NAME=VALUE")
    return name.strip(), value.strip()


def parse_size(text: str) -> tuple[str, int]:
    """Read `--size n_k=32`.

    Raises: OptionError if the value is not a whole number.
    """
    name, value = parse_assignment("--size", text)
    if not value.isdecimal():
        raise OptionError("--size", text, "NAME=NUMBER, for example n_k=32")
    return name, int(value)


def parse_optimiser_option(text: str) -> tuple[str, float | bool | tuple[float, ...]]:
    """Read `--optimiser-option momentum=0.9`, `nesterov=true` or `betas=0.9,0.99`.

    Raises: OptionError if the value is neither a number, numbers, true nor false.
    """
    name, value = parse_assignment("--optimiser-option", text)
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        numbers = tuple(float(piece) for piece in value.split(","))
    except ValueError as error:
        expected = "NAME= a number, numbers with commas, true or false"
        raise OptionError("--optimiser-option", text, expected) from error
    return name, numbers[0] if len(numbers) == 1 else numbers
