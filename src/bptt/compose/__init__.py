"""Cells made from cells: stacks, both directions, dropout, zoneout and noise.

Each takes a cell and gives a cell, whose text has the equations of the result: what is
compiled, checked and explained is what is written there.
"""

from bptt.compose.bidirectional import bidirectional
from bptt.compose.noise import dropout, noise, zoneout
from bptt.compose.stacks import stack

__all__ = ["bidirectional", "dropout", "noise", "stack", "zoneout"]
