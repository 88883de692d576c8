"""A checkpoint: one safetensors file with everything a run needs to go on.

tensors    parameter/NAME, state/NAME (the carried state of every row), and the tensors
           of the optimiser and the schedule, optimiser/0, optimiser/1, ...
metadata   "bptt": JSON, with the position in the data, the figures so far, the length
           of metrics.jsonl, and the numbers of optimiser and schedule. A figure may
           be NaN or infinite, as the loss of a validation is now and then; a tensor
           may not: nothing could go on with it

There is no other random state: every random draw is a function of the seed and the
position. The file is data; reading it executes nothing.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.step.shapes import Array
from bptt.train.door.arrays import read_safetensors
from bptt.train.door.limits import Refusal
from bptt.train.door.records import CheckpointRecord, hold_to, parse_json
from bptt.train.errors import (
    CheckpointNotFiniteError,
    DamagedCheckpointError,
    FolderNotWritableError,
    OptionError,
    RunNotFoundError,
    TrainExtraMissingError,
)
from bptt.train.files import replace_whole

LAST, BEST = "last", "best"
SUFFIX = ".safetensors"
KEY = "bptt"
FORMAT = 1

Parameters = dict[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Position:
    """Where a run is: `window` windows of epoch `epoch` are learned, from 0."""

    epoch: int = 0
    window: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A run between two windows.

    state: name -> (n_b, ...), the state to start the next window from; None at the
    start of a sequence. numbers: figures of the run so far, of JSON's kinds.
    """

    parameters: Parameters
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    position: Position = Position()
    state: Mapping[str, Array] | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


def path_of(folder: Path, name: str) -> Path:
    """The file of the checkpoint "last" or "best".

    Raises: OptionError for any other name: it could lead out of the folder.
    """
    if name not in (LAST, BEST):
        raise OptionError("--checkpoint", name, f"one of {LAST}, {BEST}")
    return folder / (name + SUFFIX)


