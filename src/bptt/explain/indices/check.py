"""Check the equations of a gradient as they are shown: read the text, and compute it.

A line is read by the language itself, as a cell in which everything on its right is
given: values and gradients of reverse mode on the unrolled graph, `h[t-1]` and
`grad_h[t+1]` as those of other steps. What comes out is compared with what that graph
has for the left side, at every step and place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial

import numpy as np

from bptt.check.rounding import Error, largest
from bptt.engine import Engine
from bptt.errors import BpttError
from bptt.execute import reference
from bptt.execute.bindings import bind
from bptt.explain.algebra.compare import decide_alike
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.indices.lines import GradientLine
from bptt.explain.model import NOT_CHECKED, TOLERANCE, Check, Text
from bptt.explain.verdict import Judged, error_of, verdict
from bptt.language.print_indices import index_lines, labelled_lines
from bptt.language.printer import Writer, declaration
from bptt.results import Run
from bptt.step.evaluate import aligned_inputs
from bptt.step.graph import Graph, Node
from bptt.step.shapes import Array, Dim, Shape, number_of

FLOOR = 1e-3  # of the largest gradient, as for the cards
_READ = re.compile(r"\b([A-Za-z_]\w*)\[t([+-]\d+)?(?=[\],])")
STEP = re.compile(r"\[t([+-]\d+)?(?=[\],])")
_ONE_HOT = re.compile(r"\bone_hot(?:_of)?\((\w+)\[t([+-]\d+)?\]\)")
_COLUMN = re.compile(r"(\w+(?:\[[^\[\]]*\])?)\[:, (\w+)\[t([+-]\d+)?\]\]")
_NAME = re.compile(r"[A-Za-z_]\w*")
_FOUND, _LIKE, _UNIT = "shown", "left_side", "one_hot_"
Expected = Callable[[Point, int], Array]


def check_line(line: GradientLine, graph: Graph, points: tuple[Point, ...]) -> Check:
    """A whole gradient, or with [t] that of a step, on every instance."""

    def expected(point: Point, t: int) -> Array:
        place = point.graph.place(line.name, t if "[t" in line.left else None)
        return point.graph.grad(place)

    return check_against(line, graph, points, expected)


def check_term(
    line: GradientLine, reader: str, lag: int, graph: Graph, points: tuple[Point, ...]
) -> Check:
    """What one reader gives back, against that edge of the unrolled graph."""

    def expected(point: Point, t: int) -> Array:
        place = point.graph.place(line.name, t)
        found = np.zeros(np.shape(point.graph.values[place]))
        for edge, part in point.graph.contributions(place):
            is_total = edge.target == point.graph.total
            name = "" if is_total else edge.target.name
            if name == reader and (is_total or edge.target.t == t + lag):
                found = found + part
        return found

    return check_against(line, graph, points, expected)


def check_value(line: GradientLine, graph: Graph, points: tuple[Point, ...]) -> Check:
    """A line of the cell itself, `S[t, j] = ...`, on every instance."""

    def expected(point: Point, t: int) -> Array:
        return point.graph.values[point.graph.place(line.name, t)]

    return check_against(line, graph, points, expected)


def check_start(
    line: GradientLine, by: int, graph: Graph, points: tuple[Point, ...]
) -> Check:
    """The gradient of a state that a loop begins with, from what reads it.

    line: what its readers give at step t; by: that many steps before step 1, or of a
    loop that reads t+1, negative, after the last.
    """
    moved = replace(line, right=line.right and moved_text(line.right, -by))

    def expected(point: Point, t: int) -> Array:
        start = (1 if by > 0 else point.tau) - by
        return point.graph.grad(point.place(line.name, start))

    return check_against(moved, graph, points, expected, at=1 if by > 0 else 0)


def moved_text(text: str, by: int) -> str:
    """A line with every step in it moved: `h[t+1, j]` by -1 is `h[t, j]`."""

    def moved(found: re.Match[str]) -> str:
        lag = int(found[1] or 0) + by
        return f"[t{lag:+d}" if lag else "[t"

    return STEP.sub(moved, text)


def check_against(
    line: GradientLine, graph: Graph, points: tuple[Point, ...], expected: Expected,
    at: int | None = None,
) -> Check:  # fmt: skip
    """One line on every instance; expected: what its left side is at a step.

    at: the one step that is compared, 0 for the last; None for all.
    """
    if line.right is None:
        return Check(NOT_CHECKED, note=Text("indexed.long"))
    if not points:
        return Check(NOT_CHECKED, note=Text("check.none"))
    try:
        reading = LineReading(line.left, line.right, graph, line.letters)
        errors = [differences(reading, point, expected, at) for point in points]
    except BpttError:  # what the language has no word for
        return Check(NOT_CHECKED, note=Text("indexed.unread"))
    return verdict(
        Judged(number, error)
        for number, found in enumerate(errors) for error in found.values()
    )  # fmt: skip


def differences(
    reading: LineReading, point: Point, expected: Expected, at: int | None = None,
    tolerance: float = TOLERANCE,
) -> dict[int, Error]:  # fmt: skip
    """The relative difference of the two sides at every step; of a sum, at step 1.

    at: the one step that is compared, 0 for the last; None for all.
    """
    steps = range(1, point.tau + 1) if reading.is_timed else range(1, 2)
    if at is not None:
        steps = range(at or point.tau, (at or point.tau) + 1)

    @cache
    def sides(point: Point) -> dict[int, tuple[Array, Array]]:
        with np.errstate(all="ignore"):
            found = reading.value(point)
        right = {t: reading.chosen(expected(point, t)) for t in steps}
        return {t: (_widened(found[t - 1], right[t]), right[t]) for t in steps}

    def difference(t: int, point: Point) -> Array:
        left, right = sides(point)[t]
        return np.asarray(left - right)

    sizes = [largest(right) for _, right in sides(point).values()]
    size = max(*sizes, FLOOR * max(point.largest_gradient, FLOOR))
    return {
        t: error_of(left, right, size, point, partial(difference, t), tolerance)
        for t, (left, right) in sides(point).items()
    }


def _meaning(
    node: Node, arguments: list[Array], numbers: Callable[[Shape], tuple[int, ...]]
) -> Array:
    """What a line means: a gradient of 0 makes 0 of a share of nothing, 0 / 0.

    Beyond the steps no element of a vector is the largest one.
    """
    found = decide_alike(node, arguments, numbers)
    if node.op != "div":
        return found
    top, bottom = np.broadcast_arrays(*aligned_inputs(node, arguments))
    return np.where((top == 0) & (bottom == 0), 0.0, found)


def _widened(found: Array, expected: Array) -> Array:
    """What was found, for all places where it is one number."""
    if found.ndim >= expected.ndim:
        return found
    wide = found.reshape((*found.shape, *(1,) * (expected.ndim - found.ndim)))
    return np.asarray(wide + np.zeros_like(expected))


@dataclass(frozen=True, eq=False)
class LineReading:
    """Reads `left = right`: every name at a step becomes an input of its own.

    left: `grad_S[t, j]`, `grad_W[j]`, `grad_e[t, 5]`.
    """

    left: str
    right: str
    graph: Graph
    letters: Mapping[str, Dim] = field(default_factory=dict)
    _read: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def is_timed(self) -> bool:
        """Whether the left side is that of every step."""
        return self._places.startswith("t")

    @property
    def _name(self) -> str:
        return self.left.partition("[")[0]

    @cached_property
    def _place(self) -> int | None:
        """The one place of the left side, from 1."""
        found = re.search(r"(?:\[|, )(\d+)\]$", self.left)
        return None if found is None else int(found[1])

    @cached_property
    def _places(self) -> str:
        """What stands in the brackets on the left, and closes them."""
        places = self.left.partition("[")[2]
        if self._place is None:
            return places
        start = places.rpartition(",")[0]
        return f"{start}]" if start else ""

    def chosen(self, value: Array) -> Array:
        """What the left side has of a gradient."""
        return value if self._place is None else value[self._place - 1]

    def value(self, point: Point) -> Array:
        """What the right side gives, (steps, *shape); of a sum over steps one."""
        if self.right == "0":
            return np.zeros((point.tau if self.is_timed else 1,))
        cell = self.cell
        numbers = _Numbers(self.graph, point)
        params = {n: point.graph.values[point.graph.place(n)] for n in cell.parameters}
        given = {n: read for n, read in self._read.items() if n in cell.inputs}
        inputs = {n: numbers.steps(*read)[:, None] for n, read in given.items()}
        own = tuple(point.size(dim) for dim in self._shape(self._name))
        inputs[_LIKE] = np.zeros((point.tau, 1, *own))
        program = cell.forward_program((_FOUND,))
        bindings = bind(cell.graph, params, inputs)
        meaning = _meaning if point.rounding is None else point.rounding.of(_meaning)
        values = reference.run(program, bindings, meaning)
        found = np.asarray(Run(program, bindings, values)[_FOUND])
        return found[:, 0] if self.is_timed else found

    @cached_property
    def cell(self) -> Engine:
        """The cell that computes the right side.

        Raises: CellError where the language cannot read it.
        """
        right = _COLUMN.sub(self._column, self.right)
        body = _READ.sub(self._given, _ONE_HOT.sub(self._unit, right))
        left = f"{_FOUND}[{self._places}" if self._places else _FOUND
        equations = [f"{left} = {body}"]
        labels = labelled_lines(self.graph, Writer().text)
        equations[:0] = [line for line in labels if _NAME.findall(line)[0] in body]
        words = _NAME.findall(" ".join(equations))
        shapes = {n: s.shape for n, s in self.graph.parameters.items()}
        shapes |= {label: self._shape(name) for label, (name, _) in self._read.items()}
        new = (f"{letter} = 1, ..., {dim}" for letter, dim in self._letters.items())
        lines = [*index_lines(self.graph), *new, *(
            declaration(n, shape) for n, shape in shapes.items()
            if n in words and n not in self._integers
        ), *equations]  # fmt: skip
        # A cell has an equation of a step, and the sizes of the left side are known.
        like = declaration(_LIKE, self._shape(self._name))
        return Engine("\n".join([like, *lines, f"{_LIKE}_read[t] = {_LIKE}[t]"]))

    @property
    def _letters(self) -> dict[str, Dim]:
        """Indices that the cell does not have: on the left, and given."""
        names = self._places.rstrip("]").replace(" ", "").split(",")
        shape = self._shape(self._name)
        places = [name for name in names if name.isidentifier() and name != "t"]
        found = {**self.letters, **dict(zip(places, shape, strict=False))}
        return {n: d for n, d in found.items() if n not in self.graph.indices}

    def _given(self, found: re.Match[str]) -> str:
        return f"{self._label(found[1], int(found[2] or 0))}[t"

    def _unit(self, found: re.Match[str]) -> str:
        return f"{self._label(_UNIT + found[1], int(found[2] or 0))}[t]"

    def _label(self, name: str, lag: int) -> str:
        if not lag and name in self._read:  # a label already
            return name
        label = f"{name}_{'before' if lag < 0 else 'after'}{abs(lag)}" if lag else name
        self._read[label] = (name, lag)
        return label

    def _column(self, found: re.Match[str]) -> str:
        """A column that a whole number of the cell's own chooses, as a product."""
        if found[2] not in self.graph.definitions:
            return found[0]
        return f"({found[1]} @ one_hot_of({found[2]}[t{found[3] or ''}]))"

    @cached_property
    def _integers(self) -> frozenset[str]:
        inputs = self.graph.inputs
        return frozenset(n for n, spec in inputs.items() if spec.index is not None)

    def _shape(self, name: str) -> tuple[str | int, ...]:
        own = name.removeprefix("grad_").removeprefix("incoming_")
        if name == "weight":
            return ()
        if name.startswith(_UNIT):
            return (_classes(self.graph, name.removeprefix(_UNIT)),)
        return Scope(self.graph).core(own)


