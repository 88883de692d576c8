"""The mistakes a person can make with `bptt train` and `bptt sample`, a class each.

Every message restates what was given, then what was found, then the likely fix.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bptt.errors import BpttError, list_known, nearest_file, not_installed


def _end(text: str) -> str:
    """The stop behind a text that may end with a question, or with dots."""
    return "" if text.endswith(("?", "...")) else "."


class TrainError(BpttError):
    """A mistake in the data, the options or the files of a training run."""


class TrainExtraMissingError(TrainError):
    """A package of the extra `train` is not installed."""

    def __init__(self, package: str, extra: str = "train") -> None:
        super().__init__(not_installed("this command", package, extra))


class DataNotFoundError(TrainError):
    """The path given as training data does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"DATA {str(path)!r}: there is no such file or folder"
            f"{nearest_file(path) or '.'} Give a text file or a folder of text "
            "files, or leave DATA out to train on the source of Python's standard "
            "library."
        )


class DataUnreadableError(TrainError):
    """A file of the training data cannot be opened."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"DATA {str(path)!r}: cannot be read ({reason}). "
            "Check the file and its permissions, or leave it out."
        )


class NotUtf8Error(TrainError):
    """A file of the training data is not UTF-8 text."""

    def __init__(self, path: Path, offset: int, byte: int) -> None:
        super().__init__(
            f"DATA {str(path)!r}: not UTF-8 text; byte {offset} is 0x{byte:02x}. "
            "Convert the file to UTF-8; in a folder, choose the text files with "
            '--pattern, for example --pattern "*.txt".'
        )


class EmptyDataError(TrainError):
    """The training data holds nothing that could be learned."""

    def __init__(self, source: str, found: str, *, is_text: bool = True) -> None:
        text = "Give text; in" if is_text else "Give a file that has some. In"
        super().__init__(
            f"DATA {source!r}: {found}. {text} a folder, files are chosen by "
            "--pattern, and names that begin with a dot are skipped."
        )


class TextTooShortError(TrainError):
    """One part of a text or token file does not fill one window of every stream."""

    def __init__(self, what: str, part: str, found: int, needed: int, why: str) -> None:
        super().__init__(
            f"the {part} part of the data has {found} {what}; {why} need "
            f"{needed}. Give more data, or smaller --tau or --n-b, or another "
            "--held-out."
        )


class MixedDataError(TrainError):
    """The paths given as data are of several kinds."""

    def __init__(self, kinds: dict[str, str]) -> None:
        listed = ", ".join(f"{path} ({kind})" for path, kind in kinds.items())
        super().__init__(
            f"DATA {listed}: a run takes one kind of data. Give text files, one .npy "
            "file of tokens, or .npz and .safetensors files of sequences."
        )


class BadRecordError(TrainError):
    """A record of a data file, or the file as a whole, cannot be trained on."""

    def __init__(self, file: Path, record: int | None, reason: str) -> None:
        where = "" if record is None else f" record {record} (counted from 0)"
        super().__init__(
            f"DATA {str(file)!r}:{where} {reason}{_end(reason)} "
            "Nothing was trained; mend the file, or leave it out."
        )


class TooFewRecordsError(TrainError):
    """A part of the sequences has no record."""

    def __init__(
        self, source: str, part: str, n: int, *, is_table: bool = False,
        per_step: bool = False,
    ) -> None:  # fmt: skip
        fix = "or arrays named x_train, x_validation and x_test."
        if is_table:
            fix = "or a --group of more values: the rows of each are one sequence."
            if per_step:
                fix += " --split-by time cuts each of them in time."
        elif n == 1:
            fix += " An x (n, tau) is one sequence of n steps; n of them: x[..., None]."
        super().__init__(
            f"DATA {source!r}: no sequence is left for the {part} part of {n}. "
            f"Give more sequences, another --split, {fix}"
        )


class TooFewStepsError(TrainError):
    """A part of series that are split in time has no step with a target."""

    def __init__(self, source: str, part: str, lengths: Sequence[int]) -> None:
        longest, n = max(lengths), len(lengths)
        what = "the series" if n == 1 else f"any of {n:,} series, the longest"
        steps = f"{longest:,} step{'s' if longest > 1 else ''} with a target"
        fix = "longer series" if n > 1 else "a longer series"
        other = ", or --split-by sequences" if n > 1 else ""
        super().__init__(
            f"DATA {source!r}: no step is left for the {part} part of {what} of "
            f"{steps}. Give {fix}, or larger parts with --split{other}."
        )


class UnlikeDataError(TrainError):
    """Data does not have the form that a model was made for."""

    def __init__(self, source: str, found: str, known: str) -> None:
        super().__init__(
            f"DATA {source!r}: holds {found}; the model was trained on {known}. "
            "Give data of the same form."
        )


class DataChangedError(TrainError):
    """The data of a run that is resumed is not what it was."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"DATA {source!r}: is not what this run was trained on. "
            "A run goes on only with the same data; restore the files, or begin a "
            "new run."
        )


