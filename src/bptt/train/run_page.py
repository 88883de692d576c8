"""`report.html`: what a run did, from the files of its folder alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bptt.page.chart import Chart, Curve, figure, key
from bptt.page.report import document, table
from bptt.page.tags import Markup, join, tag
from bptt.train.files import write_whole
from bptt.train.report import format_figure, in_words, recalls
from bptt.train.run_folder import (
    CELL_FILE,
    REPORT_FILE,
    read_config,
    read_metrics,
    read_text,
)
from bptt.train.summary import SUMMARY_FILE, Summary, read_summary

N_POINTS = 400  # of a curve; more are averaged
MAX_MATRICES = 12
MAX_MOMENTS = 8  # of training, in the pictures of norms
_REACH = (
    "The first window of the training data, the same at every validation. Where a line "
    "falls towards t = 1, little of the loss reaches that step; a line that rises "
    "there says that gradients grow on their way back."
)
_COPIES = Markup(
    "W<sup>(t)</sup> is the copy of W used at step t alone; the sum of the copies' "
    "gradients over t is the gradient of W."
)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class _Run:
    config: Record
    cell_text: str
    records: Sequence[Record]
    summary: Summary | None = None

    def points(self, prefix: str) -> list[tuple[float, float]]:
        """(window, value) of the figure whose name begins so."""
        return [
            (float(record["window"]), float(value))
            for record in self.records
            for name, value in record.items()
            if name.startswith(prefix) and isinstance(value, int | float)
        ]

    @property
    def unit(self) -> str:
        """The loss's unit, from the names of the records."""
        for record in self.records:
            for name in record:
                if name.startswith("training_"):
                    return name.removeprefix("training_").replace("_", " ")
        return "loss"


def write_page(folder: Path) -> Path:
    """Write the report of a run, finished or not; one file that needs no network.

    Raises: RunNotFoundError, DamagedRunError, FolderNotWritableError.
    """
    run = _Run(
        config=read_config(folder),
        cell_text=read_text(folder, CELL_FILE),
        records=read_metrics(folder),
        summary=read_summary(folder) if (folder / SUMMARY_FILE).is_file() else None,
    )
    path = folder / REPORT_FILE
    write_whole(path, _page(run).encode())
    return path


def _page(run: _Run) -> str:
    options = run.config.get("options", {})
    data = run.config.get("data", {})
    title = f"{options.get('cell', 'cell')} on {data.get('source', 'data')}"
    summary = tag("p", data.get("summary", ""))
    return document(
        title,
        tag("header", tag("h1", title), summary, _figures(run)),
        _results(run),
        _curves(run),
        _norms(run),
        _samples(run),
        _skipped(run),
        _settings(run),
    )


def _results(run: _Run) -> Markup | None:
    """The figures of summary.json: a row per predictor and part."""
    if run.summary is None:
        return None
    record = run.summary.record
    rows = [("this network, held out", record.best)]
    if record.last and record.last["loss"] != record.best["loss"]:
        rows.insert(0, ("with its last parameters, held out", record.last))
    rows += [(n, f) for n, f in record.baselines.get("validation", {}).items()]
    if record.test is not None:
        rows.append(("this network, test part", record.test))
        tested = record.baselines.get("test", {})
        rows += [(f"{name}, test part", figures) for name, figures in tested.items()]
    names = [n for n in record.best if n not in ("loss", "window", "recall_per_class")]
    listed = [
        (name, *(_shown(n, figures.get(n)) for n in ("loss", *names)))
        for name, figures in rows
    ]
    heads = ("", record.unit, *map(in_words, names))
    learned = (
        f"{record.items:,} {record.item}s learned in {record.windows:,} windows and "
        f"{record.seconds:,.0f} s, {record.parameters:,} parameters; "
        f"{record.clip_share:.0%} of the gradients clipped."
    )
    found = (record.test or record.best).get("recall_per_class")
    by_class = recalls(found if isinstance(found, list) else None, record.classes)
    verdicts = record.gradients.items()
    verdict = [f"gradients: {said}" for when, said in verdicts if when == "last"]
    said = (learned, *by_class, *record.remarks, *verdict)
    return join(table("Results", heads, listed), *(tag("p", one) for one in said))


def _shown(name: str, value: Any) -> str:
    return format_figure(name, value) if isinstance(value, int | float) else ""


