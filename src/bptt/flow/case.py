"""What the rules of a diagnosis look at: a run's findings, values and equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.execute.bindings import Bindings
from bptt.flow.facts import Facts, Gate
from bptt.flow.findings import Diagnosis, Findings, Remedy
from bptt.flow.maps import StepMaps
from bptt.flow.pace import Pace, pace_of
from bptt.flow.slots import slots_of
from bptt.flow.words import power
from bptt.step.graph import Graph
from bptt.step.shapes import Array

LAG = 20  # steps of a window, if nobody says what lag the task must bridge
VANISHED = float(np.log(1e-3))  # of the best direction
NEEDED = 10  # steps that no task does without, if nobody says more
SHORT = 15  # a reach below it is worth a word, if nobody says more
GROWING = 0.04  # per step: e^4 in 100 steps, e^40 in 1000
SHUT = 1 - 1e-4  # what a gate keeps per step that lets nothing in
STUCK = 1e-4  # ‖∇‖ of the recurrent parameters, as a share of the largest
FLAT = 1e-6  # of the steepest slope: a unit that passes nothing
REACHED = 1e-3  # of lag 0: what the terms of a lag must have left to count
SAME = 0.99  # a cosine above this is called the same direction
SHIFTED = 0.9  # a cosine below this is called another direction
BOUNDED = ("tanh", "sigmoid")
MANY = 0.5  # a share of rows, units or steps


@dataclass(frozen=True, eq=False)
class Case:
    """One run as its rules see it.

    findings: numbers so far; facts: of the equations; bindings: in float64; values:
    of every state and every node that is one elementwise function, (tau, n_b, *shape);
    reads: input -> whether any gradient reaches it; gradients: of the parameters; lag:
    the task's own; window, is_lag_given: as the caller said; maps: of every step.
    """

    findings: Findings
    facts: Facts
    bindings: Bindings
    values: Mapping[str, Array]
    slopes: Mapping[str, Array]
    reads: Mapping[str, bool]
    gradients: Mapping[str, Array]
    lag: int
    window: int | None
    is_lag_given: bool
    maps: StepMaps | None = None

    @cached_property
    def useful(self) -> Array:
        """(tau, n_b), True where a row still runs."""
        return slots_of(self.bindings).mask

    @property
    def source(self) -> Graph:
        """The cell as it was written."""
        setting = self.findings.setting
        assert setting is not None
        return setting.source.graph

    @property
    def units(self) -> int:
        """Of the smallest state."""
        states = self.facts.cut.states
        return min(int(np.prod(self.values[n].shape[2:])) for n in states)

    @cached_property
    def pace(self) -> Pace:
        """How fast directions grow, by row and in the batch."""
        return pace_of(self.findings.growth, self.lag)

    @property
    def measured(self) -> int:
        """The steps of the windows that were measured."""
        return max(growth.lag for growth in self.findings.growth)

    @cached_property
    def reach(self) -> Array:
        """Steps after which the best direction has a thousandth left, by row."""
        return reach_of(self.pace.log_growth / self.lag)

    @property
    def batch_reach(self) -> float:
        """The same of the batch, without the rows that are apart."""
        return float(reach_of(np.asarray(self.pace.batch_growth / self.lag)))

    @cached_property
    def recurrent_share(self) -> float:
        """The largest gradient of a recurrent parameter, as a share of the largest."""
        norms = self.findings.gradient_norms
        most = max(norms.values(), default=0.0)
        mine = [norms[n] for n in self.facts.recurrent if n in norms]
        return max(mine, default=0.0) / most if most else 0.0

    @cached_property
    def is_starved(self) -> bool:
        """Whether hardly any gradient comes to these states: another layer's fault."""
        grads = self.findings.state_gradients
        sizes = {name: float(np.abs(rows).max()) for name, rows in grads.items()}
        mine = max(sizes[name] for name in self.facts.cut.states)
        return mine < STUCK * max(sizes.values())

    @cached_property
    def shut_gates(self) -> tuple[Gate, ...]:
        """Gates that keep all of a state: nothing else comes in."""
        return tuple(g for g in self.facts.gates if self.keeps(g) > SHUT)

    def keeps(self, gate: Gate) -> float:
        """What a gate keeps of its state per step, on average."""
        mean = self.mean_of(gate.name)
        return mean if gate.keeps_at_one else 1 - mean

    @cached_property
    def zero_matrices(self) -> tuple[str, ...]:
        """Matrices all of whose elements are 0."""
        parameters = self.bindings.parameters
        return tuple(n for n, a in parameters.items() if a.ndim > 1 and not a.any())

    @cached_property
    def square(self) -> tuple[str, ...]:
        """Recurrent square matrices."""
        shapes = {n: self.bindings.parameters[n].shape for n in self.facts.recurrent}
        return tuple(n for n, s in shapes.items() if len(s) == 2 and s[0] == s[1])

    @cached_property
    def bounded(self) -> tuple[str, ...]:
        """Nodes that are one function with flat ends: relu and its kin are not."""
        names = self.slopes
        return tuple(n for n in names if self.facts.function_of(n) in BOUNDED)

    @property
    def rectified(self) -> list[str]:
        """Nodes that are one function without a flat end on both sides."""
        return [name for name in self.slopes if name not in self.bounded]

    def dead_units(self, name: str) -> Array:
        """Units of a node without a slope at any step of any row."""
        numbers = self.findings.numbers
        assert numbers is not None
        slopes = self.slopes[name]
        flat = slopes.reshape(*slopes.shape[:2], -1)[self.useful]
        return np.asarray((flat <= FLAT * numbers.steepest[name]).all(axis=0))

    def flat_share(self, name: str) -> float:
        """The share of a node's useful slopes below a tenth of the steepest."""
        numbers = self.findings.numbers
        assert numbers is not None
        if name not in self.slopes:
            return 0.0  # an exponential, which has no flat end to stand at
        rows = self.slopes[name][self.useful]
        return float((rows < 0.1 * numbers.steepest[name]).mean())

    def mean_of(self, name: str) -> float:
        """The mean value of a node over useful steps, rows and units."""
        return float(self.values[name][self.useful].mean())

    def rows_of(self, rows: Array) -> str:
        """Rows by number, at most five: "3, 7 and 12 more"."""
        shown = [str(int(r)) for r in rows[:5]]
        more = len(rows) - len(shown)
        return ", ".join(shown) + (f" (+{more})" if more > 0 else "")


