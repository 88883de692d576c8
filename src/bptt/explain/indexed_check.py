"""Check the equations of a gradient as they are shown: read the text, and compute it.

A line is read by the language itself, as a cell in which everything on its right is
given: values and gradients of reverse mode on the unrolled graph, `h[t-1]` and
`grad_h[t+1]` as those of other steps. What comes out is compared with that graph's
gradient of the left side, at every step and place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.engine import Engine
from bptt.errors import BpttError
from bptt.explain.algebra.point import Point
from bptt.explain.model import FAILED, NOT_CHECKED, PASSED, TOLERANCE, Check, Text
from bptt.language.print_indices import index_lines, labelled_lines
from bptt.language.printer import Writer
from bptt.step.graph import Graph
from bptt.step.shapes import Array, Shape

FLOOR = 1e-3  # of the largest gradient, as for the cards
_READ = re.compile(r"\b([A-Za-z_]\w*)\[t([+-]\d+)?(?=[\],])")
_NAME = re.compile(r"[A-Za-z_]\w*")
_FOUND, _CLOCK = "shown", "steps_of_row"


def check_line(line: str, graph: Graph, points: tuple[Point, ...]) -> Check:
    """One equation, on every instance."""
    target, _, body = line.partition(" = ")
    if body.startswith("..."):
        return Check(NOT_CHECKED, note=Text("indexed.long"))
    worst = 0.0
    for point in points:
        try:
            with np.errstate(all="ignore"):
                error = _Reading(graph, point).error(target, body)
        except BpttError:  # what the language has no word for
            return Check(NOT_CHECKED, note=Text("indexed.unread"))
        if error is None:
            return Check(NOT_CHECKED, note=Text("indexed.carried"))
        worst = error if not error <= worst else worst
    status = PASSED if worst <= TOLERANCE else FAILED
    return Check(status, worst, TOLERANCE, len(points))


@dataclass(frozen=True)
class _Reading:
    """Reads a line at one instance."""

    graph: Graph
    point: Point

    def error(self, target: str, body: str) -> float | None:
        """How far the two sides differ, relative; None for a sum that is carried."""
        name, _, places = target.partition("[")
        number = re.search(r"(?:^|, )(\d+)\]$", places)
        if number is not None:  # of one place alone
            places = places[: number.start()] + "]" * (number.start() > 0)
        if "carried_" in target or "carried_" in body:
            return None
        is_timed = places.startswith("t")
        expected = self._gradient(name.removeprefix("grad_"), timed=is_timed)
        if number is not None:
            expected = expected.take(int(number[1]) - 1, axis=1 if is_timed else 0)
        found = np.zeros(()) if body == "0" else self._value(places, body)
        if found.ndim < expected.ndim:  # a number that stands for all places
            wide = found.reshape((*found.shape, *(1,) * (expected.ndim - found.ndim)))
            found = wide + np.zeros_like(expected)
        if found.shape != expected.shape:
            return float("inf")
        largest = max(float(np.abs(expected).max(initial=0.0)), self._floor)
        gap = float(np.abs(found - expected).max(initial=0.0)) / largest
        return gap if np.isfinite(gap) else float("inf")

    @cached_property
    def _floor(self) -> float:
        return FLOOR * max(self.point.largest_gradient, FLOOR)

    def _value(self, places: str, body: str) -> Array:
        """What the right side gives: (tau, *shape), or the shape of a parameter."""
        given: dict[str, Array] = {}
        shapes: dict[str, Shape] = {}

        def at_step(found: re.Match[str]) -> str:
            name, lag = found[1], int(found[2] or 0)
            label = name + (f"_{'before' if lag < 0 else 'after'}{abs(lag)}") * bool(
                lag
            )
            given[label] = self._steps(name, lag)
            shapes[label] = self._shape(name)
            return f"{label}[t"

        body = _READ.sub(at_step, body)
        left = f"{_FOUND}[{places}" if places else _FOUND
        equations = [f"{left} = {body}"]
        labels = labelled_lines(self.graph, Writer().text)
        equations[:0] = [line for line in labels if _NAME.findall(line)[0] in body]
        words = _NAME.findall(" ".join(equations))
        parameters = {n: s.shape for n, s in self.graph.parameters.items()}
        lines = [*index_lines(self.graph), *(
            f"{n}: ({', '.join(map(str, shape))}{',' * bool(shape)})"
            for n, shape in {**parameters, **shapes}.items()
            if n in words and n not in self._integers
        ), *equations]  # fmt: skip
        is_timed = places.startswith("t")
        if not is_timed:  # a cell has an equation of a step
            lines = [f"{_CLOCK}: ()", *lines, f"{_CLOCK}_read[t] = {_CLOCK}[t]"]
        cell = Engine("\n".join(lines))
        params = {n: self.point.graph.values[self.point.graph.place(n)]
                  for n in cell.parameters}  # fmt: skip
        clock = np.zeros((self.point.tau, 1))
        inputs = {n: clock if n == _CLOCK else given[n][:, None] for n in cell.inputs}
        run = cell.forward(params, inputs, executor="reference")
        value = np.asarray(run[_FOUND])
        return value[:, 0] if is_timed else value[0]

    # ----- numbers -----

    @cached_property
    def _integers(self) -> frozenset[str]:
        return self.point.graph.integers

    def _shape(self, name: str) -> Shape:
        own = name.removeprefix("grad_").removeprefix("incoming_")
        if name == "weight":
            return ()
        if own in self.graph.definitions:
            return self.graph.definitions[own].shape
        if own in self.graph.inputs:
            return self.graph.inputs[own].shape
        raise BpttError(f"{name} has no shape")

    def _steps(self, name: str, lag: int) -> Array:
        """The values of a name at t + lag, t = 1 ... tau."""
        tau = self.point.tau
        return np.array([self._at(name, t + lag) for t in range(1, tau + 1)])

    def _at(self, name: str, t: int) -> Array:
        graph, tau = self.point.graph, self.point.tau
        inside = 1 <= t <= tau
        if name == "weight":
            return np.asarray(self.point.weights[t - 1] if inside else 0.0)
        own = name.removeprefix("grad_").removeprefix("incoming_")
        zero = np.zeros_like(self._here(own, 1))
        if name.startswith("incoming_"):
            return self.point.seeds[own][t - 1] if inside else zero
        if name.startswith("grad_") and own in self.graph.definitions:
            return graph.grad(graph.place(own, t)) if inside else zero
        return self._here(own, t)

    def _here(self, name: str, t: int) -> Array:
        """A value; of no step before or after the row it is 0, or its initial one."""
        graph = self.point.graph
        for place, value in graph.values.items():
            if (place.name, place.t) == (name, t) and place.kind != "copy":
                return value
        # Beyond the last step a gradient that is 0 multiplies it.
        return np.ones_like(self._here(name, min(max(t, 1), self.point.tau)))

    def _gradient(self, name: str, *, timed: bool) -> Array:
        graph = self.point.graph
        if not timed:
            return graph.grad(graph.place(name))
        steps = range(1, self.point.tau + 1)
        return np.array([graph.grad(graph.place(name, t)) for t in steps])
