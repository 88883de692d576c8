"""`bptt cells`: the library, with its equations."""

import re
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bptt import cells as library

# The list of `bptt cells`, in the order of a reader who looks for one.
FAMILIES = {
    "Plain": ("book", "elman", "elman_relu", "elman_layer_norm", "irnn", "jordan"),
    "LSTM": ("lstm", "lstm_coupled", "lstm_layer_norm", "lstm_peephole",
             "lstm_projection", "slstm"),
    "Other gates": ("gru", "gru_reset_before", "mgu", "mingru", "ugrnn"),
    "Structured connections": ("indrnn", "low_rank"),
    "Differential equations": ("antisymmetric", "cornn", "leaky", "lem"),
}  # fmt: skip


def split_text(text: str) -> tuple[str, str]:
    """A cell's text as its leading comment, in one paragraph, and the rest."""
    lines = text.strip().splitlines()
    count = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    comment = " ".join(line.removeprefix("#").strip() for line in lines[:count])
    return comment, "\n".join(lines[count:])


def make_list() -> Group:
    """The families of the library, a line per cell; how to see more."""
    width = max(map(len, library.names()))
    shown: list[RenderableType] = [f"{len(library.names())} cells of the library"]
    for family, names in FAMILIES.items():
        shown += ["", Text(family, style="bold")]
        rows = Table.grid("name", "what", padding=(0, 2))
        rows.columns[0].no_wrap = True
        for name in names:
            comment, _ = split_text(library.text(name))
            rows.add_row(f"  {name:{width}}", title(comment))
        shown.append(rows)
    hint = "`bptt cells NAME` shows one with its equations, `--equations` all."
    return Group(*shown, "", hint)


def title(comment: str) -> str:
    """What a cell is, without where it comes from: up to the first colon."""
    return re.split("[:;]", first_sentence(comment))[0]


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
    written = cell.graph.times.written(cell.states)
    facts = Table.grid(padding=(0, 2))
    for title, shapes in (
        ("parameters", cell.parameters),
        ("inputs", cell.inputs),
        ("states", {state: cell.nodes.get(state, ()) for state in written}),
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
        return
    shown = make_table(library.names()) if equations else make_list()
    if console.is_terminal and is_longer(shown, console):
        with console.pager():
            console.print(shown)
    else:
        console.print(shown)


def is_longer(shown: RenderableType, console: Console) -> bool:
    """Whether it would leave the screen, with the line that asks for a command."""
    return len(console.render_lines(shown, pad=False)) >= console.height
