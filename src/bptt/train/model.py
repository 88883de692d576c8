"""From the name of a cell, or a file of equations, to a model of characters."""

from dataclasses import dataclass
from pathlib import Path

from bptt import cells
from bptt.cell import Cell
from bptt.train.errors import CellNotTrainableError, SizeNameError, UnknownCellError
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import Parameters

# The dimensions that the vocabulary sizes: columns of U[:, x[t]], and entries of o[t].
VOCABULARY_DIMENSIONS = ("n_x", "n_o")


@dataclass(frozen=True)
class CharacterModel:
    """A cell that reads integer tokens x and is scored on integer targets y."""

    name: str
    cell: Cell

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The named dimensions of the parameters, in the order of the equations."""
        shapes = self.cell.parameters.values()
        return tuple(dict.fromkeys(dim for shape in shapes for dim in shape))

    def init(self, n_entries: int, options: TrainingOptions) -> Parameters:
        """Make initial parameters for a vocabulary of n_entries; float32, seeded.

        Raises: SizeNameError if options.sizes names a dimension the cell does not have,
        or one that the vocabulary sizes.
        """
        sizes = dict.fromkeys(self.dimensions, options.n_h)
        for dimension in options.sizes:
            if dimension not in sizes or dimension in VOCABULARY_DIMENSIONS:
                free = [d for d in sizes if d not in VOCABULARY_DIMENSIONS]
                raise SizeNameError(self.name, dimension, free)
        sizes |= options.sizes
        sizes |= {d: n_entries for d in VOCABULARY_DIMENSIONS if d in sizes}
        return self.cell.init(seed=options.seed, dtype="float32", **sizes)


def load_cell(cell: str) -> Cell:
    """Take a built-in cell by its name, or read a file of equations.

    Raises: UnknownCellError if it is neither, and the errors of the language, which
    show the line of the file.
    """
    builtin = cells.names()
    if cell in builtin:
        found: Cell = getattr(cells, cell)
        return found
    if not Path(cell).is_file():
        raise UnknownCellError(cell, builtin)
    return Cell.load(cell)


def build_model(cell: str) -> CharacterModel:
    """Make a model of characters from a cell: token look-up, equations, read-out.

    Raises: UnknownCellError, CellNotTrainableError if the cell does not read exactly
    x and y or has no vector o, and the errors of the language.
    """
    model = load_cell(cell).with_tokens().with_readout()
    if set(model.inputs) != {"x", "y"}:
        raise CellNotTrainableError(
            cell,
            f"its inputs are {', '.join(model.inputs) or 'none'}",
            "A model of characters reads tokens x and is scored on targets y.",
        )
    return CharacterModel(cell, model)
