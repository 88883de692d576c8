"""What a cell's text means, read by Python's `ast` into a torch float64 loop.

Nothing of bptt is imported. Every row runs alone for its own number of steps, every
value is computed when it is first asked for, and each parameter, node and input has a
leaf of its own at every step; torch's autograd does the rest.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from tests.fuzz.case import INNER, Case
from tests.fuzz.reader import Reader

Tensor = torch.Tensor
DEPTH = 50_000
WHOLE = ("index", "choice")  # kinds that hold whole numbers


@dataclass
class Answer:
    """Everything a call of bptt could be asked for, as NumPy arrays.

    kink: the distance of the nearest comparison from a tie that is not exact.
    """

    loss: float = 0.0
    params: dict[str, np.ndarray] = field(default_factory=dict)
    copies: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    initial: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    final: dict[str, np.ndarray] = field(default_factory=dict)
    kink: float = np.inf

    def gradients(self) -> dict[str, np.ndarray]:
        """Every gradient array under one name."""
        tables = {"": self.params, "copies of ": self.copies, "node ": self.nodes,
                  "input ": self.inputs, "initial ": self.initial}  # fmt: skip
        return {f"{k}{n}": a for k, table in tables.items() for n, a in table.items()}


def answer(case: Case, jitter: float = 0.0) -> Answer:
    """The oracle's answer; jitter: relative noise on every leaf."""
    with deep_recursion():
        return _Run(case, jitter).answer()


