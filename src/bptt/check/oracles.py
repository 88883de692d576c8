"""The checks against perturbation: complex step, central differences, nodes, copies.

Tolerances are relative, for float64; see `ledger.Row.error`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from bptt.check.context import (
    COMPLEX_STEP,
    COMPLEX_TOLERANCE,
    SCALE_FLOOR,
    Trial,
    label,
)
from bptt.check.ledger import Row
from bptt.check.probes import Moved, central_differences, complex_steps
from bptt.check.rounding import (
    NOT_FINITE,
    Error,
    largest,
    meanings,
    measured,
    settled,
    spread,
)
from bptt.execute import reference
from bptt.execute.dispatch import REFERENCE
from bptt.results import Gradient, Run
from bptt.step.shapes import Array
from bptt.unrolled.local import (
    LocalEquation,
    cut_equations,
    evaluate,
    hold_stops,
    jacobians,
)

EPSILONS = tuple(10.0**-power for power in range(2, 11))
DIFFERENCE_TOLERANCE = 1e-7
COPY_SUM_TOLERANCE = 1e-13
CURVATURE_TOLERANCE = 1e-10
BEST_EPSILON = 1e-5
EXACT = 0.0
LONGER_STEP = 1e-8  # its square is rounding; a slope that is lost in 1e-20 shows
SHORTER_STEPS = (1e-60, 1e-120, 1e-180)


def check_determinism(context: Trial) -> Iterator[Row]:
    """The loss and every gradient, evaluated twice, are bit-equal."""
    again = context.ask()
    gaps = [
        float(not np.array_equal(again[name], context.plain[name], equal_nan=True))
        for name in context.graph.parameters
    ]
    if context.graph.loss is not None:
        gaps.append(float(again.loss != context.plain.loss))
    worst = max(gaps, default=0.0)  # a cell may have neither parameters nor a loss
    yield context.row("L, ∇_θ", "evaluated twice, bit-equal", worst, EXACT)


def check_complex_step(context: Trial) -> Iterator[Row]:
    """Every element of every parameter, node, input, initial state: Im L(v + ih)/h.

    In a large cell random directions of the elements: see `Prober.basis`.
    """
    note = context.near_kink(COMPLEX_STEP)
    if note:
        for target in context.targets():
            how, what = _moved_how(target), label(context, target)
            yield context.unchecked(what, how, COMPLEX_TOLERANCE, note)
        return
    prober = context.prober
    every = complex_steps(
        prober, context.targets(), h=COMPLEX_STEP, each_step=_is_sequence
    )
    for target, found in every:
        claimed = prober.along(target, context.claimed(target))
        oracle = _as_claimed(context, target, found)
        again = _ComplexAgain(
            context, target, _is_sequence, partial(_as_claimed, context, target)
        )
        error = again.error(claimed, oracle, target)
        yield context.row(
            label(context, target), _moved_how(target), error, COMPLEX_TOLERANCE,
            epsilon=COMPLEX_STEP, note=prober.note(target),
        )  # fmt: skip


@dataclass(frozen=True)
class _ComplexAgain:
    """The complex step once more, where it does not give what is claimed.

    moved: what is; shaped: its slopes, by group and row, as what they are compared to.
    """

    context: Trial
    moved: Moved
    each_step: Callable[[Moved], bool]
    shaped: Callable[[Array], Array]

    def error(self, claimed: Array, oracle: Array, target: Moved) -> Error:
        """How far a claim is from the oracle, or from one by smaller steps.

        The oracle has its own rounding, which is measured.
        """
        error = self.context.relative(claimed, oracle, target)
        if not isinstance(error, str) and error <= COMPLEX_TOLERANCE:
            return error
        size = self.context.size_of(oracle)
        oracle = settled(list(map(self._slopes, _steps_of(self.context))), size)
        moved = [self._slopes(COMPLEX_STEP, meaning) for meaning in meanings()]
        noise = spread(moved)
        return self.context.relative(
            claimed, oracle, target, noise=np.where(np.isfinite(noise), noise, 0.0)
        )

    def _slopes(
        self, h: float, meaning: reference.Meaning = reference.AS_IT_IS
    ) -> Array:
        prober = self.context.prober
        ((_, found),) = complex_steps(
            prober, (self.moved,), h=h, each_step=self.each_step, meaning=meaning
        )
        return self.shaped(found)


def _steps_of(context: Trial) -> tuple[float, ...]:
    """The lengths of complex steps that are compared with one another."""
    is_near = bool(context.near_kink(LONGER_STEP))
    return (*(() if is_near else (LONGER_STEP,)), COMPLEX_STEP, *SHORTER_STEPS)


def _moved_how(target: Moved) -> str:
    is_node = target.kind == "node"
    return "complex step, each node moved" if is_node else "complex step"


def _is_sequence(target: Moved) -> bool:
    return target.kind in ("node", "input")


def _as_claimed(context: Trial, target: Moved, found: Array) -> Array:
    """Slopes by group and row in the order of `Prober.along`."""
    if target.kind == "parameter":
        return np.asarray(found.sum(axis=1))
    lead = (context.tau,) if _is_sequence(target) else ()
    return np.swapaxes(found.reshape(*lead, -1, context.n_b), -1, -2)


def check_differences(context: Trial) -> Iterator[Row]:
    """Every parameter by central differences, epsilon from 1e-2 to 1e-10."""
    how = "central differences"
    usable = [eps for eps in EPSILONS if not context.near_kink(eps)]
    targets = [Moved("parameter", name) for name in context.graph.parameters]
    if not usable:
        note = context.near_kink(EPSILONS[-1])
        for target in targets:
            what = label(context, target)
            yield context.unchecked(what, how, DIFFERENCE_TOLERANCE, note)
        return
    prober = context.prober
    for target, every in central_differences(prober, targets, usable):
        claimed = prober.along(target, context.claimed(target))
        slopes = [np.asarray(slope.sum(axis=1)) for slope in every]
        sweep = [
            (epsilon, _apart(context, claimed, slope))
            for epsilon, slope in zip(usable, slopes, strict=True)
        ]
        best = min(sweep, key=lambda point: point[1])
        is_close = best[1] <= DIFFERENCE_TOLERANCE
        note = "" if is_close else _no_proof(context, target, usable, slopes)
        if note:
            what = label(context, target)
            yield context.unchecked(what, how, DIFFERENCE_TOLERANCE, note)
            continue
        yield context.row(
            label(context, target), how, best[1], DIFFERENCE_TOLERANCE, epsilon=best[0],
            sweep=tuple(sweep), note=prober.note(target),
        )  # fmt: skip


def _no_proof(
    context: Trial, target: Moved, epsilons: list[float], slopes: list[Array]
) -> str:
    """Why differences that are not close prove nothing, or nothing."""
    return (
        _has_pole(context, target)
        or _without_digits(context, max(epsilons))
        or _unsettled(context, epsilons, slopes)
    )


def _has_pole(context: Trial, target: Moved) -> str:
    """Why a gradient that NumPy, too, finds not finite is compared with no slopes."""
    right = context.read(context.roundings.plain[0], target)
    return "" if np.isfinite(right).all() else NOT_FINITE


def _apart(context: Trial, found: Array, slopes: Array) -> float:
    """The relative difference of a gradient and slopes, or of slopes and slopes."""
    if found.shape != slopes.shape:
        return float("inf")
    gap = float(np.max(np.abs(found - slopes), initial=0.0))
    gap = gap / context.size_of(slopes)
    return gap if np.isfinite(gap) else float("inf")


def _unsettled(context: Trial, epsilons: list[float], slopes: list[Array]) -> str:
    """Why differences that do not agree with one another prove nothing, or nothing.

    With a smaller epsilon they come nearer the slope, as long as they have digits. A
    cell that bends within every epsilon which leaves them some has no two alike.
    """
    noise, allowed = context.prober.noise, DIFFERENCE_TOLERANCE * context.floor
    sharp = [s for e, s in zip(epsilons, slopes, strict=True) if noise <= allowed * e]
    changes = [_apart(context, a, b) for a, b in itertools.pairwise(sharp)]
    if min(changes, default=0.0) <= DIFFERENCE_TOLERANCE:
        return ""
    return f"differences of two epsilons are {min(changes):.0e} apart at best"


def _without_digits(context: Trial, largest: float) -> str:
    """Why differences of a loss much larger than its slopes prove nothing, or nothing.

    A difference of losses L has the rounding of L, which is measured, over epsilon; at
    the epsilon that is best for most cells, 1e-5, it must be below the tolerance. Where
    a kink is nearer than that, only smaller ones are usable: the largest must have it.
    """
    noise, allowed = context.prober.noise, DIFFERENCE_TOLERANCE * context.floor
    if noise / min(BEST_EPSILON, largest) <= allowed:
        return ""
    if noise / BEST_EPSILON <= allowed:
        return f"a kink is near: epsilon = {largest:.0e} leaves a difference no digits"
    return "the loss is rounded by so much that a difference of two has no digits"


def check_copies(context: Trial) -> Iterator[Row]:
    """Each copy θ^(t) moved alone; and the copies sum to the total."""
    how, note = "each copy moved", context.near_kink(COMPLEX_STEP)
    prober = context.prober
    targets = [Moved("parameter", name) for name in context.graph.parameters]
    moved = {} if note else dict(
        complex_steps(prober, targets, h=COMPLEX_STEP, each_step=lambda _: True)
    )  # fmt: skip
    for target in targets:
        name = target.name
        what = f"∇_{name}^(t)"
        copy = Moved("copy", name)
        copies = context.claimed(copy)
        if note:
            yield context.unchecked(what, how, COMPLEX_TOLERANCE, note)
        else:
            shaped = partial(_by_step, context)
            again = _ComplexAgain(context, target, lambda _: True, shaped)
            oracle = shaped(moved[target])
            error = again.error(prober.along(target, copies), oracle, copy)
            yield context.row(
                what, how, error, COMPLEX_TOLERANCE, epsilon=COMPLEX_STEP,
                note=prober.note(target),
            )  # fmt: skip
        yield context.row(
            f"∇_{name}", "sum over copies", _sum_error(context, name, copies),
            COPY_SUM_TOLERANCE,
        )  # fmt: skip


def _by_step(context: Trial, slopes: Array) -> Array:
    """The slopes of copies, (tau, count)."""
    return np.asarray(slopes.sum(axis=1).reshape(context.tau, -1))


def _sum_error(context: Trial, name: str, copies: Array) -> Error:
    """|sum over t - total|, relative to the sum of the copies' norms."""
    total, summed = np.asarray(context.plain[name]), copies.sum(axis=0)
    is_alike = total.shape == summed.shape
    gap = np.linalg.norm(summed - total) if is_alike else np.inf
    norms = sum(float(np.linalg.norm(copy)) for copy in copies)

    def rounding() -> Array:
        whole, parts = (Moved(kind, name) for kind in ("parameter", "copy"))
        moved = context.rounding_of(parts).sum(axis=0) + context.rounding_of(whole)
        return np.asarray(np.linalg.norm(moved))

    size = max(norms, context.floor)
    return measured(np.asarray(gap), np.zeros(()), size, rounding, COPY_SUM_TOLERANCE)


