"""What "copy LaTeX" gives is read by the box, of every cell and every operation."""

from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.instances import Options
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.parse import parse
from bptt.explain.prepare import has_indices
from tests.explain.conftest import Opened
from tests.step.op_cells import OP_CELLS

CATALOGUE = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(Path("examples/catalogue").glob("*.cell"))
}
LIBRARY = {name: bptt.cells.get(name).text for name in bptt.cells.names()}
# Its own δ is a vector, beside which the Kronecker δ_{i,j} is displayed.
GREEK = "δ[t] = tanh(W @ δ[t-1] + U @ x[t])\nL[t] = mse(δ[t] * sigmoid(δ[t]), y[t])"
# As long as the longest of the catalogue: 2,000 characters were too few.
LONG = "h[t] = tanh(" + " + ".join(
    f"W_{i} @ sigmoid(U_{i} @ h[t-1] + V_{i} @ x[t] + b_{i})" for i in range(1, 40)
) + ")"  # fmt: skip
OWN = {
    "lower": "h[t] = tanh(lower_part(W) @ h[t-1] + U @ x[t])",
    "replaced":
        "a[t] = W @ h[t-1] + U @ x[t]\nh[t] = with_derivative(sign(a[t]), a[t])",
    "greek": GREEK, "long": LONG,
}  # fmt: skip
CELLS = {
    **LIBRARY, **CATALOGUE, **OWN,
    **{f"operation {name}": text for name, text in OP_CELLS.items()},
}  # fmt: skip


def displayed(subject):
    """Every side of the equations and cards: the expression, t and letters."""
    for name in subject.scope.graph.definitions:
        yield subject.derivation.equation(name), 2, {}
    maker = CardMaker(subject.derivation, subject.scope, subject.options)
    cards = [card for group in maker.groups() for card in group.cards]
    for chain in (chain for card in cards for chain in card.all_chains):
        t = subject.options.tau if chain.last == chain.first else 2
        for link in chain.links:
            yield link.expr, t, dict.fromkeys(chain.letters, 1)


@pytest.mark.parametrize("name", CELLS)
def test_the_latex_of_every_equation_is_read_back_with_its_value(name):
    cell = bptt.Cell(CELLS[name])
    if has_indices(cell.graph):
        return  # in the language of cells: tests/explain/test_indexed_formula.py
    subject = Subject(cell, name, Options(3))
    for expr, t, letters in displayed(subject):
        back = parse(to_latex(expr), subject.scope)
        try:
            expected = evaluate(expr, subject.shown, t, letters)
        except bptt.BpttError:  # shown for another step alone
            continue
        found = evaluate(back, subject.shown, t, letters)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_cells_have_what_was_not_read():
    texts = [
        to_latex(expr)
        for name, text in OWN.items()
        for expr, _, _ in displayed(Subject(bptt.Cell(text), name, Options(3)))
    ]
    for sign in (r"{lower}", r"{replaced}", r"\delta_{i,j}", r"\delta_{i}^{(t)}"):
        assert any(sign in text for text in texts), sign
    assert max(map(len, texts)) > 2000


@pytest.mark.parametrize("name", ["lower", "replaced", "greek"])
def test_the_box_of_the_page_reads_it_too(browser, tmp_path, name):
    file = bptt.Cell(OWN[name]).explain(tau=2).save(tmp_path / "page.html")
    page = Opened(browser, file).ready()
    bad = page.run(
        "() => Array.from(document.querySelectorAll('.chain'), (chain) => {"
        " const text = B.latexOf(chain);"
        " try { B.parseFormula(text); return null; }"
        " catch (e) { return `${e} ${text}`; }"
        "}).filter(Boolean)"
    )
    page.context.close()
    assert bad == []
