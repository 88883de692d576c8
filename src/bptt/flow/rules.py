"""From numbers to opinions: growth, saturation, and what stops learning.

Every rule looks at one case and gives what it finds; `diagnose` puts the worst first.
A rule stays silent where another explains the same numbers better: weights that are 0
are not called vanishing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bptt.flow.case import (
    GROWING,
    MANY,
    SHORT,
    STUCK,
    VANISHED,
    Case,
    diagnosis,
    reach_of,
    remedy,
    show_factor,
    show_log,
)
from bptt.flow.equations import leaky_text, normalised_text
from bptt.flow.findings import Diagnosis, Remedy
from bptt.flow.pace import APART, NARROW
from bptt.flow.rules_of_data import DATA_RULES
from bptt.flow.rules_of_layers import name_layers
from bptt.flow.rules_of_units import dead_units, same_units
from bptt.step.shapes import Array

ORDER = ("fault", "caution", "note")
SURE = 3  # standard errors
KEEPS = 0.95  # of a state per step: e^-1 in 20 steps
LEAK = 0.1  # e^-2 over 20 steps
TRANSIENT = float(np.log(10.0))  # over the lag, from a step that only shrinks


def diagnose(case: Case) -> tuple[Diagnosis, ...]:
    """Everything that is the matter, or is worth knowing."""
    rules: tuple[Callable[[Case], Iterator[Diagnosis]], ...]
    if case.findings.numbers is None:
        rules = (_non_finite,)
    else:
        rules = (*DATA_RULES, _stuck, dead_units, _exploding, _vanishing, *_SMALLER)
    found = [d for rule in rules for d in rule(case)]
    found = name_layers(case, found, (_stuck, _exploding, _vanishing))
    return tuple(sorted(found, key=lambda d: ORDER.index(d.severity)))


def _non_finite(case: Case) -> Iterator[Diagnosis]:
    where = case.findings.non_finite
    assert where is not None
    remedies = [remedy("", "remedy.smaller-values")]
    if not where.is_forward:
        remedies = [_scale_down(case)]
    if case.findings.subject.dtype == "float32":
        remedies.append(remedy("dtype=float64", "remedy.wider"))
    yield diagnosis("not-finite", "fault", *remedies, t=where.t, row=where.row,
                    node=where.name, value=str(where.value),
                    way="-forward" if where.is_forward else "-backward")  # fmt: skip


def _scale_down(case: Case) -> Remedy:
    if case.facts.gains and set(case.square) <= set(case.facts.normalised):
        # Normalisation takes the size of the matrices away, and not that of its gains.
        return remedy("gains*=0.5", "remedy.gains", names=", ".join(case.facts.gains))
    square, cut = case.square, case.facts.cut
    if len(square) == 1 and len(cut.states) < len(cut.graph.states):
        factor = 0.95 / max(case.findings.spectra[square[0]][0], 0.95)
        return remedy(f"{square[0]}*={factor:.3g}", "remedy.radius", names=square[0])
    if square:
        return remedy("spectral_radius=0.95", "remedy.radius", names=", ".join(square))
    names = case.facts.recurrent
    if names:
        return remedy(f"{names[0]}*=0.5", "remedy.smaller-weights", names=names[0])
    return remedy("", "remedy.smaller-values")


# ----- exploding, vanishing -----


def _exploding(case: Case) -> Iterator[Diagnosis]:
    grows = _growing_rows(case)
    if not grows.any():
        yield from _bursts(case)
        return
    if _is_transient(case):
        yield _transient(case)
        return
    pace, rows = case.pace, np.flatnonzero(grows)
    worst = rows[np.argsort(-pace.by_row[rows])]
    remedies = [*_forget(case), _scale_down(case),
                *_normalise(case, "remedy.normalise-layer"),
                remedy("clip=1", "remedy.clip")]  # fmt: skip
    is_all = _grows(case)
    if not is_all:
        remedies.insert(0, remedy("", "remedy.look-at-rows"))
    severity = "fault" if pace.log_growth[worst[0]] > TRANSIENT else "caution"
    yield diagnosis(
        "exploding" if is_all else "exploding-rows", severity, *remedies,
        rows=case.rows_of(worst), count=len(rows), n_b=case.findings.n_b,
        pace=f"{pace.by_row[worst[0]]:+.3f}", lag=case.lag,
        steps=case.measured, limit=GROWING,
        growth=show_log(pace.log_growth[worst[0]]),
        rate=f"{pace.rates[worst[0]]:+.3f}", factor=show_factor(pace.rates[worst[0]]),
    )  # fmt: skip


def _forget(case: Case) -> Iterator[Remedy]:
    """A gate that keeps everything, to which the rest of the step adds."""
    for gate in [g for g in case.facts.gates if g.bias][:1]:
        keeps = case.keeps(gate)
        if keeps > KEEPS:
            bias = 1 if gate.keeps_at_one else -1
            yield remedy(f"{gate.bias}={bias}", "remedy.forget", gate=gate.name,
                         keeps=keeps, bias=gate.bias, value=bias)  # fmt: skip


def _bursts(case: Case) -> Iterator[Diagnosis]:
    """Much growth over the lag of directions that decay in the long run."""
    if _is_transient(case):
        yield _transient(case)
        return
    pace = case.pace
    tall = pace.log_growth - pace.unseen > TRANSIENT
    if not pace.batch_growth - pace.unseen > TRANSIENT:
        tall &= pace.far_rows
    rows = np.flatnonzero(tall)
    if not len(rows):
        return
    worst = rows[np.argsort(-pace.log_growth[rows])]
    yield diagnosis(
        "bursts", "caution", remedy("clip=1", "remedy.clip"), _scale_down(case),
        rows=case.rows_of(worst), count=len(rows), n_b=case.findings.n_b, lag=case.lag,
        growth=show_log(pace.log_growth[worst[0]]),
        factor=show_factor(pace.batch_rate), rate=f"{pace.batch_rate:+.3f}",
    )  # fmt: skip


def _normalise(case: Case, key: str) -> list[Remedy]:
    """Layer normalisation, where the equations have a place for it."""
    if case.facts.gates or case.units < 2:
        return []
    if not normalised_text(case.source):
        return []
    return [remedy("normalisation=layer", key)]


def _grows(case: Case) -> bool:
    """Whether the batch grows: over the lag, and in the long run."""
    pace = case.pace
    lasts = pace.batch_rate > -2 * pace.error_of(pace.rates)
    # A fault is claimed where it is larger than its own error.
    return bool(pace.batch - pace.error_of(pace.by_row) > GROWING and lasts)


def _growing_rows(case: Case) -> Array:
    """Rows that grow where the batch does; else those that do and are apart."""
    pace = case.pace
    with np.errstate(invalid="ignore"):
        # A window may grow in a row that decays: `_bursts` says so.
        grows = (pace.by_row > GROWING) & (pace.rates > 0)
        if _grows(case):
            return np.asarray(grows if grows.any() else pace.by_row >= pace.batch)
        is_above = pace.by_row > GROWING + NARROW
        least = pace.by_row - SURE * pace.row_error
        is_sure = (least > GROWING) & (pace.by_row > pace.batch + APART)
    return np.asarray(grows & (is_above & pace.far_rows | is_sure))


def _radius(case: Case) -> float:
    """The spectral radius of the mean Jacobian of the row that is shown."""
    numbers = case.findings.numbers
    assert numbers is not None
    if numbers.jacobians is None:
        return np.nan
    return float(np.abs(np.linalg.eigvals(numbers.jacobians.mean(axis=0))).max())


def _is_transient(case: Case) -> bool:
    """Growth from steps whose own eigenvalues all lie inside the unit circle.

    The Jacobian must be about the same at every step: of a product of different ones
    the radii say nothing.
    """
    numbers = case.findings.numbers
    assert numbers is not None
    jacobians = numbers.jacobians
    least = case.pace.log_growth[case.findings.row] - case.pace.unseen
    if jacobians is None or least < TRANSIENT:
        return False
    mean = jacobians.mean(axis=0)
    spread = np.abs(jacobians - mean).max() / max(np.abs(mean).max(), 1e-300)
    return bool(spread < 0.3 and _radius(case) < 1.0)


def _transient(case: Case) -> Diagnosis:
    numbers = case.findings.numbers
    assert numbers is not None
    largest = numbers.log_singular_values[::-1, 0]  # by distance to the end
    peak = int(np.nanargmax(largest))
    return diagnosis(
        "transient", "caution",
        remedy("W=orthogonal" if "W" in case.square else _orthogonal(case),
               "remedy.normal"),
        remedy("clip=1", "remedy.clip"),
        growth=show_log(case.pace.log_growth[case.findings.row]), lag=case.lag,
        radius=_radius(case), peak=peak, most=show_log(largest[peak]),
        row=case.findings.row,
    )  # fmt: skip


def _orthogonal(case: Case) -> str:
    return f"{case.square[0]}=orthogonal" if case.square else ""


def _vanishing(case: Case) -> Iterator[Diagnosis]:
    """A reach shorter than the task's lag; where nobody gave one, a very short one."""
    needed = case.findings.needed
    limit = needed if case.is_lag_given else SHORT
    if _has_zero_memory(case) or _is_stuck(case):
        return
    if any(case.dead_units(name).mean() >= MANY for name in case.rectified):
        return
    kind = _memory_word(case.batch_reach, needed, limit)
    most = np.asarray((case.pace.batch_growth + case.pace.unseen) / case.lag)
    if kind == "short-memory" and reach_of(most) >= limit:
        kind = ""  # of a short run: its other steps may well reach so far
    rows = np.flatnonzero(case.reach < (needed if kind == "vanishing" else limit))
    if not kind:
        kind = "vanishing-rows"
        with np.errstate(invalid="ignore"):
            high = case.pace.log_growth / case.lag + SURE * case.pace.row_error
        is_sure = reach_of(high) < needed
        rows = np.flatnonzero((case.reach < needed) & (case.pace.far_rows | is_sure))
        if not len(rows):
            return
    if not len(rows):
        rows = np.array([int(np.argmin(case.reach))])
    worst = rows[np.argsort(case.reach[rows])]
    middle = float(np.median(case.pace.log_growth[rows]))
    yield diagnosis(
        kind, "fault" if kind == "vanishing" else "caution", *_longer_memory(case),
        rows=case.rows_of(worst), count=len(rows), n_b=case.findings.n_b,
        growth=show_log(middle), lag=case.lag, steps=case.measured, needed=needed,
        limit=limit,
        reach=float(np.floor(np.median(case.reach[rows]))),
        factor=show_factor(middle / case.lag),
    )  # fmt: skip


