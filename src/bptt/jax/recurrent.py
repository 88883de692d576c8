"""A cell as a function of JAX arrays."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bptt import errors
from bptt.cell import Cell
from bptt.execute.bindings import Bindings, bind
from bptt.execute.kernels.executor import count_threads
from bptt.execute.weighting import as_column, check_reduction, weigh
from bptt.jax import primitives
from bptt.jax.task import Task

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
) -> Recurrent:
    """The cell as a function of JAX arrays, run by the same kernels.

    f(params, inputs, initial=None, weights=None, lengths=None) -> Outputs, for `jit`,
    `grad`, `value_and_grad` and `vmap`. It is differentiable once, in reverse mode,
    with respect to parameters, real inputs, initial states and weights.

    nodes: names whose sequences a call returns; by default the states of a cell without
    a loss, and none of a cell with one, since a sequence returned is a sequence copied.
    reduction, weights, lengths: as in `Cell.forward`. threads: at most so many.

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

    Raises: UnknownNodeError, ReductionError, ThreadsError; when JAX traces a call, the
    errors of `Cell.forward` for arrays that do not fit, ForwardModeError and
    SecondDerivativeError. A value that cannot be (NaN, a token out of range) is found
    when the compiled call runs; JAX raises an error of its own with the message inside.
    """
    check_reduction(reduction)
    if threads is not None:
        threads = count_threads(threads)
    names = _sequences(cell, nodes)
    return Recurrent(cell, names, reduction, threads, cell.canonical_text)


def _sequences(cell: Cell, nodes: Iterable[str] | None) -> tuple[str, ...]:
    if nodes is None:
        return () if cell.graph.loss else _defined_states(cell)
    names = (nodes,) if isinstance(nodes, str) else tuple(dict.fromkeys(nodes))
    for name in names:
        if name not in cell.graph.definitions:
            raise errors.UnknownNodeError(
                f"{name} is not a node of the cell; its nodes are: "
                f"{', '.join(cell.nodes)}"
            )
    return names


def _defined_states(cell: Cell) -> tuple[str, ...]:
    return tuple(name for name in cell.states if name in cell.graph.definitions)


@dataclass(frozen=True, eq=False)
class Recurrent:
    """A cell as a function of JAX arrays; `recurrent` makes it.

    nodes: the sequences a call returns; text: the equations that a compiled program
    holds.
    """

    cell: Cell
    nodes: tuple[str, ...]
    reduction: str
    threads: int | None
    text: str

    def __call__(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        initial: Mapping[str, Any] | None = None,
        weights: Any = None,
        lengths: Any = None,
    ) -> Outputs:
        """A forward pass; see `recurrent`."""
        rows = {} if lengths is None else {"lengths": lengths}
        arrays = _read_arrays(self.cell, params, inputs, initial or {}, rows)
        loss = self.cell.graph.loss
        wanted = self.nodes if loss is None else dict.fromkeys((*self.nodes, loss))
        states = _defined_states(self.cell)
        task = Task(
            self.text, tuple(arrays.initial), tuple(wanted), states, self.threads,
            lengths is not None,
        )  # fmt: skip
        results = iter(primitives.forward(task, arrays.operands))
        sequences = {name: next(results) for name in task.nodes}
        final = {name: next(results) for name in states}
        for name in self.cell.states:  # an input that is read one step late
            if name not in final:
                final[name] = self._last(arrays, name)
        total = None
        if loss is not None:
            w = _weights(arrays, weights, self.reduction)
            total = (w * sequences[loss]).sum()
        sequences = {name: sequences[name] for name in self.nodes}
        if not arrays.bound.is_batched:
            sequences = {name: value[:, 0] for name, value in sequences.items()}
            final = {name: value[0] for name, value in final.items()}
        return Outputs(sequences, final, total)

    def _last(self, arrays: _Arrays, name: str) -> jax.Array:
        """The last row of an input that is a state."""
        rows = arrays.inputs[name]
        if name in self.cell.graph.backward:
            return rows[0]
        if arrays.lengths is None:
            return rows[-1]
        return rows[arrays.lengths - 1, jnp.arange(rows.shape[1])]


@dataclass(frozen=True)
class _Arrays:
    """A call's arrays as JAX values in the form of the primitives, by name.

    bound: what the checks found: sizes, element type, rows.
    """

    params: dict[str, jax.Array]
    inputs: dict[str, jax.Array]
    initial: dict[str, jax.Array]
    lengths: jax.Array | None
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
    signature = tuple(
        tuple((n, value.shape, value.dtype.name) for n, value in table.items())
        for table in given
    )
    bound = _check(cell, signature)
    params, inputs, initial, rows = given
    for name in cell.graph.inputs:
        array = _cast(inputs[name], bound)
        inputs[name] = array if bound.is_batched else array[:, None]
    states = {}
    for name in cell.graph.states:
        if name in initial:
            array = _cast(initial[name], bound)
            states[name] = jnp.broadcast_to(array, bound.initial[name].shape)
    return _Arrays(
        {name: params[name] for name in cell.graph.parameters},
        {name: inputs[name] for name in cell.graph.inputs},
        states,
        jnp.atleast_1d(_cast(rows["lengths"], bound)) if rows else None,
        bound,
    )


def _cast(array: jax.Array, bound: Bindings) -> jax.Array:
    """Integers as XLA passes them best, reals in the parameters' element type."""
    if not jnp.issubdtype(array.dtype, jnp.integer):
        return array.astype(bound.dtype)
    return array if array.dtype == jnp.int64 else array.astype(jnp.int32)


@functools.lru_cache(maxsize=256)
def _check(cell: Cell, signature: Signature) -> Bindings:
    """The checks of the cell's own calls, on zeros of the same shapes and types."""
    params, inputs, initial, rows = (
        {n: np.broadcast_to(np.zeros((), dtype), shape) for n, shape, dtype in table}
        for table in signature
    )
    lengths = rows["lengths"] + 1 if rows else None  # 0 is no length
    return bind(cell.graph, params, inputs, initial, lengths=lengths)


def _weights(arrays: _Arrays, weights: Any, reduction: str) -> jax.Array:
    """w_t, (tau, n_b), as `Cell.forward` has it."""
    bound = arrays.bound
    w = jnp.ones((bound.tau, bound.n_b), bound.dtype)
    if arrays.lengths is not None:
        w = (jnp.arange(bound.tau)[:, None] < arrays.lengths).astype(bound.dtype)
    if weights is not None:
        given = jnp.asarray(weights, bound.dtype)
        w = w * as_column(given, bound.tau, bound.n_b, bound.is_batched)

    def is_last() -> jax.Array:
        steps = jnp.arange(1, bound.tau + 1)[:, None]
        return steps == (bound.tau if arrays.lengths is None else arrays.lengths)

    return weigh(reduction, w, is_last, bound.n_b)
