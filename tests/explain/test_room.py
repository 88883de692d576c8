"""Room for what is read: no column of one word a line, no formula spread out."""

import pytest

OPEN = """() => {
  for (const part of document.querySelectorAll("section.panel")) {
    part.style.contentVisibility = "visible";
  }
  for (const part of document.querySelectorAll("details")) part.open = true;
  B.typeset(document);
}"""
# Cells and labels of five lines or more in a column narrower than a few words.
SQUEEZED = """() => Array.from(
  document.querySelectorAll("main td, main th, .sliders label > span")
).filter((e) => {
  const style = getComputedStyle(e), inside = document.createRange();
  inside.selectNodeContents(e);
  const wide = e.clientWidth - parseFloat(style.paddingRight);
  const high = inside.getBoundingClientRect().height / parseFloat(style.lineHeight);
  return e.textContent.length > 20 && e.clientWidth && high > 4.5 && wide < 90;
}).map((e) => e.textContent.slice(0, 40))"""
# KaTeX lays its parts out itself: a rule of the page for `span` would move them.
SPREAD = """() => Array.from(document.querySelectorAll(".katex-html *"))
  .filter((e) => getComputedStyle(e).columnGap !== "normal").length"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_column_is_squeezed_to_a_word_a_line(open_new, width):
    page = open_new("book", viewport={"width": width, "height": 844}).ready()
    page.run(OPEN)
    assert page.run(SQUEEZED) == []
    if width == 390:  # a column as narrow as it gets is found
        page.tab.add_style_tag(content=".paths td { min-width: 0 !important }")
        assert page.run(SQUEEZED)


def test_no_style_of_the_page_spreads_a_formula(open_page):
    page = open_page("book")
    assert page.run("document.querySelectorAll('.play-table .katex').length") > 3
    assert page.run(SPREAD) == 0


def test_the_names_of_the_sliders_stand_on_two_lines_at_most(open_page):
    page = open_page("book")
    page.text("#flow .sliders")
    heights = page.run(
        "Array.from(document.querySelectorAll('.sliders label > span'),"
        " e => e.getBoundingClientRect().height)"
    )
    assert len(heights) == 5
    assert max(heights) < 52


def test_the_figures_of_the_chart_that_is_played_with_are_read_on_a_phone(open_new):
    page = open_new("book", viewport={"width": 390, "height": 844}).ready()
    page.text("#flow .play-figure")
    heights = page.run(
        "Array.from(document.querySelectorAll('.play-chart text'),"
        " e => e.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) >= 9


def test_on_paper_no_chart_fills_a_page(open_page):
    page = open_page("book")
    page.run(OPEN)
    page.tab.emulate_media(media="print")
    widths = page.run(
        "Array.from(document.querySelectorAll('svg.chart'), e => e.clientWidth)"
    )
    page.tab.emulate_media(media="screen")
    assert len(widths) > 10
    assert max(widths) <= 360


def test_no_arrow_stands_behind_a_matrix_that_is_left_out(open_new):
    tab = open_new("lstm", java_script_enabled=False).tab
    alone = tab.evaluate(
        "Array.from(document.querySelectorAll('.mxw + .op')).filter(e =>"
        " !e.previousElementSibling.querySelector('table')"
        " && getComputedStyle(e).display !== 'none').length"
    )
    assert alone == 0
    empty = tab.locator(".mxw:not(:has(table)) + .op").count()
    assert empty > 5
