"""`bptt cells`: every cell with its source and its equations, unbroken."""

import io

import pytest
from rich.console import Console

import bptt
from bptt import cells
from bptt.cli.cells import (
    FAMILIES,
    first_sentence,
    make_list,
    make_table,
    show_cell,
    split_text,
    title,
)
from bptt.cli.cells import cells as list_cells

WIDTH = 120


def show(what):
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_the_table_has_every_cell_with_its_equations_each_on_one_line():
    shown = show(make_table(cells.names()))
    assert f"{len(cells.names())} cells of the library" in shown
    for name in cells.names():
        assert f"│ {name} " in shown
        _, equations = split_text(cells.get(name).text)
        for line in equations.splitlines():
            assert f"│ {line} " in shown


def test_one_cell_is_shown_with_its_source_shapes_and_states():
    shown = show(show_cell("lstm_projection"))
    assert shown.startswith("lstm_projection")
    assert "Sak, Senior and Beaufays (2014)" in shown
    assert "    h[t] = P @ (q[t] * tanh(s[t]))" in shown
    assert "P (n_h, n_s)" in shown
    assert "h (n_h), s (n_s)" in shown


def test_a_cell_of_ones_own_is_shown_and_a_wrong_name_refused(tmp_path):
    file = tmp_path / "mine.cell"
    file.write_text("h[t] = sin(U @ x[t])\n")
    assert "    h[t] = sin(U @ x[t])" in show(show_cell(str(file)))
    with pytest.raises(cells.errors.UnknownCellError, match="neither a built-in cell"):
        show_cell("rnn")


def test_the_list_fits_a_terminal_and_names_every_cell_once_in_its_family():
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(make_list())
    lines = capture.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == [name for names in FAMILIES.values() for name in names]
    assert sorted(listed) == sorted(cells.names())
    assert len(lines) == len(listed) + 2 * len(FAMILIES) + 3


def test_a_narrow_terminal_keeps_the_two_columns_of_the_list():
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(make_list())
    lines = capture.get().splitlines()
    width = 4 + max(map(len, cells.names()))
    rows = [line for line in lines if line.startswith("  ")]
    assert len(rows) > len(cells.names())  # some go on in a second line
    assert all(len(line) <= 60 for line in lines)
    assert all(line[width - 2 : width] == "  " for line in rows)
    assert all(line[width] != " " for line in rows)


def test_only_what_is_longer_than_the_screen_is_paged(monkeypatch):
    paged = []
    monkeypatch.setattr("pydoc.pager", paged.append)
    length = len(show(make_list()).splitlines())
    for height, pages in ((length, 1), (length + 1, 0), (24, 1)):
        paged.clear()
        console = Console(
            width=80, height=height, force_terminal=True, color_system="standard",
            file=io.StringIO(),
        )  # fmt: skip
        monkeypatch.setattr("bptt.cli.cells.Console", lambda shown=console: shown)
        list_cells()
        assert len(paged) == pages
        shown = paged[0] if paged else console.file.getvalue()
        assert "\n  lstm_coupled      The LSTM that forgets" in shown
        assert ("\x1b" in shown) != bool(paged)  # less shows the signs of a style


@pytest.mark.parametrize(
    ("comment", "first"),
    [
        ("Li et al. (2018), a paper, arXiv:1803.04831. W is theirs.",
         "Li et al. (2018), a paper, arXiv:1803.04831"),
        ("No stop at all", "No stop at all"),
        ("Volume 12(2). s is small, and goes on. End.",
         "Volume 12(2). s is small, and goes on"),
    ],
)  # fmt: skip
def test_the_first_sentence(comment, first):
    assert first_sentence(comment) == first


def test_a_misspelt_cell_gets_the_nearest_name():
    with pytest.raises(AttributeError, match="did you mean lstm"):
        cells.lstn  # noqa: B018
    with pytest.raises(cells.errors.UnknownCellError, match="mean gru_reset_before"):
        cells.get("gru_resetbefore")
    with pytest.raises(AttributeError, match=r"no attribute 'Cel'; did you mean Cell"):
        bptt.Cel  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'xyzzy'$"):
        bptt.xyzzy  # noqa: B018


def test_a_title_is_what_a_cell_is_without_its_source():
    assert title("Coupled oscillators: Rusch (2021); h is y. More.") == (
        "Coupled oscillators"
    )
    assert title("No source. And more: here.") == "No source"