def _figures(run: _Run) -> Markup:
    training, losses = run.points("training_"), _validations(run)
    accuracies = run.points("validation_accuracy")
    norms = run.points("gradient_norm")
    clip = run.config.get("options", {}).get("clip")
    items: list[tuple[str, str]] = []
    if losses:
        best = min(losses, key=lambda p: p[1])
        items.append((f"{best[1]:.4g}", f"{run.unit}, held out, best"))
        items.append((f"{best[0]:,.0f}", "windows until then"))
    elif training:
        items.append((f"{training[-1][1]:.4g}", f"{run.unit}, last window"))
    if accuracies:
        items.append((f"{max(a for _, a in accuracies):.1%}", "accuracy, held out"))
    if norms and clip:
        share = sum(n > clip for _, n in norms) / len(norms)
        items.append((f"{share:.0%}", "of the gradients clipped"))
    seconds = run.points("seconds")
    if seconds:
        items.append((_duration(seconds[-1][1]), "of training"))
    listed = (tag("li", tag("b", value), tag("span", name)) for value, name in items)
    return tag("ul", *listed, class_="figures")


def _validations(run: _Run) -> list[tuple[float, float]]:
    return run.points("validation_" + run.unit.replace(" ", "_"))


def _curves(run: _Run) -> Markup:
    loss = _loss(run)
    norms = run.points("gradient_norm")
    lines = [Curve("norm before clipping", _thin(norms))]
    clip = run.config.get("options", {}).get("clip")
    if clip and norms:
        ends = [(norms[0][0], clip), (norms[-1][0], clip)]
        lines.append(Curve("clipped above", ends, "limit"))
    norm = Chart("Norm of the gradient, before clipping", "window", lines, is_log=True)
    rate = run.points("learning_rate")
    charts = [loss, norm]
    accuracies = run.points("validation_accuracy")
    if len(accuracies) > 1:  # one point is no curve
        line = Curve("accuracy, held out", accuracies, "s1", has_dots=True)
        charts.append(Chart("Accuracy, held out", "window", [line]))
    if len({value for _, value in rate}) > 1:
        line = Curve("learning rate", _thin(rate))
        charts.append(Chart("Learning rate", "window", [line]))
    drawn = tag("div", *map(figure, charts), class_="grid-2")
    return join(tag("h2", "Learning"), key(("training", "held out")), drawn)


def _loss(run: _Run) -> Chart:
    """The losses, on an axis for what follows the first steps, and what is trivial."""
    training, validation = run.points("training_"), _validations(run)
    top = top_that_matters(training + validation)
    lines = [
        Curve("training", _below(top, _thin(training)), "faint"),
        Curve("training, smoothed", _below(top, _smooth(training))),
        Curve("held out", _below(top, validation), "s1", has_dots=len(validation) < 60),
    ]
    notes = [f"what lies above {top:.3g} is not drawn"] if top is not None else []
    shown = [(at, v) for line in lines for at, v in line.points if v is not None]
    best = _best_reference(run)
    values = [v for _, v in shown]
    if best is not None and values and min(values) <= best[0] <= max(values):
        ends = [(at, best[0]) for at in (training[0][0], training[-1][0])]
        lines.append(Curve(best[1], ends, "limit"))
        notes.append(f"dashed: {best[1]}, {best[0]:.3g}")
    title = "; ".join([f"Loss, {run.unit}", *notes])
    return Chart(title, "window", lines, is_log=_spans_decades(shown))


def _best_reference(run: _Run) -> tuple[float, str] | None:
    """The lowest held-out loss without a network, and whose it is."""
    known = {} if run.summary is None else run.summary.record.baselines
    found = [
        (loss, name)
        for name, figures in known.get("validation", {}).items()
        if isinstance(loss := figures.get("loss"), float)
    ]
    return min(found, default=None)


def top_that_matters(points: Sequence[tuple[float, float]]) -> float | None:
    """The top of an axis for a loss that falls; None where all of it is readable.

    The first tenth of a run may lie so high that the rest would be a flat line: where
    the rest takes less than half of the axis, the axis is that of the rest.
    """
    if not points:
        return None
    end = max(at for at, _ in points)
    later = [value for at, value in points if at > end / 10]
    values = [value for _, value in points]
    low, high = min(later), max(later)
    if max(values) - low <= 2 * (high - low):
        return None
    return high + (high - low) / 20


def _below(
    top: float | None, points: Sequence[tuple[float, float]]
) -> list[tuple[float, float | None]]:
    return [
        (at, value if top is None or value <= top else None) for at, value in points
    ]


