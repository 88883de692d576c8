"""No line of the page begins with the sign that ends what the line before it says."""

import pytest

import bptt
from bptt.explain.algebra.expr import Value, Written
from bptt.explain.html.held import Held, held
from bptt.explain.model import Typed
from tests.explain.conftest import Opened
from tests.explain.documents import explained
from tests.explain.test_indexed import ATTENTION

# Signs that stand below the formula they belong to, left of its end.
ALONE = """() => {
  const stops = /^[.,;:!?)\\]}”’。，；：！？、）」》]/, found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const before = text.previousSibling;
    if (!stops.test(text.data) || !before?.getClientRects) continue;
    if (text.parentElement.closest(".katex, svg, script, pre")) continue;
    const sign = document.createRange();
    sign.setStart(text, 0);
    sign.setEnd(text, 1);
    const [at] = sign.getClientRects(), last = [...before.getClientRects()].pop();
    if (!at?.width || !last) continue;
    if (at.left < last.right - 2 && at.top > last.top + 4) {
      found.push(`${before.textContent.slice(-20)} | ${text.data.slice(0, 20)}`);
    }
  }
  return found;
}"""
OPEN = """lang => {
  document.querySelector("#lang-" + lang).click();
  for (const part of document.querySelectorAll("section.panel")) {
    part.style.contentVisibility = "visible";
  }
  for (const part of document.querySelectorAll("details")) part.open = true;
  B.typeset(document);
}"""
CELLS = ["book", "lstm", "lem", "Greek letters and long names", "attention"]


@pytest.mark.parametrize("name", CELLS)
def test_no_sign_behind_a_formula_begins_a_line(browser, tmp_path, name):
    file = tmp_path / "page.html"
    made = bptt.Cell(ATTENTION).explain() if name == "attention" else explained(name)
    file.write_text(made.html(), encoding="utf-8")
    page = Opened(browser, file, viewport={"width": 390, "height": 844})
    try:
        for lang in ("en", "zh"):
            page.run(OPEN, lang)
            for width in (390, 340):
                page.tab.set_viewport_size({"width": width, "height": 844})
                assert page.run(ALONE) == [], (lang, width)
        assert page.complaints == []
        if name == "book":  # held by nothing, some are found
            page.tab.add_style_tag(content="n-b { white-space: normal }")
            assert page.run(ALONE)
    finally:
        page.context.close()


def test_a_formula_holds_its_brackets_and_signs_and_code_holds_none():
    w, code = Value("W"), Written("W.T @ g", None)
    assert held(["so (", w, "), then ", w, "。"]) == [
        "so ", Held("(", w, "),"), " then ", Held("", w, "。"),
    ]  # fmt: skip
    assert held([w, ")(", w]) == [Held("", w, ")"), Held("(", w, "")]
    assert held(["(", code, ")"]) == ["(", code, ")"]
    assert held([w, Typed(", as typed"), w]) == [w, Typed(", as typed"), w]
    assert held([w, " is ", w]) == [w, " is ", w]
