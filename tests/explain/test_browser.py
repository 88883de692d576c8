"""The page in headless Chromium: what a reader does with it, and what it may not do."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import bptt
from tests.explain.conftest import Opened
from tests.explain.documents import explained
from tests.explain.user_cells import USER_CELLS

EVERY_PAGE = ["book", "long", "lstm", "invented", "greek"]


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_page_asks_for_nothing_and_complains_of_nothing(open_page, name):
    page = open_page(name)
    for t in (1, page.run("B.tau")):
        page.run("t => B.go(t)", t)
    for button in page.tab.query_selector_all(
        "[data-set], [data-form], .choices button"
    ):
        button.evaluate("b => b.click()")
    assert [
        url for url in page.requests if not url.startswith(("file:", "data:"))
    ] == []
    assert page.complaints == []


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_equation_is_typeset_and_none_is_an_error(open_page, name):
    page = open_page(name)
    assert page.run("document.querySelectorAll('[data-e]').length") > 50
    assert (
        page.run("document.querySelectorAll('[data-e]:not(:has(.katex))').length") == 0
    )
    assert page.run("document.querySelectorAll('.katex-error').length") == 0


def test_the_arrow_keys_and_the_slider_run_the_recursion(open_page):
    page = open_page("book")
    assert page.text("#t-now") == "t = 3"
    page.tab.keyboard.press("ArrowLeft")
    assert page.text("#t-now") == "t = 2"
    for _ in range(5):
        page.tab.keyboard.press("ArrowRight")
    assert page.text("#t-now") == "t = 4"  # tau is the last step
    page.tab.fill("#t", "1")
    assert page.text("#t-now") == "t = 1"


def test_a_step_shows_its_own_numbers_in_every_panel(open_page):
    page = open_page("book")
    unrolled = explained("book", tau=4).document.shown.graph
    for t in (4, 1):
        page.run("t => B.go(t)", t)
        cells = page.run(
            "Array.from(document.querySelectorAll(\"[data-v='D:h'] td\"),"
            " d => Number(d.textContent.replace('\u2212', '-')))"
        )
        expected = unrolled.grad(unrolled.place("h", t))
        # Three digits are shown.
        assert np.array(cells) == pytest.approx(expected, rel=5e-3, abs=1e-12)
        assert page.run("document.querySelector('.heatmap td.now').cellIndex") == t


def test_the_recursion_lights_the_edges_that_leave_the_nodes_of_its_step(open_page):
    page = open_page("book")
    lit = (
        "Array.from(document.querySelectorAll('#graph-full .e.lit'),"
        " e => e.dataset.k + '@' + e.closest('.col').dataset.t)"
    )
    page.run("B.go(2)")
    assert set(page.run(lit)) == {
        "b>a@2", "W>a@2", "U>a@2", "x[t]>a@2", "a[t]>h@2", "h[t]>o@2", "h[t-1]>a@3",
        "c>o@2", "V>o@2", "o[t]>y_hat@2", "y_hat[t]>L@2", "L[t]>L@2",
    }  # fmt: skip
    page.run("B.go(4)")
    assert "h[t-1]>a@5" not in page.run(lit)


def test_a_click_on_an_edge_opens_its_card_at_its_step(open_page):
    page = open_page("book")
    edge = (
        'document.querySelector(\'#graph-full .col[data-t="2"] [data-k="h[t-1]>a"]\')'
    )
    page.run(f"{edge}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert page.text("#t-now") == "t = 2"
    card = "details[data-edge='h[t-1]>a']"
    assert page.run("s => document.querySelector(s).open", card)
    jacobian = page.run(
        "Array.from(document.querySelectorAll(\"[data-v='J:h[t-1]>a'] td\"),"
        " d => Number(d.textContent.replace('\u2212', '-')))"
    )
    W = explained("book", tau=4).document.shown.value("W", None)
    assert np.array(jacobian) == pytest.approx(W.ravel(), rel=5e-3)


def test_labels_turn_into_shapes_and_heat_maps(open_page):
    page = open_page("book")
    label = "#graph-full .col[data-t='3'] [data-k='h[t-1]>a'] text"
    assert page.run("s => document.querySelector(s).textContent", label) == "W"
    page.press("[data-set='label=shape']")
    assert page.run("s => document.querySelector(s).textContent", f"{label}.s") == "4×4"
    page.press("[data-set='label=number']")
    heat = "#graph-full .col[data-t='3'] [data-k='h[t-1]>a'] .heat rect"
    assert page.run("s => document.querySelectorAll(s).length", heat) == 1 + 16
    page.press("[data-set='backward=true']")
    assert "backward" in page.run(
        "document.querySelector('#graph-full').getAttribute('class')"
    )
    assert "(∂v/∂u)ᵀ ∇v" in page.text(".legend")


def test_backward_every_arrow_is_labelled_with_the_transpose(open_page):
    page = open_page("book")
    page.press("[data-set='backward=true']")
    shown = page.run(
        "Object.fromEntries(Array.from(document.querySelectorAll("
        "'#graph-full .col[data-t=\"3\"] .e'), e => [e.dataset.k,"
        " Array.from(e.querySelectorAll('text')).filter(t =>"
        " getComputedStyle(t).display !== 'none').map(t => t.textContent).join()]))"
    )
    assert shown["h[t-1]>a"] == "Wᵀ"
    assert shown["h[t]>o"] == "Vᵀ"
    assert shown["W>a"] == "g h⁽²⁾ᵀ"
    seed = "getComputedStyle(document.querySelector('#graph-full .seed')).display"
    assert page.run(seed) != "none"
    assert page.run("document.querySelector('#graph-full .seed').textContent") == (
        "{L} = 1"
    )
    page.press("[data-set='label=shape']")
    shape = "#graph-full .col[data-t='3'] [data-k='h[t]>o'] text.s"
    sizes = page.run("B.data.sizes")
    turned = page.run("s => document.querySelector(s).textContent", shape)
    assert turned == f"{sizes['n_h']}×{sizes['n_o']}"


@pytest.mark.parametrize("card", ["10.20", "10.21"])
def test_the_factors_on_a_card_have_the_colours_of_their_arrows(open_page, card):
    page = open_page("book")
    page.run("B.go(2)")
    colour = "e => getComputedStyle(e)"
    arrows = {}
    for name, key in (
        ("later", '3"] [data-k="h[t-1]>a"]'),
        ("now", '2"] [data-k="h[t]>o"]'),
    ):
        path = f"'#graph-full .col[data-t=\"{key} path:not(.hit)'"
        arrows[name] = page.run(f"({colour}.stroke)(document.querySelector({path}))")
    assert arrows["later"] != arrows["now"]
    for name, expected in arrows.items():
        factors = page.run(
            f'Array.from(document.querySelectorAll(\'[id="card-{card}"] > .eqrow'
            f" .katex-html .arrow-{name}'), e => [getComputedStyle(e).color,"
            " e.textContent])"
        )
        assert factors
        assert {found for found, _ in factors} == {expected}
    if card == "10.21":
        assert factors[-1][1] == "V⊤"


def test_both_terms_of_a_state_are_shown_with_their_norms(open_page):
    page = open_page("book")
    page.run("B.go(2)")
    point = explained("book", tau=4).document.shown

    def grad(name, t):
        return point.graph.grad(point.graph.place(name, t))

    W, V, h = point.value("W", None), point.value("V", None), point.value("h", 3)[:, 0]
    later, now = W.T @ ((1 - h**2) * grad("h", 3)), V.T @ grad("o", 2)
    shown = [
        float(page.text(f"[data-v='share:10.21:1:{way}'] td").replace("\u2212", "-"))
        for way in ("later", "now", "whole")
    ]
    wanted = [np.linalg.norm(x) for x in (later, now, later + now)]
    assert shown == pytest.approx(wanted, rel=5e-3)
    assert later + now == pytest.approx(grad("h", 2))
    text = page.text("[id='card-10.21']")
    assert "from the future" in text
    assert "from now" in text


def test_the_answers_to_the_questions_are_open_and_the_others_are_not(open_new):
    page = open_new("book")
    cards = page.run(
        "Object.fromEntries(Array.from(document.querySelectorAll('.card'), c =>"
        " [c.id, [c.querySelector('.asks') !== null,"
        " c.querySelector('details.more')?.open ?? null]]))"
    )
    asked = {name for name, (asks, _) in cards.items() if asks}
    assert asked == {"card-10.17", "card-10.21", "card-tanh"}
    for name, (asks, is_open) in cards.items():
        assert is_open == asks, name


def test_the_contents_have_numbers_without_gaps(open_page):
    for name in EVERY_PAGE:
        numbers = open_page(name).run(
            "Array.from(document.querySelectorAll('nav.contents i, h2 > i'),"
            " i => i.textContent).filter(Boolean)"
        )
        count = len(numbers) // 2
        assert count >= 12
        assert [int(n) for n in numbers] == [*range(count)] * 2, name


def test_one_unit_by_hand_says_what_one_unit_hides(open_page):
    page = open_page("lstm")
    text = page.text("#hand")
    assert text.count("0.1405") == 3  # three lines, one number
    assert "What one unit hides" in text
    h = np.tanh(0.5 * 0.4 + 1.0), np.tanh(0.5 * np.tanh(0.5 * 0.4 + 1.0) - 0.5)
    grad_a2 = (1 - h[1] ** 2) * (h[1] - 0.2)
    grad_a1 = (1 - h[0] ** 2) * (0.5 * grad_a2 + h[0] - 0.5)
    assert f"{abs(grad_a1 * 0.4 + grad_a2 * h[0]):.4f}" in text


def test_folding_hides_the_inner_nodes_and_multiplies_across_them(open_page):
    page = open_page("book")
    page.press("[data-set='folded=true']")
    assert page.run("document.querySelector('#graph-full').closest('.canvas').hidden")
    names = "Array.from(new Set(Array.from(document.querySelectorAll("
    names += "'.canvas:has(#graph-folded) .n'), n => n.dataset.sym)))"
    assert set(page.run(names)) == {"x", "y", "h", "o", "L", "U", "W", "V", "b", "c"}
    label = "#graph-folded .col[data-t='3'] [data-k='h[t-1]>h~'] text"
    text = page.run("s => document.querySelector(s).textContent", label)
    assert text == "diag(1 − (h⁽³⁾)²) W"


def test_columns_left_out_come_back_with_labels_and_widths_of_their_own(open_page):
    page = open_page("long")
    columns = (
        "Array.from(document.querySelectorAll('#graph-full .col'), c => c.dataset.t)"
    )
    assert page.run(columns) == ["1", "2", "3", "7", "8", "9"]
    page.press("button[data-expand]")
    assert page.run(columns) == [str(t) for t in range(1, 10)]
    label = "#graph-full .col[data-t='5'] [data-k='a[t]>h'] text"
    assert (
        page.run("s => document.querySelector(s).textContent", label)
        == "diag(1 − (h⁽⁵⁾)²)"
    )
    lane = "#graph-full .col[data-t='5'] [data-k='W>a'] text"
    assert page.run("s => document.querySelector(s).textContent", lane) == "eᵢ h⁽⁴⁾ᵀ"
    page.press("button[data-expand]")
    hidden = "document.querySelector('#graph-full .col[data-t=\"5\"]').style.display"
    assert page.run(hidden) == "none"


def test_the_language_is_switched_everywhere_at_once(open_page):
    page = open_page("book")
    assert "The unrolled graph" in page.text("#graph")
    page.press("#lang-zh")
    assert page.run("document.documentElement.lang") == "zh-CN"
    graph = page.text("#graph")
    assert "展开图" in graph
    assert "The unrolled graph" not in graph
    shown = "Array.from(document.querySelectorAll('[lang=en]'))"
    assert page.run(f"{shown}.filter(e => e.offsetParent !== null).length") == 0
    page.press("#lang-en")
    assert "展开图" not in page.text("#graph")


def test_the_theme_follows_the_system_and_the_switch(open_new):
    paper = "getComputedStyle(document.body).backgroundColor"
    page = open_new("invented", color_scheme="dark")
    dark = page.run(paper)
    page.press("#theme-light")
    light = page.run(paper)
    assert dark != light
    page.press("#theme-dark")
    assert page.run(paper) == dark


def test_copy_latex_copies_the_chain_as_the_emitter_writes_it(open_page):
    page = open_page("book")
    page.press("[id='card-10.19'] [data-copy]")
    page.tab.wait_for_function("B.copied")
    copied = page.run("B.copied")
    assert copied.startswith(r"\begin{aligned}")
    assert r"V^{\top} \nabla_{o^{(\tau)}} L" in copied
    assert r"\s{" not in copied


def test_the_forms_can_be_switched_off_one_by_one(open_page):
    page = open_page("book")
    page.press("#derivation [data-open='true']")
    visible = "s => document.querySelector(s).offsetParent !== null"
    for form, selector in (("element", ".why-element"), ("number", ".values.numbers")):
        assert page.run(visible, selector)
        page.press(f"[data-form='{form}']")
        assert not page.run(visible, selector)


def test_a_symbol_under_the_pointer_is_shown_everywhere(open_page):
    page = open_page("book")
    page.run(
        "document.querySelector('.katex [data-sym=W]')"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    )
    same = page.run(
        "Array.from(document.querySelectorAll('.same'), e => e.dataset.sym)"
    )
    assert len(same) > 10
    assert set(same) == {"W"}
    assert page.run("document.querySelector('.graph .same') !== null")
    assert "shared parameter" in page.run("document.querySelector('.tip').textContent")


# ----- try to break it -----


def judged(page, formula):
    """{gradient: (error, cosine)} or the id of what is wrong; the same for NumPy."""
    return page.run(
        "f => { const j = B.judge(f); const rows = (r) => r && (r.error ? r.error.id :"
        " Object.fromEntries(r.rows.map((x) => [x.name, [x.error, x.cosine]])));"
        " return [rows(j.columns), rows(j.numpy)]; }",
        formula,
    )


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_the_displayed_formulas_give_the_exact_gradients(open_page, name):
    page = open_page(name)
    columns, _ = judged(page, page.run("B.data.lab.right"))
    assert set(columns) > set(page.run("B.data.lab.parameters.map(p => p.name)"))
    # A handful of products of numbers of size 1 in float64.
    assert max(error for error, _ in columns.values()) < 1e-13


def test_the_eight_mistakes_cost_what_they_cost_in_python(open_page):
    page = open_page("book")
    table = explained("book", tau=4).document.panel("break")
    rows = next(b for b in table.blocks if getattr(b, "id", "") == "mistakes").rows
    formulas = page.run(
        "Array.from(document.querySelectorAll('.choices button'),"
        " b => b.dataset.formula)"
    )
    assert len(formulas) == len(rows) == 9
    for formula, row in zip(formulas, rows, strict=True):
        columns, flat = judged(page, formula)
        found = columns if isinstance(columns, dict) else flat
        error_w, error_u, cosine_w = row.cells[3:6]
        assert found["W"] == [pytest.approx(error_w, abs=1e-9), pytest.approx(cosine_w)]
        assert found["U"][0] == pytest.approx(error_u, abs=1e-9)


def test_the_printed_order_is_refused_by_shapes_and_runs_in_one_dimension(open_page):
    page = open_page("book")
    page.tab.fill(
        "#formula",
        "grad_h[t] = W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]",
    )
    result = page.text(".lab .result")
    assert "inner sizes 1 ≠ 4" in result
    assert "one-dimensional NumPy arrays the same line runs without an error" in result
    page.press("#lang-zh")
    assert "一维 NumPy 数组" in page.text(".lab .result")


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        ("grad_h[t] = W.T @", "lab-expected"),
        ("grad_h[t] = W.T @ grad_h[t+1] $", "formula.character"),
        ("grad_h[t] = Q @ grad_h[t+1]", "lab-unknown"),
        ("grad_h[t] = constructor @ h[t]", "lab-unknown"),
        ("grad_h[t] = eval(h[t])", "lab-function"),
        ("grad_h[t] = W.T @ grad_h", "lab-needs-step"),
        ("h[t] = V.T @ W", "lab-product"),
        ("h[t] = V @ h[t]", "lab-sides"),
        ("grad_h[t] = V @ grad_h[t+1]", "lab-result"),
        ("grad_h[t] = h[t] + x[t]", "lab-elementwise"),
        ("grad_h[t] = h[q]", "lab-step"),
        ("grad_h[t] = " + "(" * 100 + "h[t]" + ")" * 100, "lab-deep"),
        ("grad_h[t] = " + "h[t] + " * 4000 + "h[t]", "lab-long"),
    ],
)  # fmt: skip
def test_a_formula_that_cannot_be_is_answered_with_what_is_wrong(
    open_page, formula, problem
):
    page = open_page("book")
    columns, _ = judged(page, formula)
    assert columns == problem
    assert page.complaints == []


def test_other_spellings_of_the_right_formula_are_right(open_page):
    page = open_page("book")
    for formula in (
        "∇h[t] = Wᵀ · diag(1 - h[t+1]²) · ∇h[t+1] + Vᵀ · ∇o[t]",
        "grad_h[t] = W.T @ ((1 - h[t+1] ⊙ h[t+1]) * grad_h[t+1]) + V.T @ grad_o[t]",
        "grad_b = sum(t, 1, tau, (1 - h[t]**2) * grad_h[t])",
        "grad_o[t] = softmax(c + V @ h[t]) - one_hot(y[t], n_o)",
    ):
        columns, _ = judged(page, formula)
        assert max(error for error, _ in columns.values()) < 1e-13, formula


# ----- without a script -----


@pytest.mark.parametrize("name", ["book", "invented"])
def test_without_scripts_everything_is_there_and_open(open_new, name):
    tab = open_new(name, java_script_enabled=False).tab
    assert tab.locator("details:not([open])").count() == 0
    assert tab.locator("math").count() > 50
    assert tab.locator("math").first.bounding_box()["height"] > 5
    assert tab.locator(".needs-script:visible").count() == 0
    assert tab.locator("svg.graph .e").count() > 25
    assert tab.locator(".mxw table").count() > 20
    assert "Scripts are off" in tab.locator("#header").inner_text()
    tab.locator("label:has(#lang-zh)").click()  # the switch needs none
    assert "脚本已关闭" in tab.locator("#header").inner_text()


# ----- for those who do not see, and on paper -----


def test_landmarks_headings_names_and_text_for_pictures(open_page):
    page = open_page("book")
    for landmark in ("header", "nav[aria-label]", "main#main", "footer"):
        assert page.tab.locator(landmark).count() == 1
    unnamed = page.run(
        "Array.from(document.querySelectorAll('button, input, textarea')).filter(e =>"
        " !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))"
        ".length"
    )
    assert unnamed == 0
    titles = "Array.from(document.querySelectorAll('svg[role=img]')).every(s =>"
    assert page.run(
        titles
        + " (s.getAttribute('aria-label') || s.querySelector('title').textContent)[3])"
    )
    rows = page.run("document.querySelectorAll('#graph tr[data-kind]').length")
    assert rows == 13  # one for every kind of edge of the book's network
    levels = page.run(
        "Array.from(document.querySelectorAll('h1,h2,h3'), h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_first_tab_stop_leads_to_the_content(open_new):
    page = open_new("invented")
    page.tab.keyboard.press("Tab")
    assert page.run("document.activeElement.getAttribute('href')") == "#main"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0


def test_on_paper_there_are_no_controls(open_page):
    page = open_page("book")
    page.tab.emulate_media(media="print")
    controls = (".bar", "nav.contents", ".controls", "[data-copy]")
    seen = [page.tab.locator(f"{c}:visible").count() for c in controls]
    cards = page.tab.locator("#derivation .card:visible").count()
    page.tab.emulate_media(media="screen")
    assert seen == [0, 0, 0, 0]
    assert cards > 5


def test_no_number_worked_by_hand_leaves_the_paper(open_new):
    page = open_new("book", viewport={"width": 718, "height": 1000}).ready()
    page.tab.emulate_media(media="print")
    ends = page.run(
        "[...document.querySelectorAll('table.hand')]"
        ".map((t) => t.getBoundingClientRect().right)"
    )
    assert len(ends) == 2
    assert max(ends) <= 718


def test_a_narrow_screen_scrolls_its_parts_and_not_the_page(open_new):
    page = open_new("invented", viewport={"width": 390, "height": 800}).ready()
    assert page.run("document.documentElement.scrollWidth") <= 390


def test_the_invented_cell_is_the_users_own():
    cell = bptt.Cell(USER_CELLS["branches"])
    assert "branches" not in bptt.cells.names()
    assert cell.explain(tau=2).passed


WIDE = """() => {
  for (const part of document.querySelectorAll("section.panel")) {
    part.style.contentVisibility = "visible";
  }
  for (const part of document.querySelectorAll("details")) part.open = true;
  B.typeset(document);
  const inner = ".scroll, .canvas, .tall, .chain, .mxw, pre, .walk-product, .bar"
    + ", .edge > summary";
  return Array.from(document.querySelectorAll("main *")).filter((e) =>
    e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(inner)
  ).map((e) => e.tagName + "." + (e.getAttribute("class") || ""));
}"""


@pytest.mark.parametrize("name", ["book", "lstm"])
def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_bar_is_low(open_new, name):
    page = open_new(name, viewport={"width": 390, "height": 844}).ready()
    assert page.run(WIDE) == []
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("document.querySelector('.bar').offsetHeight") <= 64
    sizes = page.run(
        "Array.from(document.querySelectorAll('p, td, li, pre'), e =>"
        " parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12


def test_on_paper_everything_is_open_and_nothing_scrolls(open_new):
    page = open_new("book").ready()
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    page.tab.emulate_media(media="print")
    assert page.run("document.querySelectorAll('details:not([open])').length") == 0
    scrolled = page.run(
        "Array.from(document.querySelectorAll('.chain > *, .mxw, pre, .scroll, .tall,"
        " .canvas')).filter(e => ['auto', 'scroll'].includes("
        "getComputedStyle(e).overflowX)).length"
    )
    assert scrolled == 0
    marks = page.run(
        "Array.from(document.querySelectorAll('summary'), s =>"
        " getComputedStyle(s).listStyleType).filter(x => x !== 'none').length"
    )
    assert marks == 0
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") > 5


def test_the_factors_of_a_gated_cell_have_the_colours_of_their_arrows(open_page):
    page = open_page("lstm")
    found = page.run(
        "['later', 'now'].map(w => document.querySelectorAll("
        '`[id="card-node:s"] .katex-html .arrow-${w}`).length)'
    )
    assert min(found) >= 2


def test_a_parameters_long_name_stays_in_its_box(browser, tmp_path):
    file = tmp_path / "leaky.html"
    file.write_text(bptt.cells.leaky.explain(tau=2).html(), encoding="utf-8")
    page = Opened(browser, file)
    wide = page.run(
        "Object.fromEntries(Array.from("
        "document.querySelectorAll('svg.rail .parameter'), g => [g.dataset.sym,"
        " [g.querySelector('text').getBBox().width,"
        " g.querySelector('rect').getBBox().width]]))"
    )
    page.context.close()
    assert "time_constant" in wide
    assert all(text <= box for text, box in wide.values())
