"""Which arrays a cell needs of a sequence file."""

from pathlib import Path

from bptt.cell import Cell
from bptt.step.graph import InputSpec
from bptt.train.data.reads import InputRead, Reads
from bptt.train.gaps import KNOWN
from bptt.train.named_cell import load_cell


def reads_of(cell: Cell | str | Path) -> Reads:
    r"""What `read_sequences` has to read for a cell, or for a name or file of one.

    x, a vector or token of every step, and y, which its loss or the read-out is scored
    on, are what they always are; every other input has an array of its own name. What
    is drawn is not read.
    Raises: UnknownCellError, and the errors of the language.

    >>> reads_of(Cell("s: 3 = input\nh[t] = tanh(W @ h[t-1] + R @ s)")).words
    'y, s (one (3) per sequence)'
    """
    made = cell if isinstance(cell, Cell) else load_cell(str(cell))
    graph, has_loss = made.graph, made.graph.loss is not None
    rows = graph.times.row_inputs
    given = {n: s for n, s in graph.inputs.items() if s.draw is None and n != KNOWN}
    others = {
        name: InputRead(spec.shape, name not in rows, spec.index)
        for name, spec in given.items()
        if not _is_slot(name, spec, is_of_row=name in rows, has_loss=has_loss)
    }
    has_y = not has_loss or ("y" in given and "y" not in others)
    y_index = given["y"].index if "y" in given and has_y else None
    has_x = "x" in given and "x" not in others
    x_index = given["x"].index if has_x else None
    return Reads(has_x, has_y, y_index, has_y and "y" in rows, others, x_index)


def _is_slot(name: str, spec: InputSpec, *, is_of_row: bool, has_loss: bool) -> bool:
    """Whether an input is the x or the y that every data set has."""
    is_plain = len(spec.shape) == 1 or (spec.index is not None and not spec.shape)
    if name == "x":
        return is_plain and not is_of_row
    return name == "y" and (is_plain or not has_loss)