@contextmanager
def deep_recursion():
    """A value at step t may wait for all steps before it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Run:
    """All rows of one case."""

    def __init__(self, case: Case, jitter: float) -> None:
        self.case = case
        self.trees: dict[str, ast.expr] = {}
        self.starts: dict[str, ast.expr] = {}
        self.lasts: dict[str, ast.expr] = {}
        self.inner: dict[tuple[str, int], ast.expr] = {}
        for eq in case.equations:
            place = {"[0]": self.starts, "[tau+1]": self.starts}
            tree = ast.parse(eq.right.strip(), mode="eval").body
            if eq.starts_inner:
                self.inner[eq.name, int(eq.at[4:-1])] = tree
            elif eq.at[1:-1].isdigit() and eq.name in case.lasts:
                self.inner[eq.name, int(eq.at[1:-1])] = tree
            elif eq.is_timeless:
                self.lasts[eq.name] = tree
            else:
                place.get(eq.at, self.trees)[eq.name] = tree
        self.bodies = {line.partition("(")[0]: line for line in case.functions}
        self.lags = case.states
        self.kink = np.inf
        noise = np.random.default_rng([case.values, 99])

        def leaf(array: np.ndarray) -> Tensor:
            if array.dtype.kind != "f":
                return torch.from_numpy(np.array(array))
            moved = array * (1 + jitter * noise.choice([-1.0, 1.0], array.shape))
            return torch.tensor(moved, dtype=torch.float64, requires_grad=True)

        steps = range(1, case.tau + 1)
        self.copies = {}
        for name, array in case.params().items():
            whole = leaf(array).detach()
            self.copies[name] = {t: whole.clone().requires_grad_() for t in steps}
        every = case.inputs()
        self.statics = {
            name: [leaf(row) for row in every.pop(name)] for name in case.statics
        }
        self.inputs = {
            name: {(t, b): leaf(array[t - 1, b]) for t in steps
                   for b in range(case.rows)}
            for name, array in every.items()
        }  # fmt: skip
        given = case.initial()
        # Per row what lies 1, 2, ... steps before the first step, or after the last.
        self.initial = {
            name: [[leaf(a) for a in self._start(name, given, b)]
                   for b in range(case.rows)]
            for name in self.lags
        }  # fmt: skip
        self.probes: dict[tuple[str, int, int], Tensor] = {}
        self.values: dict[tuple[str, int, int], Tensor] = {}

    def _start(self, name: str, given: Mapping[str, np.ndarray], row: int):
        depth = self.case.depth(name)
        if name in given:
            array = given[name]
            order = 1 if self.lags[name] > 0 else -1
            rows = array[None, row] if depth == 1 else array[::order, row]
            return [np.asarray(part) for part in rows]
        owner = self.case.owner(name)
        if self.case.kinds[owner] == "index":
            return [np.zeros((), np.int64)] * depth
        return [np.zeros(self.case.number(self.case.shapes[owner]))] * depth

    # ----- values -----

    def value(self, name: str, t: int, row: int) -> Tensor:
        """The value of a node or input at a step, before and after the row, too."""
        length = self.case.length(row)
        if not 1 <= t <= length:
            distance = -t if t < 1 else t - length - 1
            state = self.case.carried(name, -1 if t < 1 else 1)
            if state in self.starts and not distance:
                key = (name, t, row)
                if key not in self.values:
                    reader = Reader(self, 1 if t < 1 else length, row)
                    self.values[key] = reader.read(self.starts[name])
                return self.values[key]
            return self.initial[state][row][distance]
        if name not in self.trees:
            return self.inputs[name][t, row]
        key = (name, t, row)
        if key not in self.values and self.case.is_inner(name):
            count = self.case.size(self.case.indices[INNER])
            self.values[key] = torch.stack(
                [self.place(name, t, row, n) for n in range(1, count + 1)]
            )
        if key not in self.values:
            found = self._equation(name, t, row)
            shape = self.case.number(self.case.shapes[name])
            probe = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
            self.probes[key] = probe
            self.values[key] = found + probe
        return self.values[key]

    def place(self, name: str, t: int, row: int, place: int) -> Tensor:
        """The value of a name after so many inner steps, or where they start."""
        if not 1 <= t <= self.case.length(row):
            return self.value(name, t, row)[place - 1]
        key = (f"{name}_{place}", t, row)
        if key not in self.values:
            start = self.inner.get((name, place))
            if start is not None:
                found = Reader(self, t, row).read(start)
            else:
                reader = Reader(self, t, row, {INNER: place - 1})
                found = reader.read(self.trees[name])
            probe = torch.zeros_like(found).detach().requires_grad_()
            self.probes[key] = probe
            self.values[key] = found + probe
        return self.values[key]

    def _equation(self, name: str, t: int, row: int) -> Tensor:
        index = self.case.index_of(name)
        if not index:
            return Reader(self, t, row).read(self.trees[name])
        return self._at_places(name, t, row, index.split(", "), {})

    def _at_places(
        self, name: str, t: int, row: int, indices: list[str], bound: dict[str, int]
    ) -> Tensor:
        """The value at every place of the indices, the first one outside."""
        if not indices:
            return Reader(self, t, row, bound).read(self.trees[name])
        first, *rest = indices
        return torch.stack([
            self._at_places(name, t, row, rest, {**bound, first: place})
            for place in range(self.case.size(self.case.indices[first]))
        ])  # fmt: skip

    def last(self, name: str, t: int, row: int) -> Tensor:
        """The value of an equation without a step, as step t of a row reads it.

        What is known after the last step is read there alone; what a row gives is one
        value, but each step reads it with its own copies of the parameters.
        """
        key = (f"{name} without a step", t, row)
        if key not in self.values:
            index = self.case.place_of(name)
            size = self.case.size(self.case.indices[index]) if index else 0
            places = range(1, size + 1)
            self.values[key] = (
                torch.stack([self.last_at(name, n, t, row) for n in places])
                if index else Reader(self, t, row).read(self.lasts[name])
            )  # fmt: skip
        return self.values[key]

    def last_at(self, name: str, place: int, t: int, row: int) -> Tensor:
        """The same at one place; before or after all of them where it starts."""
        key = (f"{name} without a step at {place}", t, row)
        if key not in self.values:
            start = self.inner.get((name, place))
            bound = {self.case.place_of(name): place - 1} if start is None else {}
            reader = Reader(self, t, row, bound)
            self.values[key] = reader.read(self.lasts[name] if start is None else start)
        return self.values[key]

    def at_end(self, name: str, row: int) -> Tensor:
        """The value of an equation without a step, after a row's own last one."""
        return self.last(name, self.case.length(row), row)

    def near(self, distance: Tensor) -> None:
        """Note how far a comparison is from a tie; an exact tie is one everywhere."""
        flat = distance.detach().abs().flatten()
        open_ones = flat[flat > 0]
        if len(open_ones):
            self.kink = min(self.kink, float(open_ones.min()))

    # ----- the answer -----

    def answer(self) -> Answer:
        case = self.case
        cells = [(t, b) for b in range(case.rows)
                 for t in range(1, case.length(b) + 1)]  # fmt: skip
        for name in self.lasts:
            for b in range(case.rows):
                self.at_end(name, b)
        for name in case.defined:
            for t, b in cells if self.lags.get(name, -1) < 0 else cells[::-1]:
                self.value(name, t, b)
        loss = torch.zeros((), dtype=torch.float64)
        if "L" in self.lasts and "L" not in self.trees:
            share = 1 if case.reduction == "sum" else 1 / case.rows
            loss = share * sum(self.at_end("L", b) for b in range(case.rows))
        elif case.has_loss:
            w = self._weight(cells)
            for t, b in cells:
                loss = loss + w[t - 1, b] * self.value("L", t, b)
                if "L" in self.lasts and t == case.length(b):
                    loss = loss + w[t - 1, b] * self.at_end("L", b)
        total = loss
        for name, seed in case.seed_arrays().items():
            for t, b in cells:
                there = torch.from_numpy(np.asarray(seed[t - 1, b]))
                total = total + (there * self.value(name, t, b)).sum()
        if total.requires_grad:
            total.backward()
        return self._collect(float(loss.detach()), cells)

    def _weight(self, cells: list[tuple[int, int]]) -> np.ndarray:
        case = self.case
        given = case.weight()
        w = np.zeros((case.tau, case.rows))
        for t, b in cells:
            w[t - 1, b] = 1.0
        if given is not None:
            w = w * (given[:, None] if given.ndim == 1 else given)
        if case.reduction == "last":
            ends = [[t + 1 == case.length(b) for b in range(case.rows)]
                    for t in range(case.tau)]  # fmt: skip
            return w * np.array(ends)
        if case.reduction == "batch_mean":
            return w / case.rows
        return w / w.sum() if case.reduction == "mean" else w

    def _collect(self, loss: float, cells: list[tuple[int, int]]) -> Answer:
        case, out = self.case, Answer(loss=loss, kink=self.kink)
        for name, copies in self.copies.items():
            out.copies[name] = np.stack([_grad(copies[t]) for t in sorted(copies)])
            out.params[name] = out.copies[name].sum(axis=0)
        for name, leaves in self.inputs.items():
            if case.kinds[name] == "input":
                grads = {key: _grad(leaves[key]) for key in cells}
                out.inputs[name] = self._sequence(grads)
        for name, leaves in self.statics.items():
            if case.kinds[name] == "static":
                out.inputs[name] = np.stack([_grad(row) for row in leaves])
        for name in self.lasts:
            rows = [self.at_end(name, b).detach().numpy() for b in range(case.rows)]
            is_shown = name != "L" and case.kinds[name] != "short"
            out.values.update({name: np.stack(rows)} if is_shown else {})
        for name in case.defined:
            holders = case.holders_of_places(name) if case.is_inner(name) else [name]
            for holder in holders:
                grads = {key: _grad(self.probes[holder, *key]) for key in cells}
                out.nodes[holder] = self._sequence(grads)
            values = {key: self.values[name, *key].detach().numpy() for key in cells}
            out.values[name] = self._sequence(values)
        for name, rows in self.initial.items():
            deep = np.stack([[_grad(leaf) for leaf in row] for row in rows], axis=1)
            if case.kinds[case.owner(name)] in WHOLE:
                pass
            elif case.depth(name) > 1:  # in order of time
                out.initial[name] = deep[:: 1 if self.lags[name] > 0 else -1]
            elif name not in self.starts:
                out.initial[name] = deep[0]
            out.final[name] = self._final(name)
        return out

    def _final(self, name: str) -> np.ndarray:
        """What a step that would follow reads, in order of time."""
        case, depth, owner = self.case, self.case.depth(name), self.case.owner(name)
        steps = []
        for distance in range(depth):
            step = [
                self.value(owner, case.length(b) - distance, b) if self.lags[name] < 0
                else self.value(owner, 1 + distance, b)
                for b in range(case.rows)
            ]  # fmt: skip
            steps.append(np.stack([value.detach().numpy() for value in step]))
        if depth == 1:
            return steps[0]
        return np.stack(steps[:: 1 if self.lags[name] > 0 else -1])

    def _sequence(self, found: Mapping[tuple[int, int], np.ndarray]):
        shape = next(iter(found.values())).shape
        array = np.zeros((self.case.tau, self.case.rows, *shape))
        for (t, b), value in found.items():
            array[t - 1, b] = value
        return array


def _grad(leaf: Tensor) -> np.ndarray:
    found = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    return found.detach().numpy().copy()
