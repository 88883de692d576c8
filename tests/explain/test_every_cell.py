"""Every cell of the library, and cells that a person might write, derived."""

import re

import numpy as np
import pytest
from rich.cells import cell_len

import bptt
from bptt.check import make_instance
from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.expr import Nabla, T, Value
from bptt.explain.algebra.rules import PULLS, TRANSLATIONS
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.instances import Options
from bptt.explain.verify import Verifier
from bptt.step.ops import OPS
from tests.explain.documents import CELLS, explained
from tests.step.op_cells import OP_CELLS

WIDTH = 90
NOT_FORWARD = ("fill", "scatter", "one_hot", "nll_logits", "nll_soft_logits",
               "bce_logits", "named", "spread", "total", "total_outer",
               "total_scatter")  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_every_displayed_equality_is_evaluated_and_holds(name):
    document = explained(name).document
    badge = document.badge
    assert badge.equations == badge.checked > 10
    assert badge.failed == 0
    assert badge.worst <= m.TOLERANCE
    for chain in document.chains():
        for link in chain.links:
            assert link.tree.status == link.printed.status == m.PASSED
            assert link.tree.instances == 3


@pytest.mark.parametrize("lang", m.LANGUAGES)
@pytest.mark.parametrize("name", ["book", "lstm", "branches"])
def test_the_terminal_shows_a_cell_in_both_languages(name, lang):
    text = explained(name, lang).text(width=WIDTH)
    assert max(map(cell_len, text.splitlines())) <= WIDTH
    assert not re.search(r"(?<!_)\{[a-z-]+\}|`", text)  # no field or formula left over
    assert ("为什么" in text) == (lang == "zh")
    assert ("Why?" in text) == (lang == "en")
    assert len(text) > 3000


@pytest.mark.parametrize("lang", m.LANGUAGES)
@pytest.mark.parametrize("name", CELLS)
def test_markdown_and_latex_show_every_cell_in_both_languages(name, lang):
    found = explained(name, lang)
    markdown, latex = found.markdown(), found.latex()
    assert markdown.count("$$") % 2 == 0
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    for text in (markdown, latex):
        assert ("为什么" in text) == (lang == "zh")
        assert text.count(r"\begin{aligned}") > 10


@pytest.mark.parametrize("name", CELLS)
def test_every_node_and_parameter_has_a_card(name):
    found = explained(name)
    graph = found.document.scope.graph
    ids = {card.id for card in found.document.cards}
    if name == "book":
        return  # its cards are the book's: test_book.py
    assert {f"node:{node}" for node in graph.definitions} <= ids
    assert {f"parameter:{parameter}" for parameter in graph.parameters} <= ids
    states = [state for state in graph.states if state in graph.definitions]
    assert {f"initial:{state}" for state in states} <= ids


@pytest.mark.parametrize("name", CELLS)
def test_the_shown_gradients_are_those_of_the_fast_kernels_graph(name):
    document = explained(name).document
    shown = document.shown
    cell = explained(name).cell
    unrolled = shown.graph
    values = unrolled.values
    params = {p.name: values[p] for p in unrolled.places if p.kind == "parameter"}
    inputs = _sequences(unrolled, "input")
    initial = {
        p.name: values[p]
        for p in unrolled.places
        if p.kind == "initial" and p.name in cell.graph.definitions
    }
    seeds = {name: array[:, None] for name, array in shown.seeds.items()}
    grad = cell.gradient(
        params, {n: v[:, None] for n, v in inputs.items()}, initial=initial,
        seeds=seeds, executor="reference",
    )  # fmt: skip
    for parameter in params:
        right = shown.gradient(parameter, None)
        assert abs(grad[parameter].reshape(right.shape) - right).max() < 1e-12


def _sequences(unrolled, kind):
    names = dict.fromkeys(p.name for p in unrolled.places if p.kind == kind)
    steps = range(1, unrolled.tau + 1)
    return {
        name: np.stack([unrolled.values[unrolled.place(name, t)] for t in steps])
        for name in names
    }


@pytest.mark.parametrize("op", [op for op in OP_CELLS if op not in NOT_FORWARD])
def test_every_operation_has_a_derivation(op):
    context = Subject(bptt.Cell(OP_CELLS[op]), op, Options())
    maker = CardMaker(context.derivation, context.scope, context.options)
    chains = [c for name in context.scope.graph.definitions
              for c in maker.node_card(name).chains]  # fmt: skip
    chains += [c for name in context.scope.graph.parameters
               for c in maker.parameter_card(name).chains]  # fmt: skip
    verifier = Verifier(context.points[:1])
    for chain in chains:
        checked = verifier.chain(chain)
        assert checked.status == m.PASSED, [link.expr for link in chain.links]


def test_no_operation_of_the_language_lacks_a_rule():
    written = {name for name, op in OPS.items() if op.written}
    assert written == set(PULLS) == set(TRANSLATIONS)


@pytest.mark.parametrize("options", [
    {"reduction": "mean"}, {"reduction": "last"}, {"weights": (0.5, 0.0, 2.0, 1.0)},
], ids=["mean", "last", "weights"])  # fmt: skip
@pytest.mark.parametrize("name", ["book", "tokens"])
def test_the_derivation_holds_for_every_way_of_adding_the_losses(name, options):
    document = explained(name, **options).document
    badge = document.badge
    assert badge.equations == badge.checked > 10
    for t in range(1, 5):
        expected = document.shown.weights[t - 1]
        assert document.shown.gradient("L", t) == expected


def test_inner_nodes_are_named_and_leave_the_rest_as_it_was():
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])\n"
                     "L[t] = nll(softmax(V @ h[t]), y[t])")  # fmt: skip
    context = Subject(cell, "mine", Options())
    assert tuple(context.scope.graph.definitions) == ("h", "L_1", "y_hat", "L")
    instance = make_instance(cell.graph, 1, 0)
    before = cell.gradient(instance.params, instance.inputs, executor="reference")
    point = context.points[0]
    one_row = cell.gradient(
        instance.params, {n: v[:, :1] for n, v in instance.inputs.items()},
        initial={n: v[:1] for n, v in instance.initial.items()}, executor="reference",
    )  # fmt: skip
    assert before["W"].shape == one_row["W"].shape
    assert abs(point.gradient("W", None) - one_row["W"]).max() < 1e-14


def test_a_cell_without_a_loss_is_seeded_and_says_so():
    found = explained("lstm")
    card = next(card for card in found.document.cards if card.id == "node:h")
    assert e.Incoming(Value("h", T)) in set(e.walk(card.chains[-1].links[-1].expr))
    assert "arrives from outside" in found.text()


def test_a_stopped_gradient_and_a_comparison_give_nothing_back():
    derivation = Derivation(bptt.Cell(
        "s[t] = U @ x[t]\n"
        "h[t] = where(s[t] > 0, stop_gradient(s[t]), h[t-1])"
    ).graph)  # fmt: skip
    pulled = derivation.pulled("h", Nabla(Value("h", T)))
    by_name = {reading.name: part for reading, part in pulled.items()}
    assert by_name["s"] is None
    assert by_name["h"] is not None
