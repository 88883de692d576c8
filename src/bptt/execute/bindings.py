"""A caller's arrays, checked and brought to one form.

Sequences become (tau, n_b, *shape) in the parameters' element type, integers stay
integers, and every named dimension gets its one size. What does not fit is refused
here, by name, with the shape that was expected and the one that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt import errors
from bptt.execute.checks import (
    as_array,
    check_index,
    refuse_nan,
    refuse_unknown,
    to_real,
)
from bptt.execute.packing import Packing, pack_lengths
from bptt.execute.rows import is_per_row, place_seed, split_initial, spread_input
from bptt.execute.sizes import KnownSizes
from bptt.execute.tokens import counted_by, start_of
from bptt.execute.weighting import (
    as_column,
    check_reduction,
    refuse_no_weight,
    weigh,
)
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape, number_of, numbers_of, show_shape


class Steady(dict[str, Array]):
    """Parameters in one piece each, none of which moves as long as this exists."""


@dataclass(frozen=True)
class Bindings:
    """Everything an executor needs to run a program once.

    inputs, seeds, weight: (tau, n_b, *shape); initial: (n_b, *shape); is_batched:
    whether the caller's sequences had a batch axis; tau steps; n_b rows; sizes per
    dimension. In a ragged batch `packing` tells how its useful steps are stored, and
    inputs, seeds and weight hold those alone: (n_rows, *shape).
    """

    dtype: np.dtype[Any]
    tau: int
    n_b: int
    is_batched: bool
    sizes: Mapping[str, int]
    parameters: Mapping[str, Array]
    inputs: Mapping[str, Array]
    initial: Mapping[str, Array]
    weight: Array
    seeds: Mapping[str, Array]
    packing: Packing | None = None

    @property
    def real_dtype(self) -> np.dtype[Any]:
        """The element type of constants: real also where the parameters are complex."""
        return np.dtype(np.float64) if self.dtype.kind == "c" else self.dtype

    def numbers(self, shape: tuple[Any, ...]) -> tuple[int, ...]:
        """A shape with named dimensions as numbers."""
        return numbers_of(shape, self.sizes)

    def input_at(self, name: str, index: int) -> Array:
        """An input at each row's first step (index 0) or its last one (-1)."""
        rows = self.inputs[name]
        row: Array = (
            rows[index] if self.packing is None else self.packing.at(rows, index)
        )
        return row

    def pack(self, array: Array) -> Array:
        """A sequence (tau, n_b, *shape), of a ragged batch its useful steps alone."""
        return array if self.packing is None else self.packing.pack(array)

    def cut_off(self) -> Bindings:
        """A batch of one row that ends where the row does."""
        if self.packing is None:
            return self
        return replace(
            self,
            tau=self.packing.n_rows,
            inputs={name: array[:, None] for name, array in self.inputs.items()},
            seeds={name: array[:, None] for name, array in self.seeds.items()},
            weight=self.weight[:, None],
            packing=None,
        )

    def unpacked(self) -> Bindings:
        """The same with every sequence as (tau, n_b, *shape), zero in the padding."""
        if self.packing is None:
            return self
        unpack = self.packing.unpack
        return replace(
            self,
            inputs={name: unpack(array) for name, array in self.inputs.items()},
            seeds={name: unpack(array) for name, array in self.seeds.items()},
            weight=unpack(self.weight),
        )


def parameter_arrays(
    graph: Graph, params: Mapping[str, Any]
) -> tuple[dict[str, Array], np.dtype[Any], KnownSizes]:
    """The parameters as arrays of one element type, and the sizes they imply."""
    refuse_unknown(params, graph.parameters, "parameter")
    arrays: dict[str, Array] = {}
    sizes = KnownSizes()
    for name, spec in graph.parameters.items():
        if name not in params:
            raise errors.MissingParameterError(
                f"parameter {name} {show_shape(spec.shape)} is missing; given: "
                f"{', '.join(params) or 'none'}. cell.init(...) makes all of them"
            )
        array = as_array(f"parameter {name}", params[name])
        if array.dtype not in (np.float32, np.float64, np.complex128):
            raise errors.DtypeError(
                f"parameter {name} has element type {array.dtype}; use float32 or "
                "float64 (complex128 in the reference executor)"
            )
        if array.ndim != len(spec.shape):
            raise errors.InputRankError(
                f"parameter {name} should have shape {show_shape(spec.shape)}, "
                f"got {array.shape}"
            )
        sizes.fit(f"parameter {name}", spec.shape, array.shape)
        refuse_nan(f"parameter {name}", array)
        arrays[name] = array
    return arrays, _one_dtype(arrays), sizes


def _one_dtype(arrays: Mapping[str, Array]) -> np.dtype[Any]:
    dtypes = list(dict.fromkeys(array.dtype for array in arrays.values()))
    if len(dtypes) > 1:
        listed = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise errors.DtypeError(
            f"the parameters must share one element type, got {listed}"
        )
    return dtypes[0] if dtypes else np.dtype(np.float64)


