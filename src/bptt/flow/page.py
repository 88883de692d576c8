"""The flow of gradients as one HTML file: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from bptt.flow.chart import line_chart
from bptt.flow.panels import Panel, make_panels
from bptt.flow.text import exponents_line

if TYPE_CHECKING:
    import os

    from bptt.flow.report import GradientFlow

# Colours of Okabe and Ito (2008), told apart by eyes of every kind; lines differ in
# their dashes, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f",
           "#a6761d")  # fmt: skip
DASHES = ("none", "6 3", "2 2", "8 3 2 3", "none", "6 3", "2 2", "8 3 2 3")
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #666; --line: #ddd;
        --paper: #fff; --card: #f7f7f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #a5a5a5; --line: #3a3a3a; --paper: #151515;
          --card: #1f1f1f; } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: var(--ink);
       background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
.verdict { font-size: 1.15rem; border-left: 4px solid #d55e00; padding-left: 1rem; }
.panels { display: grid; gap: 1rem;
          grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); }
figure { margin: 0; padding: 0.8rem; background: var(--card); border-radius: 8px; }
figcaption { font-size: 0.85rem; color: var(--soft); }
figcaption b { display: block; color: var(--ink); font-size: 0.95rem; }
svg { width: 100%; height: auto; }
polyline { fill: none; stroke-width: 1.8; }
polyline.dot { stroke-width: 5; stroke-linecap: round; }
.grid { stroke: var(--line); }
.tick { fill: var(--soft); font-size: 11px; }
.key { margin-right: 0.9rem; white-space: nowrap; }
.key svg { width: 26px; height: 8px; margin-right: 0.3rem; }
table { border-collapse: collapse; font-size: 0.9rem; margin: 0.6rem 0; }
td, th { padding: 0.15rem 0.9rem 0.15rem 0; text-align: right;
         border-bottom: 1px solid var(--line); }
td:first-child, th:first-child { text-align: left; }
.wide { overflow-x: auto; }
"""


def write_page(report: GradientFlow, path: str | os.PathLike[str]) -> None:
    """Write the page of a report."""
    Path(path).write_text(page_text(report), encoding="utf-8")


def page_text(report: GradientFlow) -> str:
    """The page as text."""
    loss = "" if report.loss is None else f"loss {report.loss:.6g}, "
    figures = "\n".join(_figure(panel) for panel in make_panels(report))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gradient flow</title>
<style>{STYLE}{_line_styles()}</style>
</head>
<body>
<h1>Gradient flow</h1>
<p>{loss}{report.n_b} rows</p>
<p class="verdict">{escape(report.verdict)}</p>
{_exponents(report)}
<div class="panels">
{figures}
</div>
{_truncation_table(report)}
{_copies_table(report)}
</body>
</html>
"""


def _line_styles() -> str:
    return "\n".join(
        f".s{n} {{ stroke: {colour}; stroke-dasharray: {dash}; }}"
        for n, (colour, dash) in enumerate(zip(COLOURS, DASHES, strict=True))
    )


def _figure(panel: Panel) -> str:
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 26 8"><polyline class="s{number}" '
        f'points="0,4 26,4"/></svg>{escape(label)}</span>'
        for number, label in enumerate(panel.lines)
    )
    caption = f"<b>{escape(panel.title)}</b>{escape(panel.note)}<br>{keys}"
    return f"<figure><figcaption>{caption}</figcaption>\n{line_chart(panel)}</figure>"


def _exponents(report: GradientFlow) -> str:
    if report.numbers is None:
        return ""
    return f"<p>{escape(exponents_line(report.numbers, report.row))}</p>"


def _truncation_table(report: GradientFlow) -> str:
    if not report.truncations:
        return ""
    rows = [(str(r.k), f"{r.cosine:.4f}", f"{r.ratio:.4f}") for r in report.truncations]
    title = "Truncated back-propagation: lags below k, against the full gradient"
    return _table(title, ("k", "cosine", "norm ratio"), rows)


def _copies_table(report: GradientFlow) -> str:
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
    return _table(title, head, rows)


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<h2>{escape(title)}</h2>\n<div class="wide"><table><tr>{top}</tr>\n'
        f"{body}</table></div>"
    )
