"""The explanation's page judges gradients as `Cell.flow` does, whatever tau."""

import numpy as np
import pytest

import bptt
from bptt.explain.html.panels.flow import flow_of, flow_panel
from bptt.explain.html.panels.page_context import PageContext
from bptt.explain.html.values import PageValues
from bptt.explain.html.writer import PageWriter


def context(cell, **options):
    document = cell.explain(**options).document
    return PageContext(document, PageWriter(document.shown, PageValues(1, False)))


@pytest.mark.parametrize("name", ["book", "lstm_peephole", "elman", "lem"])
def test_the_report_is_that_of_the_cell_on_the_numbers_shown(name):
    page = context(bptt.cells.get(name), tau=5)
    mine, graph = flow_of(page), page.unrolled
    for state, rows in mine.numbers.norms.items():
        exact = [np.linalg.norm(graph.grad(graph.place(state, t))) for t in range(1, 6)]
        np.testing.assert_allclose(rows, exact, rtol=1e-12)
    shown = str(flow_panel(page))
    assert mine.verdict.split(".")[0][1:60] in shown  # begins with a capital there
    for found in mine.diagnoses:
        for remedy in found.remedies:
            assert not remedy.action or f"<code>{remedy.action}</code>" in shown


@pytest.mark.parametrize("name", ["book", "antisymmetric", "lstm_peephole", "ugrnn"])
def test_the_verdict_of_one_network_does_not_change_with_tau(name):
    words = [
        flow_of(context(bptt.cells.get(name), tau=tau)).verdict.partition(":")[0]
        for tau in (4, 12, 20)
    ]
    assert len(set(words)) == 1
