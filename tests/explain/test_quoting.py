"""What a person named or wrote is quoted by every format, and ends nothing in it."""

import re
from dataclasses import replace

import pytest

import bptt
from bptt.explain import Explanation

# A name of a cell is a file's name, and a comment of a cell may hold anything.
HOSTILE = (
    r"a|b*c_d`e$f<script>x</script>~~g~~ [h](javascript:i) & \input{/etc/passwd} %",
    "line\nbreak ## title\n\n| x | y |",
    r"\end{document} \write18{x} {[}] ^^5c",
    "![p](http://q) &lt; [r]: http://s",
)
COMMENTS = "# ```\n# \\end{verbatim} \\input{x} ````` <b>\n"
TEXT = COMMENTS + "h[t] = tanh(W @ h[t-1] + U @ x[t]) + abs(h[t-1])\nL[t] = sum(h[t])"


@pytest.fixture(scope="module")
def explained() -> Explanation:
    found = bptt.Cell(TEXT).explain(name="NAME", tau=2)
    return replace(found, with_ledger=False)


def unescaped(text, special):
    """The signs of a class that no backslash stands before."""
    return re.findall(rf"(?<!\\)(?:\\\\)*([{special}])", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_quotes_a_name(explained, name):
    document = replace(
        explained.document,
        title=replace(explained.document.title, fields={"cell": name}),
    )
    found = replace(explained, name=name)
    found.__dict__["document"] = document
    title, rest = found.markdown().split("\n", 1)
    quoted = title.removeprefix("# ").partition(":")[0] if ":" not in name else title
    assert not unescaped(quoted.removeprefix("# "), r"`*_$<|~&")
    assert "](" not in title.replace(r"\](", "")
    assert "]: " not in title.replace(r"\]: ", "")
    assert rest.startswith("\n**")  # the title is one line


@pytest.mark.parametrize("name", HOSTILE)
def test_latex_quotes_a_name(explained, name):
    document = replace(
        explained.document,
        title=replace(explained.document.title, fields={"cell": name}),
    )
    found = replace(explained, name=name)
    found.__dict__["document"] = document
    latex = found.latex()
    assert latex.count(r"\end{document}") == 1
    section = re.search(r"\\section\*\{(.*)\}\n", latex)[1]
    commands = set(re.findall(r"\\[A-Za-z]+", section))
    assert commands <= {r"\textbackslash", r"\textasciicircum", r"\textasciitilde"}
    assert section.count("{") - section.count(r"\{") == (
        section.count("}") - section.count(r"\}")
    )


def test_the_cells_text_ends_neither_a_fence_nor_verbatim(explained):
    markdown = explained.markdown()
    fence = re.search(r"^(`{3,})\n# ```", markdown, re.MULTILINE)[1]
    assert len(fence) == 6
    assert markdown.count(f"\n{fence}\n") == 2
    latex = explained.latex()
    assert latex.count(r"\begin{verbatim}") == latex.count(r"\end{verbatim}")
    assert r"\textbackslash{}end\{verbatim\}" in latex
    assert r"\input" not in latex


def test_a_bar_of_a_formula_ends_no_cell_of_a_table(explained):
    rows = [line for line in explained.markdown().splitlines() if line.startswith("| ")]
    widths = {}
    for line in rows:
        columns = len(unescaped(line, "|"))
        widths.setdefault(columns, []).append(line)
    heads = [line for line in rows if set(line) <= set("|- ")]
    assert set(widths) == {len(unescaped(head, "|")) for head in heads}
    assert r"\left\vert h" in explained.markdown()
