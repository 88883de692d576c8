"""The LaTeX document compiles and fits its page, in both languages."""

import re

import pytest

import bptt
from bptt.explain.render.latex_fit import (
    LINE,
    LISTING,
    broken,
    letters,
    shares,
    wrapped,
)
from tests.explain.documents import explained
from tests.explain.tex import compile_tex, complaints

HEADS = """
j = 1, ..., n_head
S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])
"""
LONG = r"W^{\top} \operatorname{diag}\left(i^{(t+1)} \left(1 - i^{(t+1)}\right)\right)"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["book", "lstm", "gru", "heads"])
def test_the_document_compiles_and_nothing_leaves_the_page(name, lang, tmp_path):
    if name == "heads":
        found = bptt.Cell(HEADS).explain(name="heads & co_1", lang=lang)
    else:
        found = explained(name, lang)
    pdf, said = compile_tex(found.save(tmp_path / f"{name}.tex"))
    assert complaints(said) == []
    assert pdf.read_bytes().startswith(b"%PDF")
    assert int(re.search(r"\((\d+) pages?", said)[1]) > (10 if name != "heads" else 0)


def test_a_long_side_is_broken_before_the_sign_of_a_term():
    side = " + ".join([LONG] * 4) + f" - {LONG} - {LONG}"
    lines = broken(side)
    assert " ".join(lines) == side
    assert len(lines) > 1
    assert all(line[0] in "+-" for line in lines[1:])
    assert all(letters(line) <= LINE for line in lines)


def test_no_line_is_broken_within_brackets():
    side = r"\left(" + " + ".join(["abcdefghij"] * 12) + r"\right)"
    assert broken(side) == [side]


def test_letters_are_those_that_are_seen():
    assert letters(r"\frac{\partial a^{(t)}}{\partial h}") < 10
    assert letters("$W$") == 1


def test_a_listing_is_wrapped_as_python_reads_it():
    terms = " + ".join(f"W_{k}.T @ grad_{k}[t+1]" for k in range(12))
    code = f"for t in (1, 2):\n    grad_h[t] = {terms}"
    shown = wrapped(code)
    assert max(map(len, shown.splitlines())) <= LISTING + 2
    assert compile(shown, "x", "exec").co_code == compile(code, "x", "exec").co_code
    note = "# " + "word " * 40
    assert all(line.startswith("# ") for line in wrapped(note).splitlines())
    assert " ".join(line[2:] for line in wrapped(note).splitlines()) == note[2:].strip()


def test_columns_get_room_by_their_widest_cell_and_none_gets_all():
    found = shares([["a", "b" * 20], ["c" * 10, "d"], ["e", "f" * 300]])
    assert sum(found) == pytest.approx(1)
    assert 0.2 < found[0] < found[1] < 0.8