def _near(case: Case) -> Iterator[Diagnosis]:
    """A line so near that other data, or more steps, could put the batch beyond it."""
    if _has_zero_memory(case) or _is_stuck(case):
        return
    pace, needed = case.pace, case.findings.needed
    lines = [("exploding", pace.batch, pace.by_row, GROWING)]
    over_lag = pace.log_growth / case.lag
    for word, steps in (("vanishing", needed), ("short-memory", SHORT)):
        if word == "vanishing" or not case.is_lag_given:
            line = VANISHED / steps
            lines.append((word, pace.batch_growth / case.lag, over_lag, line))
    for word, value, rows, line in lines:
        error = pace.error_of(rows)
        if pace.is_near(value, error, line):
            yield diagnosis(
                f"near-{word}", "note", value=f"{value:+.3f}", error=f"{error:.3f}",
                line=f"{line:+.3f}", count=pace.windows * case.findings.n_b,
            )  # fmt: skip


def _memory_word(reach: float, needed: float, limit: float) -> str:
    return "vanishing" if reach < needed else "short-memory" if reach < limit else ""


def _has_zero_memory(case: Case) -> bool:
    """Whether every recurrent matrix is 0: memory never began."""
    matrices = [n for n in case.facts.recurrent if case.bindings.parameters[n].ndim > 1]
    return bool(matrices) and all(n in case.zero_matrices for n in matrices)


