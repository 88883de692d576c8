"""Figures for print: what they show, that nothing overlaps, every format."""

import itertools
import re
from functools import cache
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import bptt
from bptt.errors import MissingExtraError
from bptt.explain.explanation import BackwardLoopError
from bptt.explain.figure import KINDS, FigureError
from bptt.explain.figure import pdf as pdf_writer
from bptt.explain.figure.pdf import MissingFontError
from bptt.explain.figure.pictured import Pictured
from bptt.explain.figure.scene import Box, Ring, Stroke, Word
from bptt.explain.figure.unrolled import OFF, STACK
from bptt.explain.prepare import IndexedCellError
from tests.explain.documents import explained
from tests.explain.test_indexed import CELLS
from tests.explain.tex import compile_tex, complaints

SVG = "{http://www.w3.org/2000/svg}"
# What stands nearer than half a pixel, in the middle of a letter's box, is on it.
MEASURE = """() => {
  const box = (e) => e.getBoundingClientRect(), found = [];
  const texts = [...document.querySelectorAll("text")];
  const circles = [...document.querySelectorAll("circle")].map(box);
  const rects = [...document.querySelectorAll("rect[rx]")].map(box);
  const lines = [...document.querySelectorAll("polyline")].flatMap((line) => {
    const at = line.getScreenCTM(), ends = [...line.points];
    return ends.slice(1).map((b, i) => { const a = ends[i]; return {
      left: Math.min(a.x, b.x) + at.e, right: Math.max(a.x, b.x) + at.e,
      top: Math.min(a.y, b.y) + at.f, bottom: Math.max(a.y, b.y) + at.f}; });
  });
  const hits = (a, b, d) => a.left < b.right - d && b.left < a.right - d
    && a.top < b.bottom - d && b.top < a.bottom - d;
  texts.forEach((text, i) => {
    const own = box(text), name = text.textContent;
    const inner = {left: own.left + 1, right: own.right - 1,
                   top: own.top + 2.5, bottom: own.bottom - 2.5};
    texts.slice(0, i).forEach((o) => {
      if (hits(own, box(o), 0.5)) found.push([name, o.textContent]); });
    if (text.previousElementSibling.matches("circle, rect[rx]")) {
      const round = box(text.previousElementSibling);
      if (own.left < round.left || own.right > round.right) found.push([name, "rim"]);
      return;
    }
    if (lines.some((o) => hits(inner, o, -0.1))) found.push([name, "a line"]);
    for (const o of rects) if (hits(own, o, 0.5)) found.push([name, "a box"]);
    for (const o of circles) {
      const x = (o.left + o.right) / 2, y = (o.top + o.bottom) / 2;
      const dx = Math.max(own.left - x, x - own.right, 0);
      const dy = Math.max(own.top - y, y - own.bottom, 0);
      if (Math.hypot(dx, dy) < o.width / 2) found.push([name, "a node"]);
    }
  });
  const sheet = box(document.querySelector("svg"));
  for (const e of [...texts, ...document.querySelectorAll("circle")]) {
    const b = box(e);
    if (b.left < sheet.left || b.right > sheet.right || b.bottom > sheet.bottom)
      found.push([e.textContent, "the sheet's edge"]);
  }
  return [texts.length, found];
}"""


@cache
def figure(name, kind, lang="en", of=None, tau=4):
    return explained(name, lang, tau=tau).figure(kind, of=of)


def read_xml(text):
    return ET.fromstring(text)  # noqa: S314  # our own


def texts(shown):
    root = read_xml(shown.svg())
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


# ----- what is shown -----


def test_the_unrolled_network_has_every_node_and_the_jacobian_of_every_edge():
    shown = texts(figure("book", "unrolled"))
    for t in "¹²³⁴":
        for name in ("a", "h", "o", "ŷ", "L", "x", "y"):
            assert shown.count(f"{name}⁽{t}⁾") == 1
        assert f"diag(1 − (h⁽{t}⁾)²)" in shown
    for name in ("b", "c", "L", "h⁽⁰⁾"):
        assert shown.count(name) == 1
    assert shown.count("W") == 1 + 4  # its box, and the Jacobian of a by h
    assert "t = 4" in shown


def test_of_many_steps_the_first_and_the_last_are_drawn():
    shown = texts(figure("book", "unrolled", tau=12))
    assert "⋯" in shown
    assert {"h⁽³⁾", "h⁽¹⁰⁾"} < set(shown)
    assert not {"h⁽⁴⁾", "h⁽⁹⁾"} & set(shown)