def reach_of(per_step: Array) -> Array:
    """Steps after which a thousandth is left of what grows by e^per_step."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(per_step < 0, VANISHED / per_step, np.inf)
    return np.asarray(np.where(np.isneginf(per_step), 0.0, found))


def diagnosis(
    kind: str, severity: str, *remedies: Remedy, **numbers: float | str
) -> Diagnosis:
    """A diagnosis whose sentence shows its numbers to two digits."""
    fields = {n: v if isinstance(v, str) else _show(v) for n, v in numbers.items()}
    exact = {n: float(v) for n, v in numbers.items() if not isinstance(v, str)}
    return Diagnosis(kind, severity, fields, exact, remedies)


def remedy(action: str, key: str, **numbers: float | str) -> Remedy:
    """A remedy whose sentence shows its numbers."""
    fields = {n: v if isinstance(v, str) else _show(v) for n, v in numbers.items()}
    return Remedy(action, key, {"action": action, **fields})


def _show(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    if 0.995 <= value < 1 - 1e-9:
        return f"{min(value, 0.9999):.4f}"  # what is not 1 is not shown as 1
    return f"{value:.2g}"


def show_log(log: float) -> str:
    """e to a number, for a sentence."""
    return power(float(log))


def show_factor(log: float) -> str:
    """The same of one step: 1.04, which two digits would call 1."""
    return power(float(log), 3)
