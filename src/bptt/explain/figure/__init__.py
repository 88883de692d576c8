"""Figures of an explanation for print: drawn once, written as SVG, PDF or TikZ.

`scene` is what a figure is made of; `unrolled`, `edges` and `paths` make one each;
`svg`, `pdf` and `tikz` write any of them; `figure` is what a person holds.
"""

from bptt.explain.figure.figure import KINDS, Figure, FigureError, make_figure

__all__ = ["KINDS", "Figure", "FigureError", "make_figure"]
