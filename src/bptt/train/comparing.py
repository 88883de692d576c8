"""Several runs beside each other: runs that differ in the seed alone are one row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bptt.page.chart import N_STYLES, Chart, Curve, figure, key
from bptt.page.report import document, table
from bptt.page.tags import tag
from bptt.train.errors import ComparisonError
from bptt.train.files import write_whole
from bptt.train.report import format_figure, format_loss, in_words
from bptt.train.run_folder import read_metrics
from bptt.train.summary import Summary, read_summary
from bptt.train.tallies import PERPLEXITY

# What does not change the result of a run.
ASIDE = ("seed", "process_timeout", "tensorboard", "checkpoint_every")
HELD_OUT, TEST = "held-out", "test"  # how the names of figures begin


@dataclass(frozen=True)
class Spread:
    """A figure over several runs: its mean and sample standard deviation (n - 1)."""

    values: Sequence[float]

    @property
    def mean(self) -> float:
        """The mean."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None for a single run."""
        return stdev(self.values) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Mean, deviation and the values."""
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "values": list(self.values),
        }


@dataclass(frozen=True)
class RowOfRuns:
    """Runs with the same options and data but for the seed; figures by name."""

    label: str
    runs: Sequence[Summary]
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class ComparisonTable:
    """A table as text: a row has a label, the number of runs, and figures."""

    title: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Comparison:
    """Rows in the order in which their first run was given, and the unit of all."""

    unit: str
    rows: Sequence[RowOfRuns]

    @property
    def names(self) -> list[str]:
        """The figures that every row has, in order."""
        first, *others = [row.figures for row in self.rows]
        return [name for name in first if all(name in other for other in others)]

    def tables(self) -> list[ComparisonTable]:
        """As text: a table of what was held out, and one of the test part."""
        tested = [name for name in self.names if name.startswith(TEST)]
        others = [name for name in self.names if name not in tested]
        titles = {HELD_OUT: others, TEST: tested}
        return [self._table(part, names) for part, names in titles.items() if names]

    def _table(self, part: str, names: Sequence[str]) -> ComparisonTable:
        rows = [
            (
                row.label,
                str(len(row.runs)),
                *(_shown(name, row.figures[name]) for name in names),
            )
            for row in self.rows
        ]
        heads = [in_words(name.removeprefix(part).strip()) for name in names]
        title = f"{part.capitalize()}: loss in {self.unit}"
        return ComparisonTable(title, ["", "runs", *heads], rows)

    def to_json(self) -> dict[str, Any]:
        """Everything that is printed, and the single values."""
        rows = [
            {
                "label": row.label,
                "runs": [str(run.folder) for run in row.runs],
                "seeds": [run.record.seed for run in row.runs],
                "figures": {n: s.to_json() for n, s in row.figures.items()},
            }
            for row in self.rows
        ]
        return {"unit": self.unit, "rows": rows}


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Read the summaries of finished runs and put like runs together.

    A folder that is named twice counts once.
    Raises: the errors of `read_summary`; ComparisonError if losses have two units.
    """
    once: dict[Path, Path] = {}
    for folder in folders:
        once.setdefault(folder.resolve(), folder)
    runs = [read_summary(folder) for folder in once.values()]
    units = {run.record.unit: run.folder for run in runs}
    if len(units) > 1:
        raise ComparisonError(units)
    listed = _grouped(runs)
    differing = _differing([group[0] for group in listed])
    labels = [_label(group, differing) for group in listed]
    named = [
        one if labels.count(one) == 1 else f"{one} ({group[0].folder})"
        for one, group in zip(labels, listed, strict=True)
    ]
    rows = [
        RowOfRuns(label, group, _figures(group))
        for label, group in zip(named, listed, strict=True)
    ]
    return Comparison(runs[0].record.unit, rows)


def _grouped(runs: Sequence[Summary]) -> list[list[Summary]]:
    """Runs that differ in the seed alone; a seed that comes again begins a new row."""
    groups: dict[tuple[str, int], list[Summary]] = {}
    seen: Counter[str] = Counter()
    for run in runs:
        one = repr(_identity(run))
        again = seen[f"{one} {run.record.seed}"]
        seen[f"{one} {run.record.seed}"] += 1
        groups.setdefault((one, again), []).append(run)
    return list(groups.values())


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a page with the table and the held-out curves of all runs.

    Raises: the errors of `read_metrics`, FolderNotWritableError.
    """
    wanted = "validation_" + comparison.unit.replace(" ", "_")
    curves = []
    for i, row in enumerate(comparison.rows):
        for run in row.runs:
            records = read_metrics(run.folder)
            points = [
                (float(r["window"]), float(r[wanted]))
                for r in records
                if r.get(wanted) is not None
            ]
            name = f"{row.label}, seed {run.record.seed}"
            curves.append(Curve(name, points, f"s{i % N_STYLES}", has_dots=True))
    chart = Chart(
        f"Held out, {comparison.unit}", "window", curves, width=640.0, height=320.0
    )
    shown = [table(t.title, t.heads, t.rows) for t in comparison.tables()]
    names = key([row.label for row in comparison.rows])
    content = document("Runs compared", tag("h1", "Runs"), *shown, names, figure(chart))
    write_whole(path, content.encode())


def _identity(run: Summary) -> dict[str, Any]:
    options = {k: v for k, v in run.record.options.items() if k not in ASIDE}
    return {**dict(sorted(options.items())), "sha256": run.record.data.get("sha256")}


def _differing(runs: Sequence[Summary]) -> list[str]:
    known = [_identity(run) for run in runs]
    names = sorted({name for one in known for name in one})
    return [n for n in names if len({repr(one.get(n)) for one in known}) > 1]


def _label(group: Sequence[Summary], differing: Sequence[str]) -> str:
    first = group[0]
    known = {**_identity(first), "sha256": first.record.data.get("source")}
    said = [
        f"{'data' if name == 'sha256' else name} {known.get(name)}"
        for name in differing
    ]
    return ", ".join(said) or str(first.folder)


def _figures(group: Sequence[Summary]) -> dict[str, Spread]:
    found: dict[str, list[float]] = {}
    for run in group:
        record = run.record
        parts = ((HELD_OUT, record.best), (TEST, record.test or {}))
        for part, known in parts:
            for name, value in known.items():
                if isinstance(value, int | float) and name not in (
                    "window",
                    PERPLEXITY,
                ):
                    found.setdefault(f"{part} {name}", []).append(float(value))
        found.setdefault("parameters", []).append(float(record.parameters))
        found.setdefault("seconds", []).append(float(record.seconds))
    return {n: Spread(v) for n, v in found.items() if len(v) == len(group)}


def _shown(name: str, spread: Spread) -> str:
    kind = name.rpartition(" ")[2]
    if name in ("parameters", "seconds"):
        return f"{spread.mean:,.0f}"
    show = format_loss if kind == "loss" else (lambda v: format_figure(kind, v))
    text = show(spread.mean)
    return text if spread.deviation is None else f"{text} ± {show(spread.deviation)}"
