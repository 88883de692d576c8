"""The book's network: equations 10.17-10.28, three questions, the slips."""

import re
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import TAU, T
from bptt.explain.context import Subject
from bptt.explain.formula.mistakes import outcomes
from bptt.explain.instances import Options
from bptt.explain.notation.parse import parse
from bptt.explain.notation.plain import to_ascii
from bptt.explain.render.common import numbers_of
from bptt.explain.sentences import table
from bptt.explain.texts import pieces
from tests.chapter import handwritten
from tests.explain.documents import explained

DOCUMENT = explained("book").document
CARDS = {card.id: card for card in DOCUMENT.cards}
SCOPE = DOCUMENT.scope


def texts(card, lang="en"):
    """Every sentence of a card as text."""
    found = [card.title, card.claim, card.reason, card.wrong]
    found += [why.text for why in card.why]
    return " ".join(
        piece if isinstance(piece, str) else to_ascii(piece)
        for text in found
        if text is not None
        for piece in pieces(text, lang, SCOPE)
    )


def sides(card, chain=0):
    return [to_ascii(link.expr) for link in card.chains[chain].links]


def test_the_cards_are_the_books_equations_with_what_they_leave_out():
    assert list(CARDS) == [
        "a-split", "10.17", "10.18", "10.19", "tanh", "10.20", "10.21", "copies",
        "10.22", "10.23", "10.24", "10.26", "10.28", "h0", "x",
    ]  # fmt: skip


def test_the_phases_are_nodes_and_then_parameters():
    phases = [card.phase for card in CARDS.values()]
    assert phases == sorted(phases, key=m.PHASES.index)
    blocks = DOCUMENT.panel("derivation").blocks
    groups = next(block for block in blocks if isinstance(block, m.Cards))
    assert [g.id for g in groups.groups] == list(m.PHASES)


def test_every_card_answers_why_and_what_would_go_wrong_in_both_languages():
    for card in CARDS.values():
        assert card.why[0].kind == "rule"
        assert card.wrong is not None
        assert card.shapes
        kinds = [why.kind for why in card.why]
        if {"element", "matrix"} <= set(kinds):
            assert kinds.index("element") < kinds.index("matrix")
        for lang in m.LANGUAGES:
            assert len(texts(card, lang)) > 80
            assert "easy to see" not in texts(card, lang)


def test_the_readers_three_questions_are_answered():
    questions = {card.question: card.id for card in CARDS.values() if card.question}
    assert questions == {"Q1": "10.17", "Q3": "tanh", "Q2": "10.21"}


def test_q1_the_derivative_by_one_loss_is_derived_from_the_sum():
    (element,) = (why for why in CARDS["10.17"].why if why.kind == "element")
    found = [to_ascii(link.expr) for link in element.chains[0].links]
    assert found == ["partial(L, L[t])", "sum(s, 1, tau, partial(L[s], L[t]))", "1"]


@pytest.mark.parametrize(("options", "last"), [
    ({}, "1"), ({"reduction": "mean"}, "1 / tau"), ({"reduction": "last"}, "w[t]"),
    ({"weights": (1.0, 0.0, 2.0, 0.5)}, "w[t]"),
], ids=["sum", "mean", "last", "weights"])  # fmt: skip
def test_q1_follows_the_way_the_losses_are_added(options, last):
    cards = explained("book", **options).document.cards
    card = next(card for card in cards if card.id == "10.17")
    total, derivative = card.chains
    assert to_ascii(derivative.links[-1].expr) == last
    assert card.status == m.PASSED
    # L is made of the losses in an equation of its own, from which the rest follows.
    left, right = (to_ascii(link.expr) for link in total.links)
    times = "" if last == "1" else "w[t] * " if last == "w[t]" else "(1 / tau) * "
    assert (left, right) == ("L", f"sum(t, 1, tau, {times}L[t])")


