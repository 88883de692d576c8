"""`report.html`: what a run did, from the files of its folder alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bptt.train.files import write_whole
from bptt.train.page.chart import Chart, Line, draw
from bptt.train.page.style import STYLE
from bptt.train.run_folder import (
    CELL_FILE,
    REPORT_FILE,
    read_config,
    read_metrics,
    read_text,
)

N_POINTS = 400  # of a curve; more are averaged
MAX_MATRICES = 12
MAX_MOMENTS = 8  # of training, in the pictures of norms
Record = Mapping[str, Any]


@dataclass(frozen=True)
class _Run:
    config: Record
    cell_text: str
    records: Sequence[Record]

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
    )
    path = folder / REPORT_FILE
    write_whole(path, _page(run).encode())
    return path


def _page(run: _Run) -> str:
    options = run.config.get("options", {})
    data = run.config.get("data", {})
    title = f"{options.get('cell', 'cell')} on {data.get('source', 'data')}"
    parts = [
        f"<header><h1>{escape(title)}</h1>",
        f"<p>{escape(str(data.get('summary', '')))}</p>",
        _figures(run),
        "</header>",
        _curves(run),
        _norms(run),
        _samples(run),
        _skipped(run),
        _settings(run),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _figures(run: _Run) -> str:
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
    listed = "".join(
        f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>"
        for value, name in items
    )
    return f'<ul class="figures">{listed}</ul>'


def _validations(run: _Run) -> list[tuple[float, float]]:
    return run.points("validation_" + run.unit.replace(" ", "_"))


def _curves(run: _Run) -> str:
    training, validation = run.points("training_"), _validations(run)
    loss = Chart(
        f"Loss, {run.unit}",
        "window",
        [
            Line("training", _thin(training), "faint"),
            Line("training, smoothed", _smooth(training), "main"),
            Line("held out", validation, "second", has_dots=True),
        ],
        is_log=_spans_decades(training + validation),
    )
    norms = run.points("gradient_norm")
    lines = [Line("norm before clipping", _thin(norms), "main")]
    clip = run.config.get("options", {}).get("clip")
    if clip and norms:
        ends = [(norms[0][0], clip), (norms[-1][0], clip)]
        lines.append(Line("clipped above", ends, "limit"))
    norm = Chart("Norm of the gradient, before clipping", "window", lines, is_log=True)
    rate = run.points("learning_rate")
    charts = [loss, norm]
    accuracies = run.points("validation_accuracy")
    if accuracies:
        line = Line("accuracy, held out", accuracies, "second", has_dots=True)
        charts.append(Chart("Accuracy, held out", "window", [line]))
    if len({value for _, value in rate}) > 1:
        line = Line("learning rate", _thin(rate))
        charts.append(Chart("Learning rate", "window", [line]))
    key = (
        '<div class="key"><span><i style="background:var(--main)"></i>training</span>'
        '<span><i style="background:var(--second)"></i>held out</span>'
        '<span><i style="background:var(--limit)"></i>limit of clipping</span></div>'
    )
    drawn = "".join(map(draw, charts))
    return f'<h2>Learning</h2>{key}<div class="grid-2">{drawn}</div>'


def _norms(run: _Run) -> str:
    """Small multiples: a picture per quantity, a line per moment of training."""
    every = [r for r in run.records if "gradient_norms" in r]
    if not every:
        return ""
    n = len(every) - 1
    chosen = sorted({round(i * n / (MAX_MOMENTS - 1)) for i in range(MAX_MOMENTS)})
    records = [every[i] for i in chosen]
    first = records[0]["gradient_norms"]
    states = [_norm_chart(records, "states", name) for name in first["states"]]
    names = sorted(first["copies"], key=lambda n: (n[:1] != "W", n))
    copies = [_norm_chart(records, "copies", name) for name in names[:MAX_MATRICES]]
    left_out = len(names) - MAX_MATRICES
    more = f" {left_out} more matrices are in metrics.jsonl." if left_out > 0 else ""
    key = (
        '<div class="key"><span>window '
        f"{records[0]['window']:,}</span><span class='ramp'></span>"
        f"<span>window {records[-1]['window']:,}</span></div>"
    )
    return (
        "<h2>How far the gradient reaches</h2>"
        "<p>The first window of the training data, the same at every validation. Where "
        "a line falls towards t = 1, little of the loss reaches that step; a line that "
        "rises there says that gradients grow on their way back.</p>"
        f'{key}<div class="grid-2">{_draw_those_with_lines(states)}</div>'
        "<h2>What each step contributes to a matrix</h2><p>W<sup>(t)</sup> is the copy "
        "of W used at step t alone; the sum of the copies' gradients over t is the "
        f"gradient of W.{more}</p>"
        f'<div class="grid-3">{_draw_those_with_lines(copies)}</div>'
    )


def _norm_chart(records: Sequence[Record], kind: str, name: str) -> Chart:
    lines = []
    for i, record in enumerate(records):
        found = record["gradient_norms"]
        if name not in found[kind]:
            continue
        age = i / max(1, len(records) - 1)
        points = list(zip(found["t"], found[kind][name], strict=True))
        lines.append(Line(f"window {record['window']:,}", points, age=age))
    base, _, index = name.partition("_")
    marked = f"{escape(base)}<sub>{escape(index)}</sub>" if index else escape(base)
    sizes = {"width": 330, "height": 190} if kind == "copies" else {}
    return Chart(
        f"Norm of the gradient on {name} at t",
        "t",
        lines,
        is_log=True,
        caption=f"‖∇<sub>{marked}<sup>(t)</sup></sub> L‖",
        **sizes,
    )


def _draw_those_with_lines(charts: Sequence[Chart]) -> str:
    """A quantity that is not zero at one step only, such as V's, is no line."""
    return "".join(
        draw(chart)
        for chart in charts
        if any(sum(bool(p[1]) for p in line.points) > 1 for line in chart.lines)
    )


def _samples(run: _Run) -> str:
    records = [r for r in run.records if "sample" in r]
    if not records:
        return ""
    blocks = "".join(
        f"<div><h3>after window {r['window']:,}</h3>"
        f"<pre>{escape(r['sample'])}</pre></div>"
        for r in records
    )
    return (
        "<h2>What it wrote</h2><p>Temperature 0.7, from a new line, the same seed "
        f'every time.</p><div class="samples">{blocks}</div>'
    )


def _skipped(run: _Run) -> str:
    records = [r for r in run.records if "skipped" in r]
    if not records:
        return ""
    rows = "".join(
        f"<tr><td>{r['window']:,}</td><td>{escape(str(r['skipped']))}</td></tr>"
        for r in records[:20]
    )
    return (
        f"<h2>{len(records):,} windows left out: a value was not finite</h2>"
        f"<table><tr><th>window</th><th>where</th></tr>{rows}</table>"
    )


def _settings(run: _Run) -> str:
    rows = {**run.config.get("options", {}), **run.config.get("versions", {})}
    shown = {k: v for k, v in rows.items() if v not in (None, {}, "")}
    listed = "".join(
        f"<tr><th>{escape(k.replace('_', ' '))}</th><td>{escape(str(v))}</td></tr>"
        for k, v in shown.items()
    )
    return (
        f"<h2>The cell</h2><pre>{escape(run.cell_text.strip())}</pre>"
        f"<details><summary>Options and versions</summary><table>{listed}</table>"
        "</details>"
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
