"""`Cell.flow`: how far gradients travel in one run, at any size.

Norms, lags, truncation and copies are of the whole batch; Jacobian products, singular
values and exponents of one row of it. All of it in float64, except the search for the
first number that is not finite, which is in the element type that was used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bptt import errors
from bptt.calculus.program import Request, gradient_program
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.flow import cut as cuts
from bptt.flow.findings import Findings
from bptt.flow.measure import Flow, exponents, singular_values, slopes_of
from bptt.flow.non_finite import find_non_finite
from bptt.flow.text import sentence, tables
from bptt.flow.travel import measure_travel
from bptt.results import Gradient, Run
from bptt.step.graph import Graph
from bptt.step.shapes import Array

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure


class GradientFlow(Findings):
    """How far gradients travel through time; `print` it, `plot()` it, `save` it.

    See `Findings` for the numbers that it holds.
    """

    @property
    def verdict(self) -> str:
        """Vanishing, exploding or neither: a sentence with numbers and thresholds."""
        return sentence(self)

    def __str__(self) -> str:
        """The verdict and tables, as text."""
        return tables(self)

    def plot(self) -> Figure:
        """A figure of matplotlib with the page's panels.

        Raises: MissingExtraError if matplotlib is not installed.
        """
        # Imported here: a report is read as text more often than drawn.
        from bptt.flow.plot import draw  # noqa: PLC0415

        return draw(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file that needs no network, light or dark as the reader's."""
        from bptt.flow.page import write_page  # noqa: PLC0415

        write_page(self, path)


def measure_run(
    graph: Graph,
    gradient: Gradient,
    bindings: Bindings,
    row: int,
    tick: Callable[[], None] = lambda: None,
) -> GradientFlow:
    """The flow of one run.

    gradient: of every node, with the forward values in `run`; bindings: what it was
    computed from; row: of the batch, whose Jacobians are multiplied; tick: called for
    every lag that is measured.
    Raises: FlowError for a cell without a state, or with one that runs backward.
    """
    _check(graph, bindings, row)
    names = tuple(gradient.nodes)
    run = {name: _rows(gradient.run[name], bindings) for name in graph.definitions}
    grads = {name: _rows(gradient.nodes[name], bindings) for name in names}
    found = find_non_finite(graph.definitions, run, grads)
    copies = {name: gradient.copies[name].norms() for name in graph.parameters}
    loss = gradient.loss
    report = GradientFlow(
        None if loss is None else float(np.real(loss)), bindings.n_b, row, None,
        np.zeros(0), (), copies,
        {name: _cancellation(gradient[name], copies[name]) for name in copies},
        _spectra(bindings.parameters), found,
    )  # fmt: skip
    if found is not None:
        return report
    return _measure(graph, report, _as_float64(bindings), tick)


def _run_again(graph: Graph, bindings: Bindings) -> tuple[Run, Gradient]:
    """Values of all nodes and gradients of the states, by the reference."""
    states = tuple(name for name in graph.states if name in graph.definitions)
    seeds, values = tuple(sorted(bindings.seeds)), tuple(graph.definitions)
    request = Request(states, seeds=seeds, values=values)
    program = gradient_program(graph, request)
    found = reference.run(program, bindings)
    run = Run(program, bindings, found)
    return run, Gradient(program, bindings, found, request, lambda: run)


def _measure(
    graph: Graph, report: GradientFlow, bindings: Bindings, tick: Callable[[], None]
) -> GradientFlow:
    """What takes products of Jacobians."""
    run, grad = _run_again(graph, bindings)
    grads, cut = grad.nodes, cuts.cut_at_states(graph)
    before = {b: cuts.values_before(bindings, run, n) for n, b in cut.before.items()}
    bindings = replace(bindings, inputs={**bindings.inputs, **before})
    alone, states = cut.of_states_alone(), tuple(sorted(cut.before))
    seeded = tuple(sorted({*states, *bindings.seeds}))
    travel = measure_travel(
        cut, cuts.StepGradient(cut, bindings, seeded),
        cuts.StepGradient(alone, bindings, states), bindings.seeds, grad, tick,
    )  # fmt: skip
    products = cuts.jacobians(alone, bindings, report.row)
    slopes, steepest = slopes_of(graph, run.__getitem__)
    numbers = Flow(
        bindings.tau, tuple(cut.before),
        {name: _norms(grads[name]) for name in cut.before},
        {name: _norms(rows) for name, rows in travel.injected.items()},
        {n: _arrived(grads[n], rows) for n, rows in travel.injected.items()},
        products, singular_values(products), exponents(products), slopes, steepest,
    )  # fmt: skip
    return replace(
        report, numbers=numbers, lags=travel.lags, truncations=travel.truncations
    )


def _check(graph: Graph, bindings: Bindings, row: int) -> None:
    states = [name for name in graph.states if name in graph.definitions]
    if not states:
        raise errors.FlowError("the cell has no state, so no gradient travels")
    if graph.backward:
        raise errors.FlowError(
            f"the state {min(graph.backward)} runs from the last step to the first; "
            "flow follows cells of one direction, so measure the two apart"
        )
    if bindings.packing is not None:
        raise errors.FlowError(
            "flow follows sequences of one length; give the rows of one length, or the "
            "weight 0 to padding: weights=..."
        )
    if not 0 <= row < bindings.n_b:
        raise errors.FlowError(f"row={row}: the batch has rows 0 to {bindings.n_b - 1}")


def _as_float64(bindings: Bindings) -> Bindings:
    def cast(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in arrays.items()
        }

    return replace(
        bindings, dtype=np.dtype(np.float64), is_batched=True,
        parameters=cast(bindings.parameters),
        inputs=cast(bindings.inputs), initial=cast(bindings.initial),
        seeds=cast(bindings.seeds), weight=bindings.weight.astype(np.float64),
    )  # fmt: skip


def _rows(array: Array, bindings: Bindings) -> Array:
    rows = np.asarray(array, np.float64)
    return rows if bindings.is_batched else rows[:, None]


def _norms(rows: Array) -> Array:
    """Over rows and features, (tau,)."""
    return np.asarray(np.sqrt((rows.reshape(len(rows), -1) ** 2).sum(axis=1)))


def _arrived(total: Array, injected: Array) -> Array:
    norms = _norms(total - injected)
    norms[-1] = 0.0  # nothing comes after the last step: a difference is rounding
    return norms


def _cancellation(gradient: Array, norms: Array) -> float:
    total = float(norms.sum())
    return float(np.linalg.norm(gradient)) / total if total else 1.0


def _spectra(parameters: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, array in parameters.items():
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            radius = np.abs(np.linalg.eigvals(array)).max()
            found[name] = float(radius), float(np.linalg.norm(array, 2))
    return found
