"""Published recurrences as plain loops in torch, written from the papers' equations.

LOOPS: a cell's name -> its loop, and the node whose sequence the loop returns.
"""

from tests.catalogue.loops import attention, chapter, clocks, gates, linear, matrices
from tests.catalogue.loops.steps import LOOPS

__all__ = ["LOOPS", "attention", "chapter", "clocks", "gates", "linear", "matrices"]
