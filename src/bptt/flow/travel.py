"""How far gradients travel: the terms of ∇_{s^(t)} L by the step they come from.

    c_{t,1} = what L^(t+1) sends to s^(t);   c_{t,k} = (∂s^(t+1)/∂s^(t))^T c_{t+1,k-1}
    ∇_{s^(t)} L = what L^(t) gives + sum over k of c_{t,k}     (k: lag, from L^(t+k))

Truncated back-propagation keeps the lags below k alone; its gradient on the parameters
is that of single steps seeded with the sum of those terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bptt.flow.cut import CutStep, StepGradient
from bptt.step.shapes import Array

LAGS = 256  # a longer memory is measured up to this lag, and in one piece beyond


@dataclass(frozen=True)
class TruncationLoss:
    """What is left of the gradient when only lags below k count.

    cosine: with the full gradient over all parameters; ratio: of the two norms.
    """

    k: int
    cosine: float
    ratio: float


@dataclass(frozen=True, eq=False)
class Travel:
    """The terms of the states' gradient by lag.

    injected: what L^(t) gives to each state, (tau, n_b, n); lags: the norm over t, rows
    and states of the terms of lag 0, 1, 2, ...; truncations: for k = 1, 2, 4, ..., tau.
    """

    injected: Mapping[str, Array]
    lags: Array
    truncations: tuple[TruncationLoss, ...]


def measure_travel(
    cut: CutStep,
    whole: StepGradient,
    states: StepGradient,
    seeds: Mapping[str, Array],
    full: Mapping[str, Array],
    tick: Callable[[], None],
) -> Travel:
    """Carry what enters at every step back, one step at a time.

    whole: the cut step with its loss, seeded on the states and where `seeds` are;
    states: without its loss, seeded on the states; full: the gradient of the
    parameters; tick: called once per lag.
    """
    zeros = {name: whole.zeros(name) for name in cut.before if name not in seeds}
    here = whole({**zeros, **seeds})
    injected = {name: np.asarray(here.nodes[name]) for name in cut.before}
    tau = next(iter(injected.values())).shape[0]
    arrived = {name: whole.zeros(name) for name in cut.before}
    lags, truncations = [_norm(injected)], []
    wanted = {1 << bits for bits in range(tau.bit_length())}
    for k in range(1, min(tau, LAGS + 1)):
        if k in wanted:
            truncations.append(_compare(k, whole, seeds, arrived, full))
        term = _step_back(cut, here.inputs)
        arrived = {name: arrived[name] + term[name] for name in arrived}
        here = states(term)
        # What reaches h^(t) of an LSTM reaches s^(t), too, that it is computed from.
        lags.append(_norm(here.nodes))
        tick()
    truncations.append(TruncationLoss(tau, 1.0, 1.0))
    return Travel(injected, np.array(lags), tuple(truncations))


def _step_back(cut: CutStep, grads: Mapping[str, Array]) -> dict[str, Array]:
    """What step t + 1 sends to s^(t); nothing comes to the last step."""
    found = {}
    for name, before in cut.before.items():
        rows = np.asarray(grads[before])
        found[name] = np.concatenate([rows[1:], np.zeros_like(rows[:1])])
    return found


def _compare(
    k: int, whole: StepGradient, seeds: Mapping[str, Array],
    arrived: Mapping[str, Array], full: Mapping[str, Array],
) -> TruncationLoss:  # fmt: skip
    joined = {name: rows + seeds.get(name, 0) for name, rows in arrived.items()}
    found = whole({**seeds, **joined})
    mine = np.concatenate([np.ravel(found[name]) for name in full])
    exact = np.concatenate([np.ravel(full[name]) for name in full])
    norms = np.linalg.norm(mine), np.linalg.norm(exact)
    if not all(norms):
        return TruncationLoss(
            k, float(norms[0] == norms[1]), float(norms[0] == norms[1])
        )
    return TruncationLoss(
        k, float(mine @ exact / (norms[0] * norms[1])), float(norms[0] / norms[1])
    )


def _norm(term: Mapping[str, Array]) -> float:
    return float(np.sqrt(sum((rows**2).sum() for rows in term.values())))