def _widest(arrays: Iterable[Array]) -> np.dtype[Any]:
    """The element type of a cell without parameters: that of its sequences."""
    kinds = {array.dtype for array in arrays}
    real = {dtype for dtype in kinds if dtype.kind == "f"}
    if any(dtype.kind == "c" for dtype in kinds):
        return np.dtype(np.complex128)
    return np.dtype(np.float32 if real == {np.dtype(np.float32)} else np.float64)


def bind(
    graph: Graph,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    initial: Mapping[str, Any] | None = None,
    seeds: Mapping[str, Any] | None = None,
    reduction: str = "sum",
    weights: Any = None,
    extra: Mapping[str, Any] | None = None,
    lengths: Any = None,
) -> Bindings:
    """Check everything a caller gives, and bring it to one form.

    lengths: the steps of each row; what lies beyond them is cut off before anything
    looks at it. extra: static leaves beside the parameters (a direction), already
    checked.
    Raises: a subclass of `errors.ArgumentError` for every mistake.
    """
    parameters, dtype, sizes = parameter_arrays(graph, params)
    arrays = _input_arrays(graph, inputs)
    seed_arrays = _seed_arrays(graph, seeds or {})
    if not parameters:
        given = (initial or {}).items()
        states = [as_array(f"initial state {name}", value) for name, value in given]
        dtype = _widest([*arrays.values(), *seed_arrays.values(), *states])
    tau, n_b, is_batched = _lead(graph, arrays, seed_arrays, sizes)
    _spread_over_time(
        graph, arrays, seed_arrays, sizes, (tau, n_b), lengths, is_batched=is_batched
    )
    initial = split_initial(graph, initial or {}, is_batched=is_batched)
    if not is_batched:
        arrays = {name: array[:, None] for name, array in arrays.items()}
        seed_arrays = {name: array[:, None] for name, array in seed_arrays.items()}
    packing = pack_lengths(lengths, tau, n_b, is_batched)
    if packing is not None:
        arrays = {name: packing.pack(array) for name, array in arrays.items()}
        seed_arrays = {name: packing.pack(array) for name, array in seed_arrays.items()}
    # Before the inputs: what a class index counts may be known from a state alone.
    started = _initial(graph, initial, dtype, n_b, is_batched, sizes)
    return Bindings(
        dtype, tau, n_b, is_batched, sizes.known,
        {**parameters, **(extra or {})},
        {name: _element_type(graph, name, array, dtype, sizes.known, packing)
         for name, array in arrays.items()},
        started,
        _weight(graph, reduction, weights, tau, n_b, is_batched, dtype, packing),
        {name: to_real(f"seed {name}", array, dtype, packing)
         for name, array in seed_arrays.items()},
        packing,
    )  # fmt: skip


def _spread_over_time(
    graph: Graph, inputs: dict[str, Array], seeds: dict[str, Array], sizes: KnownSizes,
    lead: tuple[int, int], lengths: Any, *, is_batched: bool,
) -> None:  # fmt: skip
    """Values of one per row, as sequences: inputs at all steps, seeds at the last."""
    for name in sorted(graph.times.row_inputs):
        what, shape = f"input {name}", graph.inputs[name].shape
        sizes.fit(what, shape, inputs[name].shape)
        inputs[name] = spread_input(
            what, inputs[name], shape, lead, is_batched=is_batched
        )
    for name in sorted(graph.times.once & seeds.keys()):
        shape = graph.definitions[name].shape
        sizes.fit(f"seed {name}", shape, seeds[name].shape)
        seeds[name] = place_seed(
            seeds[name], shape, lead, lengths, is_batched=is_batched
        )


