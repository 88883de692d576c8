"""The numbers of gradient flow: norms, their two sources, Jacobian products, exponents.

    ∇_{s^(t)} L  =  injected at t (through L^(t))  +  arrived from steps after t
    ∂s^(tau)/∂s^(t)  =  J_tau ... J_{t+1},   J_t = ∂s^(t)/∂s^(t-1)

s is the whole state of the cell: h of the book's, (h, s) of an LSTM. A verdict rests on
the measured product and on finite-time Lyapunov exponents (QR method; Vogt et al.,
arXiv:2006.14123), never on the spectrum of a weight matrix: an orthogonal W can shrink
gradients, and a non-normal one with spectral radius below 1 can grow them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bptt.flow.graded import log_values
from bptt.flow.numeric import norm
from bptt.flow.steps import Step, steps_of
from bptt.step.graph import Graph
from bptt.step.ops import OPS
from bptt.step.shapes import Array
from bptt.unrolled import Unrolled

SATURATED = 0.1  # of the steepest slope that the function has anywhere


@dataclass(frozen=True, eq=False)
class Flow:
    """Gradient flow of one batch row; index 0 of a sequence is t = 1.

    states: the names that carry the past; n is their sizes added up
    norms, injected, arrived: of ∇_{h^(t)} L and its two parts, state -> (tau,)
    jacobians: J_t, (tau, n, n); None where they were not formed
    log_singular_values: of ∂s^(tau)/∂s^(t) for t = 0..tau, (tau + 1, n), descending
    natural logarithms; NaN where rounding leaves nothing of a value, -inf for 0
    exponents: finite-time Lyapunov exponents per step, (n,), descending
    slopes: dy/da of every node that is one elementwise function, name -> (tau, size)
    steepest: the steepest slope that each of these functions has anywhere
    is_full: whether singular values and exponents are all n, or lower bounds of a few
    """

    tau: int
    states: tuple[str, ...]
    norms: Mapping[str, Array]
    injected: Mapping[str, Array]
    arrived: Mapping[str, Array]
    jacobians: Array | None
    log_singular_values: Array
    exponents: Array
    slopes: Mapping[str, Array]
    steepest: Mapping[str, float]
    is_full: bool = True

    @property
    def singular_values(self) -> Array:
        """Of ∂s^(tau)/∂s^(t); 0 or inf where a number of 64 bits cannot hold one."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.exp(self.log_singular_values))

    @property
    def rate(self) -> float:
        """The largest exponent: e to it is the lasting factor per step."""
        return float(self.exponents[0]) if self.states else 0.0

    def saturated(self, name: str) -> Array:
        """The fraction of units whose slope is below SATURATED of the steepest, (tau,).

        Raises: KeyError for a node that is not one elementwise function.
        """
        flat = self.slopes[name] < SATURATED * self.steepest[name]
        return np.asarray(flat.reshape(self.tau, -1).mean(axis=1))


def measure(graph: Graph, unrolled: Unrolled) -> Flow:
    """The gradient flow of one run.

    >>> import numpy as np, bptt
    >>> cell = bptt.cells.book
    >>> params = cell.init(n_x=2, n_h=3, n_o=4, seed=0)
    >>> u = cell.unroll(params, {"x": np.ones((5, 2)), "y": np.zeros(5, int)})
    >>> flow = measure(cell.graph, u)
    >>> flow.states, flow.norms["h"].shape, flow.singular_values.shape
    (('h',), (5,), (6, 3))
    """
    steps = steps_of(graph, unrolled)
    states = tuple(name for name in graph.states if name in graph.definitions)
    jacobians = np.array([step.jacobian for step in steps])

    def norms(part: Callable[[Step, str], Array]) -> dict[str, Array]:
        return {name: _norms([part(step, name) for step in steps]) for name in states}

    slopes, steepest = _slopes(graph, unrolled)
    n = jacobians.shape[-1] if states else 0
    singular = log_values((j.T for j in jacobians[::-1]), n)[::-1]
    return Flow(
        unrolled.tau, states, norms(Step.total_of), norms(Step.injected_of),
        norms(Step.arrived_of), jacobians, singular, exponents(jacobians), slopes,
        steepest,
    )  # fmt: skip


def _norms(arrays: list[Array]) -> Array:
    return np.array([norm(array) for array in arrays])


def exponents(jacobians: Array) -> Array:
    """Mean over t of log |diag R_t|, J_t Q_{t-1} = Q_t R_t; -inf: a direction died."""
    q, total = np.eye(jacobians.shape[1]), np.zeros(jacobians.shape[1])
    for jacobian in jacobians:
        q, r = np.linalg.qr(jacobian @ q)
        with np.errstate(divide="ignore"):
            total += np.log(np.abs(np.diag(r)))
    return -np.sort(-total / len(jacobians))


def _slopes(
    graph: Graph, unrolled: Unrolled
) -> tuple[dict[str, Array], dict[str, float]]:
    def values(name: str) -> Array:
        steps = range(1, unrolled.tau + 1)
        return np.array([unrolled.values[unrolled.place(name, t)] for t in steps])

    return slopes_of(graph, values)


def slopes_of(
    graph: Graph, values: Callable[[str], Array]
) -> tuple[dict[str, Array], dict[str, float]]:
    """The slope of every node that is one elementwise function, and its steepest.

    values: a node's name -> its value at all steps.
    """
    slopes, steepest = {}, {}
    for name, node in graph.definitions.items():
        op = OPS.get(node.inputs[0].op)
        if op is not None and op.activation is not None:
            slopes[name] = op.activation.slope(values(name))
            steepest[name] = op.activation.steepest
    return slopes, steepest
