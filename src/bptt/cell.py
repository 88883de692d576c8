"""A recurrent cell: the one class a person meets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bptt import errors
from bptt.check import INSTANCES, Ledger, check_cell, silent
from bptt.check.ledger import written_as
from bptt.engine import Engine
from bptt.execute import dispatch
from bptt.language import open_loss_text, print_graph, stepwise_text
from bptt.objective import Objective
from bptt.step import variants
from bptt.step.graph import Times
from bptt.unrolled import Unrolled, unroll

if TYPE_CHECKING:
    from bptt.explain import EquationReport, Explanation
    from bptt.flow import GradientFlow


class Cell(Engine):
    """One time step of a recurrent network, written as equations.

    >>> import numpy as np
    >>> cell = Cell('''
    ... a[t] = b + W @ h[t-1] + U @ x[t]
    ... h[t] = tanh(a[t])
    ... o[t] = c + V @ h[t]
    ... L[t] = nll(softmax(o[t]), y[t])
    ... ''')
    >>> params = cell.init(n_x=3, n_h=4, n_o=5, seed=0)
    >>> x, y = np.ones((6, 2, 3)), np.zeros((6, 2), int)
    >>> grad = cell.gradient(params, {"x": x, "y": y})
    >>> grad["W"].shape
    (4, 4)

    Sequences are time-major and row-batched: `x` is (tau, n_b, n_x), or (tau, n_x)
    without a batch; index 0 is t = 1. Equations are per row, with vectors as columns.
    Raises: a subclass of `errors.CellError` for every mistake in the text.
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cell:
        """Read a `.cell` file: UTF-8 text holding equations, never code.

        Raises: CellFileError if the file cannot be read; CellError if it is no cell.
        """
        try:
            return cls(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise errors.CellFileError(
                f"cell file {path}: byte {error.start} begins no sign of UTF-8. "
                "Likely fix: save the file as UTF-8"
            ) from None
        except OSError as error:
            raise errors.CellFileError(f"cell file {path}: {error}") from None

    def objective(
        self,
        inputs: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        *,
        initial: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        lengths: Any = None,
        memory: int | str | None = None,
        checkpoint: int | str | None = None,
        truncate: tuple[int, int] | None = None,
        **sizes: int,
    ) -> Objective:
        """A function of one flat vector for `scipy.optimize`: -> (loss, flat gradient).

        The vector holds the parameters one after another in the cell's order. Shapes
        come from `params`, or from `sizes` and the inputs; one size that is still
        unknown is solved from the vector's length. Other arguments: see `gradient`.

        >>> import numpy as np
        >>> cell = Cell('h[t] = tanh(W @ h[t-1] + U @ x[t]); L[t] = sum(h[t] ** 2)')
        >>> f = cell.objective({"x": np.ones((5, 3))})
        >>> loss, gradient = f(np.full(4 + 6, 0.1))
        >>> gradient.shape
        (10,)
        """
        return Objective(
            self, inputs, params, sizes, initial=initial, reduction=reduction,
            weights=weights, lengths=lengths, memory=memory, checkpoint=checkpoint,
            truncate=truncate,
        )  # fmt: skip

    # ----- what a person reads of it -----

    def check(
        self,
        *,
        seed: int = 0,
        instances: int = INSTANCES,
        executor: str = dispatch.COMPILED,
        progress: Callable[[float], None] = silent,
    ) -> Ledger:
        """Every gradient against independent oracles, on random instances in float64.

        The complex step, central differences, generic reverse mode on the explicit
        unrolled graph, every node and every copy moved alone, sums over copies and over
        paths, and the invariants; `ledger.passed`, `print(ledger)`. A point near a kink
        is "not checked here". In a cell of very many products an array is moved along a
        few random directions instead of element by element, and the ledger says so.

        executor: what computes the gradient under test, in code that LLVM generates
        with its least effort; the oracles always use the NumPy reference. progress: is
        told the share that is done, 0 to 1.

        >>> from bptt import cells
        >>> cells.elman.check(instances=1).passed
        True
        """
        cell = self._stepwise()
        found = check_cell(
            cell, seed=seed, instances=instances, executor=executor, progress=progress
        )
        return written_as(found, self.graph.times)

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
        lengths: Any = None,
        row: int = 0,
        lag: int | None = None,
        window: int | None = None,
        clip: float | None = None,
        spectrum: str = "auto",
        name: str | Mapping[str, str] = "",
        data: str = "",
        seed: int | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> GradientFlow:
        """How far gradients travel through time in this run; see docs/flow.md.

        The norm of ∇_{h^(t)} L with what enters at t and what arrives from other steps,
        its terms by lag, what truncation loses, products of Jacobians with singular
        values and Lyapunov exponents, saturation, the copies of every parameter, and
        the first number that is not finite; from them, diagnoses with remedies. `print`
        it, `plot()` it, `save` it, `try_` a remedy.

        lag: the steps that the task must bridge, 20 if not given; window: a truncation
        window to judge; clip: a threshold on the gradient's norm to judge; row: of the
        batch, whose singular values are shown; spectrum: "full", "leading", or "auto",
        all of them where that takes a second; name, data, seed: named in the report, of
        the cell (or {"en": ..., "zh": ...}), of the data, and of the parameters; tick:
        called for every lag. Other arguments: see `gradient`.
        Raises: FlowError, NoLossError and the errors of `gradient`.

        >>> import numpy as np
        >>> from bptt import Cell
        >>> cell = Cell("h[t] = W @ h[t-1] + x[t]; L[t] = sum(h[t])")
        >>> x = np.random.default_rng(0).normal(size=(30, 2, 2))
        >>> flow = cell.flow({"W": 0.25 * np.eye(2)}, {"x": x})
        >>> [found.kind for found in flow.diagnoses]
        ['vanishing']
        """
        from bptt.flow import FlowSetting, measure_run  # as explain

        return measure_run(FlowSetting(
            self, self._open_loss(), params, inputs, initial, seeds, reduction, weights,
            lengths, row, lag, window, clip, spectrum, name, data, seed, tick,
        ))  # fmt: skip

    def _stepwise(self) -> Cell:
        """The same with what is of other times written at every step."""
        is_plain = self.graph.times == Times()
        return self if is_plain else Cell(stepwise_text(self.graph))

    def _open_loss(self) -> Cell:
        """The same for an explanation, where reduction "last" takes L's one value."""
        is_plain = self.graph.times == Times()
        if is_plain:
            return self
        opened = Cell(open_loss_text(self.graph))
        said = self.graph.times.opened or self.graph.times
        times = replace(opened.graph.times, opened=said)
        opened.graph = replace(opened.graph, times=times)
        return opened

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

        Raises: UnknownLanguageError, ExplainOptionError; UnknownCardError when shown,
        and IndexedCellError when some figures of a cell with indices are asked for.
        """
        from bptt.explain import explain

        cell = self._open_loss()
        if self.graph.ends_in_loss and weights is None:
            reduction = "last"
        return explain(
            cell, name=name, lang=lang, step=step, tau=tau, seed=seed,
            sizes=sizes, reduction=reduction, weights=weights,
        )  # fmt: skip

    def check_equation(self, text: str, *, seed: int = 0) -> EquationReport:
        """Compare a gradient formula of your own with this cell's exact gradient.

        text: an equation such as `grad_h[t] = V.T @ grad_o[t]`, or with ∇; see
        docs/explain.md. Returns: a report to print; `report.passed`.
        Raises: FormulaSyntaxError, UnknownSymbolError, NotAnEquationError.
        """
        from bptt.explain import check_equation

        return check_equation(self._open_loss(), text, seed=seed)

    # ----- variants of the same equations -----

    def with_tokens(self) -> Cell:
        """The same cell with integer inputs: every product `M @ x[t]` a look-up.

        Before the first step `M @ x[t-1]` reads column 0, if `initial` says no token.

        Raises: IndexKindError if a real input is used in any other way.
        """
        return Cell(print_graph(variants.with_tokens(self.graph)))

    def with_readout(self) -> Cell:
        """The cell with `o[t] = c + V @ h[t]` and `L[t] = nll(softmax(o[t]), y[t])`.

        h is the output: the node of that name, or the vector defined last. For a
        bidirectional cell, `o[t] = c + V_fw @ h_fw[t] + V_bw @ h_bw[t]`. A cell that
        has a loss already is returned as it is.
        """
        if self.graph.loss is not None:
            return self
        return Cell(print_graph(self.graph) + variants.readout_text(self.graph))
