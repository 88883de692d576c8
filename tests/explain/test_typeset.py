"""No formula stands as plain text in a sentence, and no scalar is transposed."""

import re
from html.parser import HTMLParser

import pytest

import bptt
from bptt.explain.algebra import expr as e
from tests.explain.documents import explained

MARKS = re.compile(r"∇_|\^\(|\^\{|(?<![A-Za-z0-9_])[A-Za-z]_[A-Za-z0-9]|\)_")
# Code, drawings, what the script typesets, and tables of other libraries' names.
APART = {"code", "pre", "script", "style", "svg", "math", "title", "textarea"}
NO_END = {"meta", "input", "br", "td", "th", "tr", "tbody", "thead", "li"}

WITHOUT_EDGES = """
    k[t] = argmax(h[t-1])
    h[t] = tanh(W @ h[t-1] + E[:, k[t]] + U @ x[t])
    L[t] = sum(h[t] ** 2)
    """


class Sentences(HTMLParser):
    """The text of a page that is neither code nor a formula."""

    def __init__(self, page):
        super().__init__()
        self.inside, self.found = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in NO_END:
            is_formula = "data-e" in dict(attrs)
            self.inside.append((tag, tag in APART or is_formula))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(apart for _, apart in self.inside):
            self.found.append(data)


@pytest.mark.parametrize(
    "name", ["book", "lstm", "two states, one scalar", "a name with a stroke"]
)
def test_no_formula_stands_as_plain_text_in_a_sentence(name):
    plain = [text for text in Sentences(explained(name).html()).found
             if MARKS.search(text)]  # fmt: skip
    assert plain == []


def test_a_name_in_a_sentence_has_what_stands_below_it_there():
    page = explained("book").html()
    assert "<i>n</i><sub>x</sub> = 2, <i>n</i><sub>o</sub> = 3" in page
    assert "<code>a[t] = b + W @ h[t-1] + U @ x[t]</code>" in page


@pytest.mark.parametrize("name", ["book", "lstm"])
def test_the_states_before_the_first_step_are_named(name):
    said = explained(name).text()
    states = {"book": "h⁽⁰⁾", "lstm": "h⁽⁰⁾, s⁽⁰⁾"}
    assert f"The state before the first step is {states[name]}." in said
    assert "(∂y/∂x)ᵢⱼ = ∂yᵢ/∂xⱼ" in said
    assert "h⁽ᵗ⁾ to" in said


def test_a_number_is_its_own_transpose_and_a_share_has_the_bar_outside():
    share = e.Quotient(e.Number(1.0), e.Size("n_h"))
    assert e.transpose(share) == share
    u = e.Value("u", e.T)
    mean = e.Quotient(e.Product((e.Transpose(e.Ones("n_h")), u)), e.Size("n_h"))
    turned = e.Product((e.Transpose(u), e.Ones("n_h")))
    assert e.transpose(mean) == e.Quotient(turned, e.Size("n_h"))
    said = bptt.Cell("""
        h[t] = tanh(W @ h[t-1] + U @ x[t]) * mean(x[t])
        L[t] = mean((h[t] - y[t]) ** 2)
        """).explain().text()  # fmt: skip
    assert "(1/n_h) 𝟏_n_h" in said
    assert not re.search(r"\(1/n_\w\)ᵀ|/n_\w\)ᵀ", said)


def test_a_cell_without_cards_says_how_many_lines_were_checked_and_what_is_left_out():
    shown = bptt.Cell(WITHOUT_EDGES).explain()
    said = shown.text()
    badge = shown.document.badge
    assert badge.checked == badge.equations > 0
    assert f"{badge.equations} equations · {badge.checked} checked" in said
    assert "as argmax does" in said
    assert "求位置（如 argmax）" in bptt.Cell(WITHOUT_EDGES).explain(lang="zh").text()
    assert shown.passed


@pytest.mark.parametrize("name", ["lstm", "two states, one scalar"])
def test_the_reason_of_a_first_equality_is_what_it_is_made_of(name):
    reasons = {}
    for card in explained(name).document.cards:
        for chain in card.chains:
            if chain.links[0].expr.__class__ is e.Nabla and chain.links[1].reason:
                reasons[chain.links[1].expr] = chain.links[1].reason
    assert reasons
    for expr, reason in reasons.items():
        terms = expr.terms if isinstance(expr, e.Sum) else (expr,)
        if reason.id == "reason.outside":
            assert isinstance(expr, e.Incoming)
        elif reason.id == "reason.successor":
            assert len(terms) == 1 and not isinstance(expr, e.Incoming)
        elif reason.id == "reason.successors":
            assert reason.fields["count"] == len(terms) > 1
    said = explained(name).html()
    assert "number of terms" not in said
    assert ("no successor: what arrives from outside" in said) == (name == "lstm")