@pytest.mark.parametrize(
    ("number", "card", "words"),
    [
        ("Q1", "10.17", {"en": ["derived", "is 1", "sum"], "zh": ["推出来", "等于 1"]}),
        ("Q2", "10.21", {
            "en": ["the second is still the gradient", "the third, the diagonal"],
            "zh": ["第二个仍然是梯度", "第三个，也就是对角矩阵"],
        }),
        ("Q3", "tanh", {"en": ["hyperbolic", "quotient"], "zh": ["双曲正切", "商"]}),
    ],
)  # fmt: skip
def test_each_question_is_stated_in_words_where_it_is_answered(number, card, words):
    found = CARDS[card]
    assert found.question == number
    for lang, wanted in words.items():
        parts = (found.asks, found.claim, found.why[0].text)
        said = " ".join(table(lang)[text.id] for text in parts)
        for word in wanted:
            assert word in said, (lang, word)


def test_the_derivative_of_tanh_is_derived_and_not_stated():
    element = next(w for w in CARDS["tanh"].why if w.kind == "element")
    links = [to_ascii(k.expr) for k in element.chains[1].links]
    assert links[0] == "partial(h[t,i], a[t,i])"
    assert "exp(a[t,i])" in links[1]
    assert links[-1] == "1 - h[t,i]**2"
    assert all(link.status == m.PASSED for c in element.chains for link in c.links)


def test_the_general_algorithm_stands_beside_the_equations_it_becomes():
    general = next(b for b in DOCUMENT.panel("derivation").blocks
                   if isinstance(b, m.ShownTable))  # fmt: skip
    calls = {row.cells[0].fields["node"].name: row for row in general.rows[1:]}
    assert list(calls) == ["L", "y_hat", "o", "h", "a"]
    assert to_ascii(calls["h"].cells[1]) == "W.T @ grad_a[t+1] + V.T @ grad_o[t]"
    assert to_ascii(calls["a"].cells[1]) == "diag(1 - h[t]**2) @ grad_h[t]"
    assert all(row.check.status == m.PASSED for row in general.rows[1:])
    text = explained("book").text()
    assert "bprop(o⁽ᵗ⁾, h⁽ᵗ⁾, ∇_o⁽ᵗ⁾ L)" in text


def test_q2_is_matched_factor_by_factor_and_the_index_is_t_plus_1():
    card = CARDS["10.21"]
    assert sides(card) == [
        "grad_h[t]",
        "partial(h[t+1], h[t]).T @ grad_h[t+1] + partial(o[t], h[t]).T @ grad_o[t]",
        "W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]",
    ]
    (match,) = (why for why in card.why if why.kind == "match")
    chains = [[to_ascii(k.expr) for k in c.links] for c in match.chains]
    assert chains[0][0] == "partial(h[t+1], h[t]).T"
    assert chains[0][-1] == "W.T @ diag(1 - h[t+1]**2)"
    assert ["partial(a[t+1], h[t]).T", "W.T"] in chains
    assert card.chains[0].last == TAU.moved(-1)


def test_q3_the_tanh_jacobian_is_diagonal_and_the_state_jacobian_is_not():
    card = CARDS["tanh"]
    assert sides(card) == ["partial(h[t], a[t])", "diag(1 - h[t]**2)"]
    shown = DOCUMENT.shown
    diagonal = evaluate(parse("partial(h[t], a[t])", SCOPE), shown, 2)
    dense = evaluate(parse("partial(h[t+1], h[t])", SCOPE), shown, 2)
    assert np.count_nonzero(diagonal - np.diag(np.diag(diagonal))) == 0
    assert np.all(dense != 0)


def test_the_two_terms_of_a_hidden_state_are_shown_with_their_norms():
    (total, future, now) = numbers_of(CARDS["10.21"].chains[0], DOCUMENT, 2)
    assert np.allclose(total.value, future.value + now.value, rtol=1e-14, atol=1e-14)
    assert total.norm == np.linalg.norm(DOCUMENT.shown.gradient("h", 2))
    assert 0 < now.norm != future.norm > 0


