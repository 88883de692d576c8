"""A run that learns longer than was asked, and one that begins where another ended."""

from dataclasses import replace
from pathlib import Path

from bptt.train.checkpoint import Parameters
from bptt.train.data.task import TrainingTask
from bptt.train.errors import OptionError, StartError, UnlikeDataError
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import SavedRun, read_run
from bptt.train.sampling import best_or_last

# Schedules of torch that are made for a number of steps that cannot change any more.
FIXED = ("onecyclelr", "cosineannealinglr")


def extended(saved: SavedRun, epochs: int) -> SavedRun:
    """A run with more epochs in its options; what it has learned stays.

    Raises: OptionError if they are not more, or its schedule was made for fewer.
    """
    options = saved.options
    if epochs <= options.epochs:
        expected = f"more than the {options.epochs} the run was begun with"
        raise OptionError("--epochs", epochs, expected)
    if options.schedule.lower() in FIXED:
        expected = f"no other number: {options.schedule} was made for {options.epochs}"
        raise OptionError("--epochs", epochs, expected)
    longer = replace(options, epochs=epochs)
    config = {**saved.config, "options": longer.to_json()}
    return replace(saved, config=config, is_extended=True)


def read_first(folder: Path) -> SavedRun:
    """The run that another begins with, at its best. Raises: those of `read_run`."""
    return read_run(folder, best_or_last(folder))


def refuse_other_words(task: TrainingTask, first: SavedRun) -> None:
    """Refuse labels that are other words than those a model has learned.

    Raises: UnlikeDataError.
    """
    request = first.config.get("data", {}).get("request") or {}
    known = tuple(request.get("classes", ()))
    if known != task.classes:
        mine, its = (f"the labels {', '.join(one) or 'without words'}"
                     for one in (task.classes, known))  # fmt: skip
        raise UnlikeDataError(task.summary, mine, its)


def taken_over(
    made: Parameters, first: SavedRun, options: TrainingOptions
) -> Parameters:
    """The parameters of another run in the place of those made for this one.

    Raises: StartError if their names and shapes are not the same.
    """
    found = first.parameters
    for name in sorted({*made, *found}):
        mine = made[name].shape if name in made else None
        its = found[name].shape if name in found else None
        if mine != its:
            raise StartError(Path(str(options.start)), name, mine, its)
    return {name: found[name].astype(made[name].dtype) for name in made}
