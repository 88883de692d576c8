"""The folder of a training run: what it holds, written and read.

cell.cell            the equations, as text
config.json          options, data, form of the data, versions
vocabulary.json      the characters, words or byte pairs (a model of text)
last.safetensors     the last checkpoint; best.safetensors that of the best validation
tokens.npy           the text as words or byte pairs, where it was read as these
metrics.jsonl        one JSON object per line, as training goes on
report.html          curves and samples, at the end
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec

from bptt.cell import Cell
from bptt.errors import nearest_file
from bptt.train.checkpoint import (
    LAST,
    Checkpoint,
    Parameters,
    read_checkpoint,
    write_checkpoint,
)
from bptt.train.data.entries import Entries, read_entries
from bptt.train.data.form import Form
from bptt.train.data.tokenised import TOKENS_FILE, Tokenised, read_tokenised
from bptt.train.door.limits import Refusal, read_bounded
from bptt.train.door.records import (
    MAX_CONFIG,
    MAX_LINE,
    MAX_VOCABULARY,
    ConfigRecord,
    FormRecord,
    check_metric,
    hold_to,
    is_figure,
    parse_json,
)
from bptt.train.errors import (
    DamagedRunError,
    FolderInUseError,
    FolderNotWritableError,
    OptionError,
    RunInUseError,
    RunNotFoundError,
)
from bptt.train.files import (
    LockedError,
    locked,
    make_folder,
    sync_folder,
    write_whole,
)
from bptt.train.model import Model, as_model, check_parameters
from bptt.train.options import TrainingOptions

CELL_FILE = "cell.cell"
CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocabulary.json"
METRICS_FILE = "metrics.jsonl"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class SavedRun:
    """What a run folder holds: enough to use the model again, or to go on.

    is_extended: whether its options say more epochs than config.json does.
    """

    folder: Path
    cell_text: str
    config: dict[str, Any]
    vocabulary: Entries | None
    checkpoint: Checkpoint
    is_extended: bool = False

    @property
    def parameters(self) -> Parameters:
        """The parameters, name -> array."""
        return self.checkpoint.parameters

    @property
    def options(self) -> TrainingOptions:
        """The options of the run.

        Raises: DamagedRunError if config.json holds others.
        """
        return _options(self.folder, self.config)

    @property
    def form(self) -> Form:
        """The form of the data that the model reads.

        Raises: DamagedRunError if config.json has none.
        """
        try:
            record = hold_to(FormRecord, self.config.get("form"))
        except Refusal as error:
            reason = f"does not describe the data ({error})"
            raise DamagedRunError(self.folder / CONFIG_FILE, reason) from error
        return Form(**msgspec.structs.asdict(record))

    @property
    def tokenised(self) -> Tokenised | None:
        """The data as words or byte pairs; None where the folder does not have it.

        Raises: DamagedRunError.
        """
        lengths = self.config.get("data", {}).get("tokens")
        path = self.folder / TOKENS_FILE
        if lengths is None or self.vocabulary is None or not path.is_file():
            return None
        try:
            return read_tokenised(path, lengths, len(self.vocabulary))
        except (OSError, Refusal) as error:
            raise DamagedRunError(path, str(error)) from error

    @property
    def kind(self) -> str:
        """What the model was trained on: "text", "tokens" or "sequences"."""
        return str(self.config.get("data", {}).get("kind", "text"))

    @property
    def model(self) -> Model:
        """The model.

        Raises: the errors of the language if the equations changed, and
        DamagedRunError if the parts of the folder do not belong together.
        """
        form = self.form
        known = self.vocabulary
        if known is not None and not form.n_x == form.n_o == len(known):
            reason = f"has {len(known)} entries, where config.json says {form.n_x}"
            raise DamagedRunError(self.folder / VOCABULARY_FILE, reason)
        model = as_model(str(self.folder), Cell(self.cell_text), form)
        try:
            check_parameters(model, form, self.parameters)
        except Refusal as error:
            raise DamagedRunError(self.folder, f"does not fit: {error}") from error
        return model


def create_run(
    folder: Path,
    cell_text: str,
    config: Mapping[str, Any],
    vocabulary: Entries | None,
    start: Checkpoint,
    tokenised: Tokenised | None = None,
) -> None:
    """Create the folder of a new run, with its first checkpoint, whole or not at all.

    Everything is written to a folder beside it, which then takes the name, so that a
    run folder can always be gone on with.
    Raises: FolderInUseError if it holds anything, FolderNotWritableError.
    """
    refuse_used(folder)
    make_folder(folder.absolute().parent)
    try:
        part = Path(
            tempfile.mkdtemp(
                prefix=f".{folder.name}.", suffix=".part", dir=folder.absolute().parent
            )
        )
    except OSError as error:
        raise FolderNotWritableError(folder, error.strerror or str(error)) from error
    try:
        write_whole(part / CELL_FILE, cell_text.encode())
        write_whole(part / CONFIG_FILE, _to_json(config))
        if vocabulary is not None:
            content = _to_json(vocabulary.to_json())
            write_whole(part / VOCABULARY_FILE, content)
        if tokenised is not None:
            tokenised.write(part / TOKENS_FILE)
        write_whole(part / METRICS_FILE, b"")
        write_checkpoint(part, LAST, start)
        part.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        part.replace(folder)
        sync_folder(folder.absolute().parent)
    except OSError as error:
        raise FolderNotWritableError(folder, error.strerror or str(error)) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Replace config.json, whole or not at all. Raises: FolderNotWritableError."""
    write_whole(folder / CONFIG_FILE, _to_json(config))


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Keep every other process from training in a run folder.

    Raises: RunNotFoundError, RunInUseError if another one does, FolderNotWritableError.
    """
    try:
        with locked(_path(folder, METRICS_FILE)):
            yield
    except LockedError as error:
        raise RunInUseError(folder) from error


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds anything. Raises: FolderInUseError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderInUseError(folder)


def read_run(folder: Path, name: str = LAST, *, to_go_on: bool = False) -> SavedRun:
    """Read a run folder with the checkpoint "last" or "best"; nothing is executed.

    to_go_on: keep what the optimiser remembers, twice the parameters' memory and more.
    Raises: RunNotFoundError if the folder or a file is missing, DamagedRunError and
    DamagedCheckpointError if a file does not hold what it should,
    TrainExtraMissingError without safetensors.
    """
    config = read_config(folder)
    vocabulary = None
    if (folder / VOCABULARY_FILE).is_file() or _is_text(config):
        content = _read_json(folder, VOCABULARY_FILE, MAX_VOCABULARY)
        try:
            vocabulary = read_entries(content)
        except Refusal as refusal:
            reason = str(refusal)
            raise DamagedRunError(folder / VOCABULARY_FILE, reason) from refusal
    checkpoint = read_checkpoint(folder, name)
    return SavedRun(
        folder=folder,
        cell_text=read_text(folder, CELL_FILE),
        config=config,
        vocabulary=vocabulary,
        checkpoint=checkpoint if to_go_on else replace(checkpoint, optimiser={}),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json holds. Raises: RunNotFoundError, DamagedRunError."""
    config = _read_json(folder, CONFIG_FILE, MAX_CONFIG)
    if not isinstance(config, dict):
        raise DamagedRunError(folder / CONFIG_FILE, "is not a JSON object")
    try:
        hold_to(ConfigRecord, config)
    except Refusal as error:
        reason = f"is not the configuration of a run ({error})"
        raise DamagedRunError(folder / CONFIG_FILE, reason) from error
    _options(folder, config)
    return config


