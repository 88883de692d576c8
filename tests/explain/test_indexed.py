"""Cells with indices: every line of the gradient is checked, and shown on a page."""

import pytest

from bptt import Cell
from bptt.explain.context import Subject
from bptt.explain.indexed import gradient_lines
from bptt.explain.indexed_check import check_line
from bptt.explain.instances import Options
from bptt.explain.model import FAILED, PASSED

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
CELLS = {
    "memory": MEMORY, "attention": ATTENTION, "inner": INNER, "unit": UNIT,
}  # fmt: skip


def subject(text):
    return Subject(Cell(text)._open_loss(), "mine", Options(tau=3))


@pytest.mark.parametrize("name", CELLS)
def test_every_line_is_right_on_the_unrolled_graph(name):
    context = subject(CELLS[name])
    graph = context.cell.graph
    for line in gradient_lines(graph):
        check = check_line(line, graph, context.points)
        assert check.status == PASSED, (line, check)


def test_a_line_of_parts_is_right_or_not_checked():
    context = subject(JOINED)
    lines = gradient_lines(context.cell.graph)
    found = [check_line(x, context.cell.graph, context.points).status for x in lines]
    assert FAILED not in found
    assert PASSED in found


PLANTED = {
    "grad_S[t+1, j] @ diag(g[t+1, j]).T": "grad_S[t+1, j] @ diag(g[t, j]).T",
    "outer(v[t, j], k[t, j])": "outer(k[t, j], v[t, j])",
    "sum(t, outer(grad_k[t, j], x[t]))": "sum(t, outer(grad_v[t, j], x[t]))",
    "V[j].T @ grad_o[t]": "2 * V[j].T @ grad_o[t]",
}


def test_a_wrong_line_is_caught():
    context = subject(MEMORY)
    graph, caught = context.cell.graph, 0
    for line in gradient_lines(graph):
        for right, wrong in PLANTED.items():
            planted = line.replace(right, wrong)
            if planted != line and "n_v" not in wrong:
                found = check_line(planted, graph, context.points).status
                assert found != PASSED, planted
                caught += found == FAILED
    assert caught >= 3


def test_the_page_holds_the_lines_the_verdict_and_the_matrices():
    found = Cell(MEMORY).explain(name="memory", tau=3)
    assert found.passed
    badge = found.document.badge
    assert badge.checked == badge.equations == len(gradient_lines(found.cell.graph))
    page = found.html()
    assert len(page) < 1_000_000
    for piece in ("grad_W_k[j]", "grad_S[2] = [[[", "relative error", "中文"):
        assert piece in page
    assert "Scripts are off" not in page and "<script" not in page


def test_what_is_not_checked_says_why():
    cell = Cell("""
        i, j = 1, ..., n_z
        A: (n_z, n_z); B: (n_z, n_v); a: n_z
        a[t, j] = log_softmax(B[j])[1] + logsumexp(i, A[i, j] + a[t-1, i])
        e[t] = E[:, k[t]]
    """)
    text = cell.explain(tau=2).text()
    assert "not checked: the language has no word for a part of it" in text
