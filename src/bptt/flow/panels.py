"""What is drawn of a flow, the same for matplotlib and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bptt import errors
from bptt.flow.findings import Findings
from bptt.flow.measure import SATURATED
from bptt.flow.words import say
from bptt.step.shapes import Array

MOST_LINES = 6  # of parameters in one picture


@dataclass(frozen=True, eq=False)
class FlowPanel:
    """Lines over one axis; zeros and what is not finite leave gaps where `is_log`.

    name: to ask for it; title, note, x_label: in the reader's language; symbol: the
    title as matplotlib's mathematics.
    """

    name: str
    title: str
    note: str
    x_label: str
    x: Array
    lines: Mapping[str, Array]
    symbol: str = ""
    is_log: bool = True
    has_dots: bool = False
    has_line: bool = True


def make_panels(report: Findings, lang: str = "en") -> Iterator[FlowPanel]:
    """Every picture that the report has numbers for."""
    if report.numbers is not None:
        t = np.arange(1, report.numbers.tau + 1)
        yield from _norms(report, t, lang)
        yield _lags(report, lang)
        yield _truncation(report, lang)
        if report.n_b > 1:
            yield _growth(report, lang)
        yield _singular(report, lang)
        yield from _units(report, t, lang)
        yield from _slopes(report, t, lang)
    if any(np.isfinite(rows).any() for rows in report.copies.values()):
        yield _copies(report, lang)


def chosen_panels(report: Findings, names: tuple[str, ...]) -> list[FlowPanel]:
    """All panels, or those named, in the order asked for. Raises: FlowError."""
    panels = {panel.name: panel for panel in make_panels(report)}
    for name in names:
        if name not in panels:
            raise errors.FlowError(
                f"plot({name!r}): this flow has the panels "
                f"{errors.list_known(name, panels)}"
            )
    return [panels[name] for name in names] if names else list(panels.values())


def _norms(report: Findings, t: Array, lang: str) -> Iterator[FlowPanel]:
    numbers = report.numbers
    assert numbers is not None
    for name in numbers.states:
        lines = {
            say("panel.all", lang): numbers.norms[name],
            say("panel.enters", lang): numbers.injected[name],
            say("panel.arrives", lang): numbers.arrived[name],
        }
        yield FlowPanel(
            f"norms-{name}", say("panel.norms", lang, name=name),
            say("panel.norms-note", lang), say("panel.x-t", lang), t, lines,
            rf"$\|\nabla_{{{name}^{{(t)}}}} L\|$",
        )  # fmt: skip


def _singular(report: Findings, lang: str) -> FlowPanel:
    numbers = report.numbers
    assert numbers is not None
    logs = numbers.log_singular_values
    tau = len(logs) - 1
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = np.exp(np.stack([logs[:, 0], np.median(logs, axis=1), logs[:, -1]]))
    names = ("largest", "median", "smallest")
    lines = {say(f"panel.{n}", lang): v for n, v in zip(names, values, strict=True)}
    return FlowPanel(
        "singular", say("panel.singular", lang, tau=tau),
        say("panel.singular-note", lang, tau=tau, row=report.row),
        say("panel.x-t", lang), np.arange(tau + 1), lines,
        rf"$\sigma(\partial s^{{({tau})}}/\partial s^{{(t)}})$",
    )  # fmt: skip


def _growth(report: Findings, lang: str) -> FlowPanel:
    growth = report.growth[0]
    with np.errstate(over="ignore", under="ignore"):
        values = np.exp(growth.by_row)
    lines = {say("panel.growth", lang): values}
    return FlowPanel(
        "rows", say("panel.rows", lang, lag=growth.lag), say("panel.rows-note", lang),
        say("panel.x-row", lang), np.arange(report.n_b), lines,
        rf"$\sigma_1(\partial s^{{(t+{growth.lag})}}/\partial s^{{(t)}})$",
        has_dots=True, has_line=False,
    )  # fmt: skip


def _lags(report: Findings, lang: str) -> FlowPanel:
    rows = report.lags_by_row
    lines = {say("panel.batch", lang): report.lags}
    if report.n_b > 1:
        lines |= {
            say("panel.median", lang): np.median(rows, axis=1),
            say("panel.largest", lang): rows.max(axis=1),
            say("panel.smallest", lang): rows.min(axis=1),
        }
    return FlowPanel(
        "lags", say("panel.lags", lang), say("panel.lags-note", lang),
        say("panel.x-lag", lang), np.arange(len(report.lags)), lines,
        r"$\|\,\partial L^{(t+k)}/\partial s^{(t)}\|$",
    )  # fmt: skip


def _truncation(report: Findings, lang: str) -> FlowPanel:
    rows = [row for row in report.truncations if row.each]
    k = np.array([row.k for row in rows])
    lines = {say("panel.pooled", lang): np.array([row.cosine for row in rows])}
    names = list(rows[0].each) if rows else []
    lost = {n: sum(1 - row.each[n][0] for row in rows) for n in names}
    for name in sorted(names, key=lambda n: -lost[n])[: MOST_LINES - 1]:
        lines[name] = np.array([row.each[name][0] for row in rows])
    return FlowPanel(
        "truncation", say("panel.truncation", lang), say("panel.truncation-note", lang),
        say("panel.x-k", lang), k, lines, r"$\cos(g_k, g)$", is_log=False,
        has_dots=True,
    )  # fmt: skip


def _units(report: Findings, t: Array, lang: str) -> Iterator[FlowPanel]:
    numbers = report.numbers
    assert numbers is not None
    for name in numbers.states:
        units = report.unit_norms(name)
        if units.shape[1] < 2:
            continue
        lines = {
            say("panel.largest", lang): units.max(axis=1),
            say("panel.median", lang): np.median(units, axis=1),
            say("panel.smallest", lang): units.min(axis=1),
        }
        yield FlowPanel(
            f"units-{name}", say("panel.units", lang, name=name),
            say("panel.units-note", lang), say("panel.x-t", lang), t, lines,
            rf"$|\nabla_{{{name}_i^{{(t)}}}} L|$",
        )  # fmt: skip


def _slopes(report: Findings, t: Array, lang: str) -> Iterator[FlowPanel]:
    numbers = report.numbers
    assert numbers is not None
    bands = {"band-high": 0.95, "median": 0.5, "band-low": 0.05}
    for name in report.written(numbers.slopes):
        slopes = numbers.slopes[name]
        shares = slopes.reshape(numbers.tau, -1) / numbers.steepest[name]
        lines = {
            say(f"panel.{label}", lang): np.quantile(shares, q, axis=1)
            for label, q in bands.items()
        }
        flat = f"{100 * numbers.saturated(name).mean():.0f}"
        yield FlowPanel(
            f"slopes-{name}", say("panel.slopes", lang, name=name),
            say("panel.slopes-note", lang, share=flat, limit=SATURATED),
            say("panel.x-t", lang), t, lines, rf"$\partial {name}/\partial a$",
            is_log=False,
        )  # fmt: skip


def _copies(report: Findings, lang: str) -> FlowPanel:
    order = sorted(report.copies, key=lambda name: -report.copies[name].sum())
    return FlowPanel(
        "copies", say("panel.copies", lang), say("panel.copies-note", lang),
        say("panel.x-t", lang), np.arange(1, report.subject.tau + 1),
        {n: report.copies[n] for n in order[:MOST_LINES]},
        r"$\|\nabla_{W^{(t)}} L\|$",
    )  # fmt: skip
