"""The checks are themselves checked: every mistake planted in a formula is caught.

Mistakes are planted in displayed trees (the first check must fail) and in emitted LaTeX
(the second must). A mutant that cannot be evaluated is caught, too. Mutants that say
the same (h^(t) of step t at a boundary of one step, a product of scalars swapped) are
told apart by evaluating them with exact meaning, not skipped by hand.

Of the two longer cells every third mutant of a card is tried, the first with it; all
with BPTT_EVERY_CELL=1.
"""

import os
import re
from collections import defaultdict
from dataclasses import fields, replace
from functools import cache
from itertools import count

import numpy as np
import pytest

import bptt
from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.evaluate import every
from bptt.explain.context import Subject
from bptt.explain.formula.edits import parts
from bptt.explain.instances import Options
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.plain import to_ascii
from bptt.explain.render.terminal import render_text
from bptt.explain.verify import Verifier
from tests.explain.documents import explained

NAMES = ("book", "mgu", "lstm_coupled")
EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))


@cache
def verifier(name):
    return Verifier(Subject(bptt.cells.get(name), name, Options()).points)


def main_chains(name):
    """The chains that say what a gradient is, with their cards."""
    for card in explained(name).document.cards:
        for chain in card.chains:
            if len(chain.links) > 1 and not chain.letters:
                yield card.id, chain


def swapped_factors(part):
    if isinstance(part, e.Product):
        for i in range(len(part.factors) - 1):
            order = list(part.factors)
            order[i : i + 2] = reversed(order[i : i + 2])
            yield replace(part, factors=tuple(order))


def transposes(part):
    if isinstance(part, e.Transpose):
        yield part.of
    elif isinstance(part, e.Value) and part.time is None:
        yield e.Transpose(part)


def shifted_steps(part):
    if isinstance(part, e.Value) and part.time is not None:
        yield from (replace(part, time=part.time.moved(by)) for by in (1, -1))
    if isinstance(part, e.Nabla) and part.of.time is not None:
        for by in (1, -1):
            yield replace(part, of=replace(part.of, time=part.of.time.moved(by)))


def dropped_terms(part):
    if isinstance(part, e.Sum) and len(part.terms) > 1:
        for i in range(len(part.terms)):
            yield e.total(*(part.terms[:i] + part.terms[i + 1 :]))


def dropped_factors(part):
    if isinstance(part, e.Product):
        for i in range(len(part.factors)):
            yield e.product(*(part.factors[:i] + part.factors[i + 1 :]))


def changed_signs(part):
    if isinstance(part, e.Negative):
        yield part.of
    elif isinstance(part, e.Sum):
        yield replace(part, terms=(e.negative(part.terms[0]), *part.terms[1:]))


def bent_bounds(part):
    if isinstance(part, e.Sigma) and isinstance(part.upper, e.Time):
        yield replace(part, upper=part.upper.moved(-1))
        yield replace(part, lower=part.lower.moved(1))


PLANTED = (swapped_factors, transposes, shifted_steps, dropped_terms, dropped_factors,
           changed_signs, bent_bounds)  # fmt: skip


def mutants(expr, plant):
    for part, put in parts(expr):
        for wrong in plant(part):
            yield put(wrong)


def says_the_same(name, chain, wrong):
    """Whether a mutant has the value of the formula at every point and step."""
    right = chain.links[-1].expr
    for point in verifier(name).points:
        steps = [None]
        if chain.first is not None:
            bounds = {"tau": point.tau}
            steps = range(chain.first.at(bounds), chain.last.at(bounds) + 1)
        for t in steps:
            a, b = (every(x, point, t, {}) for x in (right, wrong))
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-9, atol=1e-12):
                return False
    return True


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_planted_in_a_tree_is_caught(name, plant):
    planted, numbers = 0, defaultdict(count)  # a card's own: none is left out
    step = 1 if EVERY or name == "book" else 3
    for card, chain in main_chains(name):
        for wrong in mutants(chain.links[-1].expr, plant):
            if wrong == chain.links[-1].expr or next(numbers[card]) % step:
                continue
            checked = verifier(name).chain(
                replace(chain, links=(chain.links[0], m.Link(wrong)))
            )
            if checked.links[1].tree.status != m.FAILED:
                assert says_the_same(name, chain, wrong), (card, to_ascii(wrong))
                continue
            planted += 1
            assert checked.status == m.FAILED
    assert planted > 0


BENT_LATEX = {
    "a transpose lost": (r"\^\{\\top\}", ""),
    "t+1 for t": (r"\^\{\(t\)\}", "^{(t+1)}"),
    "t for t+1": (r"\^\{\(t\+1\)\}", "^{(t)}"),
    "t for t-1": (r"\(t-1\)", "(t)"),
    "a plus for a minus": (r" - ", " + "),
    "a minus for a plus": (r" \+ ", " - "),
    "a matrix product for ⊙": (r" \\odot ", " "),
    "diag left out": (r"\\operatorname\{diag\}", ""),
    "a power left out": (r"\^\{2\}", ""),
    "W for V": (r"V", "W"),
    "the last step left out": (r"\\tau\}", r"\\tau-1}"),
}


@pytest.mark.parametrize("bend", BENT_LATEX)
def test_every_mistake_planted_in_emitted_latex_is_caught(bend):
    pattern, wrong = BENT_LATEX[bend]
    planted = 0
    for name in NAMES:
        for _, chain in main_chains(name):
            right = chain.links[-1].expr
            latex = to_latex(right)
            for match in re.finditer(pattern, latex):
                before, after = latex[: match.start()], latex[match.end() :]
                bent = before + match.expand(wrong) + after
                printer = {right: bent}
                bending = replace(
                    verifier(name), to_latex=lambda x: printer.get(x, to_latex(x))
                )
                short = replace(chain, links=(chain.links[0], m.Link(right)))
                checked = bending.chain(short)
                assert checked.links[1].tree.status == m.PASSED
                assert checked.links[1].printed.status == m.FAILED, bent
                planted += 1
    assert planted > 0


def test_a_wrong_rule_of_differentiation_makes_its_cards_fail(monkeypatch):
    from bptt.explain.algebra import rules

    def wrong(site, g):
        return (e.product(e.Diag(e.minus(rules.ONE, site.y)), g),)

    monkeypatch.setitem(rules.PULLS, "tanh", wrong)
    document = bptt.cells.elman.explain(step="node:a").document
    card = next(card for card in document.cards if card.id == "node:a")
    assert card.status == m.FAILED
    assert document.badge.failed > 0
    text = render_text(document, "en", cards=(card,))
    assert "FAILED" in text
    assert "is read within its own step" not in text  # the claim is withdrawn
    assert "FAILED" in str(bptt.cells.elman.explain(step="node:a"))


def test_a_value_that_does_not_exist_fails_and_says_why():
    chain = m.Chain((m.Link(e.Nabla(e.Value("h", e.TAU.moved(1)))),) * 2, None, None)
    checked = verifier("book").chain(chain)
    assert checked.status == m.FAILED
    assert "h^(" in str(checked.links[0].tree.note.fields["error"])


def test_every_field_of_an_expression_is_walked():
    """A kind of expression with parts that `children` misses would hide mistakes."""
    derivation = Derivation(bptt.cells.book.graph)
    for name in derivation.graph.definitions:
        for part in e.walk(derivation.equation(name)):
            held = [getattr(part, f.name) for f in fields(part) if f.name != "span"]
            inner = [x for v in held for x in (v if isinstance(v, tuple) else (v,))]
            assert [x for x in inner if isinstance(x, e.Expr)] == list(part.children)
