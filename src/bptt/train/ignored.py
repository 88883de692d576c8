"""Options that would mean nothing with this data, cell or optimiser: refused."""

from bptt.train.data.opening import Data
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.task import TrainingTask
from bptt.train.model import Model
from bptt.train.options import TrainingOptions

# What a method that evaluates all sequences at once has no use for.
NOT_IN_FULL_BATCH = (
    "tau", "k1", "k2", "learning_rate", "schedule", "scheduler_options",
    "scheduler_step", "clip", "clip_value", "weight_decay", "on_nonfinite",
    "validations", "checkpoint_every",
)  # fmt: skip
NOISE = ("dropout", "recurrent_dropout", "zoneout", "weight_noise", "mask")


def against_reading_ahead(task: TrainingTask, data: Data) -> str | None:
    """Why a cell may not read t+1 of this data, if it may not.

    A window of a longer sequence lacks what comes after it, a later x is what is to be
    learned, and at the last step the state from ahead has read one step alone.
    """
    if not isinstance(data, SequenceFiles) or data.horizon is not None:
        return "a window's later steps are what it is to learn"
    if task.truncation.k1 is not None or task.truncation.k2 is not None:
        return "a window is cut off from the steps after it"
    if not task.form.per_step:
        return (
            "the one target of a sequence is scored at its last step, where that has "
            "read no other"
        )
    return None


def refuse_ignored(
    options: TrainingOptions,
    task: TrainingTask,
    data: Data,
    model: Model,
    *,
    is_full_batch: bool,
) -> None:
    """Refuse options away from their defaults that nothing would read.

    Raises: IgnoredOptionError, which names the option and why.
    """
    if is_full_batch:
        why = "L-BFGS takes whole sequences, without steps of its own, to convergence"
        options.refuse_ignored(why, *NOT_IN_FULL_BATCH)
        options.refuse_ignored("L-BFGS needs the same function every time", *NOISE)
    if task.kind == "sequences" and options.k1 and options.k2:
        options.refuse_ignored("--k1 and --k2 say it for sequences", "tau")
    if task.kind != "text":
        why = "the data is no text that could be cut into tokens"
        options.refuse_ignored(why, "tokens", "entries")
    if not task.form.x_is_token:
        why = "x holds real numbers, no tokens"
        options.refuse_ignored(why, "embedding", "tied")
    if task.kind != "sequences":
        why = "the target is the next character or token"
        options.refuse_ignored(why, "loss", "standardise", "season", "split_by")
    elif task.form.x_is_token:
        options.refuse_ignored("tokens have no mean", "standardise")
    if task.kind == "sequences" and not task.lags:
        options.refuse_ignored("the target is no later step of a real series", "season")
    if isinstance(data, SequenceFiles):
        if "validation" in data.parts:
            why = "the data names its validation part (--split sets it, too)"
            options.refuse_ignored(why, "held_out")
        if "training" in data.parts:
            why = "the data names its parts (--split sets --test, too)"
            options.refuse_ignored(why, "test", "split_by")
    sized = {*model.sizes(task.form), *options.sizes}
    if not set(model.cell.dims) - sized:
        why = "the data and --size say the size of every dimension"
        options.refuse_ignored(why, "n_h")
