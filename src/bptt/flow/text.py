"""The flow of gradients in words: a verdict with its numbers, and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from bptt.errors import columns_of
from bptt.flow.case import GROWING, LAG, REACHED, SAME, reach_of
from bptt.flow.findings import Diagnosis, Findings
from bptt.flow.measure import SATURATED
from bptt.flow.pace import pace_of
from bptt.flow.words import power, say

STEPS = 8  # rows of a table over time
WIDE = 12  # of a column: five fit a terminal of 60
OF_GROWTH = ("exploding", "exploding-layer", "exploding-rows", "vanishing",
             "vanishing-layer", "vanishing-rows", "short-memory", "bursts")  # fmt: skip


def sentence(report: Findings, lang: str = "en") -> str:
    """The worst diagnosis, or a clean bill, and what truncation would lose."""
    head = headline(report, lang)
    return joined((head, *summary(report, lang)), lang)


def headline(report: Findings, lang: str = "en") -> str:
    """The worst diagnosis with its numbers, or a clean bill."""
    worst = [d for d in report.diagnoses if d.severity != "note"]
    head = spoken(worst[0], lang) if worst else _clean(report, lang)
    if worst and worst[0].kind not in OF_GROWTH:
        return head
    near = [spoken(d, lang) for d in report.diagnoses if d.kind.startswith("near-")]
    return joined((head, *(_capital(n) for n in near)), lang)


def joined(sentences: Iterable[str], lang: str = "en") -> str:
    """Sentences one after another: in Chinese without a space between."""
    return ("" if lang == "zh" else " ").join(filter(None, sentences))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def spoken(found: Diagnosis, lang: str = "en") -> str:
    """A diagnosis as a word and its sentence."""
    word = say(f"word.{found.kind}", lang)
    key = found.kind.removesuffix("-layer")
    body = say(f"says.{key}{found.fields.get('way', '')}", lang, **found.fields)
    if found.layer:
        body = say("says.in-layer", lang, body=body, **found.fields)
    return _sentence(word, body, lang)


def _sentence(word: str, body: str, lang: str) -> str:
    colon, stop = ("：", "。") if lang == "zh" else (": ", ".")
    return f"{word}{colon}{body}{stop}"


def remedies_of(found: Diagnosis, lang: str = "en") -> Iterator[tuple[str, str]]:
    """Every remedy: its action, "" if it takes a person, and its reason."""
    for remedy in found.remedies:
        yield remedy.action, say(remedy.key, lang, **remedy.fields)


def _clean(report: Findings, lang: str) -> str:
    if not report.growth:
        return say("word.healthy", lang)
    pace = pace_of(report.growth, report.growth[0].lag)
    logs = pace.log_growth
    # The row that is farthest from keeping what it gets.
    worst = int(np.argmax(np.where(np.isfinite(logs), np.abs(logs), np.inf)))
    key = "healthy" if report.n_b > 1 else "healthy-one"
    body = say(
        f"says.{key}", lang, lag=pace.lag, growth=power(pace.batch_growth),
        factor=power(pace.batch_rate, 3), rate=f"{pace.batch_rate:+.3f}",
        n_b=report.n_b, row=worst, worst=power(float(logs[worst])),
        needed=report.needed, limit=GROWING,
    )  # fmt: skip
    return _sentence(say("word.healthy", lang), body, lang)


def summary(report: Findings, lang: str = "en") -> Iterator[str]:
    """How far the terms reach, and what truncation loses of the worst parameter."""
    if report.numbers is None or not len(report.lags) or not report.lags[0]:
        return
    if report.subject.tau < report.needed:
        yield say("says.few", lang, tau=report.subject.tau, needed=report.needed)
    reach = float(np.median(report.reach(REACHED)))
    if math.isinf(reach):
        yield say("says.reach-all", lang, reach=len(report.lags) - 1)
    elif math.isfinite(reach):
        yield say("says.reach", lang, reach=f"{reach:.0f}")
    rows = [row for row in report.truncations[:-1] if row.each]
    if rows:
        row = min(rows, key=lambda r: abs(r.k - LAG / 2))
        yield say(
            "says.truncation", lang, k=row.k, worst=row.worst,
            cosine=f"{row.each[row.worst][0]:.3f}", pooled=f"{row.cosine:.3f}",
            enough=enough_of(report), same=SAME,
        )  # fmt: skip


def enough_of(report: Findings) -> int:
    """The smallest measured k from which on every parameter keeps its direction."""
    good = report.truncations[-1].k
    for row in reversed(report.truncations):
        if row.each and min(cosine for cosine, _ in row.each.values()) < SAME:
            break
        good = row.k
    return good


def subject_of(report: Findings, lang: str = "en") -> str:
    """The cell, data, sizes, element type and seed."""
    subject = report.subject
    sizes = ", ".join(f"{name} = {size}" for name, size in subject.sizes.items())
    seed = say("text.unknown", lang) if subject.seed is None else str(subject.seed)
    given = subject.name
    name = given if isinstance(given, str) else given[lang]
    name = name or say("text.cell-of", lang, states=_states_of(report))
    return say("text.subject", lang, name=name, data=subject.data, sizes=sizes,
               dtype=subject.dtype, seed=seed)  # fmt: skip


def _states_of(report: Findings) -> str:
    if report.setting is None:
        return "-"
    return ", ".join(report.written(report.setting.engine.states))


def loss_of(report: Findings, lang: str = "en") -> str:
    """The loss, rows and steps."""
    loss = "-" if report.loss is None else f"{report.loss:.6g}"
    return say("text.loss", lang, loss=loss, n_b=report.n_b, tau=report.subject.tau)


def tables(report: Findings, lang: str = "en") -> str:
    """Everything as text, a table for each question."""
    lines = [f"{say('text.title', lang)}: {loss_of(report, lang)}",
             subject_of(report, lang), "", sentence(report, lang)]  # fmt: skip
    for found in report.diagnoses:
        severity = say(f"severity.{found.severity}", lang)
        lines += ["", f"[{severity}] {spoken(found, lang)}"]
        for action, reason in remedies_of(found, lang):
            what = say("text.remedy" if action else "text.no-remedy", lang)
            lines.append(f"  {what}{f' {action!r}' if action else ''}: {reason}")
    lines.append("")
    if report.numbers is not None:
        lines += [*_rows(report, lang), *_over_time(report, lang)]
        lines += _memory(report, lang)
    lines += _copies(report, lang)
    return "\n".join(lines)


def _rows(report: Findings, lang: str) -> Iterator[str]:
    reach = report.reach(REACHED)
    for growth in report.growth:
        yield say("text.rows", lang, lag=growth.lag)
        yield _columns("text.columns-rows", lang)
        shown = list(range(report.n_b))
        if report.n_b > 2 * STEPS:
            order = np.argsort(growth.by_row)
            shown = sorted({*order[:STEPS].tolist(), *order[-STEPS:].tolist()})
        for row in shown:
            yield _row(str(row), power(growth.by_row[row]), f"{growth.rates[row]:+.3f}",
                       f"{reach[row]:.0f}")  # fmt: skip
        if len(shown) < report.n_b:
            yield say("text.more-rows", lang, count=report.n_b - len(shown))
        yield ""
    if report.layers:
        yield say("text.layers", lang, lag=report.growth[0].lag)
        yield _columns("text.columns-layers", lang)
        yield from (_row(*cells) for cells in layers_rows(report))
        yield ""


def layers_rows(report: Findings) -> list[tuple[str, ...]]:
    """The table of layers: growth, exponent and reach of each alone."""
    rows: list[tuple[str, ...]] = []
    for names, growth in report.layers.items():
        pace = pace_of([growth], growth.lag)
        reach = float(reach_of(np.asarray(pace.batch_growth / pace.lag)))
        rows.append((names, power(pace.batch_growth), f"{pace.batch_rate:+.3f}",
                     f"{reach:.0f}"))  # fmt: skip
    return rows


def _over_time(report: Findings, lang: str) -> Iterator[str]:
    numbers = report.numbers
    assert numbers is not None
    for name in numbers.states:
        yield say("text.time", lang, name=name)
        yield _columns("text.columns-time", lang)
        for t in pick_steps(numbers.tau, STEPS):
            parts = (numbers.norms, numbers.injected, numbers.arrived)
            yield _row(str(t), *(f"{part[name][t - 1]:.3g}" for part in parts))
        yield ""
    yield from _products(report, lang)
    for name in report.written(numbers.slopes):
        share = numbers.saturated(name).mean()
        yield say("text.flat", lang, name=name, share=f"{100 * share:.0f}",
                  limit=SATURATED)  # fmt: skip
    yield ""


def _products(report: Findings, lang: str) -> Iterator[str]:
    numbers = report.numbers
    assert numbers is not None
    logs = numbers.log_singular_values
    steps = len(logs) - 1
    yield say("text.singular", lang, tau=steps, row=report.row)
    if not numbers.is_full:
        yield leading_line(report, lang)
    yield _columns("text.columns-singular", lang)
    for t in [0, *pick_steps(steps, STEPS)]:
        middle = float(np.median(logs[t]))
        yield _row(str(t), power(logs[t, 0]), power(middle), power(logs[t, -1]))
    yield exponents_line(report, lang)
    yield ""


def leading_line(report: Findings, lang: str = "en") -> str:
    """That only some directions were followed, and what the full set costs."""
    numbers = report.numbers
    assert numbers is not None
    rows = report.state_gradients
    n = sum(int(np.prod(of_state.shape[2:])) for of_state in rows.values())
    return say("text.leading", lang, count=numbers.log_singular_values.shape[1],
               cost=f"{30.0 * numbers.tau * n**3:.0e}")  # fmt: skip


def exponents_line(report: Findings, lang: str = "en") -> str:
    """The spectrum of finite-time Lyapunov exponents in a sentence."""
    numbers = report.numbers
    assert numbers is not None
    found = numbers.exponents
    return say(
        "text.exponents", lang, row=report.row, largest=f"{found[0]:+.3f}",
        median=f"{np.median(found):+.3f}", smallest=f"{found[-1]:+.3f}",
    )  # fmt: skip


def truncation_title(report: Findings, lang: str = "en") -> str:
    """What the table of truncations compares."""
    tau, count = report.subject.tau, len(report.sources)
    is_sampled = 0 < count < int(_loss_steps(report))
    key = "truncation-sampled" if is_sampled else "truncation"
    return say(f"text.{key}", lang, count=count, tau=tau)


def _loss_steps(report: Findings) -> int:
    numbers = report.numbers
    assert numbers is not None
    entered = sum(np.asarray(rows) > 0 for rows in numbers.injected.values())
    return int(np.count_nonzero(entered))


def truncation_rows(report: Findings) -> list[tuple[str, ...]]:
    """The table of truncations."""
    rows: list[tuple[str, ...]] = []
    for row in report.truncations:
        worst = row.worst
        mine = f"{row.each[worst][0]:.4f}" if worst else ""
        rows.append((str(row.k), f"{row.cosine:.4f}", f"{row.ratio:.4f}", worst, mine))
    return rows


def _memory(report: Findings, lang: str) -> Iterator[str]:
    if not report.truncations:
        return
    yield truncation_title(report, lang)
    yield _columns("text.columns-truncation", lang)
    for cells in truncation_rows(report):
        yield _row(*cells)
    yield say("text.enough", lang, k=enough_of(report), same=SAME)
    yield ""


def copies_rows(report: Findings) -> list[tuple[str, ...]]:
    """The table of copies."""
    return [
        (name, f"{norms.sum():.3g}", f"{report.cancellation[name]:.3f}",
         str(int(np.argmax(norms)) + 1), f"{report.gradient_norms[name]:.3g}")
        for name, norms in report.copies.items()
    ]  # fmt: skip


def spectra_rows(report: Findings) -> list[tuple[str, ...]]:
    """The table of square matrices: spectral radius and largest singular value."""
    return [(name, f"{radius:.3g}", f"{sigma:.3g}")
            for name, (radius, sigma) in report.spectra.items()]  # fmt: skip


def _copies(report: Findings, lang: str) -> Iterator[str]:
    yield say("text.copies", lang)
    yield _columns("text.columns-copies", lang)
    for cells in copies_rows(report):
        yield _row(*cells)
    if report.spectra:
        yield ""
        yield say("text.spectra", lang)
        yield _columns("text.columns-spectra", lang)
    for cells in spectra_rows(report):
        yield _row(*cells)


def columns(key: str, lang: str) -> list[str]:
    """The heads of a table."""
    return say(key, lang).split("|")


def _columns(key: str, lang: str) -> str:
    return _row(*columns(key, lang))


def _row(*cells: str) -> str:
    """Cells at the right of their columns: a Chinese sign takes two."""
    return "".join(" " * max(1, WIDE - columns_of(cell)) + cell for cell in cells)


def pick_steps(tau: int, count: int) -> list[int]:
    """At most `count` steps of 1..tau, the first and the last among them."""
    return sorted({round(t) for t in np.linspace(1, tau, min(tau, count))})
