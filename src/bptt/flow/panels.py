"""What is drawn of a flow, the same for matplotlib and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bptt.flow.findings import Findings
from bptt.flow.measure import SATURATED
from bptt.step.shapes import Array

BANDS = {"95 % of units below": 0.95, "median": 0.5, "5 % below": 0.05}
MOST_LINES = 8  # of parameters in one picture; those with the largest copies


@dataclass(frozen=True, eq=False)
class FlowPanel:
    """Lines over one axis; zeros and what is not finite leave gaps where `is_log`."""

    title: str
    note: str
    x_label: str
    x: Array
    lines: Mapping[str, Array]
    is_log: bool = True


def make_panels(report: Findings) -> Iterator[FlowPanel]:
    """Every picture that the report has numbers for."""
    numbers = report.numbers
    if numbers is not None:
        tau = numbers.tau
        t = np.arange(1, tau + 1)
        for name in numbers.states:
            lines = {
                "all": numbers.norms[name],
                "from L of this step": numbers.injected[name],
                "from later steps": numbers.arrived[name],
            }
            yield FlowPanel(
                f"Norm of the gradient on {name}(t)",
                "What enters at t, and what arrives from later steps.", "t", t, lines,
            )  # fmt: skip
        s = numbers.singular_values
        # Below this a singular value of a product is rounding of the largest.
        noise = np.finfo(float).eps * s.shape[1] * s[:, 0]
        lines = {
            "largest": s[:, 0],
            "median": np.median(s, axis=1),
            "smallest": s[:, -1],
        }
        lines = {label: np.where(y > noise, y, np.nan) for label, y in lines.items()}
        yield FlowPanel(
            f"Singular values of the state at {tau} by the state at t",
            f"The product of the Jacobians from t to {tau}, row {report.row}.", "t",
            np.arange(tau + 1), lines,
        )  # fmt: skip
        yield _lags(report)
        yield _truncation(report)
        yield from _slopes(report, t)
    yield _copies(report)


def _lags(report: Findings) -> FlowPanel:
    return FlowPanel(
        "Terms of the states' gradient by lag",
        "The norm over all t of what comes from the loss k steps later.", "lag k",
        np.arange(len(report.lags)), {"norm": report.lags},
    )  # fmt: skip


def _truncation(report: Findings) -> FlowPanel:
    k = np.array([row.k for row in report.truncations])
    lines = {
        "cosine": np.array([row.cosine for row in report.truncations]),
        "norm ratio": np.array([row.ratio for row in report.truncations]),
    }
    return FlowPanel(
        "The gradient truncated to lags below k", "Against the full gradient.",
        "k", k, lines, is_log=False,
    )  # fmt: skip


def _slopes(report: Findings, t: Array) -> Iterator[FlowPanel]:
    numbers = report.numbers
    assert numbers is not None
    for name, slopes in numbers.slopes.items():
        shares = slopes.reshape(numbers.tau, -1) / numbers.steepest[name]
        lines = {label: np.quantile(shares, q, axis=1) for label, q in BANDS.items()}
        flat = 100 * numbers.saturated(name).mean()
        yield FlowPanel(
            f"Slopes of {name}(t), as a share of the steepest",
            f"{flat:.0f} % lie below {SATURATED:g}: saturated.", "t", t, lines,
            is_log=False,
        )  # fmt: skip


def _copies(report: Findings) -> FlowPanel:
    order = sorted(report.copies, key=lambda name: -report.copies[name].sum())
    tau = len(next(iter(report.copies.values())))
    return FlowPanel(
        "Norms of the copies of the parameters",
        "What the use of a parameter at step t alone contributes.", "t",
        np.arange(1, tau + 1), {n: report.copies[n] for n in order[:MOST_LINES]},
    )  # fmt: skip
