"""A delay is one arrow over its steps: no page or figure names what carries it."""

import re

import numpy as np
import pytest

from bptt import Cell
from bptt.explain.cards import CardMaker
from bptt.explain.context import Subject
from bptt.explain.html.picture.drawn import Kind, draw
from bptt.explain.html.picture.grid import make_grid
from bptt.explain.html.picture.wires import RADIUS
from bptt.explain.instances import Options
from bptt.explain.texts import pieces

TWO = "h[t] = tanh(b + W @ h[t-1] + R @ h[t-3] + U @ x[t])\nL[t] = mse(h[t], y[t])"
CELLS = {
    "two": TWO,
    "input": "h[t] = tanh(W @ h[t-1] + U @ x[t-2] + V @ x[t])",
    "ahead": "h[t] = tanh(W @ h[t+2] + U @ x[t])",
    "far": "h[t] = tanh(W @ h[t-32] + U @ x[t])",
    "other": "g[t] = tanh(W @ h[t-2] + U @ x[t])\nh[t] = g[t] * x[t]",
    "end": "h[t] = tanh(W @ h[t-2] + U @ x[t])\no = V @ h[tau]\nL = nll(softmax(o), y)",
    "heads": "j = 1, ..., n_j\nh: (n_j, n_h)\n"
             "h[t, j] = tanh(W[j] @ h[t-3, j] + R[j] @ h[t-1, j] + U[j] @ x[t])",
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_everything_is_checked_and_nothing_is_named_that_no_line_has(name):
    found = Cell(CELLS[name]).explain(name="mine")
    badge = found.document.badge
    assert badge.checked == badge.equations > 0 and found.passed
    shown = [found.text(), found.latex(), found.markdown(), found.html()]
    if not found.cell.graph.backward:
        shown.append(found.figure("unrolled").svg())
    for text in shown:
        assert "_lag" not in text and "_ahead" not in text and r"\_lag" not in text


def test_the_cards_speak_of_the_step_that_reads():
    found = Cell(TWO).explain(name="two")
    text = found.text(ascii_only=True)
    assert "R.T @ diag(1 - h[t+3]**2) @ grad_h[t+3]" in text.replace(
        "h[t+3]^2", "h[t+3]**2"
    )
    (card,) = (c for c in found.document.cards if c.id == "initial:h")
    assert len(card.chains) == 3  # h^(0), h^(-1) and h^(-2)
    assert card.status == "passed"
    report = Cell(TWO).check_equation(
        "grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1]"
        " + R.T @ diag(1 - h[t+3]**2) @ grad_h[t+3] + 2 * w[t] * (h[t] - y[t]) / n_h"
    )
    assert report.passed, str(report)


NEIGHBOUR = {
    "en": r"next one|next step|step before|one step (later|earlier)|read h",
    "zh": "下一步|前一步|读取",
}


@pytest.mark.parametrize("lang", NEIGHBOUR)
@pytest.mark.parametrize("name", ["far", "other", "ahead", "later"])
def test_no_card_says_the_next_step_where_another_reads(name, lang):
    later = "h[t] = tanh(W @ h[t-3] + U @ x[t])\nL[t] = mse(V @ h[t], y[t])"
    subject = Subject(Cell({**CELLS, "later": later}[name]), name, Options(4))
    maker = CardMaker(subject.derivation, subject.scope, subject.options)
    cards = [c for group in maker.groups() for c in group.cards if c.id != "input:x"]
    said = [text for c in cards for text in (c.claim, c.reason, c.wrong) if text]
    for text in said:
        parts = map(str, pieces(text, lang, subject.scope))
        assert not re.search(NEIGHBOUR[lang], "".join(parts)), text.id
    assert len(said) > 8


def test_every_gradient_is_that_of_the_graph_that_carries():
    point = Subject(Cell(TWO), "two", Options(tau=6)).shown
    shown, carried = point.graph, point.computed
    for t in range(1, 7):
        np.testing.assert_allclose(
            shown.grad(shown.place("h", t)), carried.grad(carried.place("h", t)),
            rtol=1e-13, atol=1e-15,
        )  # fmt: skip
    for by, name in ((1, "h_lag1"), (2, "h_lag2")):
        np.testing.assert_allclose(
            shown.grad(shown.place("h", -by)), carried.grad(carried.place(name, 0)),
            rtol=1e-13, atol=1e-15,
        )  # fmt: skip
    for name in ("W", "R", "U", "b"):
        np.testing.assert_allclose(
            shown.grad(shown.place(name)), carried.grad(carried.place(name)),
            rtol=1e-13, atol=1e-15,
        )  # fmt: skip


def test_the_arrow_runs_over_the_nodes_between():
    drawn = draw(Subject(Cell(TWO), "two", Options(tau=6)).shown.graph)
    kind = Kind("h", -3, "h")
    assert kind in drawn.kinds and Kind("h", -1, "h") in drawn.kinds
    grid = make_grid(drawn, lambda _: 30.0, 60.0)
    spot = grid.spots["h"]
    for t in (4, 5, 6):
        first, turn, over, last = grid.wire(kind, t, 6)
        assert np.isclose(
            first[0] + 3 * grid.pitch - spot.x, last[0] * -1, atol=2 * RADIUS
        )
        assert turn[1] == over[1] < spot.y - RADIUS
    heights = {grid.wire(kind, t, 6)[1][1] for t in (4, 5, 6)}
    assert len(heights) == 3  # lines that overlap are told apart


def test_a_delay_that_a_line_carries_keeps_its_name():
    text = "p[t] = h[t-1]\nh[t] = tanh(W @ p[t-1] + U @ x[t])"
    ids = {card.id for card in Cell(text).explain(name="own").document.cards}
    assert "node:p" in ids
