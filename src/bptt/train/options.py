"""What a training run can be told, every option defined once, in its field."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Any

from bptt.execute.checkpoints import WAYS
from bptt.train.assignments import (
    OptionValue,
    parse_optimiser_option,
    parse_scheduler_option,
    parse_size,
)
from bptt.train.definition import (
    ABOVE_0,
    BYTES,
    FINITE,
    FLOAT32,
    FRACTION,
    FRACTION_OR_0,
    LIMIT,
    RATE,
    STATES,
    SWITCH,
    Defined,
    changed,
    defined,
    is_whole,
    one_of,
    option,
    whole,
)
from bptt.train.door.limits import Refusal
from bptt.train.door.records import hold_to
from bptt.train.errors import IgnoredOptionError, OptionError
from bptt.train.truncation import Truncation

# The default run is sized in characters and steps, never by the clock, so that it
# gives the same figures on every machine. Measured in docs/training.md.
TAU = 32
STANDARD_LIBRARY_CHARACTERS = 4_000_000
CHECKPOINT_SECONDS = 60.0  # at most so much work is lost
ENTRIES = 10_000
SCHEDULES = ("cosine", "constant")
TIME, SEQUENCES = "time", "sequences"  # what a split divides
STEPS = ("window", "epoch", "validation")

# The headings of the command's help and of the table in docs/training.md.
DATA, TEXT, MODEL = "Data", "Text as tokens", "The model"
WINDOWS, LEARNING, NOISE, RUN = "Windows and batches", "Learning", "Noise", "The run"
PARTS = "Parts of the data, and when to stop"
GROUPS = (DATA, TEXT, MODEL, WINDOWS, LEARNING, NOISE, PARTS, RUN, "Help")
N_BYTES = 256
CHARACTERS, WORDS, PAIRS = "characters", "words", "bpe"  # what a text is read as


@dataclass(frozen=True)
class TrainingOptions:
    """The options of one training run; every field is written to config.json.

    A field says its range and what it does where it is defined; docs/training.md has
    the table. None stands for what follows from the data.
    Raises: OptionError if a value is outside its range, IgnoredOptionError if another
    option makes it mean nothing; the message names the option.

    >>> TrainingOptions(n_h=0)
    Traceback (most recent call last):
    bptt.train.errors.OptionError: --n-h 0: expected a whole number from 1.
    """

    tokens: str = option(
        CHARACTERS, "What a text is read as; bpe: byte pairs.", TEXT,
        within=one_of(CHARACTERS, WORDS, PAIRS),
    )  # fmt: skip
    entries: int | None = option(
        None, "Entries of a vocabulary of words or byte pairs, at most.", TEXT,
        within=whole(2), otherwise=f"{ENTRIES:,}",
    )  # fmt: skip
    embedding: int | None = option(
        None, "Size of a vector e[t] = E[:, x[t]] that the cell reads for a token.",
        TEXT, within=whole(1), otherwise="none",
    )  # fmt: skip
    tied: bool = option(
        False, "An embedding as large as h, whose matrix is the read-out's, too.", TEXT,
        within=SWITCH,
    )  # fmt: skip
    cell: str = option(
        "gru", "A built-in cell or a file of equations.", MODEL,
        is_common=True,
    )  # fmt: skip
    n_h: int = option(
        192, "Size of what the data does not size.", MODEL,
        within=whole(1), is_common=True,
    )  # fmt: skip
    sizes: Mapping[str, int] = option(
        {}, "Size of one dimension; may be repeated.", MODEL,
        within=whole(1), flags=("--size",), metavar="NAME=N", read=parse_size,
    )  # fmt: skip
    loss: str | None = option(
        None, "What y of sequences is: a class, 0 and 1, or real.", MODEL,
        within=one_of("nll", "bce", "mse"), otherwise="as the type of y says",
    )  # fmt: skip
    layers: int = option(
        1, "Layers on top of each other.", MODEL, within=whole(1, 1000), is_common=True
    )
    residual: bool = option(
        False, "Add a layer's input to its output.", MODEL, within=SWITCH
    )
    bidirectional: bool = option(
        False, "Read whole sequences in both directions.", MODEL, within=SWITCH
    )
    layer_norm: bool = option(
        False, "Normalise every product W @ h[t-1] and U @ x[t].", MODEL, within=SWITCH
    )
    forget_bias: float | None = option(
        None, "First value of every b_f.", MODEL, within=FINITE,
        otherwise="as the cell says",
    )  # fmt: skip
    dropout: float = option(0.0, "Rate of dropout between layers.", NOISE, within=RATE)
    recurrent_dropout: float = option(
        0.0, "Rate of a mask on h[t-1] in W @ h[t-1].", NOISE, within=RATE
    )
    mask: str | None = option(
        None, "How long a mask of dropout is kept.", NOISE,
        within=one_of("step", "window"),
        otherwise="window on h[t-1], step between layers",
    )  # fmt: skip
    zoneout: float = option(
        0.0, "Rate at which states keep their old value.", NOISE, within=RATE
    )
    weight_noise: float = option(
        0.0, "Standard deviation of noise on all parameters, new in every window.",
        NOISE, within=FLOAT32,
    )  # fmt: skip
    tau: int | None = option(
        None, "Steps that a gradient goes back.", WINDOWS,
        within=whole(1), is_common=True, otherwise=f"{TAU}; sequences: the whole",
    )  # fmt: skip
    k1: int | None = option(
        None, "Steps between two gradients.", WINDOWS, within=whole(1), otherwise="tau"
    )
    k2: int | None = option(
        None, "Steps that a gradient goes back where k1 is given.", WINDOWS,
        within=whole(1), otherwise="tau",
    )  # fmt: skip
    memory: str | None = option(
        None, "Bytes that a gradient may hold, such as 512MB.", WINDOWS,
        within=BYTES, otherwise="every step is kept",
    )  # fmt: skip
    checkpoint: str | None = option(
        None, "States that a gradient keeps, others are found again. With --resume: "
        "last or best.", WINDOWS, within=STATES, otherwise="every step is kept",
    )  # fmt: skip
    n_b: int = option(
        16, "Parallel streams, or sequences in a batch.", WINDOWS,
        within=whole(1), is_common=True,
    )  # fmt: skip
    epochs: int = option(
        1, "Times to read it all; iterations of lbfgs.", LEARNING,
        within=whole(1, 1_000_000), is_common=True,
    )  # fmt: skip
    optimiser: str = option(
        "adam", "One of torch.optim; lbfgs for all sequences at once.", LEARNING,
        flags=("--optimiser", "--optimizer"), is_common=True,
    )  # fmt: skip
    optimiser_options: Mapping[str, OptionValue] = option(
        {}, "One of its options, such as momentum=0.9; may be repeated.", LEARNING,
        flags=("--optimiser-option", "--optimizer-option"), metavar="NAME=VALUE",
        read=parse_optimiser_option,
    )  # fmt: skip
    learning_rate: float = option(
        0.006, "The highest learning rate.", LEARNING, within=ABOVE_0, is_common=True
    )
    schedule: str = option(
        "cosine", f"Learning rate over time: {' or '.join(SCHEDULES)}, or a scheduler "
        "of torch.optim.lr_scheduler.", LEARNING, flags=("--schedule", "--scheduler"),
    )  # fmt: skip
    scheduler_options: Mapping[str, OptionValue | str] = option(
        {}, "One of its options, such as step_size=5; may be repeated.", LEARNING,
        flags=("--scheduler-option",), metavar="NAME=VALUE",
        read=parse_scheduler_option,
    )  # fmt: skip
    scheduler_step: str | None = option(
        None, "When it moves.", LEARNING, within=one_of(*STEPS), otherwise="as suits it"
    )
    clip: float = option(
        1.0, "Limit of the gradient's norm; inf for none.", LEARNING,
        within=LIMIT, is_common=True,
    )  # fmt: skip
    clip_value: float = option(
        inf, "Limit of each of its elements; inf for none.", LEARNING, within=LIMIT
    )
    weight_decay: float = option(
        0.0, "The optimiser's weight decay.", LEARNING, within=FLOAT32
    )
    on_nonfinite: str = option(
        "stop", "At infinity or NaN: stop, or skip the window.", LEARNING,
        within=one_of("stop", "skip"),
    )  # fmt: skip
    held_out: float = option(
        0.05, "Fraction of the data kept for validation.", PARTS, within=FRACTION
    )
    split_by: str | None = option(
        None, "Cut each series in time, or draw whole sequences for each part.", PARTS,
        within=one_of(TIME, SEQUENCES), otherwise="tables and one series: time",
    )  # fmt: skip
    standardise: bool | None = option(
        None, "Learn from (x - mean) / deviation of the training part.", PARTS,
        within=SWITCH, otherwise="tables: yes",
    )  # fmt: skip
    season: int | None = option(
        None, "Steps of a season: of the seasonal naive forecast.", PARTS,
        within=whole(1),
    )  # fmt: skip
    test: float = option(
        0.0, "Fraction kept for a test at the end.", PARTS, within=FRACTION_OR_0
    )
    validations: int = option(4, "Validations per epoch.", PARTS, within=whole(1))
    patience: int = option(
        0, "Stop after so many validations without gain; 0: never.", PARTS,
        within=whole(0), is_common=True,
    )  # fmt: skip
    seed: int = option(
        0, "Seed of parameters, order, noise and sample.", RUN,
        within=whole(0), is_common=True,
    )  # fmt: skip
    start: str | None = option(
        None, "A run whose best parameters are the first ones here.", RUN, metavar="RUN"
    )
    checkpoint_every: int | None = option(
        None, "Windows between checkpoints.", RUN, within=whole(1),
        otherwise="once a minute",
    )  # fmt: skip
    tensorboard: bool = option(
        False, "Also write TensorBoard files.", RUN, within=SWITCH
    )
    # torchrun gives the others 30 s more to end, so that a hang is over in a minute.
    process_timeout: float = option(
        20.0, "Seconds of another process's silence that end the run.", RUN,
        within=ABOVE_0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check every range, and what options mean to each other."""
        for name in ("memory", "checkpoint"):  # texts: 512MB, sqrt
            value = getattr(self, name)
            if is_whole(value):
                object.__setattr__(self, name, str(value))
        for one in defined(self):
            one.check(getattr(self, one.name))
        if self.layers == 1 and (self.dropout or self.residual):
            flag = "--dropout" if self.dropout else "--residual"
            value = self.dropout or True
            raise OptionError(flag, value, "--layers 2 or more: it is between them")
        self._refuse_meaningless()

    def _refuse_meaningless(self) -> None:
        """Refuse what other options make mean nothing."""
        if not self.held_out + self.test < 1:
            expected = "fractions whose sum leaves something to train on"
            raise OptionError("--split", f"{self.held_out}, {self.test}", expected)
        if self.schedule in SCHEDULES:
            why = f"the schedule {self.schedule} has no options and no steps of its own"
            self.refuse_ignored(why, "scheduler_step", "scheduler_options")
        if "weight_decay" in self.optimiser_options:
            why = "--optimiser-option weight_decay says it already"
            self.refuse_ignored(why, "weight_decay")
        if not (self.dropout or self.recurrent_dropout):
            why = "neither --dropout nor --recurrent-dropout draws one"
            self.refuse_ignored(why, "mask")
        if self.tokens == CHARACTERS:
            why = "--tokens words or bpe makes a vocabulary of a size"
            self.refuse_ignored(why, "entries")
        if self.tokens == PAIRS and (self.entries or N_BYTES) < N_BYTES:
            expected = f"at least {N_BYTES}: byte pairs begin with every byte"
            raise OptionError("--entries", self.entries, expected)
        if self.memory is not None:
            why = "--memory takes the best schedule that fits"
            self.refuse_ignored(why, "checkpoint")
        if self.tied:
            why = "--tied makes an embedding as large as h, --n-h"
            self.refuse_ignored(why, "embedding")

    def refuse_ignored(self, why: str, *names: str) -> None:
        """Refuse options that mean nothing here if they are not at their defaults.

        Raises: IgnoredOptionError.
        """
        given = self.changed
        for name in names:
            if name in given:
                raise IgnoredOptionError(given[name].flags[0], why)

    @property
    def changed(self) -> dict[str, Defined]:
        """The options that are not at their defaults, by name."""
        return changed(self)

    @property
    def limit(self) -> dict[str, Any]:
        """What a gradient may hold of its steps, as `Cell.gradient` takes it."""
        if self.memory is not None:
            return {"memory": self.memory}
        if self.checkpoint is None:
            return {}
        is_way = self.checkpoint in WAYS
        return {"checkpoint": self.checkpoint if is_way else int(self.checkpoint)}

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
        for name in ("clip", "clip_value"):
            if not isfinite(given[name]):
                given[name] = None
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
        for name in ("clip", "clip_value"):
            if given.get(name, 0) is None:
                given[name] = inf
        return hold_to(cls, given)
