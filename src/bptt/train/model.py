"""From the name of a cell, or a file of equations, to a model of characters."""

from dataclasses import dataclass

from bptt.cell import Cell
from bptt.train.errors import CellNotTrainableError, SizeError
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import Parameters


@dataclass(frozen=True)
class CharacterModel:
    """A cell that reads integer tokens x and is scored on integer targets y."""

    name: str
    cell: Cell