def _norms(run: _Run) -> Markup | None:
    """Small multiples: a picture per quantity, a line per moment of training."""
    every = [r for r in run.records if "gradient_norms" in r]
    if not every:
        return None
    n = len(every) - 1
    chosen = sorted({round(i * n / (MAX_MOMENTS - 1)) for i in range(MAX_MOMENTS)})
    records = [every[i] for i in chosen]
    first = records[0]["gradient_norms"]
    states = [_norm_chart(records, "states", name) for name in first["states"]]
    names = sorted(first["copies"], key=lambda n: (n[:1] != "W", n))
    copies = [_norm_chart(records, "copies", name) for name in names[:MAX_MATRICES]]
    left_out = len(names) - MAX_MATRICES
    more = f" {left_out} more matrices are in metrics.jsonl." if left_out > 0 else ""
    first_window, last_window = records[0]["window"], records[-1]["window"]
    ramp = tag(
        "div",
        tag("span", f"window {first_window:,}"),
        tag("span", class_="ramp"),
        tag("span", f"window {last_window:,}"),
        class_="key",
    )
    return join(
        tag("h2", "How far the gradient reaches"),
        tag("p", _REACH),
        ramp,
        tag("div", *_draw_those_with_lines(states), class_="grid-2"),
        tag("h2", "What each step contributes to a matrix"),
        tag("p", _COPIES, more),
        tag("div", *_draw_those_with_lines(copies), class_="grid-3"),
    )


def _norm_chart(records: Sequence[Record], kind: str, name: str) -> Chart:
    curves = []
    for i, record in enumerate(records):
        found = record["gradient_norms"]
        if name not in found[kind]:
            continue
        age = i / max(1, len(records) - 1)
        points = list(zip(found["t"], found[kind][name], strict=True))
        curves.append(Curve(f"window {record['window']:,}", points, age=age))
    base, _, index = name.partition("_")
    marked = join(base, tag("sub", index) if index else None)
    width, height = (330.0, 190.0) if kind == "copies" else (560.0, 250.0)
    return Chart(
        f"Norm of the gradient on {name} at t",
        "t",
        curves,
        is_log=True,
        caption=join("‖∇", tag("sub", marked, tag("sup", "(t)")), " L‖"),
        width=width,
        height=height,
    )


def _draw_those_with_lines(charts: Sequence[Chart]) -> list[Markup]:
    """A quantity that is not zero at one step only, such as V's, is no line."""
    return [
        figure(chart)
        for chart in charts
        if any(sum(bool(p[1]) for p in curve.points) > 1 for curve in chart.curves)
    ]


def _samples(run: _Run) -> Markup | None:
    records = [r for r in run.records if "sample" in r]
    if not records:
        return None
    blocks = (
        tag("div", tag("h3", f"after window {r['window']:,}"), tag("pre", r["sample"]))
        for r in records
    )
    how = "Temperature 0.7, from a new line, the same seed every time."
    return join(
        tag("h2", "What it wrote"), tag("p", how), tag("div", *blocks, class_="samples")
    )


def _skipped(run: _Run) -> Markup | None:
    records = [r for r in run.records if "skipped" in r]
    if not records:
        return None
    rows = [(f"{r['window']:,}", str(r["skipped"])) for r in records[:20]]
    title = f"{len(records):,} windows left out: a value was not finite"
    return table(title, ("window", "where"), rows)


def _settings(run: _Run) -> Markup:
    rows = {**run.config.get("options", {}), **run.config.get("versions", {})}
    listed = (
        tag("tr", tag("th", k.replace("_", " ")), tag("td", str(v)))
        for k, v in rows.items()
        if v not in (None, {}, "")
    )
    return join(
        tag("h2", "The cell"),
        tag("pre", run.cell_text.strip()),
        tag("details", tag("summary", "Options and versions"), tag("table", *listed)),
    )


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most N_POINTS points, each the mean of neighbours."""
    n = max(1, -(-len(points) // N_POINTS))
    groups = [points[i : i + n] for i in range(0, len(points), n)]
    return [(_mean(p[0] for p in g), _mean(p[1] for p in g)) for g in groups]


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean over about a fiftieth of the run around every point, thinned."""
    thin = _thin(points)
    half = max(1, len(thin) // 100)
    return [
        (at, _mean(p[1] for p in thin[max(0, i - half) : i + half + 1]))
        for i, (at, _) in enumerate(thin)
    ]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _spans_decades(points: Sequence[tuple[float, float]]) -> bool:
    values = [value for _, value in points]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 30


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
