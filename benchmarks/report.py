"""From measured rows to a table, means, targets met or missed, and JSON."""

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.ragged import MASKED_JAX, PACKED_NN, PADDED, PADDED_NN
from benchmarks.rivals import LOOP, NN, OURS, SCANS
from benchmarks.shapes import CASES
from bptt.execute.codegen.target import get_host_target

JAX = "jax"  # the better of the two unrolls
PACKAGES = ("bptt", "numpy", "llvmlite", "torch", "jax")
COLUMNS = (OURS, NN, LOOP, JAX)
MAX_SLOWER = 1.05
MAX_COMPILE = 0.5
MAX_COPIES_PERCENT = 10.0


def describe_machine():
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    target = get_host_target()
    found = {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "core": f"{target.cpu}, {8 * target.vector_bytes}-bit vectors",
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not an installed package"
    return found


def merge_scans(seconds):
    """Times by column, JAX's the better unroll's."""
    merged = {name: value for name, value in seconds.items() if name not in SCANS}
    scans = [seconds[name] for name in SCANS if name in seconds]
    return merged | ({JAX: min(scans)} if scans else {})


def best_rival(row):
    """Name and seconds of the fastest contestant that is not bptt, or None."""
    rivals = {n: s for n, s in merge_scans(row["seconds"]).items() if n != OURS}
    name = min(rivals, key=rivals.get, default=None)
    return None if name is None else (name, rivals[name])


def speed_up(row, rival=None):
    """How many times faster bptt is than a rival, the best one by default, or None."""
    if rival is None:
        best = best_rival(row)
        seconds = best and best[1]
    else:
        seconds = merge_scans(row["seconds"]).get(rival)
    return seconds / row["seconds"][OURS] if seconds else None


def of_limit(row, name=OURS):
    """The rate as a part of the matrix product's."""
    return row["flops"] / merge_scans(row["seconds"])[name] / row["sgemm"]


def compile_seconds(row, name=OURS):
    """What the first call took beyond a later one, or None."""
    if name not in row["first"]:
        return None
    return max(0.0, row["first"][name] - row["seconds"][name])


def share_limit(rows):
    """The rows, the limit of all being the best rate that any of them saw.

    A row of long runs has few samples of the product, which something may disturb.
    """
    best = {}
    for row in timed(rows):
        key = row["threads"], row["dtype"]
        best[key] = max(best.get(key, 0.0), row["sgemm"])
    return [
        row | {"sgemm": best[row["threads"], row["dtype"]]} if "seconds" in row else row
        for row in rows
    ]


def geometric_mean(values):
    """exp of the mean logarithm; None of nothing."""
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def timed(rows):
    """The rows of the grid, without those of copies and torch.compile."""
    return [row for row in rows if "seconds" in row]


def show_number(value, form=".2f"):
    return "-" if value is None else format(value, form)


def show_shape(shape):
    return ",".join(map(str, shape))


# ----- the table -----

TITLES = ["tau,n_b,n_x,n_h", *(f"{name} ms" for name in COLUMNS)]
TITLES += ["GF/s", "of limit", "best rival", "x best", "sgemm GF/s"]


def table_line(row):
    """One row's cells as text, in the order of TITLES."""
    seconds = merge_scans(row["seconds"])
    times = [seconds.get(name) for name in COLUMNS]
    best = best_rival(row)
    return [
        show_shape(row["shape"]),
        *(show_number(None if t is None else 1e3 * t, ".3f") for t in times),
        show_number(row["flops"] / seconds[OURS] / 1e9, ".1f"),
        show_number(of_limit(row)),
        best[0] if best else "-",
        show_number(speed_up(row)),
        show_number(row["sgemm"] / 1e9, ".0f"),
    ]


def format_table(titles, lines):
    """A Markdown table that is readable as plain text."""
    widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]

    def show(cells):
        inside = " | ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True))
        return f"| {inside} |"

    rule = "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|"
    return "\n".join([show(titles), rule, *map(show, lines)])


