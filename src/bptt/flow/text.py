"""The flow of gradients in words: a verdict with its numbers, and tables."""

from __future__ import annotations

import numpy as np

from bptt.flow.findings import Findings
from bptt.flow.measure import EXPLODED, SATURATED, VANISHED, Flow, Verdict

STEPS = 8  # rows of a table over time
SAME = 0.99  # a cosine above this is called the same direction


def sentence(report: Findings) -> str:
    """The verdict, the numbers that it rests on, and the thresholds."""
    if report.non_finite is not None:
        return f"not finite: {report.non_finite}"
    numbers = report.numbers
    assert numbers is not None
    largest = float(numbers.singular_values[0, 0])
    word = {Verdict.NEITHER: "neither vanishing nor exploding"}.get(
        numbers.verdict, numbers.verdict.value
    )
    return (
        f"{word}: over {numbers.tau} steps the direction that fares best is multiplied "
        f"by {largest:.2g} (below {VANISHED:g} is called vanishing, above {EXPLODED:g} "
        f"exploding); the largest Lyapunov exponent is {numbers.rate:+.3f} per step, "
        f"a factor of {np.exp(numbers.rate):.3g}"
    )


def tables(report: Findings) -> str:
    """Everything as text, a table for each question."""
    loss = "" if report.loss is None else f"loss {report.loss:.6g}, "
    lines = [f"gradient flow: {loss}{report.n_b} rows", sentence(report), ""]
    if report.numbers is not None:
        lines += _over_time(report)
        lines += _memory(report)
    lines += _copies(report)
    return "\n".join(lines)


def _over_time(report: Findings) -> list[str]:
    numbers = report.numbers
    assert numbers is not None
    steps = pick_steps(numbers.tau, STEPS)
    lines = []
    for name in numbers.states:
        lines.append(f"‖∇_{name}^(t) L‖, what enters at t and what arrives from later")
        lines.append(_row("t", "norm", "enters", "arrives"))
        for t in steps:
            parts = (numbers.norms, numbers.injected, numbers.arrived)
            lines.append(_row(str(t), *(f"{part[name][t - 1]:.3g}" for part in parts)))
        lines.append("")
    lines += _products(numbers, report.row)
    for name in numbers.slopes:
        share = numbers.saturated(name).mean()
        lines.append(
            f"{name}: {100 * share:.0f} % of its slopes are below {SATURATED:g} of the "
            "steepest"
        )
    return [*lines, ""]


def _products(numbers: Flow, row: int) -> list[str]:
    whole = f"∂s^({numbers.tau})/∂s^(t)"
    lines = [f"singular values of {whole}, s all states together, row {row}"]
    lines.append(_row("t", "largest", "median"))
    for t in [0, *pick_steps(numbers.tau, STEPS)]:
        values = numbers.singular_values[t]
        lines.append(_row(str(t), f"{values[0]:.3g}", f"{np.median(values):.3g}"))
    return [*lines, exponents_line(numbers, row), ""]


def exponents_line(numbers: Flow, row: int) -> str:
    """The spectrum of finite-time Lyapunov exponents in a sentence."""
    found = numbers.exponents
    return (
        f"Lyapunov exponents per step, row {row}: largest {found[0]:+.3f}, median "
        f"{np.median(found):+.3f}, smallest {found[-1]:+.3f}"
    )


def _memory(report: Findings) -> list[str]:
    lines = ["truncated to lags below k, against the full gradient"]
    lines.append(_row("k", "cosine", "norm ratio"))
    lines += [
        _row(str(row.k), f"{row.cosine:.4f}", f"{row.ratio:.4f}")
        for row in report.truncations
    ]
    enough = next(row.k for row in report.truncations if row.cosine >= SAME)
    return [*lines, f"from k = {enough} on the cosine is at least {SAME:g}", ""]


def _copies(report: Findings) -> list[str]:
    lines = [
        "copies: sum over t of ‖∇_{W^(t)} L‖, what cancellation leaves, the largest"
    ]
    lines.append(_row("", "sum", "left", "at t"))
    for name, norms in report.copies.items():
        lines.append(_row(
            name, f"{norms.sum():.3g}", f"{report.cancellation[name]:.3f}",
            str(int(np.argmax(norms)) + 1),
        ))  # fmt: skip
    for name, (radius, sigma) in report.spectra.items():
        lines.append(
            f"{name}: spectral radius {radius:.3g}, largest singular value {sigma:.3g}"
            " (context: they do not say what gradients do)"
        )
    return lines


def _row(*cells: str) -> str:
    return "".join(f"{cell:>12}" for cell in cells)


def pick_steps(tau: int, count: int) -> list[int]:
    """At most `count` steps of 1..tau, the first and the last among them."""
    return sorted({round(t) for t in np.linspace(1, tau, min(tau, count))})
