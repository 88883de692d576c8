"""From a step graph and its arrays to the explicit graph in time, t = 1..tau."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from bptt import errors
from bptt.calculus.program import forward_program
from bptt.execute import reference
from bptt.execute.bindings import Bindings, bind
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape
from bptt.unrolled.graph import Unrolled
from bptt.unrolled.local import LocalEquation, Read, cut_equations, jacobians
from bptt.unrolled.places import Edge, Place

TOTAL = Place("total", "L")


def unroll(
    graph: Graph,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    initial: Mapping[str, Any] | None = None,
    seeds: Mapping[str, Any] | None = None,
    reduction: str = "sum",
    weights: Any = None,
    lengths: Any = None,
    meaning: reference.Meaning = reference.AS_IT_IS,
) -> Unrolled:
    """The explicit unrolled graph of one batch row, every edge with its Jacobian.

    inputs, seeds, weights: sequences without a batch axis, (tau, *shape); a batch is
    the sum over its rows. lengths: the number of steps, a whole number; the graph ends
    there. meaning: see `reference.run`. A seed g adds an edge from every n^(t) to L,
    with Jacobian g^(t).
    Raises: InputRankError if the sequences hold more than one row; errors of `bind`.
    """
    bindings = bind(
        graph, params, inputs, initial, seeds, reduction, weights, lengths=lengths
    )
    if bindings.n_b != 1:
        raise errors.InputRankError(
            f"the unrolled graph is drawn for one batch row, got {bindings.n_b}; "
            "pass inputs of shape (tau, ...), for example x[:, 0]"
        )
    return _UnrolledBuilder(graph, bindings.cut_off(), meaning).build()


@dataclass(frozen=True)
class _UnrolledBuilder:
    """Makes places and edges from the values of one forward run."""

    graph: Graph
    bindings: Bindings
    meaning: reference.Meaning

    def build(self) -> Unrolled:
        """All places, and every edge with its Jacobian."""
        values = self._values()
        places = self._places()
        edges = [*self._copy_edges(), *self._total_edges()]
        for name in self.graph.definitions:
            edges.extend(self._equation_edges(name, values))
        shapes = {place: self._shape(place) for place in places}
        integers = {n for n, s in self.graph.inputs.items() if s.index is not None}
        by_place = {place: self._value(place, values) for place in places[:-1]}
        if self.graph.backward:
            places = _in_order(places, edges)
        return Unrolled(
            self.bindings.tau, tuple(places), tuple(edges), by_place, shapes,
            frozenset(integers),
        )  # fmt: skip

    def _values(self) -> dict[str, Array]:
        """Every sequence with rows for t = 0 and t = tau + 1: (tau + 2, *shape)."""
        names = tuple(self.graph.definitions)
        program = forward_program(self.graph, names)
        run = reference.run(program, self.bindings, self.meaning)
        sequences = {name: run[program.roots[name]] for name in names}
        sequences.update(self.bindings.inputs)
        found = {}
        for name, rows in sequences.items():
            zero = np.zeros(rows.shape[1:], rows.dtype)
            boundary = self.bindings.initial.get(name, zero)
            ends = (boundary, zero) if self.graph.lag(name) < 0 else (zero, boundary)
            found[name] = np.stack([ends[0], *rows, ends[1]])[:, 0]
        return found

    def _boundary(self, name: str) -> int:
        """The step of a state's initial value: 0, or tau + 1 for a backward one."""
        return 0 if self.graph.lag(name) < 0 else self.bindings.tau + 1

    def _places(self) -> list[Place]:
        """Forward order: parameters, copies, h^(0), inputs, nodes by step, L."""
        graph, steps = self.graph, range(1, self.bindings.tau + 1)
        places = [Place("parameter", name) for name in graph.parameters]
        places += [Place("copy", name, t) for t in steps for name in graph.parameters]
        places += [
            Place("initial", name, self._boundary(name)) for name in graph.states
        ]
        places += [Place("input", name, t) for t in steps for name in graph.inputs]
        places += [Place("node", name, t) for t in steps for name in graph.definitions]
        return [*places, TOTAL]

    def _dims(self, place: Place) -> Shape:
        if place.kind == "total":
            return ()
        if place.name in self.graph.definitions:
            return self.graph.definitions[place.name].shape
        if place.name in self.graph.inputs:
            return self.graph.inputs[place.name].shape
        return self.graph.parameters[place.name].shape

    def _shape(self, place: Place) -> Shape:
        return self._dims(place)

    def _value(self, place: Place, values: Mapping[str, Array]) -> Array:
        if place.kind in ("parameter", "copy"):
            return self.bindings.parameters[place.name]
        assert place.t is not None
        value: Array = values[place.name][place.t]
        return value

    def _copy_edges(self) -> Iterator[Edge]:
        for name, array in self.bindings.parameters.items():
            dims = self.graph.parameters[name].shape
            for t in range(1, self.bindings.tau + 1):
                source, target = Place("parameter", name), Place("copy", name, t)
                yield Edge(source, target, None, array.shape, dims, dims)

    def _total_edges(self) -> Iterator[Edge]:
        """L^(t) -> L carries w_t; a seeded node -> L carries its seed."""
        for t in range(self.bindings.tau):
            for name in self.graph.definitions:
                parts = []
                if name == self.graph.loss:
                    parts.append(self.bindings.weight[t, 0])
                if name in self.bindings.seeds:
                    parts.append(self.bindings.seeds[name][t, 0])
                if parts:
                    row = np.asarray(sum(parts[1:], parts[0]))
                    source = Place("node", name, t + 1)
                    dims = self._dims(source)
                    yield Edge(source, TOTAL, row, row.shape, dims, ())

    def _equation_edges(self, name: str, values: Mapping[str, Array]) -> Iterator[Edge]:
        equation = cut_equations(self.graph)[name]
        read_values = self._read_values(equation, values)
        sizes = self.bindings.sizes
        found = jacobians(equation, read_values, sizes, self.meaning)
        out_dims = self.graph.definitions[name].shape
        for t in range(1, self.bindings.tau + 1):
            target = Place("node", name, t)
            for key, read in equation.reads.items():
                source = self._source(read, t)
                array = found[key]
                yield Edge(
                    source, target, None if array is None else array[t - 1],
                    read_values[key].shape[1:], self._dims(source), out_dims,
                    is_cut=array is None,
                )  # fmt: skip

    def _read_values(
        self, equation: LocalEquation, values: Mapping[str, Array]
    ) -> dict[str, Array]:
        tau, found = self.bindings.tau, {}
        for key, read in equation.reads.items():
            if read.is_parameter:
                array = self.bindings.parameters[read.name]
                found[key] = np.broadcast_to(array, (tau, *array.shape))
            else:
                found[key] = values[read.name][1 + read.lag : 1 + read.lag + tau]
        return found

    def _source(self, read: Read, t: int) -> Place:
        if read.is_parameter:
            return Place("copy", read.name, t)
        step = t + read.lag
        if step in (0, self.bindings.tau + 1):
            return Place("initial", read.name, step)
        kind = "node" if read.name in self.graph.definitions else "input"
        return Place(kind, read.name, step)


def _in_order(places: list[Place], edges: list[Edge]) -> list[Place]:
    """Every place after those it reads, where order by steps would not do: h[t+1]."""
    reads: dict[Place, list[Place]] = {place: [] for place in places}
    for edge in edges:
        reads[edge.target].append(edge.source)
    order = TopologicalSorter(reads).static_order()
    return [*(place for place in order if place != TOTAL), TOTAL]
