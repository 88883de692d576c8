"""The explanation of a cell: its derivation, displayed and proven.

    print(cell.explain(step="10.21"))        cell.explain(lang="zh").save("book.html")

`model` is the document that every format shows, and the contract of the renderers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bptt.errors import no_attribute
from bptt.explain.explanation import Explanation, explain

if TYPE_CHECKING:
    from bptt.explain.formula.equation import check_equation
    from bptt.explain.formula.report import EquationReport

__all__ = ["EquationReport", "Explanation", "check_equation", "explain"]

# Imported when first named: an explanation checks no formula of a reader's.
_HOMES = {"check_equation": "formula.equation", "EquationReport": "formula.report"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise no_attribute(__name__, name, (*globals(), *_HOMES))
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
