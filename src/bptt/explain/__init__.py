"""The explanation of a cell: its derivation, displayed and proven.

    print(cell.explain(step="10.21"))        cell.explain(lang="zh").save("book.html")

`model` is the document that every format shows, and the contract of the renderers.
"""

from bptt.explain.explanation import Explanation, explain
from bptt.explain.formula.equation import check_equation
from bptt.explain.formula.report import EquationReport

__all__ = ["EquationReport", "Explanation", "check_equation", "explain"]
