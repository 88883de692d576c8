"""`bptt flow`: how far gradients travel, in a trained model or in a new cell."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import Progress

from bptt.cell import Cell
from bptt.cli.output import say
from bptt.errors import FlowError
from bptt.flow.travel import LAGS
from bptt.step.shapes import number_of, numbers_of
from bptt.train import STANDARD_LIBRARY_CHARACTERS, read_text
from bptt.train.named_cell import load_cell
from bptt.train.run_folder import SavedRun, read_run

OTHER_SIZES = 8  # of the inputs and outputs of a new cell
Arrays = dict[str, npt.NDArray[np.generic]]


def flow(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CELL",
            help="A folder that `bptt train` wrote, a built-in cell, or a file of "
            "equations.",
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(help="Text for a RUN to read; the standard library if absent."),
    ] = None,
    tau: Annotated[int, typer.Option(help="Steps.", min=1)] = 100,
    rows: Annotated[int, typer.Option(help="Sequences.", min=1)] = 4,
    n_h: Annotated[int, typer.Option(help="Units of a CELL.", min=1)] = 32,
    seed: Annotated[int, typer.Option(help="Of a CELL's numbers.", min=0)] = 0,
    lag: Annotated[
        int | None, typer.Option(help="Steps that the task must bridge.", min=1)
    ] = None,
    lang: Annotated[str, typer.Option(help="Of the text: en or zh.")] = "en",
    out: Annotated[Path | None, typer.Option(help="Also write this HTML page.")] = None,
) -> None:
    """Show how far gradients travel through time.

    A RUN reads a text with its trained parameters; a CELL reads random inputs with its
    initial ones, and gets a read-out if it has no loss.
    """
    is_run = Path(target).is_dir()
    if is_run:
        saved = read_run(Path(target))
        cell, params = Cell(saved.cell_text), saved.parameters
        inputs = _read_windows(saved, text, tau, rows)
        source = "the standard library's text" if text is None else str(text)
        data = f"{rows} rows of {tau} steps of {source}"
    else:
        cell = load_cell(target).with_readout()
        sizes = {
            dim: n_h if dim.startswith("n_h") else OTHER_SIZES for dim in cell.dims
        }
        params = cell.init(seed=seed, dtype=np.float64, **sizes)
        inputs = _make_inputs(cell, params, sizes, (tau, rows), seed)
        data = f"random inputs, {rows} rows of {tau} steps"
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring lags", total=min(tau - 1, LAGS))
        report = cell.flow(
            params, inputs, reduction="mean", tick=lambda: progress.advance(task),
            lag=lag, name=target, data=data, seed=None if is_run else seed,
        )  # fmt: skip
    say(report.text(lang))
    if out is not None:
        report.save(out)
        say(f"written: {out}")


def _read_windows(saved: SavedRun, text: Path | None, tau: int, rows: int) -> Arrays:
    """Rows of tau + 1 characters or tokens, spread evenly over a text."""
    vocabulary = saved.vocabulary
    if vocabulary is None:
        raise FlowError(
            f"{saved.folder} was trained on {saved.kind}, not on text; from Python, "
            "cell.flow(params, inputs) takes any arrays"
        )
    length = rows * (tau + 1)
    paths = () if text is None else (text,)
    read = read_text(paths, limit=max(length, STANDARD_LIBRARY_CHARACTERS))
    entries = vocabulary.encode("".join(read.blocks()))
    if len(entries) < length:
        raise FlowError(
            f"the text has {len(entries):,} {vocabulary.kind}; {rows} rows "
            f"of {tau} steps need {length}: give --tau or --rows less"
        )
    starts = np.linspace(0, len(entries) - tau - 1, rows).astype(int)
    tokens = np.stack([entries[s : s + tau + 1] for s in starts], axis=1)
    return {"x": tokens[:-1], "y": tokens[1:]}


def _make_inputs(
    cell: Cell,
    params: Mapping[str, npt.NDArray[np.generic]],
    sizes: dict[str, int],
    lead: tuple[int, int],
    seed: int,
) -> Arrays:
    """Random inputs for a cell: normal numbers, or integers where it looks up."""
    random = np.random.default_rng(seed)
    inputs: Arrays = {}
    for name, spec in cell.graph.inputs.items():
        if spec.index is not None:
            inputs[name] = random.integers(0, number_of(spec.index, sizes), lead)
        elif spec.draw is None:
            shape = (*lead, *numbers_of(spec.shape, sizes))
            inputs[name] = random.standard_normal(shape)
    return cell.draw(params, inputs, seed=seed)
