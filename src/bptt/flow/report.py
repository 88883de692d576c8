"""`Cell.flow`: how far gradients travel in one run, at any size.

Norms, lags, truncation, copies and growth are of every row of the batch; the full set
of singular values is of one. All of it in float64, but for what is asked of the element
type that was used: the first number that is not finite, and gradients that become 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bptt import errors
from bptt.execute.bindings import Bindings
from bptt.flow.case import LAG, NEEDED, Case
from bptt.flow.facts import Facts
from bptt.flow.findings import Clipping, Findings, FlowSubject
from bptt.flow.growth import (
    FULL_WORK,
    Spectrum,
    full_cost,
    full_spectrum,
    leading_spectrum,
    loops_of,
    measure_growth,
)
from bptt.flow.layers import measure_layers
from bptt.flow.maps import StepMaps, cut_at_states
from bptt.flow.measure import Flow
from bptt.flow.non_finite import find_underflow
from bptt.flow.numeric import norm, norms
from bptt.flow.rules import diagnose
from bptt.flow.runs import FlowRun, first_non_finite, row_gradients, run_flow
from bptt.flow.setting import FlowSetting
from bptt.flow.slots import Slots
from bptt.flow.text import sentence, tables
from bptt.flow.travel import choose_sources, measure_travel
from bptt.step.graph import Graph, Times
from bptt.step.ops import OPS
from bptt.step.shapes import Array

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from bptt.flow.trial import RemedyTrial


@dataclass(frozen=True, eq=False)
class GradientFlow(Findings):
    """How far gradients travel through time; `print` it, `plot()` it, `save` it.

    See `Findings` for the numbers that it holds.
    """

    @property
    def verdict(self) -> str:
        """The worst diagnosis, or a clean bill: a sentence with numbers."""
        return sentence(self)

    def text(self, lang: str = "en") -> str:
        """The verdict and tables in a language: "en" or "zh".

        Raises: FlowError.
        """
        return tables(self, lang)

    def __str__(self) -> str:
        """The verdict and tables, as text."""
        return tables(self)

    def try_(self, action: str) -> RemedyTrial[GradientFlow]:
        """The same run with a remedy applied: before and after.

        action: a remedy's, such as "forget_bias=1"; see docs/flow.md for all of them.
        Raises: FlowError for an action that this cell does not have.
        """
        from bptt.flow.trial import try_action  # noqa: PLC0415

        return try_action(self, action, measure_run)

    def plot(self, *panels: str) -> Figure:
        """A figure of matplotlib: all panels, or those named.

        panels: of `panel_names(self)`, such as "lags".
        Raises: MissingExtraError if matplotlib is not installed; FlowError for a panel
        that this flow does not have.
        """
        # Imported here: a report is read as text more often than drawn.
        from bptt.flow.plot import draw  # noqa: PLC0415

        return draw(self, panels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file that needs no network, light or dark as the reader's."""
        from bptt.flow.page import write_page  # noqa: PLC0415

        write_page(self, path)


def measure_run(setting: FlowSetting) -> GradientFlow:
    """The flow of one run.

    Raises: FlowError for a cell without a state, and the errors of `gradient`.
    """
    setting.check()
    engine = setting.engine
    bindings = setting.bind()
    graph = engine.graph
    cut = cut_at_states(graph, bindings.seeds)
    _check(graph, bindings, setting.row, cut.states)
    mine = run_flow(engine, bindings, cut)
    empty = _empty(setting, bindings, mine, _spectra(bindings.parameters))
    found = first_non_finite(engine, mine)
    if found is not None:
        broken = replace(empty, non_finite=found)
        case = _case(broken, Facts(cut), bindings, {}, {}, {}, {}, setting)
        return replace(broken, diagnoses=diagnose(case))
    exact = mine
    if bindings.dtype != np.float64:
        exact = run_flow(engine, _as_float64(bindings), cut)
    maps = StepMaps(cut, exact.bindings, exact.values)
    report = _measure(empty, setting, maps, mine, exact)
    slopes, _ = _slopes_of(graph, exact.values)
    case = _case(report, Facts(cut), maps.bindings, exact.values, slopes, exact.reads,
                 exact.gradients, setting)  # fmt: skip
    return replace(report, diagnoses=diagnose(replace(case, maps=maps)))


def _case(
    findings: Findings, facts: Facts, bindings: Bindings, values: Mapping[str, Array],
    slopes: Mapping[str, Array], reads: Mapping[str, bool],
    gradients: Mapping[str, Array], setting: FlowSetting,
) -> Case:  # fmt: skip
    return Case(
        findings, facts, bindings, values, slopes, reads, gradients,
        setting.lag or LAG, setting.window, setting.lag is not None,
    )  # fmt: skip


def _check(graph: Graph, bindings: Bindings, row: int, states: tuple[str, ...]) -> None:
    if not states:
        raise errors.FlowError("the cell has no state, so no gradient travels")
    if bindings.dtype.kind == "c":
        raise errors.FlowError("flow measures real runs, not complex ones")
    if not 0 <= row < bindings.n_b:
        raise errors.FlowError(f"row={row}: the batch has rows 0 to {bindings.n_b - 1}")


