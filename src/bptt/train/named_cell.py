"""A cell by what a person calls it: a name of the library, or a file of equations.

Apart from `model`, so that a command that trains nothing imports nothing of training.
"""

from pathlib import Path

from bptt import cells
from bptt.cell import Cell
from bptt.errors import UnknownCellError, did_you_mean, nearest_file


def load_cell(cell: str) -> Cell:
    """Take a built-in cell by its name, or read a file of equations.

    Raises: UnknownCellError if it is neither, and the errors of the language, which
    show the line of the file.
    """
    if cell in cells.names():
        return cells.get(cell)
    if not Path(cell).is_file():
        near = did_you_mean(cell, cells.names()) or nearest_file(cell)
        raise UnknownCellError(
            f"cell {cell!r}: neither a built-in cell nor a file{near or '.'} "
            "Built-in cells: "
            f"{', '.join(cells.names())}; or give the path of a file of equations."
        )
    return Cell.load(cell)