def _longer_memory(case: Case) -> Iterator[Remedy]:
    """What lengthens memory, the cause that the numbers show first."""
    gates, large = [g for g in case.facts.gates if g.bias], _largest_input(case)
    if gates and large:
        # It drives the gates, too: a bias moves little against it.
        yield remedy(f"{large}=normalised", "remedy.normalise", name=large)
        return
    for gate in gates[:1]:
        keeps = case.keeps(gate)
        yield remedy(_open(gate.bias, keeps_at_one=gate.keeps_at_one),
                     "remedy.open-gate", gate=gate.name, keeps=keeps,
                     bias=gate.bias, value=4 if gate.keeps_at_one else -4)  # fmt: skip
    if gates:
        return
    flat = [n for n in case.bounded if case.flat_share(n) > 0.25]
    if flat:
        yield from _unsaturate(case, max(flat, key=case.flat_share))
    small = [n for n in case.square if case.findings.spectra[n][1] < 0.95]
    for name in small[:1]:
        yield remedy(f"{name}=orthogonal", "remedy.orthogonal", name=name,
                     sigma=case.findings.spectra[name][1])  # fmt: skip
    if leaky_text(case.source, LEAK):
        share = min(LEAK, round(2 / case.lag, 2))
        yield remedy(f"leak={share:g}", "remedy.leak", keeps=1 - share, share=share,
                     lag=case.lag,
                     left=show_log(case.lag * float(np.log1p(-share))))  # fmt: skip
    yield remedy("", "remedy.gated")


