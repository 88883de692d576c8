"""Values and gradients of a network in training, by kernels that are compiled once.

A step's gradient, that of every state (which a report shows), and a forward pass over
data that is held out are three requests. One program answers all three: it keeps the
states' gradients, and a forward pass stops before it comes to any gradient. Its bits
are those of programs for each request alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from bptt.calculus.program import Request
from bptt.cell import Cell
from bptt.results import Gradient, Run
from bptt.step.shapes import Array
from bptt.train.model import Model, find_scores_name

Arrays = Mapping[str, Array]

# Parameters times steps. The shared kernels of a forward pass compute the gradient of
# the scores, too: 3 to 20 % of the pass. Beyond this, in each of about ten validations,
# that is more than the 0.1 s in which kernels of its own are compiled.
MOST_SHARED = 2e9


class Forward(Protocol):
    """A forward pass, as `Cell.forward` is one."""

    def __call__(
        self, parameters: Arrays, inputs: Mapping[str, Any], /, *,
        initial: Arrays | None = None, weights: Any = None, lengths: Any = None,
    ) -> Run:  # fmt: skip
        """The values of a cell that a run reads: states, scores and loss."""
        ...


def states_of(cell: Cell) -> tuple[str, ...]:
    """The states that have a gradient of their own, and a line of a person."""
    written = cell.graph.times.written(cell.states)
    return tuple(name for name in written if name in cell.nodes)


@functools.lru_cache(maxsize=16)
def request_of(cell: Cell) -> Request:
    """Everything that training reads of a network."""
    scores = find_scores_name(cell)
    return Request(
        nodes=states_of(cell),
        values=() if scores is None else (scores,),
    )


def differentiate(
    cell: Cell, parameters: Arrays, inputs: Mapping[str, Any], *,
    initial: Arrays | None = None, weights: Any, lengths: Any,
    limit: Mapping[str, Any] | None = None, nodes: Iterable[str] = (),
) -> Gradient:  # fmt: skip
    """The gradient of a window, with those of the states.

    limit: of what is held of its steps; all states' gradients would be a part of that,
    so there only those of `nodes` are kept.
    """
    if limit:
        return cell.gradient(
            parameters, inputs, nodes=nodes, initial=initial, weights=weights,
            lengths=lengths, **limit,
        )  # fmt: skip
    bindings = cell.bind(
        parameters, inputs, initial=initial, weights=weights, lengths=lengths
    )
    return cell.run_gradient(bindings, request_of(cell))


def choose_forward(
    model: Model, parameters: Arrays, n_steps: int,
    limit: Mapping[str, Any] | None = None,
) -> Forward:  # fmt: skip
    """A forward pass by the gradient's kernels; by its own where that is quicker.

    n_steps: of the data that are measured. limit: as `differentiate` takes it; a pass
    that keeps values alone needs less memory.
    """
    cell = model.cell
    work = n_steps * sum(array.size for array in parameters.values())
    if limit or work > MOST_SHARED:
        return cell.forward

    def forward(
        parameters: Arrays, inputs: Mapping[str, Any], *,
        initial: Arrays | None = None, weights: Any = None, lengths: Any = None,
    ) -> Run:  # fmt: skip
        bindings = cell.bind(
            parameters, inputs, initial=initial, weights=weights, lengths=lengths
        )
        return cell.run_forward(bindings, request_of(cell))

    return forward
