"""The meaning of one right side of a cell's text: see `oracle`."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tests.fuzz.meanings import (
    ALONG,
    ALONG_AT_A_PLACE,
    BINARY,
    COMPARE,
    FUNCTIONS,
    kinks,
    part_of,
)

Tensor = torch.Tensor


class Reader:
    """One right side at one step of one row."""

    def __init__(
        self, run: Any, t: int, row: int,
        bound: Mapping[str, Tensor | int] | None = None,
    ) -> None:  # fmt: skip
        """Bound: the values of a function's parameters, and the places of indices."""
        self.run, self.t, self.row, self.bound = run, t, row, bound or {}

    def read(self, node: ast.expr) -> Tensor:
        kind = type(node).__name__
        return getattr(self, f"_{kind}")(node)

    def _Constant(self, node: ast.Constant) -> Tensor:
        return torch.tensor(float(node.value), dtype=torch.float64)

    def _Name(self, node: ast.Name) -> Tensor:
        if node.id in self.bound:
            found = self.bound[node.id]
            is_place = isinstance(found, int)
            return torch.tensor(found + 1.0).double() if is_place else found
        if node.id in ("t", "tau", *self.run.case.sizes):
            return self._count(node.id)
        if node.id in self.run.lasts:
            return self.run.last(node.id, self.t, self.row)
        if node.id in self.run.statics:
            return self.run.statics[node.id][self.row]
        return self.run.copies[node.id][self.t]

    def _count(self, name: str) -> Tensor:
        case = self.run.case
        known = {"t": self.t, "tau": case.length(self.row)}
        number = known[name] if name in known else case.size(name)
        return torch.tensor(float(number), dtype=torch.float64)

    def _UnaryOp(self, node: ast.UnaryOp) -> Tensor:
        return -self.read(node.operand)

    def _BinOp(self, node: ast.BinOp) -> Tensor:
        a, b = self.read(node.left), self.read(node.right)
        if isinstance(node.op, ast.Pow):
            is_number = not b.requires_grad and b.ndim == 0
            return a ** float(b) if is_number else a**b
        if isinstance(node.op, ast.Mod):
            self.run.near(a / b - (a / b).round())
        return BINARY[type(node.op)](a, b)

    def _Compare(self, node: ast.Compare) -> Tensor:
        a, b = self.read(node.left), self.read(node.comparators[0])
        self.run.near(a - b)
        return COMPARE[type(node.ops[0])](a, b).double()

    def _Attribute(self, node: ast.Attribute) -> Tensor:
        assert node.attr == "T"
        return self.read(node.value).T

    def _Subscript(self, node: ast.Subscript) -> Tensor:
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        first, last = parts[0], parts[-1]
        if any(isinstance(p, ast.Constant) and p.value is ... for p in parts):
            return part_of(self.read(node.value), *map(ast.literal_eval, (first, last)))
        if isinstance(first, ast.Slice):
            return self.read(node.value)[:, int(self.read(last))]
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        names = {n.id for n in ast.walk(first) if isinstance(n, ast.Name)}
        if names & {"t", "tau"}:
            if len(parts) > 1 and self.run.case.is_inner(name):
                place = int(self.read(last))  # from 1
                return self.run.place(name, self._step(first), self.row, place)
            return self._places(self._at(name, first), parts[1:])
        if name in self.run.lasts and not isinstance(first, ast.Name):  # m[l-1], m[3]
            place = int(self.read(first))
            return self.run.last_at(name, place, self.t, self.row)
        return self._places(self.read(node.value), parts)

    def _places(self, value: Tensor, places: Sequence[ast.expr]) -> Tensor:
        """The part at some places, one of each axis in turn; 0 outside."""
        for place in places:
            number = self._place(place, len(value))
            is_inside = 1 <= number <= len(value)
            value = value[number - 1] if is_inside else torch.zeros_like(value[0])
        return value

    def _place(self, place: ast.expr, size: int) -> int:
        """A place from 1 on; an integer input counts from 0."""
        if isinstance(place, ast.Subscript):
            return int(self.read(place)) + 1
        if isinstance(place, ast.Call):
            return (int(self.read(place.args[0])) - 1) % size + 1
        return int(self.read(place))

    def _at(self, name: str, step: ast.expr) -> Tensor:
        return self.run.value(name, self._step(step), self.row)

    def _step(self, step: ast.expr) -> int:
        if isinstance(step, ast.Name) and step.id == "tau":
            return self.run.case.length(self.row)
        return self.t + self._lag(step)

    def _lag(self, node: ast.expr) -> int:
        if isinstance(node, ast.Name):
            return 0
        assert isinstance(node, ast.BinOp)
        distance = int(self.read(node.right))
        return distance * (1 if isinstance(node.op, ast.Add) else -1)

    def _Call(self, node: ast.Call) -> Tensor:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        first = node.args[0]
        axes = {"t", *self.run.case.indices}
        is_along = name in ALONG or name in ALONG_AT_A_PLACE
        if is_along and isinstance(first, ast.Name) and first.id in axes:
            return self._along(name, first.id, node.args[1])
        options = {k.arg: float(ast.literal_eval(k.value)) for k in node.keywords}
        arguments = [self.read(argument) for argument in node.args]
        if name in self.run.bodies:
            return self._body(self.run.bodies[name], arguments)
        for distance in kinks(name, arguments):
            self.run.near(distance)
        return FUNCTIONS[name](*arguments, **options)

    def _along(self, name: str, axis: str, body: ast.expr) -> Tensor:
        """Along a row's steps or an index: gone, or for softmax at the own place."""
        case = self.run.case
        steps = range(1, case.length(self.row) + 1)
        places = steps if axis == "t" else range(case.size(case.indices[axis]))
        readers = [
            Reader(self.run, place, self.row, self.bound) if axis == "t"
            else Reader(self.run, self.t, self.row, {**self.bound, axis: place})
            for place in places
        ]  # fmt: skip
        values = torch.stack([reader.read(body) for reader in readers])
        if name in ("max", "min"):
            ordered = values.sort(0).values
            self.run.near(ordered[1:] - ordered[:-1])
        if name in ALONG_AT_A_PLACE:
            here = self.t - 1 if axis == "t" else self.bound[axis]
            return ALONG_AT_A_PLACE[name](values)[here]
        return ALONG[name](values)

    def _body(self, line: str, arguments: list[Tensor]) -> Tensor:
        """A function of the cell: its body with the arguments in place."""
        head, _, body = line.partition(" = ")
        call = ast.parse(head.replace("=", " == "), mode="eval").body
        assert isinstance(call, ast.Call)
        bound: dict[str, Tensor] = {}
        for number, parameter in enumerate(call.args):
            if isinstance(parameter, ast.Compare):  # scale=2: a default
                default = self.read(parameter.comparators[0])
                parameter = parameter.left  # noqa: PLW2901
            assert isinstance(parameter, ast.Name)
            is_given = number < len(arguments)
            bound[parameter.id] = arguments[number] if is_given else default
        inner = Reader(self.run, self.t, self.row, bound)
        return inner.read(ast.parse(body, mode="eval").body)
