"""From sequence files to batches of training, validation and test records."""

from dataclasses import replace

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.array_names import WHOLE
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequences import Batches, Sequences, split_records
from bptt.train.data.series_task import (
    in_own_units,
    is_split_in_time,
    remarks_on_series,
    split_in_time,
    standardised,
)
from bptt.train.data.task import TrainingTask
from bptt.train.errors import (
    IgnoredOptionError,
    OptionError,
    TooFewRecordsError,
    UnlikeDataError,
)
from bptt.train.options import TrainingOptions
from bptt.train.truncation import Truncation

EVALUATION = Truncation(None, None)  # whole sequences


def sequence_task(data: SequenceFiles, options: TrainingOptions) -> TrainingTask:
    """Take the parts that the files name, or draw them; training batches shuffled.

    Raises: TooFewRecordsError if a part that is asked for has no record.
    """
    given = data
    _refuse_long_season(data, options)
    if is_split_in_time(data, options):
        data = split_in_time(data, options)
    parts = dict(data.parts)
    if "training" not in parts:
        parts = _split(data, options)
    elif "validation" not in parts and options.held_out:
        n = len(parts["training"])
        rows = split_records(n, options.held_out, 0.0, options.seed)
        whole = parts["training"]
        parts |= {name: whole.take(r) for name, r in rows.items() if len(r)}
    if "validation" not in parts:
        raise _too_few(data, "validation", len(data))
    has_gaps = any(part.has_gaps for part in parts.values())
    form = replace(data.form, has_gaps=has_gaps)
    if options.standardise and (form.x_is_token or not form.n_x):
        why = "the cell reads no vector x whose columns have a mean"
        raise IgnoredOptionError("--standardise", why)
    if data.is_table if options.standardise is None else options.standardise:
        form = standardised(form, parts["training"])
        parts = {name: in_own_units(p, form) for name, p in parts.items()}
    batches = {
        name: Batches(p, options.n_b, options.seed if name == "training" else None)
        for name, p in parts.items()
    }
    counts = ", ".join(f"{len(parts[n]):,} {n}" for n in batches)
    if given.is_one_series and len(parts["training"]) > 1:
        counts = counts.replace(" training", " streams of training", 1)
    return TrainingTask(
        kind="sequences",
        form=form,
        parts=batches,
        truncation=options.truncation(options.tau),
        evaluation=EVALUATION,
        summary=f"{data.source}: {counts} sequences of {_describe(parts, data.form)}",
        lags=_lags(data, options),
        classes=data.classes,
        remarks=tuple(remarks_on_series(given, options)),
    )


def _refuse_long_season(data: SequenceFiles, options: TrainingOptions) -> None:
    """Refuse a season before which no series begins: the forecast by it says nothing.

    Raises: OptionError.
    """
    if options.season is None or data.horizon is None:
        return
    rows = data.horizon + max(len(x) for part in data.parts.values() for x in part.x)
    if options.season >= rows:
        expected = f"fewer steps than the {rows:,} of the longest series"
        raise OptionError("--season", options.season, expected)


def _lags(data: SequenceFiles, options: TrainingOptions) -> dict[str, int]:
    """The predictors that say x[t - n] at step t of a target that is a later x."""
    if data.horizon is None or data.form.target != "real":
        return {}
    found = {"naive forecast": 0}
    if options.season is not None:
        if options.season < data.horizon:
            expected = f"at least the horizon, {data.horizon}"
            raise OptionError("--season", options.season, expected)
        found["seasonal naive forecast"] = options.season - data.horizon
    return found


def _split(data: SequenceFiles, options: TrainingOptions) -> dict[str, Sequences]:
    whole = data.parts.get(WHOLE)
    if whole is None:
        raise _too_few(data, "training", 0)
    rows = split_records(len(whole), options.held_out, options.test, options.seed)
    wanted = {"training": 1.0, "validation": options.held_out, "test": options.test}
    for name, fraction in wanted.items():
        if fraction and not len(rows[name]):
            raise _too_few(data, name, len(whole))
    return {name: whole.take(r) for name, r in rows.items() if len(r)}


def _too_few(data: SequenceFiles, part: str, n: int) -> TooFewRecordsError:
    return TooFewRecordsError(
        data.source, part, n, is_table=data.is_table, per_step=data.form.per_step
    )


def sequence_evaluation(
    data: SequenceFiles, options: TrainingOptions, form: Form
) -> TrainingTask:
    """The test part of sequence files, or all their records, to evaluate as "test".

    Raises: UnlikeDataError if the arrays are not those that the model was trained on.
    """
    refuse_unlike(data.source, data.form, form)
    parts = {name: in_own_units(p, form) for name, p in data.parts.items()}
    data = replace(data, parts=parts)
    if "test" in data.parts:
        chosen = data.parts["test"]
    else:
        every = list(data.parts.values())
        chosen = Sequences(
            [x for part in every for x in part.x],
            [y for part in every for y in part.y],
            every[0].per_step,
            _all_scored(every),
            {n: [one for part in every for one in part.others[n]]
             for n in every[0].others},
            every[0].rows,
        )  # fmt: skip
    form = replace(form, has_gaps=chosen.has_gaps)
    return TrainingTask(
        kind="sequences",
        form=form,
        parts={"test": Batches(chosen, options.n_b)},
        truncation=EVALUATION,
        evaluation=EVALUATION,
        summary=f"{data.source}: {len(chosen):,} "
        f"sequence{'s' if len(chosen) != 1 else ''} of "
        f"{_describe({'test': chosen}, form)}",
        lags=_lags(data, options),
        classes=data.classes,
    )


def _all_scored(parts: list[Sequences]) -> "list[Array | None] | None":
    if all(part.scored is None for part in parts):
        return None
    return [s for part in parts for s in (part.scored or [None] * len(part))]


def refuse_unlike(source: str, found: Form, known: Form) -> None:
    """Refuse data whose form does not fit a model made for another one.

    Fewer tokens or classes than the model knows are fine.
    Raises: UnlikeDataError.
    """
    same = (
        found.x_is_token == known.x_is_token
        and found.target == known.target
        and found.per_step == known.per_step
        and (found.n_x == known.n_x or (found.x_is_token and found.n_x < known.n_x))
        and (
            found.n_o == known.n_o
            or (found.target == "class" and found.n_o < known.n_o)
        )
        and found.shapes == known.shapes
        and found.entries.keys() == known.entries.keys()
        and all(n <= known.entries[name] for name, n in found.entries.items())
    )
    if not same:
        raise UnlikeDataError(source, describe_form(found), describe_form(known))


def describe_form(form: Form) -> str:
    """A form in words."""
    x = [f"n_x = {form.n_x}"] if form.n_x else []
    if form.x_is_token:
        x = [f"tokens below {form.n_x}"]
    for name, shape in form.shapes.items():
        sizes = " x ".join(map(str, shape))
        below = f"below {form.entries[name]}" if name in form.entries else ""
        x.append(" ".join(filter(None, (name, below, sizes))))
    targets = {
        "class": f"{form.n_o} classes",
        "multi-hot": f"{form.n_o} binary targets",
        "real": f"{form.n_o} real targets",
    }
    per = "step" if form.per_step else "sequence"
    return ", ".join([*x, f"{targets[form.target]} per {per}"])


def _describe(parts: dict[str, Sequences], form: Form) -> str:
    lengths = np.concatenate([[len(x) for x in p.x] for p in parts.values()])
    shortest, longest = int(lengths.min()), int(lengths.max())
    steps = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
    return f"{steps} steps, {describe_form(form)}"
