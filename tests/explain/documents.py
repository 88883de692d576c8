"""The documents that many tests look at, each made once.

Without the ledger, which tests/check/test_check.py tests, but for the book's.
"""

from dataclasses import replace
from functools import cache

import bptt
from bptt.explain import Explanation
from tests.execute.library import IN_ALL_VARIANTS
from tests.explain.user_cells import USER_CELLS

# The library's first cells, and of the later ones those with operations of their own.
LIBRARY = (*IN_ALL_VARIANTS, "jordan", "leaky", "low_rank", "slstm")
CELLS = (*LIBRARY, *USER_CELLS)


def explained(name: str, lang: str = "en", **options) -> Explanation:
    """A library cell, or a cell of USER_CELLS, explained; one document per name."""
    english = _explained(name, **options)
    if lang == "en":
        return english
    other = replace(english, lang=lang)
    other.__dict__["document"] = english.document  # the same in every language
    return other


@cache
def _explained(name: str, **options) -> Explanation:
    cell = bptt.Cell(USER_CELLS[name]) if name in USER_CELLS else bptt.cells.get(name)
    return replace(cell.explain(name=name, **options), with_ledger=name == "book")
