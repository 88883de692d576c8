"""`bptt cells`: every cell with its source and its equations, unbroken."""

import pytest
from rich.console import Console

from bptt import cells
from bptt.cli.cells import make_table, show_cell, split_text

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
