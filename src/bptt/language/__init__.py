"""Equation text to step graph, and back.

parse: text -> equations and declarations (nothing is evaluated); infer: their shapes,
by unification; printer: step graph -> text.
"""

from bptt.language.build import parse_cell
from bptt.language.printer import print_graph

__all__ = ["parse_cell", "print_graph"]
