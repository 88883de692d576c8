"""Cells with indices: a card for every gradient, each line and each term checked."""

from dataclasses import replace

import pytest

from bptt import Cell
from bptt.explain.context import Subject
from bptt.explain.indices.check import check_line, check_term
from bptt.explain.indices.lines import Lines, gradient_lines
from bptt.explain.instances import Options
from bptt.explain.model import FAILED, PASSED
from bptt.explain.notation.latex import to_latex

MEMORY = """
    j = 1, ..., n_head
    k[t, j] = W_k[j] @ x[t]; v[t, j] = tanh(W_v[j] @ x[t])
    S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])
    o[t] = sum(j, V[j] @ (S[t, j] @ k[t, j]))
    L[t] = mse(o[t], y[t])
"""
ATTENTION = """
    j = 1, ..., n_src
    m: (n_src, n_m) = input
    a[t, j] = softmax(j, dot(v, tanh(W @ s[t-1] + U @ m[j])))
    s[t] = tanh(R @ s[t-1] + C @ sum(j, a[t, j] * m[j]))
"""
INNER = """
    l = 1, ..., 3
    s[t, 0] = s[t-1, 3]
    s[t, l] = tanh(R[l] @ s[t, l-1] + U @ x[t])
"""
JOINED = "h[t] = tanh(W @ [h[t-1]; x[t]]) + x[t-2]"
UNIT = "m[t] = (eye(n_m) + A) @ m[t-1] + B @ u[t]\nA: (n_m, n_m)"
SPLIT = """
    a: 4 * n_h
    a[t] = b + W @ [h[t-1]; x[t]]
    s[t] = (sigmoid(a[t, 1, ..., n_h]) * s[t-1]
        + sigmoid(a[t, n_h+1, ..., 2 * n_h]) * tanh(a[t, 2*n_h+1, ..., 3*n_h]))
    h[t] = sigmoid(a[t, 3*n_h+1, ..., 4 * n_h]) * tanh(s[t])
"""
BACK = "j = 1, ..., n_j\nh[t, j] = tanh(W[j] @ h[t+1, j] + U[j] @ x[t])"
DELAY = """
    j = 1, ..., n_j; k = 1, ..., 3
    h: (n_j, n_h); w: (3, n_j, n_h)
    h[t, j] = tanh(sum(k, w[k, j] * h[t-k, j]) + U[j] @ x[t])
"""
CONV = """
    l = 1, ..., n_l; k = -1, ..., 1
    x: (n_l, n_x); h: (n_l, n_h)
    h[t, l] = tanh(b + sum(k, W[k] @ h[t-1, l+k] + U[k] @ x[t, l+k]))
"""
PLACES = """
    i, j = 1, ..., n_i
    A: (n_i, n_i); s: n_i; e: (n_i, n_i)
    e[t, i, j] = A[i, j] * s[t-1, i] * s[t-1, j]
    s[t, i] = softmax(i, dot(w[i], x[t]) + sum(j, e[t, j, i])) + max(j, e[t, i, j])
"""
CHOSEN = """
    j = 1, ..., n_j
    E: (n_j, n_h, n_k); B: (n_j, n_v)
    h[t, j] = tanh(W[j] @ h[t-1, j] + E[j][:, k[t]])
    L[t] = sum(j, B[j, v[t]] * sum(h[t, j]))
"""
ENDS = """
    j = 1, ..., n_j
    s: n_s = input
    h[0, j] = tanh(B[j] @ s)
    h[t, j] = tanh(W[j] @ h[t-1, j] + U[j] @ x[t])
    o = c + sum(j, V[j] @ h[tau, j])
    L = nll(softmax(o), y)
"""
CELLS = {
    "memory": MEMORY, "attention": ATTENTION, "inner": INNER, "unit": UNIT,
    "joined": JOINED, "split": SPLIT, "back": BACK, "delay": DELAY, "conv": CONV,
    "places": PLACES, "chosen": CHOSEN, "ends": ENDS,
    "turned": "h[t] = tanh(roll(W @ h[t-1], 2)) * roll(x[t], -1)",
}  # fmt: skip


def subject(text):
    return Subject(Cell(text)._open_loss(), "mine", Options(tau=3))


@pytest.mark.parametrize("name", CELLS)
def test_every_line_and_every_term_is_right_on_the_unrolled_graph(name):
    context = subject(CELLS[name])
    graph, points = context.scope.graph, context.points
    lines = Lines(graph)
    for source in (*graph.definitions, *graph.parameters):
        found = [*lines.whole(source)]
        found += lines.summed(source) if source in graph.parameters else []
        for line in found:
            check = check_line(line, graph, points)
            assert check.status == PASSED, (line.text, check)
        for term in lines.terms.of(source):
            for line in lines.term(source, term):
                if term.reader:
                    check = check_term(line, term.reader, term.lag, graph, points)
                    assert check.status == PASSED, (line.text, check)


