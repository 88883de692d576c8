"""The exact gradient of a recurrent network through time, from its equations.

In short:

    cell = bptt.Cell(text)           or bptt.cells.lstm, Cell.load("my.cell")
    params = cell.init(n_x=27, n_h=128, n_o=27)
    grad = cell.gradient(params, {"x": x, "y": y})
    print(cell.explain())            its derivation; check_equation("...") checks yours

The API is `__all__` here, in `bptt.torch`, `bptt.jax` and `bptt.train`; every other
module is internal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bptt.errors import BpttError, MissingExtraError, no_attribute
from bptt.version import __version__

if TYPE_CHECKING:
    from bptt import cells
    from bptt.cell import Cell
    from bptt.check import Ledger

    # Two of them are called as the files that hold them.
    from bptt.compose import bidirectional, dropout, noise, stack, zoneout  # type: ignore[no-redef]
    from bptt.exchange import from_keras, from_torch, to_keras, to_torch
    from bptt.explain import EquationReport, Explanation
    from bptt.results import Copies, Gradient, Run

__all__ = [
    "BpttError",
    "Cell",
    "Copies",
    "EquationReport",
    "Explanation",
    "Gradient",
    "Ledger",
    "Run",
    "__version__",
    "bidirectional",
    "cells",
    "check_equation",
    "dropout",
    "from_keras",
    "from_torch",
    "noise",
    "stack",
    "to_keras",
    "to_torch",
    "zoneout",
]


def check_equation(
    text: str, cell: Cell | None = None, *, seed: int = 0
) -> EquationReport:
    """Compare a gradient formula of your own with a cell's; the book's by default.

    >>> report = check_equation("∇h[t] = W.T @ ∇h[t+1] + V.T @ ∇o[t]")
    >>> report.status, report.edit.advice
    ('wrong', 'the factor diag(1 - h[t+1]**2) is missing here')

    See `Cell.check_equation`.
    """
    whose: Cell = cell or importlib.import_module(f"{__name__}.cells").book
    return whose.check_equation(text, seed=seed)


# Everything is imported when it is first named: the command prints its help, and a
# program that may never need a gradient starts, without NumPy.
_HOMES = {
    "Cell": "cell", "Ledger": "check", "bidirectional": "compose",
    "dropout": "compose", "noise": "compose", "stack": "compose", "zoneout": "compose",
    "from_keras": "exchange", "from_torch": "exchange", "to_keras": "exchange",
    "to_torch": "exchange", "EquationReport": "explain", "Explanation": "explain",
    "Copies": "results", "Gradient": "results", "Run": "results",
}  # fmt: skip
_ROOMS = frozenset({
    "calculus", "cell", "cells", "check", "compose", "engine", "exchange", "execute",
    "flow", "language", "objective", "prepared", "results", "step", "unrolled",
    "weights",
})  # fmt: skip
# Front ends of frameworks: name -> the extra.
_FRONT_ENDS = {"torch": "train", "jax": "jax"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        found = globals()[name] = getattr(home, name)
        return found
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _FRONT_ENDS:
        raise no_attribute(__name__, name, __all__)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"bptt.{name}", str(error.name), _FRONT_ENDS[name]
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
