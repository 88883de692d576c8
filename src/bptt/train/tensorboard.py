"""The figures of a run for TensorBoard, where a person asks for it."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from bptt.train.errors import FolderNotWritableError, TrainExtraMissingError

BOARD = "tensorboard"  # the folder in that of a run
NOT_FIGURES = ("window", "seconds")


class Board:
    """Writes every figure of a record as a scalar at its window. A context manager.

    A run that is taken up at a window hides what was written after it.
    Raises: TrainExtraMissingError without tensorboard, FolderNotWritableError.
    """

    def __init__(self, folder: Path | None, window: int) -> None:
        """Open event files in a folder; None for no board."""
        self._writer: Any = None
        if folder is None:
            return
        try:
            writer = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise TrainExtraMissingError("tensorboard") from error
        try:
            self._writer = writer(
                str(folder), purge_step=window + 1 if window else None
            )
        except OSError as error:
            raise FolderNotWritableError(
                folder, error.strerror or str(error)
            ) from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Add the numbers and the texts of a record of metrics.jsonl."""
        if self._writer is None:
            return
        for name, value in record.items():
            if name not in NOT_FIGURES and isinstance(value, int | float):
                self._writer.add_scalar(name, value, record["window"])
            elif isinstance(value, str):
                self.say(name, value, record["window"])

    def say(self, name: str, text: str, window: int) -> None:
        """Add a text."""
        if self._writer is not None:
            self._writer.add_text(name, text, window)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the event files."""
        if self._writer is not None:
            self._writer.close()