@pytest.mark.parametrize("name", CELLS)
def test_every_card_is_checked_and_shown_in_every_format(name):
    found = Cell(CELLS[name]).explain(name=name, tau=2, step=None)
    badge = found.document.badge
    assert badge.checked == badge.equations > 0
    assert found.passed
    graph = found.document.scope.graph
    ids = {card.id for card in found.document.cards}
    assert {f"parameter:{n}" for n in graph.parameters} <= ids
    first = found.document.cards[0].chains[0].links[0].expr
    assert first.text in found.text()
    for shown in (found.markdown(), found.latex()):
        assert to_latex(first) in shown
    assert first.typeset is not None
    assert not any(chain.is_typed for chain in found.document.chains())
    assert len(found.html()) < 1_000_000


def test_a_card_names_its_readers_with_their_indices_and_steps():
    found = Cell(MEMORY).explain(name="memory", step="node:S")
    text = found.text()
    assert "S[t, j] is read by o[t], S[t+1, j]" in text
    assert "grad_S[t, j] <- o[t] = outer(V[j].T @ grad_o[t], k[t, j])" in text
    assert "grad_S[t, j] <- S[t+1, j] = grad_S[t+1, j] @ diag(g[t+1, j]).T" in text
    assert "j = 1, …, n_head" in text
    assert "checked on 3 random instances" in text


def planted(line, wrong):
    return replace(line, right=wrong)


PLANTED = {
    "grad_S[t+1, j] @ diag(g[t+1, j]).T": "grad_S[t+1, j] @ diag(g[t, j]).T",
    "outer(v[t, j], k[t, j])": "outer(k[t, j], v[t, j])",
    "sum(t, outer(grad_k[t, j], x[t]))": "sum(t, outer(grad_v[t, j], x[t]))",
    "V[j].T @ grad_o[t]": "2 * V[j].T @ grad_o[t]",
}


def test_a_wrong_line_is_caught():
    context = subject(MEMORY)
    graph, caught = context.scope.graph, 0
    lines = Lines(graph)
    for name in (*graph.definitions, *graph.parameters):
        of = lines.summed if name in graph.parameters else lines.whole
        for line in of(name):
            for right, wrong in PLANTED.items():
                changed = planted(line, line.right.replace(right, wrong))
                if changed != line and "n_v" not in wrong:
                    found = check_line(changed, graph, context.points).status
                    assert found != PASSED, changed.text
                    caught += found == FAILED
    assert caught >= 3


def test_a_term_of_another_reader_is_caught():
    context = subject(MEMORY)
    graph, lines = context.scope.graph, Lines(context.scope.graph)
    first, second = lines.terms.of("S")
    (line,) = lines.term("S", first)
    found = check_term(line, second.reader, second.lag, graph, context.points)
    assert found.status == FAILED


def test_the_page_holds_the_cards_the_verdict_and_the_matrices():
    found = Cell(MEMORY).explain(name="memory", tau=3)
    page = found.html()
    assert len(page) < 1_000_000
    for piece in ("<math", "grad_S[2] = [[[", "card-node:S", "中文", "<polyline"):
        assert piece in page


def test_a_long_equations_inner_nodes_get_names():
    text = "j = 1, ..., n_j\nunit(u) = u / norm(u)\nh[t, j] = unit(silu(W[j] @ x[t]))"
    context = subject(text)
    assert [n for n in context.scope.graph.definitions if n.startswith("h_")]
    assert all(len(line) < 150 for line in gradient_lines(context.scope.graph))


def test_what_is_too_long_to_show_says_so(monkeypatch):
    monkeypatch.setattr("bptt.explain.indices.lines.LONGEST", 30)
    found = Cell(MEMORY).explain(tau=2)
    assert "not checked: too long to show" in found.text()
    assert found.document.badge.checked < found.document.badge.equations


def test_what_the_language_has_no_word_for_says_so():
    context = subject(MEMORY)
    line = replace(Lines(context.scope.graph).whole("S")[0], right="scattered(v[t, j])")
    check = check_line(line, context.scope.graph, context.points)
    assert check.note.id == "indexed.unread"


def test_a_power_that_is_a_written_number_has_no_case_for_none():
    shown = Cell("""
        j = 1, ..., n_j
        g[t, j] = sigmoid(W[j] @ x[t])
        h[t, j] = g[t, j] ** (1 / 16) * h[t-1, j]
        """).explain().text(width=200)  # fmt: skip
    assert "** (1 / 16 - 1)" in shown
    assert "where(1 / 16" not in shown


def test_one_reader_gives_its_share_in_the_singular():
    said = Cell("""
        j = 1, ..., n_j
        h[t, j] = tanh(W[j] @ h[t-1, j] + U[j] @ x[t])
        """).explain().text(width=200)  # fmt: skip
    assert "the share of every reader is added: h[t+1, j]." in said
    assert "give back their shares" not in said
