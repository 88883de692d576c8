"""Equation text to step graph, and back.

parse: text -> equations and declarations (nothing is evaluated); infer: their shapes,
by unification; printer: step graph -> text; stepwise: the
same with what is of other times written at every step.
"""

from bptt.language.build import parse_cell
from bptt.language.printer import print_graph
from bptt.language.stepwise import open_loss_text, stepwise_text

__all__ = ["open_loss_text", "parse_cell", "print_graph", "stepwise_text"]
