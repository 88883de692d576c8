"""A cell as a function of JAX arrays."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bptt import errors
from bptt.call import CellCall, last_of, share_limit
from bptt.cell import Cell
from bptt.execute.bindings import Bindings, bind
from bptt.execute.checkpoints import Limit, read_limit, reads_later
from bptt.execute.kernels.executor import count_threads
from bptt.execute.rows import join_delays, split_delays, starts_of
from bptt.execute.tokens import counted_by
from bptt.execute.weighting import (
    as_column,
    check_reduction,
    refuse_no_weight,
    weigh,
)
from bptt.jax import primitives
from bptt.jax.task import Task
from bptt.step.graph import Graph
from bptt.step.shapes import number_of, summands, with_parts

KINDS = ("parameter", "input", "initial state")
Signature = tuple[tuple[tuple[str, tuple[int, ...], str], ...], ...]


class Outputs(NamedTuple):
    """What a call gives: a tree of JAX arrays.

    nodes: name -> (tau, n_b, *shape), the sequences asked for; final: state -> (n_b,
    *shape), its value after step tau, for the next call's `initial`; loss: the total
    loss in nats, None for a cell without one. Without a batch axis in, none comes out.
    """

    nodes: dict[str, jax.Array]
    final: dict[str, jax.Array]
    loss: jax.Array | None


def recurrent(
    cell: Cell,
    *,
    nodes: Iterable[str] | None = None,
    reduction: str = "sum",
    threads: int | None = None,
    check_finite: bool = False,
    memory: int | str | None = None,
    checkpoint: int | str | None = None,
    truncate: tuple[int, int] | None = None,
) -> Recurrent:
    """The cell as a function of JAX arrays, run by the same kernels.

    f(params, inputs, initial=None, weights=None, lengths=None) -> Outputs, for `jit`,
    `grad`, `value_and_grad` and `vmap`. It is differentiable once, in reverse mode,
    with respect to parameters, real inputs, initial states and weights.

    nodes: names whose sequences a call returns; by default the states of a cell without
    a loss, and none of a cell with one, since a sequence returned is a sequence copied.
    reduction, weights, lengths: as in `Cell.forward`. threads: at most so many.
    check_finite: refuse NaN in any array when a compiled call runs; by default NaN
    comes out where NaN goes in, as in JAX. memory, checkpoint, truncate: what a call
    may hold of its steps, as in `Cell.gradient`; nothing is kept between forward and
    backward pass then.

    Arrays are as everywhere: x (tau, n_b, n_x), tokens (tau, n_b), an initial state
    (n_b, n_h) or (n_h,). All reals take the parameters' element type: float32, or
    float64 where `jax_enable_x64` is on and they are.

    >>> import bptt, jax
    >>> import numpy as np
    >>> f = recurrent(bptt.cells.book)
    >>> params = bptt.cells.book.init(n_x=2, n_h=3, n_o=4)
    >>> x, y = np.ones((5, 1, 2)), np.zeros((5, 1), int)
    >>> grad = jax.grad(lambda p: f(p, {"x": x, "y": y}).loss)(params)
    >>> grad["W"].shape
    (3, 3)

    Raises: UnknownNodeError, ReductionError, ThreadsError, MemoryBudgetError,
    CheckpointError, TruncationError; when JAX traces a call, the
    errors of `Cell.forward` for arrays that do not fit, ForwardModeError and
    SecondDerivativeError. A value that cannot be (a token out of range, a mean over no
    weight, NaN if `check_finite`) is found when the compiled call runs; JAX raises an
    error of its own with the message inside.
    """
    check_reduction(reduction)
    if threads is not None:
        threads = count_threads(threads)
    names = _sequences(cell, nodes)
    limit = read_limit(memory, checkpoint, truncate)
    if limit is not None and limit.truncate and cell.graph.backward:
        raise reads_later(limit.truncate, "the cell")
    return Recurrent(
        cell, names, reduction, threads, check_finite, cell.canonical_text, limit
    )


def _sequences(cell: Cell, nodes: Iterable[str] | None) -> tuple[str, ...]:
    if nodes is None:
        return () if cell.graph.loss else _defined_states(cell)
    return cell.known_nodes(nodes)


def _defined_states(cell: Cell) -> tuple[str, ...]:
    graph = cell.graph
    return tuple(name for name in graph.handed_on if name in graph.definitions)


@dataclass(frozen=True, eq=False)
class Recurrent:
    """A cell as a function of JAX arrays; `recurrent` makes it.

    nodes: the sequences a call returns; text: the equations that a compiled program
    holds; limit: of what is kept of the steps; watched: the watch that looks at its
    gradients, and its name there.
    """

    cell: Cell
    nodes: tuple[str, ...]
    reduction: str
    threads: int | None
    check_finite: bool
    text: str
    limit: Limit | None = None
    watched: tuple[int, str] | None = None

    def __call__(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        initial: Mapping[str, Any] | None = None,
        weights: Any = None,
        lengths: Any = None,
    ) -> Outputs:
        """A forward pass; see `recurrent`."""
        more = {} if lengths is None else {"lengths": lengths}
        arrays = _read_arrays(self.cell, params, inputs, initial or {}, more)
        loss = self.cell.graph.loss
        wanted = self.nodes if loss is None else dict.fromkeys((*self.nodes, loss))
        states = _defined_states(self.cell)
        w, divisor = None, None
        if loss is not None:
            ends = self.cell.graph.ends_in_loss
            w, divisor = _weights(arrays, weights, self.reduction, ends_in_loss=ends)
        call = CellCall(
            self.text, tuple(wanted), states, tuple(arrays.initial),
            has_lengths=lengths is not None, has_total=False,
            **share_limit(self.limit),
        )  # fmt: skip
        has_divisor, see = divisor is not None, self.watched
        task = Task(call, self.threads, self.check_finite, has_divisor, watched=see)
        operands = arrays.operands + ([] if divisor is None else [divisor])
        results = iter(primitives.forward(task, operands))
        sequences = {name: next(results) for name in call.outputs}
        final = {name: next(results) for name in states}
        self._hand_on(arrays, final)
        total = None
        if loss is not None:
            total = (w * sequences[loss]).sum()
        once = sorted(self.cell.graph.times.once & sequences.keys())
        rows_once = {name: self._last(arrays, sequences[name]) for name in once}
        sequences = {name: sequences[name] for name in self.nodes if name not in once}
        if not arrays.bound.is_batched:
            sequences = {name: value[:, 0] for name, value in sequences.items()}
            final = {name: value[0] for name, value in final.items()}
            rows_once = {name: value[0] for name, value in rows_once.items()}
        found = {**sequences, **rows_once}
        sequences = {name: found[name] for name in self.nodes}
        final = join_delays(starts_of(self.cell.graph), final, jnp.stack)
        return Outputs(sequences, final, total)

    def _hand_on(self, arrays: _Arrays, final: dict[str, jax.Array]) -> None:
        """Add inputs that are read at another step; tokens in JAX's own integers."""
        graph = self.cell.graph
        for name in graph.handed_on:
            if name not in final:
                numbers = jnp.arange(arrays.lead[1])
                place = last_of(graph, name, arrays.lengths, numbers)
                final[name] = arrays.inputs[name][place]
            if counted_by(graph, name) is not None:
                final[name] = final[name].astype(int)

    def _last(self, arrays: _Arrays, rows: jax.Array) -> jax.Array:
        """A sequence at each row's own last step."""
        if arrays.lengths is None:
            return rows[-1]
        return rows[arrays.lengths - 1, jnp.arange(rows.shape[1])]