def summary_line(name, rows):
    """Geometric means of one cell, and its slowest compilations."""
    ours, jax = (
        [s for row in rows if (s := compile_seconds(row, which)) is not None]
        for which in (OURS, JAX)
    )
    return [
        name,
        show_number(geometric_mean(map(of_limit, rows))),
        *(
            show_number(geometric_mean(speed_up(row, rival) for row in rows))
            for rival in (None, NN, LOOP, JAX)
        ),
        show_number(max(ours, default=None)),
        show_number(max(jax, default=None)),
    ]


SUMMARY = ["geometric means", "of limit", "x best", f"x {NN}", f"x {LOOP}", f"x {JAX}"]
SUMMARY += ["compile s", "jax compile s"]


# ----- targets -----


def _at_least(values, wanted):
    """(met, the worst value) of several values that should reach `wanted`."""
    values = [value for value in values if value is not None]
    return (min(values) >= wanted, min(values)) if values else None


def _grid_targets(case, rows):
    """(text, (met, value) or None if not measured) of one cell."""
    large = [r for r in rows if r["shape"][1] >= 16 and r["shape"][3] >= 128]
    single = [r for r in rows if r["shape"][1] == 1]
    if case.target:
        text = f"of the limit >= {case.target} for n_b >= 16 and n_h >= 128, worst"
        yield text, _at_least(map(of_limit, large), case.target)
    yield "batch 1: >= 2x JAX, worst", _at_least((speed_up(r, JAX) for r in single), 2)
    if case.name == "elman":
        found = _at_least((speed_up(r, NN) for r in single), 7)
        yield f"batch 1: >= 7x {NN}, worst", found
    rival = NN if case.name == "lstm" else None
    text = f"geometric mean >= {case.over_best}x {rival or 'the best rival'}"
    mean = geometric_mean(speed_up(r, rival) for r in rows)
    yield text, _at_least([mean], case.over_best)
    text = "nowhere over 5 % slower than the best rival, lowest speed-up"
    yield text, _at_least(map(speed_up, rows), 1 / MAX_SLOWER)
    if case.is_custom:
        loops = [speed_up(r, LOOP) for r in rows]
        yield f">= 3x the {LOOP}, worst", _at_least(loops, 3)


def _at_most(values, wanted):
    """(met, the worst value) of several values that should stay below `wanted`."""
    values = list(values)
    return (max(values) <= wanted, max(values)) if values else None


def find_targets(rows):
    """Yield (cell, threads, text, (met, value) or None) for each of the targets."""
    for threads in sorted({row["threads"] for row in rows}):
        for case in CASES.values():
            chosen = [
                row
                for row in rows
                if row["cell"] == case.name and row["threads"] == threads
            ]
            grid = timed(chosen)
            if not grid:
                continue
            for text, found in _grid_targets(case, grid):
                yield case.name, threads, text, found
            compiling = map(compile_seconds, grid)
            text = f"first call compiled in <= {MAX_COMPILE} s, slowest"
            yield case.name, threads, text, _at_most(compiling, MAX_COMPILE)
            norms = (r["copies_percent"] for r in chosen if "copies_percent" in r)
            text = f"norms of copies <= {MAX_COPIES_PERCENT:.0f} % more time, %"
            yield case.name, threads, text, _at_most(norms, MAX_COPIES_PERCENT)


def target_lines(rows):
    """The targets as text; one that no row measures is not listed."""
    for cell, threads, text, found in find_targets(rows):
        if found is not None:
            word = "met" if found[0] else "MISSED"
            yield [cell, str(threads), text, show_number(found[1]), word]


TARGETS = ["cell", "threads", "target", "measured", "result"]


# ----- the whole report -----


def _grid_text(rows):
    """A table per cell and the means of all, for one number of threads."""
    names = [name for name in CASES if any(r["cell"] == name for r in rows)]
    by_cell = {name: [r for r in rows if r["cell"] == name] for name in names}
    for name, chosen in by_cell.items():
        yield f"{name}\n"
        yield format_table(TITLES, [table_line(row) for row in chosen]) + "\n"
    lines = [summary_line(name, chosen) for name, chosen in by_cell.items()]
    yield format_table(SUMMARY, lines) + "\n"


