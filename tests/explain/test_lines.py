"""Lines of a terminal that are laid out once: no wider than the room, framed alike."""

import io

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from bptt.explain.render.lines import Framed
from bptt.explain.render.prose import Prose
from bptt.explain.render.rows import Rows

WIDE = 40


def printed(*parts, width=WIDE):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for part in parts:
        console.print(part)
    return console.file.getvalue().splitlines()


def test_a_frame_is_what_richs_own_is():
    for title in (
        " a · title ",
        " a title that is longer than the frame is wide 长标题 ",
    ):
        body = (Text("one"), Prose((("two words, and 三个汉字。" * 3, "bold"),)))
        ours = printed(Framed(title, body, box.ROUNDED, "green"))
        theirs = printed(Panel("", title=Text(title), title_align="left"))
        assert ours[0].replace("…", "r") == theirs[0]
        assert ours[-1] == theirs[-1]
        assert {cell_len(line) for line in ours} == {WIDE}


def test_rows_stand_as_far_in_as_they_are_told_even_where_they_are_broken():
    rows = Rows(((Text("x"), Text("="), Text("long " * 20)),), 0, indent=3)
    lines = printed(rows)
    assert len(lines) > 1
    assert all(line.startswith("   ") for line in lines if line.strip())
    assert max(map(cell_len, lines)) <= WIDE
