"""The runs that a flow is measured on: values of states, gradients, and copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bptt.calculus.program import Request
from bptt.engine import Engine
from bptt.execute import dispatch
from bptt.execute.bindings import Bindings
from bptt.flow.facts import Facts
from bptt.flow.maps import CutStep, StepMaps, cut_at_states
from bptt.flow.non_finite import NonFinite, find_non_finite
from bptt.flow.numeric import norm
from bptt.flow.setting import FlowSetting
from bptt.results import Copies, Gradient, Run
from bptt.step.ops import OPS
from bptt.step.shapes import Array

SMALL = 1 << 18  # numbers in the states of a run: kernels pay for themselves beyond
ROWS = 32  # whose gradients are computed one by one
TINY = {4: 1e-15, 8: 1e-140}  # below it a sum of squares is rounding, by element size


@dataclass(frozen=True, eq=False)
class FlowRun:
    """One run: bindings, values by node, gradients of states and parameters.

    reads: input -> whether any gradient reaches it; copies: ‖∇_{W^(t)} L‖, (tau,).
    """

    bindings: Bindings
    executor: str
    loss: float | None
    values: Mapping[str, Array]
    state_gradients: Mapping[str, Array]
    gradients: Mapping[str, Array]
    copies: Mapping[str, Array]
    reads: Mapping[str, bool]

    def of_steps(self, engine: Engine, steps: Array) -> Mapping[str, Array]:
        """The parameters' gradient of the loss and seeds of some steps alone."""
        b = self.bindings.unpacked()
        others = np.ones(b.tau, bool)
        others[steps] = False
        is_silent = (b.weight[others] == 0).all() and not any(
            seed[others].any() for seed in b.seeds.values()
        )
        if is_silent:
            return self.gradients
        keep = ~others
        weight = b.weight * keep[:, None]
        seeds = {n: s * keep.reshape(-1, *(1,) * (s.ndim - 1)) for n, s in
                 b.seeds.items()}  # fmt: skip
        return gradient_of_loss(engine, self, weight, seeds)


def run_flow(engine: Engine, bindings: Bindings, cut: CutStep) -> FlowRun:
    """A run with what its flow needs, in the element type of the bindings."""
    graph, states = engine.graph, cut.states
    functions = [
        n for n, d in graph.definitions.items() if _is_function(d.inputs[0].op)
    ]
    gates = [gate.name for gate in Facts(cut).gates]
    wanted = tuple(dict.fromkeys((*states, *functions, *gates)))
    real = tuple(n for n, a in bindings.inputs.items() if a.dtype.kind == "f")
    size = (
        bindings.tau
        * bindings.n_b
        * max(
            int(np.prod(bindings.numbers(graph.definitions[n].shape))) for n in states
        )
    )
    executor = dispatch.REFERENCE if size <= SMALL else dispatch.COMPILED
    bindings = replace(bindings, is_batched=True)
    request = Request(states, real, seeds=tuple(sorted(bindings.seeds)), values=wanted)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        program = engine.gradient_program(request)
        program, found = dispatch.run(program, bindings, executor, None)
        run = Run(program, bindings, found)
        grad = Gradient(program, bindings, found, request, lambda: run)
        copies = {n: copy_norms(grad.copies[n], bindings) for n in graph.parameters}
    loss = None if grad.loss is None else float(np.real(grad.loss))
    return FlowRun(
        bindings, executor, loss,
        {n: _whole(run[n], bindings) for n in wanted},
        {n: _whole(grad.nodes[n], bindings) for n in states},
        {n: np.asarray(grad[n]) for n in graph.parameters}, copies,
        {n: bool(np.asarray(grad.inputs[n]).any()) for n in real},
    )  # fmt: skip


def maps_of(setting: FlowSetting) -> StepMaps:
    """The steps of the run of a setting, in its own element type."""
    bindings = setting.bind()
    cut = cut_at_states(setting.engine.graph, bindings.seeds)
    run = run_flow(setting.engine, bindings, cut)
    return StepMaps(cut, run.bindings, run.values)


def _is_function(op: str) -> bool:
    known = OPS.get(op)
    return known is not None and known.activation is not None


def _whole(array: Array, bindings: Bindings) -> Array:
    """(tau, n_b, *shape), also of what has one value per row."""
    rows = np.asarray(array)
    if rows.shape[:1] == (bindings.tau,) and rows.shape[1:2] == (bindings.n_b,):
        return rows
    return np.asarray(np.broadcast_to(rows, (bindings.tau, *rows.shape)))


def copy_norms(copies: Copies, bindings: Bindings) -> Array:
    """‖∇_{W^(t)} L‖ for every t, where squares would overflow or vanish, too."""
    found = np.asarray(copies.norms(), np.float64)
    tiny = TINY[bindings.dtype.itemsize]
    doubtful = np.flatnonzero((found < tiny) | ~np.isfinite(found))
    for t in doubtful:
        found[t] = norm(np.asarray(copies[int(t)], np.float64))
    return found


def first_non_finite(engine: Engine, run: FlowRun) -> NonFinite | None:
    """The first infinity or NaN of a run, searched for where there is one."""
    everything = (*run.values.values(), *run.state_gradients.values(),
                  *run.gradients.values())  # fmt: skip
    loss_is_finite = run.loss is None or np.isfinite(run.loss)
    if loss_is_finite and all(np.isfinite(array).all() for array in everything):
        return None
    names = tuple(engine.graph.definitions)
    request = Request(names, seeds=tuple(sorted(run.bindings.seeds)), values=names)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        program = engine.gradient_program(request)
        program, found = dispatch.run(program, run.bindings, run.executor, None)
        values = Run(program, run.bindings, found)
        grad = Gradient(program, run.bindings, found, request, lambda: values)
        b = run.bindings
        return find_non_finite(
            names, {n: _whole(values[n], b) for n in names},
            {n: _whole(grad.nodes[n], b) for n in names},
        ) or _in_parameters(run)  # fmt: skip


def _in_parameters(run: FlowRun) -> NonFinite | None:
    """Where only the sum over time is too large: said of the first step, row 0."""
    for name, gradient in run.gradients.items():
        bad = gradient[~np.isfinite(gradient)]
        if bad.size:
            return NonFinite(1, name, 0, False, float(bad.ravel()[0]))
    return None


def gradient_of_loss(
    engine: Engine, run: FlowRun, weight: Array, seeds: Mapping[str, Array]
) -> dict[str, Array]:
    """The parameters' gradient with other weights and seeds: (tau, n_b, ...)."""
    b = run.bindings
    changed = replace(
        b, weight=b.pack(weight), seeds={n: b.pack(s) for n, s in seeds.items()}
    )
    request = Request(seeds=tuple(sorted(seeds)))
    grad = engine.run_gradient(changed, request, executor=run.executor)
    return {name: np.array(grad[name]) for name in engine.graph.parameters}


def row_gradients(engine: Engine, run: FlowRun) -> list[dict[str, Array]]:
    """The parameters' gradient of single rows, of at most ROWS evenly spread ones."""
    b = run.bindings.unpacked()
    rows = np.unique(np.linspace(0, b.n_b - 1, min(b.n_b, ROWS)).round().astype(int))
    found = []
    for row in rows:
        keep = np.arange(b.n_b) == row
        seeds = {n: s * keep.reshape(1, -1, *(1,) * (s.ndim - 2)) for n, s in
                 b.seeds.items()}  # fmt: skip
        found.append(gradient_of_loss(engine, run, b.weight * keep, seeds))
    return found
