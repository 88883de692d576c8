"""`bptt explain`: the derivation of a cell's gradient, shown and checked."""

import gc
import sys
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bptt.cli.output import say
from bptt.explain import Explanation
from bptt.explain.instances import DEFAULT_TAU
from bptt.train import OptionError, parse_size
from bptt.train.errors import IgnoredOptionError
from bptt.train.named_cell import load_cell


class Drawing(StrEnum):
    """A figure of an explanation."""

    UNROLLED = "unrolled"
    EDGE = "edge"
    PATHS = "paths"


class Format(StrEnum):
    """What an explanation is written as."""

    HTML = "html"
    TEXT = "text"
    LATEX = "latex"
    MARKDOWN = "markdown"
    SLIDES = "slides"


CellName = Annotated[
    str,
    typer.Argument(
        metavar="CELL",
        help="A built-in cell (book, elman, lstm, gru ...) or a file of equations.",
    ),
]
Lang = Annotated[str, typer.Option(help="en or zh.")]
Form = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="What to write. [default: by the suffix of FILE, else text]",
        show_default=False,
    ),
]
Step = Annotated[
    str | None,
    typer.Option(help="One card alone, such as 10.21, node:h or parameter:W."),
]
Tau = Annotated[int, typer.Option(help="Steps of the numbers shown.")]
Seed = Annotated[int, typer.Option(help="Seed of all numbers.")]
Sizes = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=N", help="Size of one dimension; may be repeated."),
]
Reduction = Annotated[
    str, typer.Option(help="How L is made of the steps' losses: sum, mean or last.")
]
Figure = Annotated[
    Drawing | None,
    typer.Option(
        help="A figure for print instead: the network in time, every edge, or "
        "the paths from a parameter. FILE ends in .svg, .pdf or .tex (TikZ).",
        show_default=False,
    ),
]
Of = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Of the edges those that start or end in NAME; of the paths those "
        "from the parameter NAME.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write to a file."),
]


def explain(
    cell: CellName, *, lang: Lang = "en", form: Form = None, step: Step = None,
    tau: Tau = DEFAULT_TAU, seed: Seed = 0, size: Sizes = None,
    reduction: Reduction = "sum", figure: Figure = None, of: Of = None,
    output: Output = None,
) -> None:  # fmt: skip
    """Derive the gradient of CELL, step by step, with every equality checked.

    Exits with code 1 if an equality did not hold.
    """
    found = load_cell(cell).explain(
        name=cell, lang=lang, step=step, tau=tau, seed=seed, reduction=reduction,
        sizes=dict(map(parse_size, size or ())),
    )  # fmt: skip
    if figure is not None:
        for option, given in (("--format", form), ("--step", step)):
            if given is not None:
                raise IgnoredOptionError(option, f"--figure {figure.value} was given")
        _draw(found, figure, of, output)
        return
    if of is not None:
        raise OptionError("--of", of, "used with --figure edge or --figure paths")
    with ExitStack() as after:
        if gc.isenabled():  # all that is made stays: the search took 6 % of the time
            gc.disable()
            after.callback(gc.enable)
        found = _made(found)
        _put(found, form, output)
    if not found.passed:
        raise typer.Exit(1)


def _put(found: Explanation, form: Format | None, output: Path | None) -> None:
    if output is not None:
        _write(found, form, output)
    elif form in (None, Format.TEXT):
        from rich.console import Console

        Console().print(found)
    else:
        sys.stdout.write(_as(found, form))


def _draw(
    found: Explanation, kind: Drawing, of: str | None, output: Path | None
) -> None:
    if output is None:
        raise OptionError(
            "--figure", kind.value, "given with -o FILE.svg, .pdf or .tex"
        )
    drawn = replace(found, with_ledger=False).figure(kind, of=of)
    say(f"{drawn.save(output)}: {drawn.scene.title}")


def _made(found: Explanation) -> Explanation:
    """The explanation with its document made; a bar on a terminal meanwhile."""
    if not sys.stderr.isatty():
        return found
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("explain", total=1.0)
        shown = replace(found, progress=lambda share: bar.update(task, completed=share))
        _ = shown.document
    return shown


def _write(found: Explanation, form: Format | None, output: Path) -> None:
    if form is None:
        found.save(output)
    else:
        output.write_text(_as(found, form), encoding="utf-8")
    say(f"{output}: {found.summary}")


def _as(found: Explanation, form: Format | None) -> str:
    if form is Format.HTML:
        return found.html()
    if form is Format.SLIDES:
        return found.slides()
    if form is Format.LATEX:
        return found.latex()
    return found.markdown() if form is Format.MARKDOWN else found.text()