class OptionError(TrainError):
    """An option has a value outside its range."""

    def __init__(self, option: str, value: object, expected: str) -> None:
        super().__init__(f"{option} {value}: expected {expected}{_end(expected)}")


class IgnoredOptionError(TrainError):
    """An option was given where it would mean nothing."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"{option}: it would be ignored, for {why}. Leave it out.")


class ConfigFileError(TrainError):
    """A file of options does not hold what it should."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"--config {str(path)!r}: {reason}{_end(reason)} It is a TOML file of the "
            "options that `bptt train --help-all` lists, such as n_h = 64, or a run "
            "folder."
        )


class ComparisonError(TrainError):
    """Runs whose losses have different units cannot be compared."""

    def __init__(self, units: Mapping[str, Path]) -> None:
        found = ", ".join(f"{folder} in {unit}" for unit, folder in units.items())
        super().__init__(
            f"RUN: the losses are in different units ({found}). Compare runs on one "
            "kind of data."
        )


class SweepError(TrainError):
    """A folder of a sweep holds a run with other options."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"RUN {str(folder)!r}: was trained with other options or data than the "
            "sweep now says. Give the sweep another folder with out = ..., or move "
            "this one away."
        )


class LossError(TrainError):
    """The targets are not what the loss that is asked for needs."""

    def __init__(self, loss: str, source: str, needed: str) -> None:
        super().__init__(
            f"--loss {loss}: needs targets that are {needed}; those of {source!r} hold "
            "others. Give another --loss, or leave it out: the type of y then says it."
        )


class StartError(TrainError):
    """The parameters of another run do not fit the model that is to begin with them."""

    def __init__(self, folder: Path, name: str, mine: object, its: object) -> None:
        super().__init__(
            f"--start {str(folder)!r}: the parameter {name} has shape {its} there and "
            f"{mine} here. Give the same --cell, --layers and sizes."
        )


class UnknownOptimiserError(TrainError):
    """No optimiser in torch.optim has this name, or it cannot be used here."""

    def __init__(self, name: str, known: tuple[str, ...], reason: str = "") -> None:
        found = reason or "torch.optim has no optimiser of this name"
        super().__init__(
            f"--optimiser {name}: {found}. Choose one of: {list_known(name, known)}"
        )


class OptimiserOptionError(TrainError):
    """An optimiser does not take an option, or refuses its value."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"--optimiser {name}: {reason}{_end(reason)} Options are written "
            "--optimiser-option NAME=VALUE, for example momentum=0.9."
        )


class CellNotTrainableError(TrainError):
    """A cell cannot be made into a model of characters."""

    def __init__(self, cell: str, reason: str, fix: str) -> None:
        super().__init__(f"cell {cell!r}: {reason}. {fix}")


class SizeNameError(TrainError):
    """A size is given to a dimension that the cell does not leave open."""

    def __init__(self, cell: str, dimension: str, free: list[str]) -> None:
        super().__init__(
            f"--size {dimension}=...: the cell {cell!r} has no free dimension of this "
            "name; others are sized by the data. Free are: "
            f"{list_known(dimension, free)}"
        )