def _empty(
    setting: FlowSetting,
    bindings: Bindings,
    run: FlowRun,
    spectra: Mapping[str, tuple[float, float]],
) -> GradientFlow:
    """What is known of a run before anything is multiplied."""
    shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in setting.inputs.items())
    subject = FlowSubject(
        setting.name,
        setting.data or shapes, dict(bindings.sizes), setting.seed,
        str(bindings.dtype), bindings.tau, bindings.n_b, setting.row,
    )  # fmt: skip
    copies = run.copies
    sums = {name: float(rows.sum()) for name, rows in copies.items()}
    sizes = {name: norm(rows) for name, rows in run.gradients.items()}
    left = {
        n: min(sizes[n] / total, 1.0) if total else 1.0 for n, total in sums.items()
    }
    nothing = np.zeros(0)
    return GradientFlow(
        subject, run.loss, None, (), nothing, np.zeros((0, bindings.n_b)), nothing, (),
        run.state_gradients, sizes, copies, left, spectra, None,
        None, needed=setting.lag or NEEDED, setting=setting,
    )  # fmt: skip


def _measure(
    empty: GradientFlow,
    setting: FlowSetting,
    maps: StepMaps,
    mine: FlowRun,
    exact: FlowRun,
) -> GradientFlow:
    """Everything that travels through steps."""
    count = sum(rows.size for rows in exact.gradients.values())
    sources = choose_sources(maps, count)
    full = exact.of_steps(setting.engine, sources)
    travel = measure_travel(maps, sources, full, setting.tick)
    loops = loops_of(maps)
    lag = setting.lag or LAG
    growth = tuple(measure_growth(loop, lag) for loop in loops)
    layers = measure_layers(
        maps, list(zip(loops, growth, strict=True)), lag,
        setting.source.graph.times.written,
    )  # fmt: skip
    cost = full_cost(loops[0], setting.row)
    is_full = setting.spectrum == "full" or (
        setting.spectrum == "auto" and cost <= FULL_WORK
    )
    make = full_spectrum if is_full else leading_spectrum
    times = setting.source.graph.times
    spectrum = make(loops[0], setting.row)
    numbers = _numbers(maps, exact, travel.injected, spectrum, times)
    base = _empty(setting, maps.bindings, exact, empty.spectra)
    return replace(
        base, subject=empty.subject, numbers=numbers, growth=growth, layers=layers,
        lags=travel.lags,
        lags_by_row=travel.lags_by_row, sources=travel.sources,
        truncations=travel.truncations,
        underflow=find_underflow(mine.state_gradients, exact.state_gradients),
        clipping=_clip(setting, exact),
    )  # fmt: skip


def _numbers(
    maps: StepMaps, run: FlowRun, injected: Mapping[str, Array], spectrum: Spectrum,
    times: Times,
) -> Flow:  # fmt: skip
    """The numbers of a row, by the names that a person wrote."""
    slots, grads = maps.slots, run.state_gradients
    own = {n: slots.spread(rows) for n, rows in injected.items()}
    slopes, steepest = _slopes_of(maps.cut.graph, run.values)
    total = {n: norms(grads[n].reshape(slots.tau, -1)) for n in maps.states}
    return Flow(
        slots.tau, times.written(maps.states), total,
        {n: norms(own[n].reshape(slots.tau, -1)) for n in maps.states},
        {n: _arrived(grads[n], own[n], slots, maps.lag(n)) for n in maps.states},
        spectrum.jacobians, spectrum.log_singular_values, spectrum.exponents,
        slopes, steepest, spectrum.is_full,
    )  # fmt: skip


def _arrived(total: Array, own: Array, slots: Slots, lag: int) -> Array:
    rest = total - own
    # What is smaller than the rounding of the two is not known.
    rest[np.abs(rest) <= 8 * np.finfo(rest.dtype).eps * np.abs(own)] = 0.0
    # Nothing comes after the last step: a difference is rounding.
    beyond = np.zeros(slots.mask.shape, bool)
    at_end = slots.neighbour(-lag) < 0
    beyond[slots.mask] = at_end
    rest[beyond] = 0.0
    return norms(rest.reshape(slots.tau, -1))


def _slopes_of(
    graph: Graph, values: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, float]]:
    slopes, steepest = {}, {}
    for name, node in graph.definitions.items():
        op = OPS.get(node.inputs[0].op)
        if op is not None and op.activation is not None:
            slopes[name] = op.activation.slope(values[name])
            steepest[name] = op.activation.steepest
    return slopes, steepest


def _clip(setting: FlowSetting, run: FlowRun) -> Clipping | None:
    if setting.clip is None:
        return None
    rows = row_gradients(setting.engine, run)
    sizes = np.array([norm(np.concatenate([g.ravel() for g in r.values()]))
                      for r in rows])  # fmt: skip
    factors = np.minimum(1.0, setting.clip / np.maximum(sizes, 1e-300))
    flat = np.array([np.concatenate([g.ravel() for g in r.values()]) for r in rows])
    whole, clipped = flat.sum(axis=0), (factors[:, None] * flat).sum(axis=0)
    both = norm(whole) * norm(clipped)
    cosine = float(whole @ clipped / both) if both else 1.0
    return Clipping(setting.clip, float((factors < 1).mean()), cosine, sizes)


def _as_float64(bindings: Bindings) -> Bindings:
    def cast(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in arrays.items()
        }

    return replace(
        bindings, dtype=np.dtype(np.float64),
        parameters=cast(bindings.parameters),
        inputs=cast(bindings.inputs), initial=cast(bindings.initial),
        seeds=cast(bindings.seeds), weight=bindings.weight.astype(np.float64),
    )  # fmt: skip


def _spectra(parameters: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, array in parameters.items():
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            radius = np.abs(np.linalg.eigvals(array)).max()
            found[name] = float(radius), float(np.linalg.norm(array, 2))
    return found
