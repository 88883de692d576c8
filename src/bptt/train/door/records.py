"""JSON: parsed within bounds, then held to a schema."""

import json
import math
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from bptt.train.door.limits import MOST_WHOLE, Refusal

T = TypeVar("T")

MIB = 2**20
MAX_CONFIG = 16 * MIB
MAX_VOCABULARY = 64 * MIB
MAX_LINE = 64 * MIB

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_WHOLE)]
Whole = Annotated[int, msgspec.Meta(ge=1, le=MOST_WHOLE)]
Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
# The charts can still scale it; a figure that is larger is written as if infinite.
MOST = 1e200
Number = (
    Annotated[int, msgspec.Meta(ge=-MOST_WHOLE, le=MOST_WHOLE)]
    | Annotated[float, msgspec.Meta(ge=-MOST, le=MOST)]
)


# Of columns, which float32 holds: a larger one makes infinity of every value.
MOST_OF_COLUMNS = 3.4028234e38
Mean = Annotated[float, msgspec.Meta(ge=-MOST_OF_COLUMNS, le=MOST_OF_COLUMNS)]
Scale = Annotated[float, msgspec.Meta(gt=0, le=MOST_OF_COLUMNS)]
Figure: Any = Number | None


def is_figure(value: float) -> bool:
    """Whether a number can be written and read again; infinity and NaN cannot."""
    return -MOST <= float(value) <= MOST  # a float32 cannot hold MOST


class RequestRecord(msgspec.Struct):
    """What was read, as config.json holds it."""

    paths: list[str]
    pattern: str
    limit: Whole | None
    columns: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    target: str | None = None
    horizon: Whole = 1
    missing: Literal["error", "mask"] = "error"
    classes: tuple[str, ...] = ()
    per: Literal["step", "sequence"] | None = None
    found: tuple[str, ...] = ()


class DataRecord(msgspec.Struct):
    """The data of a run, as config.json holds it."""

    kind: Literal["text", "tokens", "sequences"] = "text"
    source: str = ""
    request: RequestRecord | None = None
    sha256: str = ""
    summary: str = ""
    horizon: Whole | None = None
    tokens: (
        dict[Literal["training", "validation", "test"], tuple[Count, Count]] | None
    ) = None


class FormRecord(msgspec.Struct):
    """The form of the data, as config.json holds it."""

    n_x: Count  # 0 where x is no vector or token
    x_is_token: bool
    target: Literal["class", "multi-hot", "real"]
    n_o: Size
    per_step: bool
    x_mean: tuple[Mean, ...] = ()
    x_scale: tuple[Scale, ...] = ()
    y_mean: tuple[Mean, ...] = ()
    y_scale: tuple[Scale, ...] = ()
    has_gaps: bool = False
    shapes: dict[str, tuple[Count, ...]] = msgspec.field(default_factory=dict)
    entries: dict[str, Size] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """A mean and a scale for every column, or none at all."""
        for n, each in ((self.n_x, (self.x_mean, self.x_scale)),
                        (self.n_o, (self.y_mean, self.y_scale))):  # fmt: skip
            if {len(numbers) for numbers in each} not in ({0}, {n}):
                raise ValueError(f"a mean and a scale for each of {n} columns")


class ConfigRecord(msgspec.Struct):
    """config.json; the options are held to their own definition besides."""

    options: dict[str, Any]
    data: DataRecord = msgspec.field(default_factory=DataRecord)
    form: FormRecord | None = None
    versions: dict[str, str] = msgspec.field(default_factory=dict)


class ConfigTable(msgspec.Struct):
    """What a TOML file of options says besides the options."""

    data: str | list[str] | None = None
    pattern: str = "*"
    limit: Whole | None = None
    out: str | None = None
    columns: list[str] | None = None
    time: str | None = None
    group: str | None = None
    target: str | None = None
    horizon: Whole | None = None
    missing: Literal["error", "mask"] | None = None
    per: Literal["step", "sequence"] | None = None
    split: list[float] | None = None


