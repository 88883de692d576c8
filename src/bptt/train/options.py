"""What a training run can be told, with the defaults in this one place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf, isfinite
from typing import Any

from bptt.train.door.limits import Refusal
from bptt.train.door.records import hold_to
from bptt.train.errors import OptionError
from bptt.train.truncation import Truncation

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
# torchrun gives the others 30 s more to end, so that a hang is over within a minute.
SILENCE_SECONDS = 25.0
CHECKPOINT_SECONDS = 60.0  # at most so much work is lost

OptionValue = int | float | bool | tuple[int | float, ...]
ON_NONFINITE = ("stop", "skip")


@dataclass(frozen=True)
class TrainingOptions:
    """The options of one training run; every field is written to config.json.

    layers: of the cell on top of each other (`bptt.stack`), with residual connections
    and dropout between them; recurrent_dropout: rate of a mask on h[t-1], one for each
    window; zoneout: rate at which states keep their old value.
    n_h: size of every dimension of the cell that is not tied to the data.
    n_b: parallel streams, or sequences in a batch. tau: steps per window (text and
    tokens: 32; sequences: the whole). k1, k2: every k1 steps a gradient through k2,
    tau where not given. clip: limit of the gradient's global norm, clip_value: of each
    of its elements, inf for none. held_out, test: fractions for validation and test.
    schedule: "cosine", "constant" or a scheduler of torch.optim.lr_scheduler, moved
    on every scheduler_step ("window", "epoch", "validation"; None: as suits it).
    patience: validations without improvement before the run ends, 0 for never.
    validations: how many per epoch. checkpoint_every: windows between checkpoints,
    None for one after every 60 s; there is one at every validation besides.
    sizes: sizes of named dimensions that differ from n_h.
    Raises: OptionError if a value is outside its range; the message names the option.
    """

    cell: str = CELL
    layers: int = 1
    residual: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    n_h: int = N_H
    n_b: int = N_B
    tau: int | None = None
    k1: int | None = None
    k2: int | None = None
    epochs: int = EPOCHS
    optimiser: str = OPTIMISER
    optimiser_options: Mapping[str, OptionValue] = field(default_factory=dict)
    learning_rate: float = LEARNING_RATE
    schedule: str = SCHEDULE
    scheduler_options: Mapping[str, OptionValue | str] = field(default_factory=dict)
    scheduler_step: str | None = None
    clip: float = CLIP
    clip_value: float = inf
    weight_decay: float = 0.0
    held_out: float = HELD_OUT
    test: float = 0.0
    patience: int = 0
    validations: int = N_VALIDATIONS
    on_nonfinite: str = "stop"
    checkpoint_every: int | None = None
    tensorboard: bool = False
    process_timeout: float = SILENCE_SECONDS
    seed: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every range."""
        for option in ("layers", "n_h", "n_b", "epochs", "validations"):
            _require_positive(_flag(option), getattr(self, option))
        for option in ("tau", "k1", "k2", "checkpoint_every"):
            if getattr(self, option) is not None:
                _require_positive(_flag(option), getattr(self, option))
        for dimension, size in self.sizes.items():
            _require_positive(f"--size {dimension}", size)
        if not (self.learning_rate > 0 and isfinite(self.learning_rate)):
            raise OptionError("--learning-rate", self.learning_rate, "a number above 0")
        for option in ("clip", "clip_value"):
            if not getattr(self, option) > 0:
                expected = f"a number above 0, or {inf} for no clipping"
                raise OptionError(_flag(option), getattr(self, option), expected)
        if not (0 <= self.weight_decay < inf):
            raise OptionError("--weight-decay", self.weight_decay, "a number from 0")
        self._check_rates()
        self._check_fractions()
        for option in ("seed", "patience"):
            if getattr(self, option) < 0:
                value = getattr(self, option)
                raise OptionError(_flag(option), value, "a whole number from 0")
        if self.on_nonfinite not in ON_NONFINITE:
            expected = f"one of {', '.join(ON_NONFINITE)}"
            raise OptionError("--on-nonfinite", self.on_nonfinite, expected)

    def _check_rates(self) -> None:
        for option in ("dropout", "recurrent_dropout", "zoneout"):
            if not 0 <= getattr(self, option) < 1:
                value = getattr(self, option)
                raise OptionError(_flag(option), value, "a rate from 0 to below 1")
        if self.layers == 1 and (self.dropout or self.residual):
            option = "--dropout" if self.dropout else "--residual"
            value = self.dropout or True
            raise OptionError(option, value, "--layers 2 or more: it is between them")

    def _check_fractions(self) -> None:
        if not 0 < self.held_out < 1:
            expected = "a fraction between 0 and 1"
            raise OptionError("--held-out", self.held_out, expected)
        if not (self.test >= 0 and self.held_out + self.test < 1):
            expected = "fractions whose sum leaves something to train on"
            raise OptionError("--split", f"{self.held_out}, {self.test}", expected)

    @property
    def text_tau(self) -> int:
        """Steps per window of a text or a token file."""
        return TAU if self.tau is None else self.tau

    def truncation(self, tau: int | None) -> Truncation:
        """k1 and k2, with tau where they are not given; None is a whole sequence.

        Raises: OptionError if k2 is below k1: some losses would get no gradient.
        """
        k1 = self.k1 or tau
        k2 = self.k2 or tau
        if k2 is not None and (k1 is None or k2 < k1):
            expected = f"at least the steps between two gradients, k1 = {k1 or 'all'}"
            raise OptionError("--k2", k2, expected)
        return Truncation(k1, k2)

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them: it has no infinity."""
        given = asdict(self)
        for option in ("clip", "clip_value"):
            if not isfinite(given[option]):
                given[option] = None
        return given

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrainingOptions":
        """The reverse of `to_json`.

        Raises: OptionError outside a range, Refusal for other names or types.
        """
        given = dict(record)
        unknown = set(given) - {field.name for field in fields(cls)}
        if unknown:
            raise Refusal(f"no option is called {min(unknown)!r}")
        for option in ("clip", "clip_value"):
            if given.get(option, 0) is None:
                given[option] = inf
        return hold_to(cls, given)


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


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


def parse_optimiser_option(text: str) -> tuple[str, OptionValue]:
    """Read `--optimiser-option momentum=0.9`, `nesterov=true` or `betas=0.9,0.99`.

    Raises: OptionError if the value is neither a number, numbers, true nor false.
    """
    option = "--optimiser-option"
    name, value = parse_assignment(option, text)
    parsed = _parse_value(value)
    if isinstance(parsed, str):
        expected = "NAME= a number, numbers with commas, true or false"
        raise OptionError(option, text, expected)
    return name, parsed


def parse_scheduler_option(text: str) -> tuple[str, OptionValue | str]:
    """Read `--scheduler-option step_size=5`; a value may also be a word, `mode=max`.

    Raises: OptionError if there is no name or no value.
    """
    name, value = parse_assignment("--scheduler-option", text)
    return name, _parse_value(value)


def _parse_value(value: str) -> OptionValue | str:
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        numbers = tuple(map(_parse_number, value.split(",")))
    except ValueError:
        return value
    return numbers[0] if len(numbers) == 1 else numbers


def _parse_number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def parse_split(text: str) -> tuple[float, float]:
    """Read `--split 0.8,0.1,0.1` (or two fractions): held-out and test fraction.

    Raises: OptionError unless the fractions are two or three and their sum is 1.
    """
    parsed = _parse_value(text)
    parts = parsed if isinstance(parsed, tuple) else ()
    if len(parts) not in (2, 3) or abs(sum(parts) - 1) > 1e-6 or min(parts) < 0:
        expected = "TRAINING,VALIDATION or TRAINING,VALIDATION,TEST with sum 1"
        raise OptionError("--split", text, expected)
    return parts[1], (*parts, 0.0)[2]
