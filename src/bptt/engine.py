"""What runs one time step: its parameters, values and exact gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from bptt import errors
from bptt.calculus.program import (
    Program,
    Request,
    direction_of,
    forward_program,
    gradient_program,
)
from bptt.execute import dispatch
from bptt.execute.binder import Binder
from bptt.execute.bindings import Bindings, bind, parameter_arrays
from bptt.execute.checkpoints import CheckpointPlan, Limit, read_limit
from bptt.execute.checks import element_of
from bptt.language import parse_cell, print_graph
from bptt.prepared import Prepared
from bptt.results import Gradient, Run
from bptt.segments import spooled
from bptt.step import draws
from bptt.step import initial as initial_values
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape, numbers_of, summands

if TYPE_CHECKING:
    from bptt.execute.compile.describe import Lowering


class Engine:
    """The equations of a cell, and what computes with them.

    What reads a cell (its checks, explanation, objective and flow) takes an `Engine`;
    `Cell`, the class a person meets, adds those readings to it.
    """

    def __init__(self, text: str) -> None:
        """Read the equations; see docs/language.md."""
        self.text = text
        self.graph: Graph = parse_cell(text)
        self._programs: dict[object, Program] = {}
        self._requests: dict[object, Request] = {}
        self._binder = Binder(self.graph)

    # ----- what it consists of -----

    @property
    def parameters(self) -> dict[str, Shape]:
        """Every parameter and its shape in named dimensions."""
        return {name: spec.shape for name, spec in self.graph.parameters.items()}

    @property
    def inputs(self) -> dict[str, Shape]:
        """Every input and its shape per step; an integer input has shape ()."""
        return {name: spec.shape for name, spec in self.graph.inputs.items()}

    @property
    def nodes(self) -> dict[str, Shape]:
        """Every defined node and its shape per step, in order."""
        return {name: node.shape for name, node in self.graph.definitions.items()}

    @property
    def states(self) -> tuple[str, ...]:
        """The names read at t-1; each has an initial value, zero by default."""
        return self.graph.states

    @property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions, whose sizes `init` takes."""
        return self.graph.dims()

    @property
    def canonical_text(self) -> str:
        """The cell printed from its graph, every shape declared."""
        return print_graph(self.graph)

    def __repr__(self) -> str:
        nodes, parameters = ", ".join(self.nodes), ", ".join(self.parameters)
        return f"<{type(self).__name__} {nodes}; parameters {parameters}>"

    # ----- parameters -----

    def init(
        self, *, seed: int = 0, dtype: DTypeLike = np.float64, **sizes: int
    ) -> dict[str, Array]:
        """Initial parameters: name -> array.

        A declared initial value is used as it is; otherwise square matrices are
        orthogonal, other matrices Glorot uniform, vectors and scalars zero. Each
        parameter's values depend on `seed`, its name and its shape alone.

        sizes: one whole number per named dimension of the parameters, `n_h=128`.
        Raises: MissingSizeError, SizeError, DtypeError, InitialValueError.
        """
        element = element_of(dtype)
        if element not in (np.float32, np.float64, np.complex128):
            raise errors.DtypeError(f"dtype {element}; use float32 or float64")
        self._check_sizes(sizes)
        return {
            name: initial_values.draw(
                name, spec, numbers_of(spec.shape, sizes), seed
            ).astype(element)
            for name, spec in self.graph.parameters.items()
        }

    def _check_sizes(self, sizes: Mapping[str, int]) -> None:
        needed = {
            dim
            for spec in self.graph.parameters.values()
            for whole in spec.shape
            if isinstance(whole, str)
            for dim in summands(whole)
        }
        initial_values.check_sizes(self.dims, sizes)
        for dim in self.dims:
            if dim in needed and dim not in sizes:
                raise errors.MissingSizeError(
                    f"init needs the size of {dim}; for example init("
                    + ", ".join(f"{d}={sizes.get(d, 8)}" for d in self.dims)
                    + ")"
                )

    # ----- running -----

    def forward(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        initial: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        lengths: Any = None,
        executor: str = dispatch.COMPILED,
        threads: int | None = None,
    ) -> Run:
        """The value of every node at every step.

        initial: state -> (n_b, *shape) or (*shape) for all rows alike; zero where
        absent.
        reduction: "sum" (the book's), "batch_mean" (1/n_b), "mean" (the mean over
        steps and rows) or "last" (each row's own last step alone); weights: w_t per
        step or per step and row, (tau,) or (tau, n_b); with "mean" the divisor is
        their sum.
        lengths: the number of steps of every row, (n_b,) whole numbers from 1 to tau.
        What the arrays hold after a row's last step has no influence, NaN included;
        values and gradients are zero there, and only useful steps are counted and
        computed.
        Raises: a subclass of `errors.ArgumentError` for every array that does not fit.
        """
        inputs = spooled(inputs, params)
        bindings = self._binder.bind(
            params, inputs, initial, None, reduction, weights, lengths
        )
        return self._forward(bindings, executor, threads)

    def _forward(
        self, bindings: Bindings, executor: str, threads: int | None = None
    ) -> Run:
        names = tuple(self.graph.definitions)
        program = self.forward_program(names)
        program, values = dispatch.run(program, bindings, executor, threads)
        return Run(program, bindings, values)

    def gradient(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        nodes: Iterable[str] = (),
        initial: Mapping[str, Any] | None = None,
        seeds: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        lengths: Any = None,
        input_gradient: bool = False,
        initial_gradient: bool = False,
        executor: str = dispatch.COMPILED,
        threads: int | None = None,
        memory: int | str | None = None,
        checkpoint: int | str | None = None,
        truncate: tuple[int, int] | None = None,
    ) -> Gradient:
        """The exact gradient of the total loss through time.

        L = sum over t and rows of w_t L^(t)   (Goodfellow et al., 10.17-10.28)

        nodes: names whose ∇_{h^(t)} L is wanted, in `grad.nodes`; input_gradient: also
        `grad.inputs`; initial_gradient: also `grad.initial`; seeds: node ->
        (tau, n_b, *shape), a gradient that arrives from outside, for a cell without a
        loss or in addition to it. Other arguments: see `forward`.
        memory: bytes, or a text such as "512MB", in which the same gradient is found,
        bit for bit, by running steps forward once more; checkpoint: instead, how many
        states to keep, "sqrt" of tau, or "optimal", the number that takes the least
        memory; see docs/long-sequences.md and `grad.schedule`.
        truncate: (k1, k2): not the exact gradient, but that of sliding windows: the
        losses of every k1 steps go back k2 steps; `grad.bias()` tells what is lost.
        inputs: also an iterator of segments, which go to a temporary file.
        Raises: NoLossError, UnknownNodeError, MemoryBudgetError, CheckpointError,
        TruncationError and the errors of `forward`.
        """
        self._refuse_no_loss(seeds)
        wanted = self.known_nodes(nodes) if nodes else ()
        limit = read_limit(memory, checkpoint, truncate)
        inputs = spooled(inputs, params)
        bindings = self._binder.bind(
            params, inputs, initial, seeds, reduction, weights, lengths
        )
        request = self._request(
            wanted, input_gradient, initial_gradient, tuple(sorted(seeds or {}))
        )
        return self.run_gradient(
            bindings, request, executor=executor, threads=threads, limit=limit
        )

    def prepare(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        seeds: Mapping[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
        nodes: Iterable[str] = (),
        input_gradient: bool = False,
        initial_gradient: bool = False,
        reduction: str = "sum",
        threads: int | None = None,
    ) -> Prepared:
        """A gradient to be computed again and again, with nothing looked up or checked.

        The arguments are those of `gradient`, and are checked now. `run()` takes the
        same arrays as they are then; `run(params, inputs)` takes others, of any shapes
        that the cell takes. Its result is overwritten by the next call.

        >>> from bptt import cells
        >>> params = cells.elman.init(n_x=2, n_h=3)
        >>> x, ones = np.ones((4, 1, 2)), np.ones((4, 1, 3))
        >>> run = cells.elman.prepare(params, {"x": x}, seeds={"h": ones})
        >>> params["W"] -= 0.1 * run()["W"]  # in place: the next call sees it
        >>> again = cells.elman.gradient(params, {"x": x}, seeds={"h": ones})
        >>> bool((run()["U"] == again["U"]).all())
        True

        Raises: the errors of `gradient`.
        """
        self._refuse_no_loss(seeds)
        request = self._request(
            self.known_nodes(nodes), input_gradient, initial_gradient,
            tuple(sorted(seeds or {})),
        )  # fmt: skip
        program = self.gradient_program(request)
        compiled = dispatch.COMPILED
        return Prepared(
            lambda given, looks: self._binder.bind_own(given, reduction, looks=looks),
            self._binder.fits_indices,
            lambda bindings: dispatch.begin(program, bindings, compiled, threads),
            lambda bindings: self._forward(bindings, compiled, threads),
            request, (params, inputs, initial, seeds),
        )  # fmt: skip

    def _refuse_no_loss(self, seeds: Mapping[str, Any] | None) -> None:
        if self.graph.loss is None and not seeds:
            raise errors.NoLossError(
                "the cell has no loss L[t], so its gradient must be seeded: "
                f"gradient(..., seeds={{{tuple(self.nodes)[-1]!r}: g}}) with g of "
                "shape (tau, n_b, ...)"
            )

    def _request(
        self, nodes: tuple[str, ...], has_inputs: bool, has_initial: bool,
        seeds: tuple[str, ...],
    ) -> Request:  # fmt: skip
        """One object for every kind of request, whose program is found by it."""
        key = (nodes, bool(has_inputs), bool(has_initial), seeds)
        if key not in self._requests:
            graph = self.graph
            real = tuple(n for n, s in graph.inputs.items() if s.index is None)
            inputs = real if has_inputs else ()
            self._requests[key] = Request(nodes, inputs, has_initial, seeds)
        return self._requests[key]

    def run_gradient(
        self,
        bindings: Bindings,
        request: Request,
        *,
        executor: str = dispatch.COMPILED,
        threads: int | None = None,
        limit: Limit | None = None,
    ) -> Gradient:
        """The gradient of arrays that are bound already, for other parts of bptt."""
        program = self.gradient_program(request)
        program, values = dispatch.run(program, bindings, executor, threads, limit)
        return Gradient(
            program, bindings, values, request,
            lambda: self._forward(bindings, executor, threads),
            lambda: self.run_gradient(
                bindings, request, executor=executor, threads=threads,
                limit=Limit(checkpoint="optimal"),
            ),
        )  # fmt: skip

    def bind(
        self, params: Mapping[str, Any], inputs: Mapping[str, Any], *,
        initial: Mapping[str, Any] | None = None, weights: Any = None,
        lengths: Any = None,
    ) -> Bindings:  # fmt: skip
        """The arrays of a call, checked, for other parts of bptt; see `forward`."""
        return self._binder.bind(params, inputs, initial, None, "sum", weights, lengths)

    def plan_gradient(
        self, bindings: Bindings, nodes: Iterable[str], limit: Limit
    ) -> CheckpointPlan | None:
        """How `gradient` would run these arrays, and nothing is run; see there."""
        request = self._request(tuple(nodes), False, False, ())
        return dispatch.plan_steps(self.gradient_program(request), bindings, limit)

    def run_forward(
        self, bindings: Bindings, request: Request, *,
        executor: str = dispatch.COMPILED,
    ) -> Run:  # fmt: skip
        """The values of what `run_gradient` computes, by the same kernels.

        Of the nodes they are the states and what the request names as its values.
        """
        found = None
        if executor == dispatch.COMPILED:
            program = self.gradient_program(request)
            found = dispatch.run_forward(program, bindings)
        if found is None:
            return self._forward(bindings, executor)
        return Run(found[0], bindings, found[1])

    def hessian_vector(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        direction: Mapping[str, Any],
        *,
        initial: Mapping[str, Any] | None = None,
        reduction: str = "sum",
        weights: Any = None,
        lengths: Any = None,
    ) -> dict[str, Array]:
        """The product of the loss's Hessian with a direction in parameter space.

        H v = ∇_θ <∇_θ L, v>: the adjoint graph differentiated again, through time.

        direction: parameter -> array of its shape. Returns: the same form as `params`.
        Raises: NoLossError, MissingParameterError and the errors of `forward`.
        """
        if self.graph.loss is None:
            raise errors.NoLossError("the cell has no loss L[t], so it has no Hessian")
        vectors, _, _ = parameter_arrays(self.graph, direction)
        extra = {direction_of(name): array for name, array in vectors.items()}
        bindings = bind(
            self.graph, params, inputs, initial, None, reduction, weights, extra,
            lengths,
        )  # fmt: skip
        request = Request(hessian_vector=True)
        program = self.gradient_program(request)
        name = dispatch.REFERENCE
        program, values = dispatch.run(program, bindings, name)
        result = Gradient(
            program, bindings, values, request, lambda: self._forward(bindings, name)
        )
        return {name: np.array(array) for name, array in result.items()}

    def draw(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        *,
        seed: int = 0,
        mean: bool = False,
    ) -> dict[str, Any]:
        """The inputs, and a draw of each that the cell declares a distribution for.

        seed: of the draw; each input has a generator of its own, seeded by it and the
        input's name. mean: the mean instead of a draw, to evaluate a network. Steps,
        rows, sizes and element type are those of `inputs` and `params`.

        >>> from bptt import Cell
        >>> cell = Cell('''m: n_h = dropout(0.5)
        ... h[t] = tanh(m[t] * (U @ x[t]))''')
        >>> drawn = cell.draw({"U": np.ones((2, 1))}, {"x": np.ones((4, 3, 1))})
        >>> drawn["m"].shape, sorted(set(drawn["m"].ravel().tolist()))
        ((4, 3, 2), [0.0, 2.0])

        Raises: MissingInputError, MissingSizeError, RateError.
        """
        return draws.draw_inputs(self.graph, params, inputs, seed, mean=mean)

    def lower(
        self, *, dtype: DTypeLike = np.float32, memory: int | str | None = None,
        checkpoint: int | str | None = None, tau: int = 1, n_b: int = 1, **sizes: int,
    ) -> Lowering:  # fmt: skip
        """The plan by which kernels compute this cell's gradient.

        It lists the stages of a step, what is hoisted out of the loop and what is kept.
        A cell without a loss is seeded on the vector defined last. Print the result;
        its `ir` is the LLVM IR of the kernels. memory, checkpoint: as `gradient` takes
        them, for a batch of n_b sequences of tau steps: the last line then says how
        they are run, and in how many bytes.

        >>> from bptt import cells
        >>> cells.elman.lower(n_x=3, n_h=4).flops_per_step
        144

        Raises: MissingSizeError, SizeError, NotLowerableError, MemoryBudgetError.
        """
        self._check_sizes(sizes)
        limit = read_limit(memory, checkpoint)
        vectors = self.graph.vectors()
        seeds = () if self.graph.loss else tuple(vectors[-1:])
        program = self.gradient_program(Request(seeds=seeds))
        return dispatch.lower(program, sizes, element_of(dtype), limit, (tau, n_b))

    def known_nodes(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """The names as a tuple, each once. Raises: UnknownNodeError."""
        if isinstance(nodes, str):
            nodes = (nodes,)
        wanted = tuple(dict.fromkeys(nodes))
        for name in wanted:
            if name not in self.graph.definitions:
                raise errors.UnknownNodeError(
                    f"{name} is not a node of the cell; its nodes are: "
                    f"{errors.list_known(name, self.nodes)}"
                )
        return wanted

    def forward_program(self, names: tuple[str, ...]) -> Program:
        """The program of some nodes' values, for executors and front ends; kept."""
        return self._program(names, lambda: forward_program(self.graph, names))

    def gradient_program(self, request: Request) -> Program:
        """The program of a request, for executors and front ends; kept."""
        return self._program(request, lambda: gradient_program(self.graph, request))

    def _program(self, key: object, make: Any) -> Program:
        if key not in self._programs:
            self._programs[key] = make()
        return self._programs[key]