def test_an_edge_has_its_jacobian_its_transpose_and_its_shape():
    shown = texts(figure("book", "edge", of="h"))
    at = shown.index("W")
    assert shown[at : at + 6] == ["W", "h⁽¹⁾", "a⁽²⁾", "Wᵀ", "h⁽¹⁾", "a⁽²⁾"]
    assert shown[at + 6] == "4×4"
    assert shown.count("4×4") == 2  # and diag(1 - h²) of a
    assert len(shown) == 3 + 7 * 3  # a to h, h to o, h to the next a


def test_the_paths_are_those_of_the_graph_and_add_up_to_the_gradient():
    found = figure("book", "paths", of="W")
    graph = explained("book", tau=4).document.shown.graph
    place = graph.place("W")
    norms = sorted(float(np.linalg.norm(p.product)) for p in graph.paths(place))[::-1]
    shown = texts(found)
    assert [f"{norm:.2g}" for norm in norms] == [s for s in shown if s[:2] == "0."]
    assert len(norms) == graph.count_paths(place) == 10
    assert shown[-1] == f"{float(np.linalg.norm(graph.grad(place))):.2g}"
    error = float(re.search(r"gradient (\S+)", " ".join(shown))[1])
    assert error < 1e-14
    ends = [s for s in shown if s == "L"]
    assert len(ends) == 10


def test_many_paths_are_added_up_in_a_last_row():
    shown = texts(figure("lstm", "paths"))
    graph = explained("lstm", tau=4).document.shown.graph
    rest = int(re.search(r"(\d+) more paths", " ".join(shown))[1])
    by_row = [int(s.split()[0]) for s in shown if re.fullmatch(r"\d+ paths", s)]
    alone = 12 - len(by_row)
    assert shown.count("Wi") == 12
    assert graph.count_paths(graph.place("W_i")) == rest + sum(by_row) + alone


def test_the_words_are_of_the_language_chosen():
    english, chinese = (figure("book", "edge", lang) for lang in ("en", "zh"))
    assert "shape" in texts(english)
    assert "形状" in texts(chinese)
    assert len(english.scene.items) == len(chinese.scene.items)
    assert "book" in english.scene.title
    assert "book" in chinese.scene.title


# ----- how it lies -----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "lang"),
    [
        ("book", "en"),
        ("lstm", "zh"),
        ("gru", "en"),
        ("branches", "zh"),
        ("slstm", "en"),
    ],
)
def test_nothing_overlaps_as_a_browser_draws_it(browser, tmp_path, name, lang, kind):
    path = figure(name, kind, lang).save(tmp_path / "figure.svg")
    tab, asked = browser.new_page(), []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    count, found = tab.evaluate(MEASURE)
    tab.close()
    assert found == []
    assert count > 10
    assert asked == [path.as_uri()]


def test_lines_end_at_the_rims_of_nodes():
    items = figure("book", "paths").scene.items
    rings = [item for item in items if isinstance(item, Ring)]
    for line in (i for i in items if isinstance(i, Stroke) and i.has_head):
        x, y = line.points[-1]
        gaps = [np.hypot(r.x - x, r.y - y) - r.radius for r in rings]
        assert min(gaps) == pytest.approx(2.0)


# ----- formats -----


@pytest.mark.parametrize("name", ["book", "leaky"])
def test_a_parameters_box_is_as_wide_as_its_name(name):
    # leaky has a `time_constant`
    scene = explained(name).figure("unrolled").scene
    boxes = [item for item in scene.items if isinstance(item, Box)]
    assert {box.label.plain.split("_")[0] for box in boxes} >= {"W", "U", "b"}
    for box in boxes:
        assert box.width >= box.label.width
        assert box.x - box.width / 2 >= 4.0


def test_the_svg_is_one_light_file_that_refers_to_nothing():
    shown = figure("book", "unrolled").svg()
    root = read_xml(shown)
    assert root.find(f"{SVG}rect").get("fill") == "#ffffff"
    assert root.find(f"{SVG}title").text.startswith("book over 4 steps")
    assert not re.search(r"href|url\(|@import|<style|<script", shown)
    for text in root.iter(f"{SVG}text"):
        assert not set("_{}^") & set("".join(text.itertext()))


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["book", "lstm"])
def test_the_tikz_picture_compiles_to_one_page_of_its_size(name, kind, lang, tmp_path):
    found = figure(name, kind, lang)
    pdf, said = compile_tex(found.save(tmp_path / "figure.tex"))
    assert complaints(said) == []
    assert "(1 page" in said
    assert pdf.stat().st_size > 5000