def test_the_boundary_is_a_card_of_its_own():
    card = CARDS["10.19"]
    assert (card.boundary, card.chains[0].is_single_step) == ("last", True)
    assert CARDS["10.21"].boundary == "inner"
    assert CARDS["h0"].boundary == "start"
    assert sides(CARDS["h0"])[-1] == "W.T @ diag(1 - h[1]**2) @ grad_h[1]"


def shown_problem():
    """The numbers of the page as arguments of the code written by hand."""
    shown = DOCUMENT.shown
    values = shown.graph.values
    params = {p.name: values[p] for p in values if p.kind == "parameter"}
    steps = range(1, shown.tau + 1)
    x = np.stack([values[shown.place("x", t)] for t in steps])
    y = np.array([int(values[shown.place("y", t)]) for t in steps])
    return params, {"x": x, "y": y}, {"h": values[shown.place("h", 0)]}


def test_the_numbers_shown_are_those_of_back_propagation_written_by_hand():
    params, inputs, initial = shown_problem()
    by_hand = handwritten.gradient(params, inputs, initial=initial)
    for name in params:
        right = np.reshape(by_hand[name], DOCUMENT.shown.gradient(name, None).shape)
        assert np.allclose(DOCUMENT.shown.gradient(name, None), right, rtol=1e-12)


def test_immediate_and_total_derivative_are_two_notations_with_two_values():
    immediate = parse("partial(h[t], b[t])", SCOPE)
    total = parse("total(h[t], b)", SCOPE)
    assert immediate != total
    shown = DOCUMENT.shown
    assert np.allclose(evaluate(immediate, shown, 1), evaluate(total, shown, 1))
    assert not np.allclose(evaluate(immediate, shown, 3), evaluate(total, shown, 3))
    shown_exprs = {part for chain in CARDS["copies"].all_chains for link in chain.links
                   for part in e.walk(link.expr)}  # fmt: skip
    assert {immediate, total} <= shown_exprs


def test_sharing_across_steps_is_explained_by_the_copies():
    words = {"en": ("own copy", "at every step", "the sum over the copies", "Immediate",
                    "Total"),
             "zh": ("副本", "每个时间步", "直接导数", "全导数")}  # fmt: skip
    for lang, wanted in words.items():
        text = explained("book", lang).markdown()
        assert [word for word in wanted if word not in text] == []


def test_the_references_that_the_text_lost_are_on_the_page():
    for lang, section in (("en", "section 6.5.6"), ("zh", "6.5.6 节")):
        text = explained("book", lang).markdown()
        assert section in text
        for number in (*range(8, 13), *range(17, 29)):
            assert f"10.{number}" in text, number


def test_x_is_skipped_with_the_reason_that_its_ancestors_hold_no_parameter():
    text = explained("book").text()
    assert "has no parameter among its ancestors" in text
    assert "祖先中没有参数" in explained("book", "zh").text()


def test_the_one_row_that_differs_from_the_book_is_the_printed_order_of_10_21():
    table = next(b for b in DOCUMENT.panel("against").blocks
                 if isinstance(b, m.ShownTable) and b.id == "book")  # fmt: skip
    bad = [row for row in table.rows if row.mark == "bad"]
    assert [row.cells[0] for row in bad] == ["10.21"]
    assert to_ascii(bad[0].cells[1]).startswith("W.T @ grad_h[t+1] @ diag(")
    assert bad[0].check.status == m.FAILED
    numbers = [row.cells[0] for row in table.rows]
    assert numbers == [f"10.{n}" for n in range(17, 29)]
    for row in table.rows:
        if row.mark == "good":
            assert row.check.status == m.PASSED


def test_the_page_never_says_that_the_book_was_corrected():
    for lang in m.LANGUAGES:
        text = explained("book", lang).text()
        assert "MIT Press" in text
        for word in ("corrected", "erratum", "勘误", "已更正", "已修正"):
            assert word not in text