class TrainingDivergedError(TrainError):
    """The loss or the gradient is no longer a finite number."""

    def __init__(self, window: int, what: str, value: float, where: str) -> None:
        super().__init__(
            f"training stopped in window {window}: the {what} became {value}. "
            f"{where} Use a smaller --learning-rate or a smaller --clip, or "
            "--on-nonfinite skip to leave such windows out. The run folder keeps its "
            "last and its best checkpoint."
        )


class CheckpointNotFiniteError(TrainError):
    """What a checkpoint would hold is no longer a finite number."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"training stopped: {what} is no longer finite, so that nobody could go on "
            "from a checkpoint of it. Use a smaller --weight-decay or --learning-rate, "
            "or other options of the optimiser. The checkpoint from before is kept."
        )


class SchedulerError(TrainError):
    """A learning rate schedule that there is not, or that refuses its options."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"--schedule {name}: {reason}{_end(reason)} Options are written "
            "--scheduler-option NAME=VALUE, for example step_size=5."
        )


class FullBatchError(TrainError):
    """L-BFGS is asked for with options that only steps on batches have."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"--optimiser lbfgs: {reason}. It minimises the loss of all the data at "
            "once, from sequence files, without clipping or learning rate."
        )


class SeveralProcessesError(TrainError):
    """Something that several processes together cannot do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(f"several processes (torchrun): {found}. {fix}")


class ExportError(TrainError):
    """A model, or a part of it, has no form in the format that is asked for."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what!r} cannot be exported: {reason}. bptt.train.load(run) gives the "
            "model to Python, torch and JAX."
        )


class ForecastError(TrainError):
    """A model whose target is not a later x in real numbers cannot forecast."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"RUN {str(folder)!r}: {why}, so it cannot be fed its own output. "
            "bptt predict RUN DATA gives its predictions."
        )


class NotPredictedError(TrainError):
    """Predictions of files are those of sequences."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(
            f"RUN {str(folder)!r}: predictions are written of files of sequences, and "
            f"this is a model of {kind}. bptt sample RUN writes text, and "
            "bptt.train.load(RUN).predict takes arrays."
        )


class PredictInputError(TrainError):
    """An array to predict from is not one that the model reads."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"x holds {found}: this model reads {wanted}, time first.")


class NotSampledError(TrainError):
    """A model that does not predict its own next input cannot write."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(
            f"RUN {str(folder)!r}: a model of {kind} predicts targets, not its own "
            "next input, so it cannot write. bptt eval RUN DATA measures it."
        )


class FolderInUseError(TrainError):
    """The folder for a new run already holds files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"--out {str(folder)!r}: the folder is not empty, and a run never "
            "overwrites another. Give a new folder, or leave --out away."
        )


class RunInUseError(TrainError):
    """Another process is training in the folder of a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"--resume {str(folder)!r}: another process is going on with this run. "
            "Wait until it ends, or stop it with Ctrl-C first."
        )


class TooLargeError(TrainError):
    """A model does not fit into the memory that is there."""

    def __init__(self, found: str, why: str) -> None:
        super().__init__(
            f"the model is too large: {found}. {why} Choose a smaller --n-h, --size or "
            "--layers, or data with fewer entries."
        )


class FolderNotWritableError(TrainError):
    """A run folder or a file in it cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"cannot write {str(path)!r} ({reason}). "
            "Choose another folder with --out, or free some space."
        )


class RunNotFoundError(TrainError):
    """A folder is not the folder of a training run."""

    def __init__(self, folder: Path, missing: str) -> None:
        super().__init__(
            f"RUN {str(folder)!r}: {missing}{_end(missing)} Give a folder that `bptt "
            "train` wrote; it prints the folder's name at its end."
        )


class DamagedRunError(TrainError):
    """A file of a run folder does not hold what `bptt train` writes there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{str(path)!r}: {reason}. The file was changed or is damaged; "
            "train again, or restore the folder from a copy."
        )


class DamagedCheckpointError(TrainError):
    """A checkpoint does not hold what `bptt train` writes there."""

    def __init__(self, path: Path, reason: str, other: str | None) -> None:
        fix = (
            f"The run can go on from its other checkpoint: --checkpoint {other}."
            if other
            else "There is no other checkpoint; train again, or restore a copy."
        )
        super().__init__(f"checkpoint {str(path)!r}: {reason}. {fix}")
