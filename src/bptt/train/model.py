"""From the name of a cell, or a file of equations, to a model of characters."""

from dataclasses import dataclass
from pathlib import Path

from bptt import cells
from bptt.cell import Cell
from bptt.errors import UnknownCellError
from bptt.graph import Node, walk
from bptt.train.errors import CellNotTrainableError, SizeNameError
from bptt.train.options import TrainingOptions
from bptt.train.run_folder import Parameters


@dataclass(frozen=True)
class CharacterModel:
    """A cell that reads tokens x and is scored on targets y by nll(softmax(o), y).

    scores: the name of o, the unnormalised log-probabilities (10.10), shape (n_o,).
    """

    name: str
    cell: Cell
    scores: str

    @property
    def vocabulary_dimensions(self) -> tuple[str, ...]:
        """The dimensions that x and y index: those that the vocabulary sizes."""
        specs = self.cell.graph.inputs.values()
        return tuple(dict.fromkeys(str(spec.index) for spec in specs))

    def init(self, n_entries: int, options: TrainingOptions) -> Parameters:
        """Make initial parameters for a vocabulary of n_entries; float32, seeded.

        Raises: SizeNameError if options.sizes names a dimension the cell does not
        have, or one that the vocabulary sizes.
        """
        fixed = self.vocabulary_dimensions
        free = [name for name in self.cell.dims if name not in fixed]
        for dimension in options.sizes:
            if dimension not in free:
                raise SizeNameError(self.name, dimension, free)
        sizes = dict.fromkeys(free, options.n_h) | dict(options.sizes)
        sizes |= dict.fromkeys(fixed, n_entries)
        return self.cell.init(seed=options.seed, dtype="float32", **sizes)


def load_cell(cell: str) -> Cell:
    """Take a built-in cell by its name, or read a file of equations.

    Raises: UnknownCellError if it is neither, and the errors of the language, which
    show the line of the file.
    """
    if cell in cells.names():
        return cells.get(cell)
    if not Path(cell).is_file():
        raise UnknownCellError(
            f"cell {cell!r}: neither a built-in cell nor a file. Built-in cells: "
            f"{', '.join(cells.names())}; or give the path of a file of equations."
        )
    return Cell.load(cell)


def build_model(cell: str) -> CharacterModel:
    """Make a model of characters from a cell: token look-up, equations, read-out.

    Raises: UnknownCellError, CellNotTrainableError, the errors of the language.
    """
    return as_model(cell, load_cell(cell).with_tokens().with_readout())


def as_model(name: str, cell: Cell) -> CharacterModel:
    """See a finished cell as a model of characters.

    Raises: CellNotTrainableError if its inputs are not exactly x and y, both integer,
    or its loss is not nll(softmax(o[t]), y[t]) with a named vector o.
    """
    inputs = cell.graph.inputs
    if set(inputs) != {"x", "y"} or any(i.index is None for i in inputs.values()):
        found = f"its inputs are {', '.join(inputs) or 'none'}"
        fix = "A model of characters reads tokens x and is scored on integer targets y."
        raise CellNotTrainableError(name, found, fix)
    return CharacterModel(name, cell, _find_scores(name, cell))


def _find_scores(name: str, cell: Cell) -> str:
    losses = [n for n in walk([cell.graph.definitions["L"]]) if n.op == "nll"]
    if len(losses) == 1:
        y_hat = _without_names(losses[0].inputs[0])
        if y_hat.op == "softmax" and y_hat.inputs[0].op == "named":
            return str(y_hat.inputs[0].data)
    found = "a sample is drawn from softmax(o[t]), and no such o is found in the loss"
    fix = "Write o[t] = ... on a line of its own and L[t] = nll(softmax(o[t]), y[t])."
    raise CellNotTrainableError(name, found, fix)


def _without_names(node: Node) -> Node:
    while node.op == "named":
        node = node.inputs[0]
    return node
