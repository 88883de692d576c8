"""The folder of a training run: what it holds, written and read.

cell.cell            the equations, as text
config.json          options, sizes, data, versions
vocabulary.json      the characters, entry 1 first
params.safetensors   the parameters after the last step
metrics.jsonl        one JSON object per line, as training goes on
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bptt.train.errors import (
    DamagedRunError,
    FolderInUseError,
    FolderNotWritableError,
    RunNotFoundError,
    TrainExtraMissingError,
)
from bptt.train.files import make_folder, write_whole
from bptt.train.vocabulary import Vocabulary

CELL_FILE = "cell.cell"
CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocabulary.json"
PARAMETERS_FILE = "params.safetensors"
METRICS_FILE = "metrics.jsonl"

Parameters = dict[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class SavedRun:
    """What a run folder holds: enough to use the model again."""

    cell_text: str
    config: dict[str, Any]
    vocabulary: Vocabulary
    parameters: Parameters


def new_folder(folder: Path) -> Path:
    """Create the folder of a new run.

    Raises: FolderInUseError if it holds anything, FolderNotWritableError.
    """
    make_folder(folder)
    if not folder.is_dir() or any(folder.iterdir()):
        raise FolderInUseError(folder)
    write_whole(folder / METRICS_FILE, b"")  # shows now, not after an hour
    return folder


def write_model(
    folder: Path, cell_text: str, config: Mapping[str, Any], vocabulary: Vocabulary
) -> None:
    """Write everything but the parameters and the metrics."""
    write_whole(folder / CELL_FILE, cell_text.encode())
    write_whole(folder / CONFIG_FILE, _to_json(config))
    write_whole(folder / VOCABULARY_FILE, _to_json(list(vocabulary.characters)))


def write_parameters(folder: Path, parameters: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the parameters as safetensors, replacing earlier ones in one step.

    Raises: TrainExtraMissingError without safetensors, FolderNotWritableError.
    """
    # safetensors writes the memory as it lies, so a transposed view must be copied.
    tensors = {name: np.asarray(p, order="C") for name, p in parameters.items()}
    content = import_safetensors().save(tensors, metadata={"format": "np"})
    write_whole(folder / PARAMETERS_FILE, content)


def read_run(folder: Path) -> SavedRun:
    """Read a run folder; nothing in it is ever executed.

    Raises: RunNotFoundError if the folder or a file is missing, DamagedRunError if a
    file does not hold what it should, TrainExtraMissingError without safetensors.
    """
    if not folder.is_dir():
        raise RunNotFoundError(folder, "there is no such folder")
    characters = _read_json(folder, VOCABULARY_FILE)
    if not _are_characters(characters):
        raise DamagedRunError(
            folder / VOCABULARY_FILE, "is not a list of different single characters"
        )
    config = _read_json(folder, CONFIG_FILE)
    if not isinstance(config, dict):
        raise DamagedRunError(folder / CONFIG_FILE, "is not a JSON object")
    return SavedRun(
        cell_text=_read_text(folder, CELL_FILE),
        config=config,
        vocabulary=Vocabulary(tuple(characters)),
        parameters=_read_parameters(folder),
    )


def import_safetensors() -> Any:
    """Import safetensors for NumPy, or say what to install.

    Raises: TrainExtraMissingError.
    """
    try:
        return import_module("safetensors.numpy")
    except ImportError as error:
        raise TrainExtraMissingError("safetensors") from error


class Metrics:
    """A file of JSON lines, each forced out as it is written.

    Use as a context manager. Raises: FolderNotWritableError.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file of a run folder to append."""
        self._path = folder / METRICS_FILE
        try:
            self._stream = self._path.open("a", encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(self._path, reason) from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; numbers that are not finite are refused by JSON."""
        try:
            self._stream.write(json.dumps(record, allow_nan=False) + "\n")
            self._stream.flush()
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderNotWritableError(self._path, reason) from error

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._stream.close()


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


def _are_characters(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(c, str) and len(c) == 1 for c in value)
        and len(set(value)) == len(value)
    )


def _read_text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.is_file():
        raise RunNotFoundError(folder, f"there is no {name} in it")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedRunError(path, f"cannot be read as text ({error})") from error


def _read_json(folder: Path, name: str) -> Any:
    text = _read_text(folder, name)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DamagedRunError(folder / name, f"is not JSON ({error})") from error


def _read_parameters(folder: Path) -> Parameters:
    path = folder / PARAMETERS_FILE
    if not path.is_file():
        raise RunNotFoundError(folder, f"there is no {PARAMETERS_FILE} in it")
    safetensors = import_safetensors()
    damage = import_module("safetensors").SafetensorError
    try:
        loaded = safetensors.load(path.read_bytes())
    except (OSError, damage) as error:
        raise DamagedRunError(path, f"is not a safetensors file ({error})") from error
    # load() gives read-only views of the bytes; parameters are for changing.
    return {name: np.array(value) for name, value in loaded.items()}
