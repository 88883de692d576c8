"""What a remedy promises, as a number before and after, and whether it came so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bptt.flow.case import LAG, REACHED
from bptt.flow.facts import Facts
from bptt.flow.findings import Findings
from bptt.flow.maps import cut_at_states
from bptt.flow.numeric import norm
from bptt.flow.words import power

UP, DOWN = 1, -1


@dataclass(frozen=True)
class Promise:
    """measure: its word; direction: UP or DOWN; before, after: its value.

    shown: both, as text.
    """

    measure: str
    direction: int
    before: float
    after: float
    shown: tuple[str, str]

    @property
    def is_kept(self) -> bool:
        """Whether the measure moved as it was said to."""
        return bool(self.direction * (self.after - self.before) > 0)


def promise_of(action: str, before: Findings, after: Findings) -> Promise | None:
    """The promise of the first remedy with this action, if a diagnosis has one."""
    asked = [(d, r.key) for d in before.diagnoses for r in d.remedies
             if r.action == action]  # fmt: skip
    if not asked or asked[0][1] not in PROMISES:
        return None
    layer, (measure, direction) = asked[0][0].layer, PROMISES[asked[0][1]]
    if measure == "growth" and asked[0][0].kind == "vanishing-rows":
        measure = "least-growth"  # of those rows: the others may do without
    of_layer = layer and "growth" in measure
    old, new = (
        MEASURES[measure](_alone(flow, layer) if of_layer else flow)
        for flow in (before, after)
    )
    show = power if measure in LOGARITHMS else _plain
    return Promise(measure, direction, old, new, (show(old), show(new)))


def _alone(flow: Findings, layer: str) -> Findings:
    growth = flow.layers.get(layer)
    return replace(flow, growth=() if growth is None else (growth,))


def _plain(value: float) -> str:
    return f"{value:.3g}"


def shown_measures(flow: Findings, k: int) -> dict[str, str]:
    """What every trial shows of a flow, as text."""
    if flow.numbers is None:
        return dict.fromkeys(("growth", "rate", "reach", "share", "worst"), "-")
    row = min(flow.truncations, key=lambda r: abs(r.k - k))
    worst = f"{row.worst} {row.each[row.worst][0]:.3f}" if row.worst else "-"
    return {
        "growth": power(growth_of(flow)), "rate": f"{rate_of(flow):+.3f}",
        "reach": f"{np.median(flow.reach(REACHED)):.0f}",
        "share": f"{share_of(flow):.2g}", "worst": worst,
    }  # fmt: skip


# ----- measures -----


def growth_of(flow: Findings) -> float:
    """Log of what the best direction is multiplied by over LAG steps, median row."""
    if not flow.growth:
        return np.inf
    growth = flow.growth[0]
    return float(np.median(growth.by_row)) * LAG / growth.lag


def worst_growth_of(flow: Findings) -> float:
    """The same of the row that grows most."""
    if not flow.growth:
        return np.inf
    return max(float(np.max(g.by_row)) * LAG / g.lag for g in flow.growth)


def least_growth_of(flow: Findings) -> float:
    """The same of the row that keeps least."""
    if not flow.growth:
        return -np.inf
    return min(float(np.min(g.by_row)) * LAG / g.lag for g in flow.growth)


def rate_of(flow: Findings) -> float:
    """The largest exponent, median row."""
    return float(np.median(flow.growth[0].rates)) if flow.growth else np.inf


def share_of(flow: Findings) -> float:
    """The gradient of the recurrent parameters, as a share of the largest."""
    norms = flow.gradient_norms
    most = max(norms.values(), default=0.0)
    assert flow.setting is not None
    facts = Facts(cut_at_states(flow.setting.engine.graph))
    mine = max((norms[n] for n in facts.recurrent if n in norms), default=0.0)
    return mine / most if most else 0.0


def _flat(flow: Findings) -> float:
    """Per cent of saturated slopes, of the node that has most."""
    numbers = flow.numbers
    if numbers is None:
        return 100.0
    return 100 * max((float(numbers.saturated(n).mean()) for n in numbers.slopes),
                     default=0.0)  # fmt: skip


def _peak(flow: Findings) -> float:
    if flow.numbers is None:
        return np.inf
    return float(np.nanmax(flow.numbers.log_singular_values))


def _step_norm(flow: Findings) -> float:
    """Of the step that training takes: the sum over rows of what clipping leaves."""
    clip = flow.clipping
    if clip is not None:
        return float(np.minimum(clip.norms, clip.threshold).sum())
    return norm(np.array(list(flow.gradient_norms.values())))


def _window(flow: Findings) -> float:
    """The worst cosine of the window that was given."""
    return _number(flow, "window", "cosine", 1.0)


def _number(flow: Findings, kind: str, field: str, absent: float) -> float:
    found = [d.numbers.get(field, 1.0) for d in flow.diagnoses if d.kind == kind]
    return found[0] if found else absent


def _of(kind: str, field: str, absent: float = 0.0) -> Callable[[Findings], float]:
    return lambda flow: _number(flow, kind, field, absent)


def _steps_with_loss(flow: Findings) -> float:
    numbers = flow.numbers
    if numbers is None:
        return 0.0
    entered = [np.asarray(rows) > 0 for rows in numbers.injected.values()]
    return float(np.any(entered, axis=0).sum())


def _first_bad(flow: Findings) -> float:
    """Steps without an infinity or NaN, in the direction of the computation."""
    found = flow.non_finite
    if found is None:
        return np.inf
    tau = flow.subject.tau
    return float(found.t - 1 if found.is_forward else 2 * tau - found.t)


MEASURES: Mapping[str, Callable[[Findings], float]] = {
    "growth": growth_of,
    "worst-growth": worst_growth_of,
    "least-growth": least_growth_of,
    "share": share_of,
    "peak": _peak,
    "step": _step_norm,
    "flat": _flat,
    "dead": _of("dead-units", "count"),
    "zero": _of("zero-weights", "count"),
    "alike": _of("same-units", "units"),
    "lost": _of("underflow", "steps"),
    "losses": _steps_with_loss,
    "cosine": _window,
    "clipped": _of("clipping", "share"),
    "finite": _first_bad,
}
LOGARITHMS = ("growth", "worst-growth", "least-growth", "peak")
# Remedy's sentence -> what it says will move, and where to.
PROMISES: Mapping[str, tuple[str, int]] = {
    "remedy.radius": ("worst-growth", DOWN),
    "remedy.forget": ("worst-growth", DOWN),
    "remedy.smaller-weights": ("worst-growth", DOWN),
    "remedy.normalise-layer": ("worst-growth", DOWN),
    "remedy.gains": ("worst-growth", DOWN),
    "remedy.normal": ("peak", DOWN),
    "remedy.clip": ("step", DOWN),
    "remedy.wider": ("finite", UP),
    "remedy.open-gate": ("growth", UP),
    "remedy.orthogonal": ("growth", UP),
    "remedy.leak": ("growth", UP),
    "remedy.normalise": ("flat", DOWN),
    "remedy.unsaturate": ("flat", DOWN),
    "remedy.unsaturate-layer": ("flat", DOWN),
    "remedy.smaller": ("flat", DOWN),
    "remedy.reset-gate": ("share", UP),
    "remedy.reset-bias": ("flat", DOWN),
    "remedy.revive-dead": ("dead", DOWN),
    "remedy.revive": ("dead", DOWN),
    "remedy.break-symmetry": ("alike", DOWN),
    "remedy.initial": ("zero", DOWN),
    "remedy.wider-underflow": ("lost", DOWN),
    "remedy.all-losses": ("losses", UP),
    "remedy.more-losses": ("losses", UP),
    "remedy.window": ("cosine", UP),
    "remedy.clip-higher": ("clipped", DOWN),
}
