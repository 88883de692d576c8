"""Time bptt's gradients against PyTorch and JAX; see docs/benchmarks.md.

python -m benchmarks [--cells ...] [--shapes 100,32,256,256 ...] [--threads 1 2]
    [--dtype float32] [--rounds 7] [--quick] [--compile] [--out FOLDER]
    [--library [CELL ...]] [--ragged [CELL ...]] [--catalogue [CELL ...]]
"""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import catalogue
from benchmarks.catalogue_report import write_catalogue
from benchmarks.measure import start_worker
from benchmarks.memory import measure_memory
from benchmarks.models import measure_models, write_models
from benchmarks.picture import draw
from benchmarks.report import describe_machine, speed_up, timed, write_report
from benchmarks.shapes import CASES, QUICK_SHAPES, SHAPES
from bptt.cells import names
from bptt.errors import how_to_install

COPIES_SHAPE = (100, 32, 256, 256)
COMPILE_SHAPE = (100, 32, 64, 128)
LIBRARY_SHAPE = (100, 32, 128, 128)
LIBRARY = names()
RAGGED_SHAPE = (200, 32, 88, 200)
QUICK_ROUNDS = 3


def parse_shape(text):
    """`100,32,256,256` as (tau, n_b, n_x, n_h)."""
    try:
        shape = tuple(map(int, text.split(",")))
    except ValueError:
        shape = ()
    if len(shape) != 4 or min(shape) < 1:
        message = f"{text!r}: use tau,n_b,n_x,n_h, such as 100,32,256,256"
        raise argparse.ArgumentTypeError(message)
    return shape


def make_parser():
    parser = argparse.ArgumentParser("benchmarks", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--cells", nargs="+", choices=CASES, default=list(CASES), metavar="CELL")
    add("--shapes", nargs="+", type=parse_shape, metavar="tau,n_b,n_x,n_h")
    add("--threads", nargs="+", type=int, default=[1, 2])
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--rounds", type=int, default=None, help="samples of each (7; quick: 3)")
    add("--seconds", type=float, default=12.0, help="per row, then no new round")
    add("--quick", action="store_true", help="three shapes, three rounds, no memory")
    add("--compile", action="store_true", help="also torch.compile, minutes per cell")
    add(
        "--library",
        nargs="*",
        choices=LIBRARY,
        metavar="CELL",
        help="the table of all cells alone, or of these",
    )
    add(
        "--ragged",
        nargs="*",
        choices=CASES,
        metavar="CELL",
        help="the table of ragged batches alone, or of these cells",
    )
    add(
        "--catalogue",
        nargs="*",
        choices=catalogue.CASES,
        metavar="CELL",
        help="published recurrences alone, or these",
    )
    add("--models", action="store_true", help="training steps of torch models alone")
    add("--out", type=Path, help="folder for results.json, report.md and pictures")
    return parser


def choose(asked, every, is_full):
    """The cells of one table: those asked for, or all of them, or none."""
    if asked:
        return asked
    return list(every) if is_full or asked is not None else []


def is_whole(arguments):
    """Whether no table was asked for alone."""
    return arguments.library is None and arguments.ragged is None


def make_options(arguments, threads):
    """What a worker process is told."""
    shapes = arguments.shapes or (QUICK_SHAPES if arguments.quick else SHAPES)
    is_full = is_whole(arguments) and not arguments.quick
    return {
        "cells": arguments.cells if is_whole(arguments) else [],
        "library": choose(arguments.library, LIBRARY, is_full),
        "library_shape": LIBRARY_SHAPE,
        "catalogue": [],
        "ragged": choose(arguments.ragged, CASES, is_full),
        "ragged_shape": RAGGED_SHAPE,
        "shapes": shapes,
        "threads": threads,
        "dtype": arguments.dtype,
        "rounds": arguments.rounds or (QUICK_ROUNDS if arguments.quick else 7),
        "seconds": arguments.seconds,
        "copies_shape": COPIES_SHAPE,
        "compile": arguments.compile,
        "compile_shape": COMPILE_SHAPE,
    }


def show_progress(row):
    """A line on the error stream, so that a pipe gets the report alone."""
    name = row.get("library") or row.get("ragged") or row["cell"]
    where = f"{row['threads']} threads, {name} {tuple(row['shape'])}"
    if "times" in row:
        where += "".join(f", {n} {1e3 * s:.2f} ms" for n, s in row["times"].items())
    elif "seconds" in row:
        ratio = speed_up(row)
        times = ", ".join(f"{n} {1e3 * s:.2f}" for n, s in row["seconds"].items())
        where += f": {times} ms" + (f"; {ratio:.2f}x the best" if ratio else "")
    print(where, file=sys.stderr, flush=True)


def write_json(folder, rows, tables, memory=()):
    """results.json: the machine and everything measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"machine": describe_machine(), "rows": rows, **tables}
    found["memory"] = list(memory)
    (folder / "results.json").write_text(
        json.dumps(found, indent=1) + "\n", encoding="utf-8"
    )


def write_files(folder, rows, tables, memory, text):
    """results.json, report.md, and a picture per number of threads."""
    write_json(folder, rows, tables, memory)
    (folder / "report.md").write_text(text, encoding="utf-8")
    for threads in sorted({row["threads"] for row in timed(rows)}):
        if not draw(rows, threads, folder / f"limit-{threads}.svg"):
            print(f"no picture: {how_to_install('plot')}", file=sys.stderr)


def run_models(arguments):
    """The training steps of torch models, and what a call costs."""
    rows = []
    for threads in arguments.threads:
        rows += measure_models(make_options(arguments, threads))
    print(write_models(rows))
    if arguments.out:
        write_rows(arguments.out / "models.json", rows)
    return 0


def run_catalogue(arguments):
    """Published recurrences beside torch, JAX and transformers."""
    rows = []
    none = {"cells": [], "library": [], "ragged": []}
    for threads in arguments.threads:
        names = arguments.catalogue or list(catalogue.CASES)
        options = make_options(arguments, threads) | none | {"catalogue": names}
        for row in start_worker(options):
            rows.append(row)
            print(row["catalogue"], row["seconds"], file=sys.stderr, flush=True)
            if arguments.out:
                write_rows(arguments.out / "catalogue.json", rows)
    print(write_catalogue(rows))
    return 0


def write_rows(path, rows):
    """The machine and the rows of one table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": describe_machine(), "rows": rows}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main():
    arguments = make_parser().parse_args()
    if arguments.catalogue is not None:
        return run_catalogue(arguments)
    if arguments.models:
        return run_models(arguments)
    begin = time.perf_counter()
    rows, memory, tables = [], [], {"library": [], "ragged": []}
    for threads in arguments.threads:
        for row in start_worker(make_options(arguments, threads)):
            table = next((table for table in tables if table in row), None)
            (rows if table is None else tables[table]).append(row)
            show_progress(row)
            if arguments.out:  # a run that is cut short leaves what it measured
                write_json(arguments.out, rows, tables)
    if not arguments.quick and is_whole(arguments):
        memory.extend(measure_memory())
    text = write_report(rows, memory, describe_machine(), **tables) + "\n"
    print(text)
    print(f"took {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    if arguments.out:
        write_files(arguments.out, rows, tables, memory, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
