"""The exact gradient of a recurrent network through time, from its equations.

In short:

    cell = bptt.Cell(text)           or bptt.cells.lstm, Cell.load("my.cell")
    params = cell.init(n_x=27, n_h=128, n_o=27)
    grad = cell.gradient(params, {"x": x, "y": y})
"""

from bptt import cells
from bptt.cell import Cell
from bptt.check import Ledger
from bptt.compose import bidirectional, dropout, noise, stack, zoneout
from bptt.errors import BpttError
from bptt.results import Copies, Gradient, Run
from bptt.version import __version__

__all__ = [
    "BpttError",
    "Cell",
    "Copies",
    "Gradient",
    "Ledger",
    "Run",
    "__version__",
    "bidirectional",
    "cells",
    "dropout",
    "noise",
    "stack",
    "zoneout",
]