def write_checkpoint(folder: Path, name: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of this name, whole or not at all.

    Raises: TrainExtraMissingError without safetensors, FolderNotWritableError,
    CheckpointNotFiniteError for what `read_checkpoint` would refuse; the earlier
    checkpoint is then still there.
    """
    tensors, metadata = _flatten(checkpoint)
    bad = _not_finite(tensors)
    if bad is not None:
        kind, _, rest = bad.partition("/")
        raise CheckpointNotFiniteError(_KEPT.get(kind, f"the {kind} {rest}"))
    path = path_of(folder, name)
    refused: Any = import_module("safetensors").SafetensorError
    save_file = import_safetensors().save_file

    def write(part: Path) -> None:
        # Tensor by tensor: as bytes in memory they would be there twice.
        try:
            save_file(tensors, part, metadata=metadata)
        except refused as error:  # a full disk
            raise FolderNotWritableError(path, str(error)) from error

    replace_whole(path, write)


def _flatten(checkpoint: Checkpoint) -> tuple[dict[str, Array], dict[str, str]]:
    """A checkpoint as tensors by name, and the file's metadata."""
    tensors: dict[str, Array] = {}
    optimiser = _encode(checkpoint.optimiser, "optimiser", tensors)
    for name, value in checkpoint.parameters.items():
        tensors[f"parameter/{name}"] = value
    for name, value in (checkpoint.state or {}).items():
        tensors[f"state/{name}"] = value
    record = {
        "format": FORMAT,
        "epoch": checkpoint.position.epoch,
        "window": checkpoint.position.window,
        "parameters": list(checkpoint.parameters),  # optimisers count on their order
        "has_state": checkpoint.state is not None,
        "numbers": dict(checkpoint.numbers),
        "optimiser": optimiser,
    }
    # safetensors writes the memory as it lies, so a transposed view must be copied.
    solid = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    return solid, {"format": "np", KEY: json.dumps(record)}


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Read the checkpoint of this name.

    Raises: RunNotFoundError if there is none, DamagedCheckpointError if the file does
    not hold one (naming the other, if that can be read), OptionError for other names.
    """
    path = path_of(folder, name)
    if not path.is_file():
        raise RunNotFoundError(folder, f"there is no {path.name} in it")
    try:
        return _read(path)
    except (OSError, Refusal) as error:
        raise damaged(folder, name, str(error)) from error


def damaged(folder: Path, name: str, reason: str) -> DamagedCheckpointError:
    """The error that says why a checkpoint is none, and names the other if it is."""
    other = BEST if name == LAST else LAST
    usable = other if _is_readable(path_of(folder, other)) else None
    return DamagedCheckpointError(path_of(folder, name), reason, usable)


def _read(path: Path) -> Checkpoint:
    """The reverse of `write_checkpoint`. Raises: Refusal, OSError."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        tensors, metadata = read_safetensors(stream, size)
    parsed = parse_json(metadata.get(KEY, "{}"), infinite=True, nan=True)
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise Refusal("is not a checkpoint of this version of bptt")
    try:
        record = hold_to(CheckpointRecord, parsed)
        return _assemble(tensors, record, parsed["numbers"])
    except Refusal as refusal:
        raise Refusal(f"lacks a part of a checkpoint ({refusal})") from refusal


def _assemble(
    tensors: Mapping[str, Array], record: CheckpointRecord, numbers: Mapping[str, Any]
) -> Checkpoint:
    bad = _not_finite(tensors)
    if bad is not None:
        raise Refusal(f"tensor {bad!r} is not finite")
    parameters = {}
    for name in record.parameters:
        parameters[name] = _tensor(tensors, f"parameter/{name}")
        if parameters[name].dtype not in (np.float32, np.float64):
            raise Refusal(f"parameter {name!r} is {parameters[name].dtype}")
    try:
        optimiser = _decode(record.optimiser, tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Refusal(f"the optimiser's numbers: {error}") from error
    if not isinstance(optimiser, dict):
        raise Refusal("the optimiser's numbers are none")
    return Checkpoint(
        parameters=parameters,
        optimiser=optimiser,
        position=Position(record.epoch, record.window),
        state=_below("state/", tensors) if record.has_state else None,
        numbers=numbers,
    )


_KEPT = {"optimiser": "a number that the optimiser remembers"}


def _not_finite(tensors: Mapping[str, Array]) -> str | None:
    """The first tensor that holds infinity or NaN."""
    pairs = tensors.items()
    return next(
        (n for n, one in pairs if one.dtype.kind == "f" and not np.isfinite(one).all()),
        None,
    )


def _tensor(tensors: Mapping[str, Array], name: str) -> Array:
    if name not in tensors:
        raise Refusal(f"there is no tensor {name!r}")
    return tensors[name]


def _below(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _is_readable(path: Path) -> bool:
    try:
        _read(path)
    except (OSError, Refusal):
        return False
    return True


def _encode(value: Any, place: str, tensors: dict[str, Array]) -> Any:
    """Nested state as JSON, its tensors put aside; keys and tuples keep their kind."""
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        name = f"{place}/{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Counter | dict | Mapping):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[k, _encode(v, place, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(item, place, tensors) for item in value]}
    if isinstance(value, np.generic):
        return value.item()
    assert value is None or isinstance(value, bool | int | float | str), type(value)
    return value


def _decode(value: Any, tensors: Mapping[str, Array]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return _tensor(tensors, content)
    if kind not in ("dict", "counter", "list", "tuple"):
        raise ValueError(f"no kind {kind!r} is known")
    if kind in ("dict", "counter"):
        items = {k: _decode(v, tensors) for k, v in content}
        return Counter(items) if kind == "counter" else items
    items_list = [_decode(item, tensors) for item in content]
    return tuple(items_list) if kind == "tuple" else items_list


def import_safetensors() -> Any:
    """Import safetensors for NumPy, or say what to install.

    Raises: TrainExtraMissingError.
    """
    try:
        return import_module("safetensors.numpy")
    except ImportError as error:
        raise TrainExtraMissingError("safetensors") from error