def _input_arrays(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    refuse_unknown(inputs, graph.inputs, "input")
    missing = [name for name in graph.inputs if name not in inputs]
    if missing:
        drawn = graph.inputs[missing[0]].draw is not None
        hint = "; cell.draw(params, inputs, seed=0) draws it" if drawn else ""
        raise errors.MissingInputError(
            f"input {missing[0]} {_expected(graph, missing[0])} is missing; given: "
            f"{', '.join(inputs) or 'none'}{hint}"
        )
    return {name: as_array(f"input {name}", inputs[name]) for name in graph.inputs}


def _lead(
    graph: Graph,
    arrays: Mapping[str, Array],
    seeds: Mapping[str, Array],
    sizes: KnownSizes,
) -> tuple[int, int, bool]:
    """Steps, rows and whether there is a batch axis; all sequences must agree."""
    sequences = [
        *((f"input {n}", graph.inputs[n].shape, a) for n, a in arrays.items()
          if not is_per_row(graph, n)),
        *((f"seed {n}", graph.definitions[n].shape, a) for n, a in seeds.items()
          if not is_per_row(graph, n)),
    ]  # fmt: skip
    lead = _Lead()
    for what, shape, array in sequences:
        lead.see(what, shape, array)
    result = lead.result()
    for what, shape, array in sequences:
        sizes.fit(what, shape, array.shape)
    return result


class _Lead:
    """The number of steps and rows, and who said so first."""

    def __init__(self) -> None:
        self._found: tuple[str, tuple[int, ...], tuple[int, ...]] | None = None

    def see(self, what: str, shape: Shape, array: Array) -> None:
        """Compare the leading axes of one more sequence with the first one's."""
        lead = array.shape[: array.ndim - len(shape)]
        if self._found is not None and self._found[1] == lead:
            return
        if len(lead) not in (1, 2) or array.ndim < len(shape):
            raise errors.InputRankError(
                f"{what} should have shape {_show_sequence(shape)}, got {array.shape}"
            )
        if 0 in lead:
            raise errors.EmptySequenceError(
                f"{what} {_show_sequence(shape)} has shape {array.shape}: "
                "a sequence has at least one step and a batch one row"
            )
        if self._found is not None:
            raise errors.SizeError(
                f"{what} {_show_sequence(shape)} has shape {array.shape}, but "
                f"{self._found[0]} has shape {self._found[2]}, which means "
                f"{_show_lead(self._found[1])}"
            )
        self._found = (what, lead, array.shape)

    def result(self) -> tuple[int, int, bool]:
        """tau, n_b, and whether there was a batch axis."""
        if self._found is None:
            raise errors.EmptySequenceError(
                "the cell reads no input, so nothing says how many steps to run; "
                "give it an input, for example `x[t]` with a column of zeros"
            )
        lead = self._found[1]
        return lead[0], lead[1] if len(lead) == 2 else 1, len(lead) == 2


def _show_lead(lead: tuple[int, ...]) -> str:
    names = ("tau", "n_b")
    return ", ".join(f"{n} = {s}" for n, s in zip(names, lead, strict=False))


def _show_sequence(shape: Shape) -> str:
    core = "".join(f", {dim}" for dim in shape)
    return f"(tau, n_b{core}) or (tau{core or ','})"


def _expected(graph: Graph, name: str) -> str:
    spec = graph.inputs[name]
    kind = "" if spec.index is None else f" of integers below {spec.index}"
    return _show_sequence(spec.shape) + kind


def _element_type(
    graph: Graph,
    name: str,
    array: Array,
    dtype: np.dtype[Any],
    sizes: Mapping[str, int],
    packing: Packing | None,
) -> Array:
    index = graph.inputs[name].index
    if index is None:
        return to_real(f"input {name}", array, dtype, packing)
    limit = number_of(index, sizes)
    return check_index(f"input {name}", array, limit, f"{index} = {limit}", packing)


def _seed_arrays(graph: Graph, seeds: Mapping[str, Any]) -> dict[str, Array]:
    for name in seeds:
        if name not in graph.definitions:
            raise errors.UnknownNodeError(
                f"seed {name} is not a node of the cell; its nodes are: "
                f"{errors.list_known(name, graph.definitions)}"
            )
    return {name: as_array(f"seed {name}", value) for name, value in seeds.items()}


def _initial(
    graph: Graph, given: Mapping[str, Any], dtype: np.dtype[Any], n_b: int,
    is_batched: bool, sizes: KnownSizes,
) -> dict[str, Array]:  # fmt: skip
    refuse_unknown(given, dict.fromkeys(graph.states), "initial state")
    arrays: dict[str, Array] = {}
    # Tokens last: what they count may be known from another state alone.
    tokens = [name for name in given if counted_by(graph, name) is not None]
    for name in (*(n for n in given if n not in tokens), *tokens):
        value, what = given[name], f"initial state {name}"
        array = as_array(what, value)
        shape = (graph.definitions.get(name) or graph.inputs[name]).shape
        if array.ndim == len(shape):
            array = np.broadcast_to(array, (n_b, *array.shape))
        elif array.ndim != len(shape) + 1 or not is_batched or array.shape[0] != n_b:
            core = "".join(f", {dim}" for dim in shape)
            raise errors.InputRankError(
                f"{what} should have shape (n_b{core or ','}) with n_b = {n_b}, or "
                f"{show_shape(shape)} for all rows alike; got {array.shape}"
            )
        sizes.fit(what, shape, np.shape(value))
        if name in tokens:
            arrays[name] = start_of(graph, name, array, sizes.known, dtype)
        else:
            arrays[name] = to_real(what, array, dtype)
    return arrays


def _weight(
    graph: Graph, reduction: str, weights: Any, tau: int, n_b: int, is_batched: bool,
    dtype: np.dtype[Any], packing: Packing | None = None,
) -> Array:  # fmt: skip
    """w_t, the weight of every L^(t) in the total: ∂L/∂L^(t)."""
    check_reduction(reduction)
    w = np.ones((tau, n_b) if packing is None else packing.n_rows, dtype)
    if weights is not None:
        given = as_column(as_array("weights", weights), tau, n_b, is_batched)
        if packing is not None:
            given = packing.pack(np.broadcast_to(given, (tau, n_b)))
        w = w * to_real("weights", given, dtype, packing)

    def is_last() -> Array:
        return np.arange(tau)[:, None] == tau - 1 if packing is None else packing.ends

    if graph.ends_in_loss:
        w = w * is_last()
    refuse_no_weight(reduction, w.sum())
    return np.asarray(weigh(reduction, w, is_last, n_b))
