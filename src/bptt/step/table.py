"""Tables with a row for each operation, which name the row that is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Row = TypeVar("Row")


class MissingRowError(LookupError):
    """An operation was added, and one of the tables does not have it."""


class Table(dict[str, Row]):
    """Rows by operation; a row that is missing is named, with its table and file.

    >>> Table("OPS", "step/ops.py", {"tanh": 1})["cube"]  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    bptt.step.table.MissingRowError: operation 'cube' has no row in OPS (bptt/...
    """

    def __init__(self, name: str, file: str, rows: Mapping[str, Row]) -> None:
        """Keep the rows, and the table's own name and file for the message."""
        super().__init__(rows)
        self._where = f"{name} (bptt/{file})"

    def __missing__(self, operation: str) -> Row:
        """Refuse the look-up. Raises: MissingRowError."""
        raise MissingRowError(
            f"operation {operation!r} has no row in {self._where}; "
            "docs/contributing/operation.md lists the rows of an operation"
        )
