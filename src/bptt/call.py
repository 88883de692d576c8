"""One call of a cell from another library: what goes in and comes out, by name.

A front end has arrays in a row, programs that outlive Python's objects, and gradients
that arrive at results. Here stand, once for all of them, the order of the arrays, the
call as text that a compiled program can hold, the shapes of results, where a state's
last value is, and how gradients on results become seeds on sequences.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bptt import errors
from bptt.execute.checkpoints import Limit, read_limit
from bptt.language import parse_cell
from bptt.step.graph import Graph
from bptt.step.shapes import Array, numbers_of
from bptt.weights import TORCH, Stacking


@dataclass(frozen=True)
class CellCall:
    """A cell, and the names of the arrays that go in and come out, in order.

    text: the cell's equations; outputs: nodes whose sequences come out; finals: states
    whose last value comes out; initial: states whose first value is given; stacking:
    the key of `weights.TORCH` that the parameters' tensors follow, or "" where they are
    the cell's own; tensors: the names of those tensors, by default the cell's
    parameters; reduction: of the loss; has_weights, has_lengths: whether the weights of
    the steps' losses, and the rows' numbers of steps, are given; has_total: whether
    the total loss comes out; without it the loss of a step is a node like others;
    memory, checkpoint, truncate: what may be held of its steps, see `Limit`.

    Going in: tensors, inputs, initial, weights, lengths. Coming out: outputs, finals,
    and the total loss if the cell has one.
    """

    text: str
    outputs: tuple[str, ...]
    finals: tuple[str, ...]
    initial: tuple[str, ...] = ()
    stacking: str = ""
    tensors: tuple[str, ...] = ()
    reduction: str = "sum"
    has_weights: bool = False
    has_lengths: bool = False
    has_total: bool = True
    memory: int | None = None
    checkpoint: int | str | None = None
    truncate: tuple[int, ...] = ()

    def encode(self) -> str:
        """The call as text, read back by `decode`."""
        return json.dumps(asdict(self))

    @property
    def limit(self) -> Limit | None:
        """What may be held of its steps; None where all of them are kept."""
        return read_limit(self.memory, self.checkpoint, self.truncate or None)

    @property
    def graph(self) -> Graph:
        """The cell."""
        return graph_of(self.text, has_total=self.has_total)

    @property
    def stacks(self) -> Stacking | None:
        """How the tensors hold the parameters, or None where they are these."""
        return TORCH[self.stacking] if self.stacking else None

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names of what goes in: tensors, inputs, initial values, and the rest."""
        rest = ("weights",) * self.has_weights + ("lengths",) * self.has_lengths
        graph = self.graph
        tensors = self.tensors or tuple(graph.parameters)
        return tensors, tuple(graph.inputs), self.initial, rest

    def split(self, items: Sequence[Any]) -> Given:
        """What goes in, by name; items beyond it are left alone."""
        start, found = 0, []
        for names in self.names:
            part = items[start : start + len(names)]
            found.append(dict(zip(names, part, strict=True)))
            start += len(names)
        tensors, inputs, initial, rest = found
        return Given(tensors, inputs, initial, rest.get("weights"), rest.get("lengths"))

    # ----- shapes -----

    def parameter_sizes(self, shapes: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """The named dimensions that the parameters' shapes tell; one size each.

        Raises: SizeError.
        """
        sizes: dict[str, Any] = {}
        for name, shape in shapes.items():
            dims = self.graph.parameters[name].shape
            for dim, size in zip(dims, shape, strict=True):
                if sizes.setdefault(str(dim), size) != size:
                    raise errors.SizeError(
                        f"parameter {name} has shape {tuple(shape)}, but {dim} is "
                        f"{sizes[str(dim)]} in the parameters before it"
                    )
        return sizes

    def result_shapes(self, shapes: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The shapes of what comes out, from those of what goes in, in order.

        Sizes may be symbols. Raises: SizeError.
        """
        graph, given = self.graph, self.split(shapes)
        stacks = self.stacks
        params = given.tensors if stacks is None else stacks.shapes(given.tensors)
        sizes = self.parameter_sizes(params)
        lead: tuple[Any, ...] = ()
        for name, shape in given.inputs.items():
            dims = graph.inputs[name].shape
            lead = tuple(shape[: len(shape) - len(dims)])
            widths = zip(dims, shape[len(lead) :], strict=True)
            sizes |= {str(dim): width for dim, width in widths}

        def core(name: str) -> tuple[Any, ...]:
            return numbers_of(graph.definitions[name].shape, sizes)

        found = [(*lead, *core(name)) for name in self.outputs]
        found += [(*lead[1:], *core(name)) for name in self.finals]
        return found if graph.loss is None else [*found, ()]

    # ----- gradients that arrive -----

    def join_seeds(
        self,
        arrived: Mapping[int, Array],
        tau: int,
        n_b: int,
        lengths: Array | None = None,
    ) -> dict[str, Array]:
        """Gradients on sequences and last values as one on every node's sequence.

        arrived: by the number of the result, with a batch axis; what is no sequence or
        last value is left alone. The gradient on a state's last value is added where
        that value is in the sequence, in a copy.
        """
        given = {
            name: arrived[number]
            for number, name in enumerate(self.outputs)
            if number in arrived
        }
        for number, name in enumerate(self.finals, len(self.outputs)):
            if number not in arrived:
                continue
            last = arrived[number]
            rows = given.get(name)
            if rows is None:
                rows = np.zeros((tau, *last.shape), last.dtype)
            given[name] = rows = np.array(rows)
            rows[last_of(self.graph, name, lengths, np.arange(n_b))] += last
        return given


@dataclass(frozen=True)
class Given:
    """What goes into a call, by name; weights and lengths are None where not given."""

    tensors: dict[str, Any]
    inputs: dict[str, Any]
    initial: dict[str, Any]
    weights: Any
    lengths: Any


def share_limit(limit: Limit | None, count: int = 1) -> dict[str, Any]:
    """The fields of `CellCall` for one of `count` calls: of bytes an equal part."""
    if limit is None:
        return {}
    if limit.memory is not None:
        limit = replace(limit, memory=max(1, limit.memory // count))
    return {
        "memory": limit.memory, "checkpoint": limit.checkpoint,
        "truncate": limit.truncate or (),
    }  # fmt: skip


def last_of(graph: Graph, name: str, lengths: Any, rows: Any) -> Any:
    """Where in a padded sequence (tau, n_b, ...) a state's last values are.

    An index for the arrays of any library. lengths: per row, or None where all rows run
    all steps; rows: 0..n_b - 1 in the library's form.
    """
    if name in graph.backward:
        return 0
    return -1 if lengths is None else (lengths - 1, rows)


@functools.lru_cache(maxsize=256)
def decode(text: str) -> CellCall:
    """The call that `CellCall.encode` wrote."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(text).items()
    }
    return CellCall(**fields)


@functools.lru_cache(maxsize=256)
def graph_of(text: str, *, has_total: bool = True) -> Graph:
    """The cell of a text; without a total its loss is a node like others."""
    graph = parse_cell(text)
    return graph if has_total else replace(graph, loss=None)