@pytest.mark.parametrize("kind", KINDS)
def test_the_pdf_is_the_same_each_time(kind):
    pytest.importorskip("matplotlib")
    found = figure("book", kind)
    written = found.pdf()
    assert written.startswith(b"%PDF")
    assert written == found.pdf()
    wide = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", written)
    assert float(wide[1]) == pytest.approx(0.75 * found.scene.width, abs=0.01)
    assert float(wide[2]) == pytest.approx(0.75 * found.scene.height, abs=0.01)


def test_a_pdf_in_chinese_takes_a_font_that_is_there_or_says_so(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(pdf_writer, "CHINESE", ("No such font",))
    with pytest.raises(MissingFontError, match=r"Chinese letters.*SVG and TikZ need"):
        figure("book", "edge", "zh").pdf()
    assert figure("book", "edge").pdf()


def test_without_matplotlib_the_pdf_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'from a clone .*"\.\[plot\]"'):
        figure("book", "edge").pdf()


# ----- mistakes -----


def test_a_mistake_is_refused_with_what_there_is(tmp_path):
    found = explained("book", tau=4)
    with pytest.raises(FigureError, match=r"no figure is called 'path'.*mean paths\?"):
        found.figure("path")
    with pytest.raises(FigureError, match=r"'w' is no parameter.*b, W, U, c, V"):
        found.figure("paths", of="w")
    with pytest.raises(FigureError, match=r"'y_hut' is no name.*mean y_hat\?"):
        found.figure("edge", of="y_hut")
    with pytest.raises(FigureError, match=r"'.png'.*\.svg, \.pdf, \.tex"):
        found.figure("edge").save(tmp_path / "a.png")
    ahead = bptt.Cell("h[t] = tanh(W @ h[t+1] + U @ x[t])").explain()
    with pytest.raises(BackwardLoopError, match="figures draw loops"):
        ahead.figure("unrolled")
    heads = bptt.Cell("j = 1, ..., n_k\nh[t, j] = W[j] @ h[t-1, j]").explain()
    with pytest.raises(IndexedCellError, match="unrolled"):
        heads.figure("edge")


@pytest.mark.parametrize("name", ["memory", "attention", "inner", "delay", "conv"])
def test_a_cell_with_indices_is_drawn_with_a_stack_for_every_index(name):
    found = bptt.Cell(CELLS[name]).explain(name=name, tau=3)
    scene = found.figure("unrolled").scene
    rings = [item for item in scene.items if isinstance(item, Ring)]
    shown = [ring for ring in rings if ring.label.plain]
    for one, two in itertools.combinations(shown, 2):
        apart = ((one.x - two.x) ** 2 + (one.y - two.y) ** 2) ** 0.5
        assert apart > one.radius + two.radius + STACK * OFF
    pictured = Pictured(found.document, "en")
    stacked = [n for n in found.document.scope.graph.names() if pictured.indices(n)]
    behind = [ring for ring in rings if not ring.label.plain]
    assert len(behind) == 3 * STACK * len(stacked)
    if name == "memory":
        assert "S_j⁽²⁾" in {ring.label.plain for ring in shown}
    for text in (found.figure("unrolled").svg(), found.figure("unrolled").tikz()):
        assert "∂" in text or "partial" in text


def test_a_cells_name_is_quoted_in_every_format(tmp_path):
    name = "a & <b>\n\\input{x} %"
    shown = bptt.Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])").explain(name=name)
    found = shown.figure("edge")
    assert read_xml(found.svg()).find(f"{SVG}title").text.count("<b>") == 1
    first = found.tikz().splitlines()[0]
    assert first.startswith("% ")
    assert "input" in first
    compile_tex(found.save(tmp_path / "figure.tex"))


def test_a_long_name_stays_in_its_ring(browser, tmp_path):
    figure = explained("Greek letters and long names", tau=2).figure("unrolled")
    file = figure.save(tmp_path / "net.svg")
    tab = browser.new_page()
    tab.goto(file.as_uri())
    wide = tab.evaluate(
        "Array.from(document.querySelectorAll('circle + text'), t => ["
        "t.getBoundingClientRect().width, t.previousElementSibling"
        ".getBoundingClientRect().width, t.textContent])"
    )
    tab.close()
    assert len(wide) > 10
    assert [name for text, ring, name in wide if text > ring] == []


@pytest.mark.parametrize(
    ("name", "reduction", "expected"),
    [("book", "sum", "1"), ("book", "mean", "w₂"), ("lstm", "sum", "∂L/∂h")],
)
def test_the_arrow_into_the_loss_has_the_derivative_of_this_loss(
    name, reduction, expected
):
    pictured = explained(name, reduction=reduction).figure("unrolled").scene.items
    words = [item.label.plain for item in pictured if isinstance(item, Word)]
    assert expected in words
    assert ("1" in words) == (expected == "1")
