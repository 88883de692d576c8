"""`bptt cells`: the library, with its equations."""

import re
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bptt import cells as library


def split_text(text: str) -> tuple[str, str]:
    """A cell's text as its leading comment, in one paragraph, and the rest."""
    lines = text.strip().splitlines()
    count = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    comment = " ".join(line.removeprefix("#").strip() for line in lines[:count])
    return comment, "\n".join(lines[count:])


def make_list(names: tuple[str, ...]) -> Group:
    """A line per cell, the first sentence of its comment; how to see more."""
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(no_wrap=True, style="bold")
    lines.add_column()
    for name in names:
        comment, _ = split_text(library.text(name))
        lines.add_row(name, first_sentence(comment))
    return Group(
        f"{len(names)} cells of the library\n",
        lines,
        "\n`bptt cells NAME` shows one with its equations, `--equations` all.",
    )


def first_sentence(comment: str) -> str:
    """Up to the first full stop that ends a sentence: "et al." does not."""
    ends = re.finditer(r"(?<!\bal)\.(?= [A-Z]|$)", comment)
    first = next(ends, None)
    return comment[: first.start()] if first else comment


def make_table(names: tuple[str, ...]) -> Table:
    """A row per cell: its name, where it comes from, and its equations."""
    table = Table(show_lines=True, title=f"{len(names)} cells of the library")
    table.add_column("cell", no_wrap=True, style="bold")
    table.add_column("source and equations")
    for name in names:
        comment, equations = split_text(library.text(name))
        shown = Group(Text(comment, style="dim"), Text(equations))
        table.add_row(name, shown)
    return table


def show_cell(name: str) -> Group:
    """One cell: source, equations, and what a call needs and gives."""
    from bptt.train.named_cell import load_cell

    cell = load_cell(name)
    comment, equations = split_text(cell.text)
    facts = Table.grid(padding=(0, 2))
    for title, shapes in (
        ("parameters", cell.parameters),
        ("inputs", cell.inputs),
        ("states", {state: cell.nodes.get(state, ()) for state in cell.states}),
    ):
        listed = (f"{n} ({', '.join(map(str, shape))})" for n, shape in shapes.items())
        facts.add_row(title, ", ".join(listed) or "none")
    return Group(
        Text(name, style="bold"),
        Text(comment, style="dim"),
        Padding(Text(equations), (1, 0, 1, 4)),
        facts,
    )


def cells(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One cell, or a file of equations."),
    ] = None,
    equations: Annotated[
        bool, typer.Option("--equations", help="Every cell with its equations.")
    ] = False,
) -> None:
    """List the cells of the library, or show one."""
    console = Console()
    if name is not None:
        console.print(show_cell(name))
    elif not equations:
        console.print(make_list(library.names()))
    elif console.is_terminal:
        with console.pager(styles=True):
            console.print(make_table(library.names()))
    else:
        console.print(make_table(library.names()))
