"""What training runs of a cell: the methods whose executor a test chooses."""

from bptt.cell import Cell

EXECUTED = (Cell.forward, Cell.gradient, Cell.run_gradient, Cell.run_forward)