BY_HAND = {
    "printed": "printed order", "w-alone": "W^T alone", "same-step": "index t",
    "square": "(1-h)^2", "no-transpose": "W for W^T",
    "no-future": "future term dropped", "state-shift": "h(t) for h(t-1)",
    "all-classes": "y_hat - 1 for all i", "right": None,
}  # fmt: skip


def test_each_usual_mistake_costs_what_code_written_by_hand_with_it_costs():
    params, inputs, initial = shown_problem()
    found = {outcome.variant.id: outcome for outcome in outcomes(DOCUMENT.shown)}
    assert found.keys() == BY_HAND.keys()
    assert set(BY_HAND.values()) == {None, *handwritten.MISTAKES}
    right = handwritten.gradient(params, inputs, initial=initial)
    for name, mistake in BY_HAND.items():
        wrong = handwritten.gradient(params, inputs, initial=initial, mistake=mistake)
        errors = {"W": found[name].error, "U": found[name].error_of_u}
        for parameter, error in errors.items():
            size = np.linalg.norm(right[parameter])
            by_hand = np.linalg.norm(wrong[parameter] - right[parameter]) / size
            assert error == pytest.approx(by_hand, rel=1e-10, abs=1e-14)
    misshapen = [name for name, outcome in found.items() if outcome.shape_problem]
    assert misshapen == ["printed"]


def test_other_spellings_of_the_books_network_get_the_books_cards():
    loss = "o[t] = V @ h[t] + c\nL[t] = nll(softmax(o[t]), y[t])"
    cell = bptt.Cell(f"a[t] = U @ x[t] + b + W @ h[t-1]\nh[t] = tanh(a[t])\n{loss}")
    assert Subject(cell, "mine", Options()).is_book
    other = bptt.Cell(f"a[t] = b + W @ h[t-1] + U @ x[t]\nh[t] = sin(a[t])\n{loss}")
    assert not Subject(other, "mine", Options()).is_book


def test_the_lit_edges_of_10_21_are_affine_then_tanh_and_the_output():
    affine, tanh, output = ("h", 0, "a", 1), ("a", 1, "h", 1), ("h", 0, "o", 0)
    assert CARDS["10.21"].edges == (affine, tanh, output)


def test_t_is_defined_on_the_page_and_tau_is_the_last_step():
    assert "τ is the last step" in explained("book").text()
    assert "τ 是最后一步" in explained("book", "zh").text()
    assert T.at({"t": 3}) == 3


def test_tables_go_from_the_end_of_the_sequence_to_its_start():
    blocks = DOCUMENT.panel("flow").blocks
    table = next(b for b in blocks if isinstance(b, m.ShownTable) and b.id == "flow:h")
    assert [row.cells[0] for row in table.rows] == [4, 3, 2, 1]
    for t, total, now, future in (row.cells for row in table.rows):
        gradient = np.linalg.norm(DOCUMENT.shown.gradient("h", t))
        assert total == pytest.approx(gradient, rel=1e-14)
        assert now > 0
        assert (future > 0) == (t < 4)
    visits = next(
        b for b in DOCUMENT.panel("graph").blocks if isinstance(b, m.ShownTable)
    )
    numbers = {to_ascii(row.cells[0]): row.cells[-1] for row in visits.rows}
    assert numbers["L[t]"] == "1, 6, 11, 16"
    assert numbers["h[t]"] == "4, 9, 14, 19"


def test_the_names_of_other_libraries_are_those_of_the_notation_page():
    page = (Path(__file__).parents[2] / "docs" / "notation.md").read_text()
    blocks = DOCUMENT.panel("against").blocks
    table = next(b for b in blocks if isinstance(b, m.ShownTable) and b.id == "names")
    for row in table.rows:
        for cell in row.cells[1:]:
            words = cell if isinstance(cell, str) else pieces(cell, "en", SCOPE)[0]
            for word in re.findall(r"[a-z]+_[a-z_0-9]+|kernel|Linear|Dense", words):
                assert word in page