def check_edges(context: Trial) -> Iterator[Row]:
    """Each edge's Jacobian column by column: the complex step on one equation alone."""
    how = "edge Jacobian, by column"
    note = context.near_kink(COMPLEX_STEP)
    run = _forward(context)
    for name, equation in cut_equations(context.graph).items():
        if not equation.real_reads:
            continue
        if note:
            what = f"∂{name}/∂..."
            yield context.unchecked(what, how, COMPLEX_TOLERANCE, note)
            continue
        values = _read_values(context, equation, run)
        found = jacobians(equation, values, context.prober.bindings.sizes)
        for key in equation.real_reads:
            columns = _EdgeColumns(context, equation, values, key)
            yield context.row(
                f"∂{name}/∂{key}", how, columns.error(found[key]), COMPLEX_TOLERANCE,
                epsilon=COMPLEX_STEP,
            )  # fmt: skip


def _forward(context: Trial) -> Run:
    i = context.instance
    return context.cell.forward(
        i.params, i.inputs, initial=i.initial, executor=REFERENCE
    )


def _read_values(
    context: Trial, equation: LocalEquation, run: Mapping[str, Array]
) -> dict[str, Array]:
    """Row 0 of everything that the equation reads: (tau, *shape)."""
    b, tau = context.prober.bindings, context.tau
    found = {}
    for key, read in equation.reads.items():
        if read.is_parameter:
            array = b.parameters[read.name]
            found[key] = np.broadcast_to(array, (tau, *array.shape))
            continue
        source = b.inputs[read.name] if read.name in b.inputs else run[read.name]
        rows = source[:, 0]
        if read.lag:
            start = b.initial[read.name][0] if read.name in b.initial else 0 * rows[0]
            end = np.asarray(start)[None]
            parts = [end, rows[:-1]] if read.lag < 0 else [rows[1:], end]
            rows = np.concatenate(parts)
        found[key] = rows
    return found