class VocabularyRecord(msgspec.Struct):
    """vocabulary.json of words or of byte pairs."""

    kind: Literal["words", "bpe"]
    entries: list[str]
    merges: list[tuple[str, str]] = msgspec.field(default_factory=list)


class NormsRecord(msgspec.Struct):
    """Norms over t, as metrics.jsonl holds them."""

    t: list[Number]
    states: dict[str, list[Number | None]]
    copies: dict[str, list[Number | None]]

    def __post_init__(self) -> None:
        """Every line has a point for every t."""
        for lines in (self.states, self.copies):
            for name, line in lines.items():
                if len(line) != len(self.t):
                    raise ValueError(f"{name} has {len(line)} norms, t {len(self.t)}")


class MeterRecord(msgspec.Struct):
    """The figures of a run, as a checkpoint holds them."""

    windows: Count
    items: Count
    clipped: Count
    skipped: Count
    validation: float | None
    best: float
    best_window: Count
    bad_validations: Count
    smooth: float | None
    norm: float
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    validated: Count | None = None
    accuracy: float | None = None
    figures: dict[str, float] = msgspec.field(default_factory=dict)
    best_figures: dict[str, float] = msgspec.field(default_factory=dict)
    best_by_class: list[float | None] | None = None


class NumbersRecord(msgspec.Struct):
    """The numbers of a checkpoint."""

    meter: MeterRecord | None = None
    metrics_length: Count = 0
    has_converged: bool = False
    owes_validation: bool = False


class SummaryRecord(msgspec.Struct):
    """summary.json, as far as runs are compared by it."""

    cell: str
    unit: str
    item: str
    parameters: Count
    items: Count
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    was_interrupted: bool
    best: dict[str, Figure | list[Figure]]
    test: dict[str, Figure | list[Figure]] | None
    baselines: dict[str, dict[str, dict[str, Figure]]]
    remarks: list[str]
    seed: Count
    options: dict[str, Any]
    data: dict[str, str | None]
    last: dict[str, Figure | list[Figure]] = {}
    windows: Count = 0
    clip_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    classes: list[str] = []
    gradients: dict[str, str] = {}


class TrivialRecord(msgspec.Struct):
    """trivial.json: what is said of every step."""

    loss: Literal["nll", "bce", "mse"]
    o: list[Number]


class CheckpointRecord(msgspec.Struct):
    """The JSON in a checkpoint's header."""

    format: int
    epoch: Count
    window: Count
    parameters: list[str]
    has_state: bool
    numbers: NumbersRecord
    optimiser: Any


def parse_json(
    content: bytes | str, *, infinite: bool = False, nan: bool = False
) -> Any:
    """A value of JSON; infinity and NaN are numbers only where they are said to be.

    Raises: Refusal, also for what is nested deeper than Python reads.
    """

    def refuse(name: str) -> float:
        if nan and name == "NaN":
            return math.nan
        if infinite and name != "NaN":
            return math.copysign(math.inf, -1 if name.startswith("-") else 1)
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # bytes that are no text included
        raise Refusal(f"is not JSON ({str(error) or 'nested too deep'})") from error


def hold_to(schema: type[T], value: Any) -> T:
    """The value as the schema types it, nothing converted. Raises: Refusal."""
    try:
        return msgspec.convert(value, schema, strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        found = str(error) or "nested too deep"
        raise Refusal(found.replace("`", "'").replace("$", "the whole")) from error


def check_metric(record: Any) -> dict[str, Any]:
    """A line of metrics.jsonl: its window, and figures by name. Raises: Refusal."""
    found = hold_to(dict[str, Any], record)
    hold_to(Count, found.get("window"))
    for name, value in found.items():
        if name == "gradient_norms":
            hold_to(NormsRecord, value)
        elif name in ("sample", "skipped"):
            hold_to(str, value)
        else:
            hold_to(Figure, value)
    return found