def _open(bias: str, *, keeps_at_one: bool) -> str:
    """Set the bias so that the gate keeps: to 4, where a sigmoid is 0.98."""
    if bias == "b_f" and keeps_at_one:
        return "forget_bias=4"
    return f"{bias}=4" if keeps_at_one else f"{bias}=-4"


def _largest_input(case: Case) -> str:
    """A real input whose elements are large: root mean square above 5."""
    for name, array in case.bindings.inputs.items():
        if array.dtype.kind == "f" and np.sqrt((array**2).mean()) > 5:
            return name
    return ""


# ----- what stops learning -----


def _is_stuck(case: Case) -> bool:
    """Whether no recurrent parameter receives a gradient worth the name."""
    if _has_zero_memory(case) or not case.facts.recurrent or case.is_starved:
        return False
    norms = case.findings.gradient_norms
    if not max(norms.values(), default=0.0):
        return False
    flat = [n for n in case.bounded if case.flat_share(n) > MANY]
    return case.recurrent_share < STUCK and bool(flat or case.shut_gates)


def _stuck(case: Case) -> Iterator[Diagnosis]:
    if not _is_stuck(case):
        return
    shut = case.shut_gates
    flat = max(case.bounded, key=case.flat_share, default="")
    way = "" if flat and case.flat_share(flat) > MANY else "-gate"
    flat = shut[0].name if way else flat
    remedies = [
        remedy(f"{gate.bias}=1", "remedy.reset-gate", gate=gate.name,
               mean=case.mean_of(gate.name))
        for gate in case.facts.gates
        if gate.bias and (case.flat_share(gate.name) > MANY or gate in shut)
    ]  # fmt: skip
    # A gate that is used twice, as f and as 1 - f, has one bias.
    remedies = list({r.action: r for r in remedies}.values())
    if not remedies:
        remedies = list(_unsaturate(case, flat))
    yield diagnosis(
        "stuck", "fault", *remedies, node=flat, share=100 * case.flat_share(flat),
        ratio=case.recurrent_share, limit=STUCK, mean=case.mean_of(flat),
        growth=show_log(case.pace.batch_growth), lag=case.lag,
        names=", ".join(case.facts.recurrent), way=way,
    )  # fmt: skip


def _unsaturate(case: Case, flat: str) -> Iterator[Remedy]:
    """What holds a node in its flat end: its bias, its weights, or its input."""
    bias = case.facts.bias_of(flat)
    if bias and np.abs(case.bindings.parameters[bias]).mean() > 3:
        yield remedy(f"{bias}=0", "remedy.reset-bias", name=bias, node=flat)
        return
    large = _largest_input(case)
    if large:
        yield remedy(f"{large}=normalised", "remedy.normalise", name=large)
        yield from _normalise(case, "remedy.unsaturate-layer")
        return
    for name in case.square:
        if case.findings.spectra[name][1] > 2:
            yield remedy(f"{name}=orthogonal", "remedy.smaller", name=name,
                         sigma=case.findings.spectra[name][1])  # fmt: skip
            yield from _normalise(case, "remedy.unsaturate-layer")
            return
    for name in case.facts.of_input[:1]:
        yield remedy(f"{name}*=0.1", "remedy.unsaturate", name=name, node=flat,
                     share=100 * case.flat_share(flat))  # fmt: skip
    yield from _normalise(case, "remedy.unsaturate-layer")


# ----- smaller things -----


def _healthy_saturation(case: Case) -> Iterator[Diagnosis]:
    """A gate at its end that carries memory, said so that nobody mends it."""
    if _is_stuck(case):
        return
    with np.errstate(invalid="ignore"):
        carries = case.pace.batch_growth > np.log(0.1)
    for gate in case.facts.gates:
        share, mean = case.flat_share(gate.name), case.mean_of(gate.name)
        keeps = case.keeps(gate)
        if share > MANY and keeps > 0.9 and carries:
            yield diagnosis(
                "memory", "note", gate=gate.name, share=100 * share, mean=mean,
                growth=show_log(case.pace.batch_growth), lag=case.lag,
                ratio=case.recurrent_share, limit=STUCK,
            )  # fmt: skip


_SMALLER = (_healthy_saturation, same_units, _near)