def _size_of(columns: Array) -> float:
    """What an edge is relative to: one that is 0 by cancellation, to rounding of 1."""
    return max(largest(columns), SCALE_FLOOR)


@dataclass(frozen=True)
class _EdgeColumns:
    """One edge's Jacobian by the complex step: (tau, *result shape, *read shape)."""

    context: Trial
    equation: LocalEquation
    values: Mapping[str, Array]
    key: str

    def error(self, array: Array | None) -> Error:
        """How far a Jacobian is from it; None is one of zeros."""
        found = self._by(COMPLEX_STEP)
        claimed = np.zeros(found.shape) if array is None else array
        error = self._compared(claimed, found)
        if not isinstance(error, str) and error <= COMPLEX_TOLERANCE:
            return error
        every = list(map(self._by, _steps_of(self.context)))
        return self._compared(claimed, settled(every, _size_of(found)))

    def _compared(self, claimed: Array, found: Array) -> Error:
        return measured(claimed, found, _size_of(found), self._rounding)

    def _rounding(self) -> Array:
        """How far rounding moves the Jacobian, and this."""
        sizes = self.context.prober.bindings.sizes
        every = [
            jacobians(self.equation, self.values, sizes, meaning)[self.key]
            for meaning in meanings()
        ]
        columns = [self._by(COMPLEX_STEP, meaning) for meaning in meanings()]
        found = spread([np.zeros(1) if one is None else one for one in every])
        moved = spread(columns)
        return found + np.where(np.isfinite(moved), moved, 0.0)

    def _by(self, h: float, meaning: reference.Meaning = reference.AS_IT_IS) -> Array:
        """Stopped gradients are held at their unperturbed values."""
        shape = self.values[self.key].shape[1:]
        count = int(np.prod(shape))
        basis = 1j * h * np.eye(count).reshape(count, *shape)
        rows = {
            k: np.broadcast_to(v[:, None], (len(v), count, *v.shape[1:]))
            for k, v in self.values.items()
        }
        sizes = self.context.prober.bindings.sizes
        held, rows = hold_stops(self.equation, rows, sizes)
        rows[self.key] = rows[self.key] + basis
        result = evaluate(held, rows, sizes, meaning)
        columns = np.moveaxis(result.imag / h, 1, -1)
        return columns.reshape(*columns.shape[:-1], *shape)


