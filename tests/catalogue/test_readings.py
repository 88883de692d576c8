"""Every cell of the catalogue through the oracles of `check` that take least time."""

import pytest

from bptt import check
from tests.catalogue.cases import load
from tests.catalogue.loops import LOOPS

QUICK = tuple(
    oracle
    for oracle in check.CHECKS
    if oracle.__name__ in ("check_unrolled", "check_padding")
)


@pytest.mark.parametrize("name", LOOPS)
def test_the_gradient_is_that_of_the_unrolled_graph_and_of_rows_alone(name):
    cell = load(name)._stepwise()
    ledger = check.check_cell(cell, instances=1, executor="reference", checks=QUICK)
    assert ledger.passed, ledger
