"""The flow of gradients as one HTML file: no script, no network, light and dark.

Both languages are in it; which one shows is a switch that the style sheet reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bptt.flow.findings import Diagnosis, Findings
from bptt.flow.panels import FlowPanel, make_panels
from bptt.flow.text import (
    columns,
    copies_rows,
    exponents_line,
    headline,
    joined,
    layers_rows,
    leading_line,
    loss_of,
    remedies_of,
    spectra_rows,
    spoken,
    subject_of,
    summary,
    truncation_rows,
    truncation_title,
)
from bptt.flow.words import say
from bptt.page.chart import Chart, Curve, key, svg
from bptt.page.report import bilingual, document, table
from bptt.page.tags import Markup, join, tag

if TYPE_CHECKING:
    import os

POINTS = 300  # of a curve: one for every other pixel


def write_page(report: Findings, path: str | os.PathLike[str]) -> None:
    """Write the page of a report."""
    Path(path).write_text(page_text(report), encoding="utf-8")


def page_text(report: Findings) -> str:
    """The page as text."""
    both = {lang: _body(report, lang) for lang in ("en", "zh")}
    return document(say("text.title", "en"), *bilingual(both))


def _body(report: Findings, lang: str) -> Markup:
    return join(
        tag("h1", say("text.title", lang)),
        tag("p", subject_of(report, lang)),
        tag("p", loss_of(report, lang)),
        tag("p", headline(report, lang), class_=f"verdict {_severity(report)}"),
        tag("p", joined(summary(report, lang), lang)),
        _diagnoses(report, lang),
        _exponents(report, lang),
        tag("div", *(_figure(p) for p in make_panels(report, lang)), class_="grid-2"),
        _layers_table(report, lang),
        _truncation_table(report, lang),
        table(say("text.copies", lang), columns("text.columns-copies", lang),
              copies_rows(report)),
        _spectra_table(report, lang),
    )  # fmt: skip


def _severity(report: Findings) -> str:
    """Of the headline: the worst one's, or that it is a clean bill."""
    found = [d.severity for d in report.diagnoses if d.severity != "note"]
    return found[0] if found else "healthy"


def _diagnoses(report: Findings, lang: str) -> Markup | None:
    # What the headline has said is not said again: only what to do about it.
    head = headline(report, lang)
    cards = [
        _card(found, lang, is_said=spoken(found, lang).lower() in head.lower())
        for found in report.diagnoses
        if found.remedies or spoken(found, lang).lower() not in head.lower()
    ]
    if not cards:
        return None
    title = tag("h2", say("panel.diagnoses", lang))
    return tag("section", title, tag("div", *cards, class_="cards"))


def _card(found: Diagnosis, lang: str, *, is_said: bool) -> Markup:
    severity = tag("span", say(f"severity.{found.severity}", lang), class_="mark")
    word = tag("b", say(f"word.{found.kind}", lang))
    return tag(
        "article", severity, tag("p", word if is_said else spoken(found, lang)),
        tag("ul", *_remedies(found, lang)) if found.remedies else None,
        class_=found.severity,
    )  # fmt: skip


def _remedies(found: Diagnosis, lang: str) -> Iterator[Markup]:
    for action, reason in remedies_of(found, lang):
        yield tag("li", tag("code", action) if action else None,
                  ": " if action else None, reason)  # fmt: skip


def chart_of(panel: FlowPanel) -> Chart:
    """A panel's lines as curves, of at most POINTS points each."""
    few = np.unique(np.linspace(0, len(panel.x) - 1, POINTS).round().astype(int))
    x = panel.x[few].tolist()
    curves = [
        Curve(name, list(zip(x, y[few].tolist(), strict=True)), f"s{number}",
              has_dots=panel.has_dots, has_line=panel.has_line)
        for number, (name, y) in enumerate(panel.lines.items())
    ]  # fmt: skip
    return Chart(panel.title, panel.x_label, curves, panel.is_log, has_steps=True,
                 decades=640)  # fmt: skip


def _figure(panel: FlowPanel) -> Markup:
    caption = (tag("b", panel.title), panel.note, key(tuple(panel.lines)))
    return tag("figure", tag("figcaption", *caption), svg(chart_of(panel)))


def _exponents(report: Findings, lang: str) -> Markup | None:
    if report.numbers is None:
        return None
    more = None if report.numbers.is_full else leading_line(report, lang)
    return tag("p", exponents_line(report, lang), " " if more else None, more)


def _layers_table(report: Findings, lang: str) -> Markup | None:
    if not report.layers:
        return None
    title = say("text.layers", lang, lag=report.growth[0].lag)
    return table(title, columns("text.columns-layers", lang), layers_rows(report))


def _truncation_table(report: Findings, lang: str) -> Markup | None:
    if not report.truncations:
        return None
    head = columns("text.columns-truncation", lang)
    return table(truncation_title(report, lang), head, truncation_rows(report))


def _spectra_table(report: Findings, lang: str) -> Markup | None:
    if not report.spectra:
        return None
    head = columns("text.columns-spectra", lang)
    return table(say("text.spectra", lang), head, spectra_rows(report))
