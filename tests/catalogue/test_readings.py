"""Every cell of the catalogue through `check`'s quickest oracles, and `explain`."""

import re

import numpy as np
import pytest

from bptt import Cell, check
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.expr import Nabla, T, Value, walk
from bptt.explain.build import build_document
from bptt.explain.html import html_page
from bptt.explain.indices.lines import gradient_lines
from bptt.explain.instances import Options
from bptt.explain.prepare import has_indices, prepare
from bptt.explain.render.terminal import render_text
from tests.catalogue.cases import Case, load
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


INDEXED = [name for name in LOOPS if has_indices(load(name).graph)]


@pytest.mark.parametrize("name", INDEXED)
def test_an_indexed_cells_every_card_is_checked(name):
    cell = load(name)._open_loss()
    document = build_document(cell, name, Options(tau=2), with_ledger=False)
    text = render_text(document, "en")
    for parameter in cell.parameters:
        assert f"grad_{parameter}" in text
    assert render_text(document, "zh") != text
    badge = document.badge
    assert badge.checked == badge.equations > 0
    assert not badge.failed
    assert "card-node:" in html_page(document)


@pytest.mark.parametrize("name", [name for name in LOOPS if name not in INDEXED])
def test_every_edge_of_another_cell_is_derived(name):
    derivation = Derivation(prepare(load(name)._open_loss().graph))
    for definition in derivation.graph.definitions:
        gradient = Nabla(Value(definition, T))
        for reading, pulled in derivation.pulled(definition, gradient).items():
            assert pulled is None or gradient in set(walk(pulled)), reading


@pytest.mark.parametrize("name", ["gru_d", "skip_rnn", "lif", "kalman"])
def test_every_equation_shown_is_checked(name):
    cell = load(name)._open_loss()
    document = build_document(cell, name, Options(tau=2), with_ledger=False)
    badge = document.badge
    assert badge.checked == badge.equations > 0
    assert not badge.failed


RUN = {"s6": ["delta", "B", "C", "h"], "deltanet": ["S", "beta"]}


@pytest.mark.parametrize("name", RUN)
def test_the_gradient_shown_is_a_cell_that_gives_the_gradient(name):
    """Its lines, read as a backward loop over the values of the forward run."""
    case = Case(name, LOOPS[name][1])
    cell, nodes = case.cell, tuple(case.cell.nodes)
    grad = cell.gradient(
        case.params, case.inputs, initial=case.initial, seeds=case.seeds,
        nodes=nodes, executor="reference",
    )  # fmt: skip
    node = LOOPS[name][1]
    targets = {f"grad_{n}": n for n in nodes}
    lines = [
        line
        for line in gradient_lines(cell.graph)
        if line.partition("[t")[0] in targets and "..." not in line
    ]
    shapes = {**cell.nodes, **cell.inputs, **cell.parameters}
    incoming = f"incoming_{node}"
    shapes |= {f"grad_{n}": s for n, s in cell.nodes.items()}
    shapes[incoming] = cell.nodes[node]
    text = "\n".join([
        *(line for line in cell.canonical_text.splitlines() if ", ..., " in line),
        *(
            f"{n}: ({', '.join(map(str, shape))},)"
            for n, shape in shapes.items()
            if shape and re.search(rf"\b{n}\b", " ".join(lines))
        ),
        *lines,
    ])  # fmt: skip
    back = Cell(text)
    given = {
        **{n: grad.run[n] for n in nodes},
        **case.inputs,
        incoming: case.seeds[node],
    }
    run = back.forward(
        {n: case.params[n] for n in back.parameters},
        {n: given[n] for n in back.inputs},
        initial={s: case.initial[s] for s in back.states if s in case.initial},
        executor="reference",
    )  # fmt: skip
    for found in RUN[name]:
        np.testing.assert_allclose(
            run[f"grad_{found}"], grad.nodes[found], rtol=0, atol=1e-12, err_msg=found
        )
