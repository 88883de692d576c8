"""Where the records of a run go as it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bptt.train.run_folder import Metrics
from bptt.train.tensorboard import Board


class NoMetrics:
    """The metrics of a process that does not write any."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Write nothing."""

    def sync(self) -> int:
        """The length of nothing."""
        return 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close nothing."""


@dataclass(frozen=True)
class Log:
    """Where records go: metrics.jsonl and TensorBoard."""

    metrics: Metrics | NoMetrics
    board: Board

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record to both."""
        self.metrics.write(record)
        self.board.write(record)

    def sync(self) -> int:
        """Force metrics.jsonl to the disk; return its length in bytes."""
        return self.metrics.sync()