def _options(folder: Path, config: Mapping[str, Any]) -> TrainingOptions:
    try:
        return TrainingOptions.from_json(config["options"])
    except (Refusal, OptionError) as error:
        reason = f"has no options of a run ({error})"
        raise DamagedRunError(folder / CONFIG_FILE, reason) from error


def describe_form(form: Form) -> dict[str, Any]:
    """A form as config.json holds it."""
    return asdict(form)


class Metrics:
    """A file of JSON lines, each forced out as it is written.

    A run that goes on from a checkpoint cuts the file to the length it had then.
    Use as a context manager. Raises: FolderNotWritableError, DamagedRunError if the
    file is shorter than that length.
    """

    def __init__(self, folder: Path, length: int = 0) -> None:
        """Open the file of a run folder at a length in bytes."""
        self._path = folder / METRICS_FILE
        try:
            self._stream = self._path.open("r+b")
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(self._path, reason) from error
        found = self._stream.seek(0, os.SEEK_END)
        if found < length:
            self._stream.close()
            reason = f"has {found} bytes, but the checkpoint was written at {length}"
            raise DamagedRunError(self._path, reason)
        self._stream.truncate(length)
        self._stream.seek(length)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; JSON has no infinity and no NaN: they become null."""
        kept = {
            name: None if isinstance(value, float) and not is_figure(value) else value
            for name, value in record.items()
        }
        try:
            line = json.dumps(kept, allow_nan=False, ensure_ascii=True) + "\n"
            self._stream.write(line.encode())
            self._stream.flush()
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(self._path, reason) from error

    def sync(self) -> int:
        """Force everything to the disk; return the length in bytes."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            return self._stream.tell()
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(self._path, reason) from error

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        """Close the file; what a full disk did not take is already reported."""
        try:
            self._stream.close()
        except OSError:
            if error is None:
                raise


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run so far.

    Raises: RunNotFoundError, DamagedRunError.
    """
    path = _path(folder, METRICS_FILE)
    records = []
    try:
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise Refusal("the line is too long")
                records.append(check_metric(parse_json(line)))
    except OSError as error:
        raise DamagedRunError(path, f"cannot be read ({error})") from error
    except Refusal as error:
        reason = f"line {len(records) + 1}: {error}"
        raise DamagedRunError(path, reason) from error
    return records


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


def _is_text(config: Mapping[str, Any]) -> bool:
    data = config.get("data")
    return not isinstance(data, dict) or data.get("kind", "text") == "text"


def read_text(folder: Path, name: str, limit: int = MAX_CONFIG) -> str:
    """The text of one file. Raises: RunNotFoundError, DamagedRunError."""
    path = _path(folder, name)
    try:
        return read_bounded(path, limit).decode()
    except (OSError, Refusal, UnicodeDecodeError) as error:
        raise DamagedRunError(path, f"cannot be read as text ({error})") from error


def _path(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise RunNotFoundError(folder, f"there is no such folder{nearest_file(folder)}")
    if not (folder / name).is_file():
        raise RunNotFoundError(folder, f"there is no {name} in it")
    return folder / name


def _read_json(folder: Path, name: str, limit: int) -> Any:
    try:
        return parse_json(read_text(folder, name, limit))
    except Refusal as error:
        raise DamagedRunError(folder / name, str(error)) from error
