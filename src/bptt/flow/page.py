"""The flow of gradients as one HTML file: no script, no network, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bptt.flow.findings import Findings
from bptt.flow.panels import FlowPanel, make_panels
from bptt.flow.text import exponents_line, sentence
from bptt.page.chart import Chart, Curve, key, svg
from bptt.page.report import document, table
from bptt.page.tags import Markup, tag

if TYPE_CHECKING:
    import os


def write_page(report: Findings, path: str | os.PathLike[str]) -> None:
    """Write the page of a report."""
    Path(path).write_text(page_text(report), encoding="utf-8")


def page_text(report: Findings) -> str:
    """The page as text."""
    loss = "" if report.loss is None else f"loss {report.loss:.6g}, "
    return document(
        "Gradient flow",
        tag("h1", "Gradient flow"),
        tag("p", f"{loss}{report.n_b} rows"),
        tag("p", sentence(report), class_="verdict"),
        _exponents(report),
        tag("div", *map(_figure, make_panels(report)), class_="grid-2"),
        _truncation_table(report),
        _copies_table(report),
    )


def chart_of(panel: FlowPanel) -> Chart:
    """A panel's lines as curves."""
    curves = [
        Curve(name, list(zip(panel.x.tolist(), y.tolist(), strict=True)), f"s{number}")
        for number, (name, y) in enumerate(panel.lines.items())
    ]
    return Chart(panel.title, panel.x_label, curves, panel.is_log, has_steps=True)


def _figure(panel: FlowPanel) -> Markup:
    caption = (tag("b", panel.title), panel.note, key(tuple(panel.lines)))
    return tag("figure", tag("figcaption", *caption), svg(chart_of(panel)))


def _exponents(report: Findings) -> Markup | None:
    if report.numbers is None:
        return None
    return tag("p", exponents_line(report.numbers, report.row))


def _truncation_table(report: Findings) -> Markup | None:
    if not report.truncations:
        return None
    rows = [(str(r.k), f"{r.cosine:.4f}", f"{r.ratio:.4f}") for r in report.truncations]
    title = "Truncated back-propagation: lags below k, against the full gradient"
    return table(title, ("k", "cosine", "norm ratio"), rows)


def _copies_table(report: Findings) -> Markup:
    rows = []
    for name, norms in report.copies.items():
        radius, sigma = report.spectra.get(name, (None, None))
        rows.append((
            name, f"{norms.sum():.3g}", f"{report.cancellation[name]:.3f}",
            "" if radius is None else f"{radius:.3g}",
            "" if sigma is None else f"{sigma:.3g}",
        ))  # fmt: skip
    head = ("parameter", "sum of the copies' norms", "left after cancellation",
            "spectral radius", "largest singular value")  # fmt: skip
    title = "Copies; the spectra are context, they do not say what gradients do"
    return table(title, head, rows)