def _classes(graph: Graph, name: str) -> str | int:
    """How many classes a whole number is one of.

    Raises: BpttError where that is not known.
    """
    spec = graph.inputs.get(name)
    if spec is not None and isinstance(spec.index, str | int):
        return spec.index
    body = graph.definitions[name].inputs[0] if name in graph.definitions else None
    if body is not None and body.op == "argmax":
        dim = body.inputs[0].shape[0]
        assert isinstance(dim, str | int)
        return dim
    raise BpttError(f"{name} is no whole number")


@dataclass(frozen=True)
class _Numbers:
    """The values and gradients of one instance by name and step."""

    graph: Graph
    point: Point

    def steps(self, name: str, lag: int) -> Array:
        """The values of a name at t + lag, t = 1 ... tau."""
        tau = self.point.tau
        return np.array([self._at(name, t + lag) for t in range(1, tau + 1)])

    def _at(self, name: str, t: int) -> Array:
        graph, tau = self.point.graph, self.point.tau
        inside = 1 <= t <= tau
        if name == "weight":
            return np.asarray(self.point.weights[t - 1] if inside else 0.0)
        if name.startswith(_UNIT):
            return self._unit(name.removeprefix(_UNIT), t)
        own = name.removeprefix("grad_").removeprefix("incoming_")
        zero = np.zeros_like(self._here(own, 1))
        if name.startswith("incoming_"):
            return self.point.seeds[own][t - 1] if inside else zero
        if name.startswith("grad_") and own in self.graph.definitions:
            return graph.grad(graph.place(own, t)) if inside else zero
        return self._here(own, t)

    def _unit(self, name: str, t: int) -> Array:
        dim = _classes(self.graph, name)
        places = np.arange(number_of(dim, self.point.sizes))
        return np.asarray(self._here(name, t) == places, float)

    def _here(self, name: str, t: int) -> Array:
        """A value; of no step before or after the row it is 0, or its initial one."""
        graph = self.point.graph
        place = graph.named.get((name, t))
        if place is not None:
            return graph.values[place]
        if 1 <= t <= self.point.tau:
            raise BpttError(f"{name} has no value at a step")
        # Beyond the last step a gradient that is 0 multiplies it.
        return np.ones_like(self._here(name, min(max(t, 1), self.point.tau)))
