"""Where the picture's parts lie: by its own measure, and as a browser draws them."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

import bptt
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.point import Scope
from bptt.explain.html import assets
from bptt.explain.html.panels.page_context import tspans
from bptt.explain.html.picture import lettering
from bptt.explain.html.picture.drawn import draw
from bptt.explain.html.picture.fit import fit
from bptt.explain.html.picture.labels import Labels
from bptt.explain.html.picture.svg import Marks, fitted, picture
from bptt.explain.html.picture.wires import LANE, RADIUS
from bptt.explain.instances import Options, shown_point
from bptt.explain.prepare import IndexedCellError, prepare
from tests.explain.user_cells import USER_CELLS

# What is left of 1280 pixels beside the contents, the panel's edges and the parameters.
ROOM = 880
AHEAD = "h[t] = tanh(W @ h[t+1] + U @ x[t])"
# Long names, many gates, several inputs, two directions: each drawn at its own length.
LONG = {
    "four gates": (2, """
        update_gate[t] = sigmoid(W_update @ x[t] + R_update @ memory[t-1] + bias_update)
        reset_gate[t] = sigmoid(W_reset @ x[t] + R_reset @ memory[t-1] + bias_reset)
        write_gate[t] = sigmoid(W_write @ x[t] + R_write @ memory[t-1] + bias_write)
        proposal[t] = tanh(W_new @ x[t] + R_new @ (reset_gate[t] * memory[t-1]))
        memory[t] = update_gate[t] * memory[t-1] + write_gate[t] * proposal[t]
        """),
    "two inputs": (4, """
        key_in[t] = tanh(K_projection @ source_left[t])
        value_in[t] = tanh(V_projection @ source_right[t] + K_shared @ source_left[t])
        state_vector[t] = tanh(W @ state_vector[t-1] + key_in[t] * value_in[t])
        score[t] = Readout @ state_vector[t] + readout_bias
        L[t] = mse(score[t], target_value[t])
        """),
    "a stack": (8, """
        first_hidden[t] = tanh(W_first @ first_hidden[t-1] + U_first @ x[t] + b_first)
        second_one[t] = tanh(W_second @ second_one[t-1] + U_second @ first_hidden[t])
        third_state[t] = tanh(W_third @ third_state[t-1] + U_third @ second_one[t])
        L[t] = nll(softmax(V_output @ third_state[t] + c_output), y[t])
        """),
    "both ways": (4, """
        forward_state[t] = tanh(W_f @ forward_state[t-1] + U_f @ x[t] + b_f)
        backward_state[t] = tanh(W_b @ backward_state[t+1] + U_b @ x[t] + b_b)
        L[t] = mse(V_f @ forward_state[t] + V_b @ backward_state[t], y[t])
        """),
    "three parameters a line": (8, """
        α[t] = sigmoid(W_α @ x[t] + R_α @ θ_state[t-1] + p_α * θ_state[t-1] + β_α)
        ω[t] = tanh(W_ω @ x[t] + R_ω @ (α[t] * θ_state[t-1]) + β_ω)
        θ_state[t] = θ_state[t-1] + α[t] * (ω[t] - θ_state[t-1])
        L[t] = mse(θ_state[t], y[t])
        """),
    "reads two steps back": (4, """
        recent[t] = tanh(A_one @ recent[t-1] + A_two @ recent[t-2] + B_in @ signal[t])
        smooth[t] = decay * smooth[t-1] + (1 - decay) * recent[t]
        L[t] = mse(C_out @ smooth[t] + D_direct @ signal[t], wanted[t])
        """),
}  # fmt: skip


def explainable(name):
    try:
        prepare(bptt.cells.get(name).graph)
    except IndexedCellError:
        return False
    return True


LIBRARY = [name for name in bptt.cells.names() if explainable(name)]
CELLS = [*LIBRARY, *USER_CELLS, *LONG, "ahead"]
DRAWN = {**dict.fromkeys(LIBRARY, 2), **dict.fromkeys(USER_CELLS, 2),
         **{name: tau for name, (tau, _) in LONG.items()}}  # fmt: skip


@cache
def drawing(name, tau=4):
    own = {**USER_CELLS, "ahead": AHEAD, **{n: text for n, (_, text) in LONG.items()}}
    text = own.get(name)
    cell = bptt.cells.get(name) if text is None else bptt.Cell(text)
    scope = Scope(prepare(cell.graph))
    return shown_point(scope, Options(tau)), Labels(Derivation(scope.graph), True)


@cache
def laid(name, folded, tau=4):
    point, labels = drawing(name, tau)
    drawn = draw(point.graph, folded=folded)
    return drawn, fitted(drawn, Marks(tspans, labels.lines))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_nodes_and_lanes_of_a_column_lie_apart_and_one_step_fits(name, folded):
    drawn, found = laid(name, folded)
    grid = found.grid
    for a, b in itertools.combinations(grid.spots.values(), 2):
        assert np.hypot(a.x - b.x, a.y - b.y) > 2 * RADIUS
    lanes = sorted(grid.lanes.values())
    assert all(b - a >= LANE for a, b in itertools.pairwise(lanes))
    assert grid.pitch <= ROOM
    for kind in drawn.kinds:  # what a node reads in its step lies below it
        if kind.lag == 0 and drawn.ends_in_node(kind):
            assert grid.spots[kind.source].y > grid.spots[kind.target].y


def test_a_label_that_meets_something_is_shortened_or_given_room():
    drawn, found = laid("lstm", False)
    choices = {kind: [("m" * 200, ""), ("∂i/∂x", "")] for kind in found.texts}
    short = fit(drawn, choices)
    assert {texts[0] for texts in short.texts.values()} == {"∂i/∂x"}


def test_what_the_next_step_gives_arrives_from_the_right():
    drawn, found = laid("ahead", False)
    (kind,) = [k for k in drawn.kinds if k.lag == 1]
    wire = found.grid.wire(kind, 2, drawn.tau)
    assert wire[0][0] > wire[-1][0] > 0


def test_more_than_eight_steps_show_the_first_three_and_the_last_three():
    grid = laid("book", False, tau=9)[1].grid
    assert [x is None for x in grid.short] == [False] * 3 + [True] * 3 + [False] * 3
    assert laid("book", False)[1].grid.gap is None


def test_a_label_has_nothing_of_the_notation_for_plain_text():
    shown = lettering.written("∂f/∂W_f ⊙ e_{y⁽³⁾} h^(τ)")
    text = "".join(part.split("<")[0] for part in shown.split(">"))
    assert not set("_{}^") & set(text)
    assert text.replace("\u200b", "") == "∂f/∂Wf ⊙ ey⁽³⁾ hτ"


# ----- as a browser draws it -----

MEASURE = """() => {
  const found = [], hits = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5
    && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
  let count = 0;
  for (const svg of document.querySelectorAll("svg.graph:not(.rail)")) {
    const seen = (e) => getComputedStyle(e).display !== "none";
    const labels = Array.from(svg.querySelectorAll(".e text")).filter(seen);
    const boxes = labels.map((e) => e.getBoundingClientRect());
    const solid = [...svg.querySelectorAll(".n circle")]
      .map((e) => e.getBoundingClientRect());
    const lines = [];
    for (const line of svg.querySelectorAll(".e path, line.lane")) {
      const at = line.getScreenCTM();
      const d = line.getAttribute("d") || `M${["x1", "y1", "x2", "y2"]
        .map((key) => line.getAttribute(key)).join(" ")}`;
      const [x, y] = [[], []];
      d.match(/-?[0-9.]+/g).forEach((n, k) => (k % 2 ? y : x).push(+n));
      for (let k = 1; k < x.length; k++) {  // the corners, each of a straight piece
        lines.push([Math.min(x[k - 1], x[k]) + at.e, Math.max(x[k - 1], x[k]) + at.e,
                    Math.min(y[k - 1], y[k]) + at.f, Math.max(y[k - 1], y[k]) + at.f]);
      }
    }
    labels.forEach((label, i) => {
      const box = boxes[i], name = svg.id + " " + label.parentNode.dataset.k;
      count++;
      for (let j = 0; j < i; j++) {
        if (hits(box, boxes[j])) found.push([name, labels[j].parentNode.dataset.k]);
      }
      for (const other of solid) {
        const x = (other.left + other.right) / 2, y = (other.top + other.bottom) / 2;
        const dx = Math.max(box.left - x, x - box.right, 0);
        const dy = Math.max(box.top - y, y - box.bottom, 0);
        if (Math.hypot(dx, dy) < other.width / 2) found.push([name, "a node"]);
      }
      // A line box is higher than its letters.
      const [top, bottom] = [box.top + 2.5, box.bottom - 2.5];
      if (lines.some(([x1, x2, y1, y2]) => x2 > box.left + 1 && x1 < box.right - 1
                     && y2 > top && y1 < bottom)) found.push([name, "a line"]);
    });
  }
  return [count, found];
}"""

NAMES = """() => Array.from(document.querySelectorAll(".n")).flatMap((node) => {
  const shape = node.querySelector("circle, rect").getBoundingClientRect();
  return Array.from(node.querySelectorAll("text:not(.seed)")).filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < shape.left - 0.5 || box.right > shape.right + 0.5;
  }).map((text) => [text.textContent, text.getBoundingClientRect().width]);
})"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """All pictures of the library and of users on one page, with the page's style."""
    parts = []
    for i, (name, tau) in enumerate(DRAWN.items()):
        point, labels = drawing(name, tau)
        for folded in (False, True):
            svg = picture(
                draw(point.graph, folded=folded), Marks(tspans, labels.lines),
                name=f"cell-{i}-{folded}", title=name,
            )  # fmt: skip
            parts.append(f"<div class=canvas>{svg}</div>")
    file = tmp_path_factory.mktemp("pictures") / "pictures.html"
    style = f"<meta charset=utf-8><style>{assets.style()}</style>"
    file.write_text(style + "".join(parts), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_lies_on_a_label_a_node_or_a_line(browser, pictures, width):
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(pictures.as_uri())
    for way in ("forward", "backward"):
        tab.evaluate(
            "way => document.querySelectorAll('svg.graph').forEach(s => {"
            " s.classList.remove('quiet'); s.classList.toggle('backward', way); })",
            way == "backward",
        )
        count, found = tab.evaluate(MEASURE)
        assert count > 25 * len(DRAWN)
        assert found == []
    assert tab.evaluate(NAMES) == []
    rails = "Array.from(document.querySelectorAll('svg.rail'), s =>"
    assert tab.evaluate(
        f"{rails} s.getBoundingClientRect().left >= 0 && s.clientWidth < 120)"
        ".every(Boolean)"
    )
    tab.close()
