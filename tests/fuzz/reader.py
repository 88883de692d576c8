"""The meaning of one right side of a cell's text: see `oracle`."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from typing import Any

import torch

from tests.fuzz.meanings import BINARY, COMPARE, FUNCTIONS, kinks, part_of

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
        if node.id in self.run.lasts:
            return self.run.last(node.id, self.t, self.row)
        if node.id in self.run.statics:
            return self.run.statics[node.id][self.row]
        return self.run.copies[node.id][self.t]

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
        if isinstance(first, ast.Name) and first.id in self.bound:
            return self.read(node.value)[self.bound[first.id]]
        assert isinstance(node.value, ast.Name)
        if len(parts) == 1 and node.value.id in self.run.lasts:  # m[l-1], m[3]
            place = int(self.read(first))
            return self.run.last_at(node.value.id, place, self.t, self.row)
        if len(parts) == 1:
            return self._at(node.value.id, first)
        place = int(self.read(last))  # from 1
        if self.run.case.is_inner(node.value.id):
            return self.run.place(node.value.id, self._step(first), self.row, place)
        return self._at(node.value.id, first)[place - 1]

    def _at(self, name: str, step: ast.expr) -> Tensor:
        return self.run.value(name, self._step(step), self.row)

    def _step(self, step: ast.expr) -> int:
        if isinstance(step, ast.Name) and step.id == "tau":
            return self.run.case.length(self.row)
        return self.t + self._lag(step)

    @staticmethod
    def _lag(node: ast.expr) -> int:
        if isinstance(node, ast.Name):
            return 0
        assert isinstance(node, ast.BinOp)
        assert isinstance(node.right, ast.Constant)
        return int(node.right.value) * (1 if isinstance(node.op, ast.Add) else -1)

    def _Call(self, node: ast.Call) -> Tensor:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        first = node.args[0]
        if isinstance(first, ast.Name) and first.id in {"t", *self.run.case.indices}:
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
            larger = torch.maximum if name == "max" else torch.minimum
            return functools.reduce(larger, values)  # in time: a tie halves each time
        if name == "softmax":
            here = self.t - 1 if axis == "t" else self.bound[axis]
            return torch.softmax(values, 0)[here]
        return values.sum(0) if name == "sum" else values.mean(0)

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
