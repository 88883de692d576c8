"""What is to be learned: data sets cut into parts, their form and their unit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bptt.train.data.baselines import Baselines
from bptt.train.data.entries import Entries
from bptt.train.data.form import Form, LossUnit
from bptt.train.data.tokenised import Tokenised
from bptt.train.data.windows import Dataset
from bptt.train.truncation import Truncation

PER_CHARACTER = "bits_per_character"


@dataclass(frozen=True)
class TrainingTask:
    """Everything that training needs to know about its data.

    parts: "training", and "validation" and "test" where there are any; offsets: what is
    added to the loss of a part, in the unit (the spelling of unknown characters);
    truncation: of the training part; evaluation: of the others; summary: one line for
    the person; remarks: what looks like a mistake; unit: None until the loss of the
    cell is known; lags: predictors that say x[t - n] at step t, and their n;
    characters_per_item: of a part whose tokens are all of a text; tokenised: a text of
    words or byte pairs; classes: the words of labels.
    """

    kind: str
    form: Form
    parts: Mapping[str, Dataset]
    truncation: Truncation
    evaluation: Truncation
    summary: str
    unit: LossUnit | None = None
    offsets: Mapping[str, float] | None = None
    vocabulary: Entries | None = None
    baselines: Callable[[], Baselines] | None = None
    remarks: tuple[str, ...] = ()
    lags: Mapping[str, int] = field(default_factory=dict)
    characters_per_item: Mapping[str, float] = field(default_factory=dict)
    tokenised: Tokenised | None = None
    classes: tuple[str, ...] = ()

    def per_character(self, part: str, loss: float) -> dict[str, float]:
        """A loss in bits per token as one in bits per character, if it is one."""
        n = self.characters_per_item.get(part)
        return {} if not n else {PER_CHARACTER: loss / n}

    def offset(self, part: str) -> float:
        """What is added to a part's loss."""
        return (self.offsets or {}).get(part, 0.0)
