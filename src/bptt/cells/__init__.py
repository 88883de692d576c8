"""The library's cells: `bptt.cells.lstm` and so on, each a file of equations.

`names()` lists them; `get("lstm")` is the same as `bptt.cells.lstm`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from bptt import errors

if TYPE_CHECKING:
    from bptt.cell import Cell

SUFFIX = ".cell"


@cache
def names() -> tuple[str, ...]:
    """The names of all cells, in alphabetical order."""
    files = sorted(file.name for file in resources.files(__name__).iterdir())
    return tuple(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX))


def text(name: str) -> str:
    """The equations of a cell, as they stand in its file.

    Raises: UnknownCellError, listing the names there are.
    """
    if name not in names():
        raise errors.UnknownCellError(
            f"no cell is called {name}; there are: {errors.list_known(name, names())}"
        )
    return resources.files(__name__).joinpath(name + SUFFIX).read_text("utf-8")


@cache
def get(name: str) -> Cell:
    """The cell of this name. Raises: UnknownCellError."""
    equations = text(name)
    # Imported here: whoever lists the cells needs neither NumPy nor a parser.
    from bptt.cell import Cell

    return Cell(equations)


def __getattr__(name: str) -> Cell:
    if name in names():
        return get(name)
    raise errors.no_attribute(__name__, name, names(), "cell")


def __dir__() -> list[str]:
    return [*globals(), *names()]