@dataclass(frozen=True)
class _Arrays:
    """A call's arrays as JAX values in the form of the primitives, by name.

    lead: tau and n_b, which may be symbols; bound: what the checks found: element type,
    whether there is a batch axis, forms.
    """

    params: dict[str, jax.Array]
    inputs: dict[str, jax.Array]
    initial: dict[str, jax.Array]
    lengths: jax.Array | None
    lead: tuple[Any, Any]
    bound: Bindings

    @property
    def operands(self) -> list[jax.Array]:
        """In the order that `Task` gives."""
        tables = (self.params, self.inputs, self.initial)
        found = [value for table in tables for value in table.values()]
        return found if self.lengths is None else [*found, self.lengths]


def _read_arrays(cell: Cell, *tables: Mapping[str, Any]) -> _Arrays:
    given = [
        {name: jnp.asarray(value) for name, value in table.items()} for table in tables
    ]
    for what, table in zip(KINDS, given, strict=False):
        for name, value in table.items():
            _refuse_type(f"{what} {name}", value, is_parameter=what == KINDS[0])
    signature = tuple(
        tuple((n, value.shape, _dtype_name(value)) for n, value in table.items())
        for table in given
    )
    bound = _check(cell, _without_symbols(cell.graph, signature))
    params, inputs, initial, rows = given
    for name, spec in cell.graph.inputs.items():
        array = _cast(inputs[name], bound, is_whole=spec.index is not None)
        if array.ndim == len(spec.shape) + bound.is_batched:  # one value per row
            array = jnp.broadcast_to(array, (bound.tau, *array.shape))
        inputs[name] = array if bound.is_batched else array[:, None]
    lead = next(
        inputs[n] for n in inputs if n not in cell.graph.times.row_inputs
    ).shape[:2]
    initial = split_delays(starts_of(cell.graph), initial, is_batched=bound.is_batched)
    states = {}
    for name in cell.graph.states:
        if name in initial:
            is_whole = counted_by(cell.graph, name) is not None
            array = _cast(initial[name], bound, is_whole=is_whole)
            rank = bound.initial[name].ndim - 1
            core = array.shape[array.ndim - rank :]
            states[name] = jnp.broadcast_to(array, (lead[1], *core))
    return _Arrays(
        {name: params[name] for name in cell.graph.parameters},
        {name: inputs[name] for name in cell.graph.inputs},
        states,
        jnp.atleast_1d(_cast(rows["lengths"], bound, is_whole=True)) if rows else None,
        lead, bound,
    )  # fmt: skip


