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


def explainable(name):
    try:
        prepare(bptt.cells.get(name).graph)
    except IndexedCellError:
        return False
    return True


LIBRARY = [name for name in bptt.cells.names() if explainable(name)]
CELLS = [*LIBRARY, *USER_CELLS, "ahead"]


@cache
def drawing(name, tau=4):
    text = {**USER_CELLS, "ahead": AHEAD}.get(name)
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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """All pictures of the library on one page, with the page's style."""
    parts = []
    for i, name in enumerate(LIBRARY):
        point, labels = drawing(name, 2)
        for folded in (False, True):
            svg = picture(
                draw(point.graph, folded=folded), Marks(tspans, labels.lines),
                name=f"{name}-{i}-{folded}", title=name,
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
        assert count > 25 * len(LIBRARY)
        assert found == []
    rails = "Array.from(document.querySelectorAll('svg.rail'), s =>"
    assert tab.evaluate(
        f"{rails} s.getBoundingClientRect().left >= 0 && s.clientWidth < 80)"
        ".every(Boolean)"
    )
    tab.close()
