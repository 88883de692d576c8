"""What a person reads of a cell: its proof, its graph in time, its derivation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from bptt import errors
from bptt.check import INSTANCES, Ledger, check_cell
from bptt.execute import dispatch
from bptt.execute.bindings import bind
from bptt.execute.program import Request
from bptt.flow import GradientFlow, measure_run
from bptt.graph import Graph
from bptt.unrolled import Unrolled, unroll

if TYPE_CHECKING:
    from bptt.cell import Cell
    from bptt.explain import EquationReport, Explanation


class Readings:
    """The part of `Cell` that explains and measures; its graph is the cell's."""

    graph: Graph

    @property
    def _cell(self) -> Cell:
        return cast("Cell", self)

    def check(
        self,
        *,
        seed: int = 0,
        instances: int = INSTANCES,
        executor: str = dispatch.COMPILED,
    ) -> Ledger:
        """Every gradient against independent oracles, on random instances in float64.

        The complex step, central differences, generic reverse mode on the explicit
        unrolled graph, every node and every copy moved alone, sums over copies and over
        paths, and the invariants; `ledger.passed`, `print(ledger)`. A point near a kink
        is "not checked here". executor: what computes the gradient under test; the
        oracles always use the NumPy reference.

        >>> from bptt import cells
        >>> cells.elman.check(instances=1).passed
        True
        """
        return check_cell(self._cell, seed=seed, instances=instances, executor=executor)

    def unroll(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        initial: Mapping[str, Any] | None = None,
        seeds: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        lengths: Any = None,
    ) -> Unrolled:
        """The explicit graph in time of one batch row, for small sizes.

        inputs: sequences without a batch axis. Raises: see `unrolled.unroll`.
        """
        return unroll(
            self.graph, params, inputs, initial=initial, seeds=seeds,
            reduction=reduction, weights=weights, lengths=lengths,
        )  # fmt: skip

    def flow(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        initial: Mapping[str, Any] | None = None,
        seeds: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        row: int = 0,
        tick: Callable[[], None] = lambda: None,
    ) -> GradientFlow:
        """How far gradients travel through time in this run; see docs/flow.md.

        The norm of ∇_{h^(t)} L with what enters at t and what arrives from later steps,
        its terms by lag, what truncation loses, products of Jacobians with singular
        values and Lyapunov exponents, saturation, the copies of every parameter, and
        the first number that is not finite. `print` it, `plot()` it, `save` it.

        row: of the batch, whose Jacobians are multiplied; tick: called for every lag.
        Other arguments: see `gradient`.
        Raises: FlowError, NoLossError and the errors of `gradient`.
        """
        if self.graph.loss is None and not seeds:
            raise errors.NoLossError(
                "the cell has no loss L[t], so no gradient enters it; seed one: "
                f"flow(..., seeds={{{tuple(self.graph.definitions)[-1]!r}: g}})"
            )
        bindings = bind(self.graph, params, inputs, initial, seeds, reduction, weights)
        names = tuple(self.graph.definitions)
        request = Request(names, seeds=tuple(sorted(seeds or {})))
        grad = self._cell.run_gradient(bindings, request)
        return measure_run(self.graph, grad, bindings, row, tick)

    def explain(
        self,
        *,
        name: str = "",
        lang: str = "en",
        step: str | None = None,
        tau: int = 4,
        seed: int = 0,
        sizes: Mapping[str, int] | None = None,
        reduction: str = "sum",
        weights: Iterable[float] | None = None,
    ) -> Explanation:
        """The derivation of this cell's gradient, with every equality checked.

        print() shows it; `text()`, `markdown()`, `latex()` and `html()` give it;
        `save("cell.html")` writes the format of the suffix. A notebook shows it by
        itself.

        lang: "en" or "zh"; step: one card alone, by the book's equation number or by
        its id ("node:h", "parameter:W"); tau, seed, sizes: of the numbers shown; how L
        is made of L^(1) ... L^(tau): reduction "sum" (the book's), "mean" or "last", or
        weights, one per step.

        >>> from bptt import cells
        >>> cells.elman.explain().passed
        True

        Raises: UnknownLanguageError, ExplainOptionError, BackwardLoopError;
        UnknownCardError when shown.
        """
        from bptt.explain import explain

        return explain(
            self._cell, name=name, lang=lang, step=step, tau=tau, seed=seed,
            sizes=sizes, reduction=reduction, weights=weights,
        )  # fmt: skip

    def check_equation(self, text: str, *, seed: int = 0) -> EquationReport:
        """Compare a gradient formula of your own with this cell's exact gradient.

        text: an equation such as `grad_h[t] = V.T @ grad_o[t]`, or with ∇; see
        docs/explain.md. Returns: a report to print; `report.passed`.
        Raises: FormulaSyntaxError, UnknownSymbolError, NotAnEquationError.
        """
        from bptt.explain import check_equation

        return check_equation(self._cell, text, seed=seed)