def check_curvature(context: Trial) -> Iterator[Row]:
    """The Hessian times a direction against the complex step of the gradient."""
    what, how = "H v", "second derivative, complex step"
    if context.graph.loss is None or not context.graph.parameters:
        return
    note = context.near_kink(COMPLEX_STEP)
    if context.prober.has_stops:
        note = "a stopped gradient differs from the derivative on purpose"
    if note:
        yield context.unchecked(what, how, CURVATURE_TOLERANCE, note)
        return
    instance = context.instance
    rng = np.random.default_rng([instance.seed, instance.number])
    direction = {n: rng.standard_normal(v.shape) for n, v in instance.params.items()}
    options = {k: v for k, v in instance.options.items() if k != "seeds"}
    product = context.cell.hessian_vector(
        instance.params, instance.inputs, direction, **options
    )
    moved = {
        n: v + 1j * COMPLEX_STEP * direction[n] for n, v in instance.params.items()
    }
    slope = context.cell.gradient(moved, instance.inputs, **options)

    @cache
    def products() -> list[Gradient]:
        return context.roundings.products(direction)

    def rounding(name: str) -> Array:
        return spread([np.asarray(found[name]) for found in products()])

    for name in context.graph.parameters:
        oracle = np.imag(slope[name]) / COMPLEX_STEP
        error = measured(
            np.asarray(product[name]), np.asarray(oracle), context.size_of(oracle),
            partial(rounding, name), CURVATURE_TOLERANCE,
        )  # fmt: skip
        yield context.row(
            f"{what} for {name}", how, error, CURVATURE_TOLERANCE, epsilon=COMPLEX_STEP
        )
