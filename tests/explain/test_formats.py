"""What each format writes of the same document."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import bptt
from bptt.explain import model as m
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.point import Scope
from bptt.explain.explanation import UnknownCardError, UnknownFormatError
from bptt.explain.instances import ExplainOptionError
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.latex_meaning import state_at
from bptt.explain.notation.latex_tokens import LatexReadError
from bptt.explain.notation.mathml import to_mathml
from bptt.explain.notation.parse import parse
from bptt.explain.notation.plain import to_ascii, to_unicode
from bptt.explain.notation.read_latex import read
from bptt.explain.render.prose import Prose
from tests.explain.documents import explained

BOOK = Scope(bptt.cells.book.graph)
# Formula, LaTeX, Unicode.
WRITTEN = [
    ("W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]",
     (r"W^{\top} \operatorname{diag}\left(1 - \left(h^{(t+1)}\right)^{2}\right) "
      r"\nabla_{h^{(t+1)}} L + V^{\top} \nabla_{o^{(t)}} L"),
     "Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_h⁽ᵗ⁺¹⁾ L + Vᵀ ∇_o⁽ᵗ⁾ L"),
    ("sum(t, 1, tau, grad_a[t] @ h[t-1].T)",
     r"\sum_{t=1}^{\tau} \left(\nabla_{a^{(t)}} L\right) h^{(t-1)\top}",
     "Σ_{t=1..τ} (∇_a⁽ᵗ⁾ L) h⁽ᵗ⁻¹⁾ᵀ"),
    ("y_hat[t,i] - delta(i, y[t])",
     r"\hat{y}_{i}^{(t)} - \mathbf{1}_{i=y^{(t)}}", "ŷᵢ⁽ᵗ⁾ − 𝟏_{i=y⁽ᵗ⁾}"),
    ("partial(h[t,i], W[t,j,k])",
     r"\frac{\partial h_{i}^{(t)}}{\partial W_{j,k}^{(t)}}", "∂hᵢ⁽ᵗ⁾/∂Wⱼₖ⁽ᵗ⁾"),
    ("total(h[t], b)", r"\frac{\mathrm{d} h^{(t)}}{\mathrm{d} b}", "dh⁽ᵗ⁾/db"),
    ("h[tau-1].T", r"h^{(\tau-1)\top}", "h^(τ−1)ᵀ"),
    ("(1 / tau) * (h[t] * h[t-1])",
     r"\frac{1}{\tau} \left(h^{(t)} \odot h^{(t-1)}\right)",
     "(1/τ) (h⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "latex", "unicode"), WRITTEN)
def test_a_formula_is_written_like_this(text, latex, unicode):
    expr = parse(text, BOOK)
    assert to_latex(expr) == latex
    assert to_unicode(expr) == unicode
    assert to_ascii(expr) == text


def as_gradient(expr):
    """∂L/∂o_i of the one L is another way to write (∇_o L)_i."""
    if isinstance(expr, e.Jacobian) and expr.target == e.Value("L") and isinstance(
        expr.source, e.Element
    ):  # fmt: skip
        return e.Element(e.Nabla(expr.source.of), expr.source.indices)
    return expr


@pytest.mark.parametrize("name", ["book", "lstm", "two states, one scalar"])
def test_every_displayed_formula_reads_back_from_ascii(name):
    document = explained(name).document
    for chain in document.chains():
        for link in chain.links:
            text = to_ascii(link.expr)
            if "eps=" not in text:
                again = parse(text, document.scope)
                assert to_latex(again) == to_latex(as_gradient(link.expr))


@pytest.mark.parametrize("name", ["book", "gru", "tokens", "branches"])
def test_every_displayed_formula_is_well_formed_mathml(name):
    for chain in explained(name).document.chains():
        for link in chain.links:
            tree = ET.fromstring(to_mathml(link.expr))  # noqa: S314
            arity = {"msup": 2, "msub": 2, "msubsup": 3, "mfrac": 2, "munderover": 3,
                     "mover": 2}  # fmt: skip
            for node in tree.iter():
                assert len(node) == arity.get(node.tag, len(node))


@pytest.mark.parametrize("latex", [
    r"W^{\top", r"\frac{\partial h}{h}", r"\blah h^{(t)}", r"h^{(t)} )",
    r"\nabla_{h^{(t)}}", r"\sum_{q=1}^{\tau} b",
])  # fmt: skip
def test_latex_that_is_no_formula_is_not_read(latex):
    with pytest.raises(LatexReadError):
        read(latex, BOOK)


def test_the_reader_keeps_the_order_of_factors_and_the_strength_of_odot():
    shown = explained("book").document.shown
    state = state_at(shown, 2, {})
    W, h = shown.value("W", None), shown.value("h", 2)
    # A product with a column may round otherwise than one with a vector.
    right = (W @ h) * shown.value("b", None)
    found = read(r"W h^{(t)} \odot b", BOOK)(state)
    np.testing.assert_allclose(found, right, rtol=1e-14)
    assert np.array_equal(read(r"-W + W^{\top}", BOOK)(state), -W + W.T)
    with pytest.raises(ValueError, match="not aligned"):
        read(r"h^{(t)} W", BOOK)(state)


# ----- terminal -----


def test_ascii_text_holds_no_other_character():
    for name in ("book", "elman"):
        text = explained(name).text(ascii_only=True)
        without_glossary = text.split("Terms in both languages")[0]
        assert [c for c in without_glossary if not c.isascii()] == []
        assert "grad_h[t]" in text


def test_rich_prints_ascii_where_the_terminal_has_no_unicode():
    import io

    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    Console(file=file, width=90).print(bptt.cells.book.explain(step="10.19"))
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert "grad_h[tau]" in text
    assert "?" not in text.replace("Why?", "").split("What would go wrong")[0]


@pytest.mark.parametrize("width", [30, 47, 80])
def test_prose_fills_its_lines_with_chinese_characters_counted_as_two(width):
    text = "往回走时先过 tanh，所以对角矩阵紧挨着梯度，W 的转置在最前面（见下）。" * 3
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(Prose(((text, ""),)))
    lines = console.export_text().splitlines()
    again = "".join(line.rstrip() for line in lines)
    assert again.replace(" ", "") == text.replace(" ", "")
    for line in lines[:-1]:
        assert width - 8 <= cell_len(line.rstrip()) <= width
        assert line[0] not in "，。、）"
    console.file.close()


def test_one_card_can_be_shown_by_its_number():
    text = bptt.cells.book.explain(step="10.21", lang="zh").text()
    assert text.startswith("╭─  10.21 · 代入 Jacobian 矩阵")
    assert text.count("╭") == 1
    with pytest.raises(UnknownCardError, match=r"no card is called '10.99'; there are"):
        bptt.cells.book.explain(step="10.99").text()


def test_an_unchecked_card_says_so():
    document = explained("book").document
    card = document.cards[1]
    bare = replace(card, chains=tuple(
        replace(c, links=tuple(m.Link(k.expr) for k in c.links)) for c in card.chains
    ))  # fmt: skip
    from bptt.explain.render.terminal import render_text

    assert bare.status == m.NOT_CHECKED
    assert "not checked here" in render_text(document, "en", cards=(bare,))
    assert "此处无法验证" in render_text(document, "zh", cards=(bare,))


# ----- files and notebooks -----


def test_save_writes_the_format_of_the_suffix(tmp_path):
    found = explained("book")
    starts = {".txt": "The gradient through time", ".md": "# The gradient",
              ".tex": "% !TEX program = xelatex"}  # fmt: skip
    for suffix, start in starts.items():
        path = found.save(tmp_path / f"book{suffix}")
        assert path.read_text("utf-8").startswith(start)
    with pytest.raises(UnknownFormatError, match=r"no format for '.docx'"):
        found.save(tmp_path / "book.docx")


def test_a_notebook_gets_markdown_and_plain_text():
    found = bptt.cells.book.explain(step="10.19")
    bundle = found._repr_mimebundle_()
    assert set(bundle) == {"text/markdown", "text/plain"}
    assert bundle["text/markdown"] == found._repr_markdown_()
    assert set(found._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}
    assert r"\nabla_{h^{(\tau)}} L &= " in bundle["text/markdown"]


def test_the_latex_document_escapes_what_stands_in_sentences():
    latex = explained("book").latex()
    body = latex.split(r"\begin{document}")[1]
    listing = r"\\begin\{verbatim\}.*?\\end\{verbatim\}"
    outside = re.sub(rf"\$[^$]*\$|\\\[.*?\\\]|{listing}", "", body, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[_^#%]", outside)
    assert latex.count(r"\[") == latex.count(r"\]") > 30


@pytest.mark.parametrize(("options", "message"), [
    ({"tau": 0}, "tau = 0; an explanation shows 1 to 20 steps"),
    ({"tau": 21}, "tau = 21"),
    ({"sizes": {"n_h": 1}}, "with one unit every order of factors is right"),
    ({"sizes": {"n_q": 3}}, "n_q is not a dimension of this cell; it has n_x, n_o"),
    ({"reduction": "median"}, "'median'; use one of sum, batch_mean, mean, last"),
    ({"weights": [1, 2]}, "2 weights for tau = 4 steps"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ExplainOptionError, match=re.escape(message)):
        bptt.cells.book.explain(**options).text()


def test_sizes_steps_and_seed_choose_the_numbers_that_are_shown():
    cell = bptt.cells.elman
    a = cell.explain(tau=2, seed=1, sizes={"n_h": 2}, step="node:h").document.shown
    b = cell.explain(tau=2, seed=2, sizes={"n_h": 2}, step="node:h").document.shown
    assert a.tau == 2
    assert a.sizes["n_h"] == 2
    assert a.sizes["n_x"] == 3
    assert not np.array_equal(a.value("W", None), b.value("W", None))
    last = e.Nabla(e.Value("h", e.TAU))
    assert np.array_equal(evaluate(last, a), a.incoming("h", 2))