def _extra_text(rows, memory):
    """Lines on torch.compile and on memory."""
    for row in rows:
        where = f"{row['cell']} {show_shape(row['shape'])}"
        if "torch_compile_first" in row:
            first, later = row["torch_compile_first"], row["torch_compile_seconds"]
            times = f"first {first:.1f} s, then {1e3 * later:.2f} ms"
            yield f"torch.compile, {where}: {times}"
        elif "torch_compile_error" in row:
            yield f"torch.compile, {where}: {row['torch_compile_error']}"
    for row in memory:
        size = row["peak_bytes"]
        shown = "unknown" if size is None else f"{size / 2**20:.0f} MiB"
        where = f"{row['cell']} {show_shape(row['shape'])}"
        yield f"memory of one gradient, {where}, {row['rival']}: {shown}"


def _table_text(title, rows, threads, titles, line):
    """One of the other tables, for one number of threads."""
    chosen = [row for row in rows if row["threads"] == threads]
    if chosen:
        shape = show_shape(chosen[0]["shape"])
        yield f"{title}, {shape}, threads: {threads}\n"
        yield format_table(titles, [*map(line, chosen)]) + "\n"


LIBRARY_TITLES = [
    "cell", f"{OURS} ms", f"{LOOP} ms", f"x {LOOP}", "GF/s", "of limit", "first call s",
    "difference",
]  # fmt: skip


def library_line(row):
    """One row of the table of all cells as text, in the order of LIBRARY_TITLES."""
    ours, theirs = row["times"][OURS], row["times"].get(LOOP)
    rate = row["flops"] / ours
    return [
        row["library"],
        f"{1e3 * ours:.2f}",
        show_number(theirs and 1e3 * theirs),
        show_number(theirs and theirs / ours, ".1f"),
        f"{rate / 1e9:.1f}",
        f"{rate / row['sgemm']:.2f}",
        f"{row['first']:.2f}",
        f"{row['error']:.0e}",
    ]


# ----- ragged batches -----

RAGGED = (PADDED, PACKED_NN, PADDED_NN, MASKED_JAX)
RAGGED_TITLES = ["cell", "useful", f"{OURS} ms", *(f"{name} ms" for name in RAGGED)]
RAGGED_TITLES += ["of padded", "over useful"]
MAX_OVER_USEFUL = 1.15


def over_useful(row):
    """The time with lengths, over the useful part of the time of all steps."""
    return row["times"][OURS] / row["times"][PADDED] / row["useful"]


def ragged_line(row):
    """One row of the table of ragged batches as text; JAX's the better unroll's."""
    times = {name: t for name, t in row["times"].items() if MASKED_JAX not in name}
    scans = [t for name, t in row["times"].items() if MASKED_JAX in name]
    times[MASKED_JAX] = min(scans, default=None)
    return [
        row["ragged"],
        f"{row['useful']:.2f}",
        *(
            show_number(times.get(name) and 1e3 * times[name])
            for name in (OURS, *RAGGED)
        ),
        f"{times[OURS] / times[PADDED]:.2f}",
        f"{over_useful(row):.2f}",
    ]


def _ragged_targets(ragged):
    for row in ragged:
        value = over_useful(row)
        text = f"ragged: <= {MAX_OVER_USEFUL} x the useful part of the padded time"
        word = "met" if value <= MAX_OVER_USEFUL else "MISSED"
        yield [row["ragged"], str(row["threads"]), text, show_number(value), word]


def write_report(rows, memory, machine, library=(), ragged=()):
    """The whole report as text."""
    rows = share_limit(rows)
    parts = [", ".join(f"{key} {value}" for key, value in machine.items()) + "\n"]
    for threads in sorted({row["threads"] for row in rows}):
        grid = [row for row in timed(rows) if row["threads"] == threads]
        if grid:
            parts.append(f"threads: {threads}, {grid[0]['dtype']}\n")
            parts.extend(_grid_text(grid))
    others = (
        ("all cells of the library", library, LIBRARY_TITLES, library_line),
        ("ragged batches", ragged, RAGGED_TITLES, ragged_line),
    )
    for title, table, titles, line in others:
        for threads in sorted({row["threads"] for row in table}):
            parts.extend(_table_text(title, table, threads, titles, line))
    lines = [*target_lines(rows), *_ragged_targets(ragged)]
    if lines:
        parts.append(format_table(TARGETS, lines) + "\n")
    parts.extend(_extra_text(rows, memory))
    return "\n".join(parts)