def _refuse_type(name: str, value: jax.Array, *, is_parameter: bool) -> None:
    """Raises: DtypeError, for what no compiled call can read."""
    is_half = is_parameter and value.dtype == jnp.bfloat16
    is_number = jnp.issubdtype(value.dtype, jnp.number) or value.dtype == bool
    if is_half or not is_number or jnp.iscomplexobj(value):
        raise errors.DtypeError(
            f"{name} has element type {value.dtype}; use float32 or float64"
        )


def _dtype_name(array: jax.Array) -> str:
    """The element type as NumPy knows it; any half precision is cast alike."""
    return "float16" if array.dtype == jnp.bfloat16 else array.dtype.name


def _without_symbols(graph: Graph, signature: Signature) -> Signature:
    """A number for every symbolic size (`jax.export`): equal ones for equal symbols.

    Where the cell has a sum, `n_p+n_q`, its number is the sum of those of its parts.
    """
    sizes = [n for table in signature for _, shape, _ in table for n in shape]
    if all(type(size) is int for size in sizes):
        return signature
    told = _dims_of(graph, signature)
    parts = {d: n for d, n in with_parts(told).items() if "+" not in d}
    sums = {n for d, n in told.items() if "+" in d and type(n) is not int}
    free = (n for n in count(2) if n not in sizes)
    numbers = {
        size: next(free) for size in dict.fromkeys((*sizes, *parts.values()))
        if type(size) is not int and size not in sums
    }  # fmt: skip
    known = {d: numbers.get(n, n) for d, n in parts.items()}
    for dim, size in told.items():
        if size in sums:
            is_told = all(p in known for p in summands(dim) if isinstance(p, str))
            is_sum = is_told and number_of(dim, parts) == size
            numbers[size] = number_of(dim, known) if is_sum else next(free)
    return tuple(
        tuple((n, tuple(numbers.get(d, d) for d in shape), dtype)
              for n, shape, dtype in table)
        for table in signature
    )  # fmt: skip


def _dims_of(graph: Graph, signature: Signature) -> dict[str, Any]:
    """What the parameters and inputs tell of the named dimensions, sums among them."""
    specs = ({n: s.shape for n, s in graph.parameters.items()},
             {n: s.shape for n, s in graph.inputs.items()})  # fmt: skip
    return {
        str(dim): size
        for table, dims in zip(signature, specs, strict=False)
        for name, shape, _ in table
        for dim, size in zip(dims.get(name, ()), shape[-len(dims.get(name, ())):],
                             strict=False)
    }  # fmt: skip


def _cast(array: jax.Array, bound: Bindings, *, is_whole: bool) -> jax.Array:
    """Whole numbers as XLA passes them best, reals in the parameters' element type."""
    if not is_whole:
        return array.astype(bound.dtype)
    if array.dtype in (jnp.uint32, jnp.uint64):  # none that is too large turns small
        array = jnp.minimum(array, jnp.iinfo(jnp.int32).max)
    return array if array.dtype == jnp.int64 else array.astype(jnp.int32)


@functools.lru_cache(maxsize=256)
def _check(cell: Cell, signature: Signature) -> Bindings:
    """The checks of the cell's own calls, on zeros of the same shapes and types."""
    params, inputs, initial, rows = (
        {n: np.broadcast_to(np.zeros((), dtype), shape) for n, shape, dtype in table}
        for table in signature
    )
    lengths = np.ones_like(rows["lengths"]) if rows else None  # 0 is no length
    return bind(cell.graph, params, inputs, initial, lengths=lengths)


def _weights(
    arrays: _Arrays, weights: Any, reduction: str, *, ends_in_loss: bool
) -> tuple[jax.Array, jax.Array | None]:
    """w_t, (tau, n_b), as `Cell.forward` has it.

    Also the sum by which a mean divides, (1,), if it is known only when the compiled
    program runs. Raises: ReductionError if it is known, and 0.
    """
    (tau, n_b), bound, divisor = arrays.lead, arrays.bound, None
    w = jnp.ones((tau, n_b), bound.dtype)
    if arrays.lengths is not None:
        w = (jnp.arange(tau)[:, None] < arrays.lengths).astype(bound.dtype)
    if weights is not None:
        given = jnp.asarray(weights, bound.dtype)
        w = w * as_column(given, tau, n_b, bound.is_batched)
        if reduction == "mean":
            total = w.sum()
            if isinstance(total, jax.core.Tracer):
                divisor = jax.lax.stop_gradient(total)[None]
            else:
                refuse_no_weight(reduction, total.item())

    def is_last() -> jax.Array:
        steps = jnp.arange(1, tau + 1)[:, None]
        return steps == (tau if arrays.lengths is None else arrays.lengths)

    if ends_in_loss:
        w = w * is_last()
    return weigh(reduction, w, is_last, n_b), divisor
