"""One random cell and everything a call of it needs, as plain data."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tests.fuzz.grammar import DEFINED

NAME = re.compile(r"[A-Za-z_]\w*")
SPREAD = 0.6


@dataclass(frozen=True)
class Equation:
    """`name[t] = right`."""

    name: str
    right: str

    def __str__(self) -> str:
        return f"{self.name}[t] = {self.right}"

    @property
    def reads(self) -> set[str]:
        """Every name on the right side."""
        return set(NAME.findall(self.right))


@dataclass(frozen=True)
class Case:
    """A cell, its sizes, and one call.

    shapes: of every parameter, real input and node, in dimensions; kinds: name ->
    "parameter", "input", "index" or "node"; counts: index input -> the dimension it
    counts; n_b: rows, 0 for sequences without a batch axis; start: states whose
    initial value is given; weights: "", "step" or "row"; values: seed of the arrays.
    """

    equations: tuple[Equation, ...]
    shapes: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    counts: Mapping[str, str]
    declared: frozenset[str]
    sizes: Mapping[str, int]
    tau: int
    n_b: int
    lengths: tuple[int, ...] | None = None
    weights: str = ""
    reduction: str = "sum"
    start: frozenset[str] = frozenset()
    seeds: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    wants_inputs: bool = False
    wants_initial: bool = False
    threads: int = 1
    dtype: str = "float64"
    values: int = 0
    extras: frozenset[str] = field(default_factory=frozenset)

    # ----- the cell -----

    @property
    def defined(self) -> tuple[str, ...]:
        """The names that equations define."""
        return tuple(equation.name for equation in self.equations)

    @property
    def has_loss(self) -> bool:
        """Whether an equation is the loss."""
        return "L" in self.defined

    def used(self, kind: str) -> tuple[str, ...]:
        """The names of a kind that some equation reads or defines, in fixed order."""
        here = set(self.defined).union(*(eq.reads for eq in self.equations))
        return tuple(n for n, k in self.kinds.items() if k == kind and n in here)

    @property
    def text(self) -> str:
        """The cell as bptt reads it."""
        lines = []
        for kind in ("parameter", "input", "node"):
            names = [n for n in self.used(kind) if n in self.declared and n != "L"]
            lines += [f"{name}: ({', '.join(self.shapes[name])})" for name in names]
        return "\n".join([*lines, *self.functions, *map(str, self.equations), ""])

    @property
    def functions(self) -> tuple[str, ...]:
        """The definitions of the functions that equations call, in their order."""
        text = "\n".join(equation.right for equation in self.equations)
        found: list[str] = []
        for line in reversed(DEFINED):
            if f"{line.partition('(')[0]}(" in "\n".join([text, *found]):
                found.insert(0, line)
        return tuple(found)

    def number(self, dims: tuple[str, ...]) -> tuple[int, ...]:
        """Dimensions as sizes."""
        return tuple(self.sizes[dim] for dim in dims)

    @property
    def rows(self) -> int:
        """The number of rows, 1 without a batch axis."""
        return self.n_b or 1

    def length(self, row: int) -> int:
        """The number of steps of a row."""
        return self.tau if self.lengths is None else self.lengths[row]

    @property
    def states(self) -> dict[str, int]:
        """Every name read at another step -> the lag."""
        text = "\n".join(equation.right for equation in self.equations)
        found = re.findall(r"([A-Za-z_]\w*)\[t ?([+-]) ?1\]", text)
        return {name: 1 if sign == "+" else -1 for name, sign in found}

    # ----- the arrays -----

    def rng(self, name: str) -> np.random.Generator:
        """A generator that depends on the seed and the name alone."""
        return np.random.default_rng([self.values, zlib.crc32(name.encode())])

    def parameter(self, name: str) -> np.ndarray:
        """A parameter's value; a matrix keeps what it multiplies about as large."""
        shape = self.number(self.shapes[name])
        scale = SPREAD / max(1, shape[-1]) ** 0.5 if len(shape) == 2 else SPREAD
        return scale * self.rng(name).standard_normal(shape)

    def sequence(self, name: str) -> np.ndarray:
        """An input, (tau, rows, *shape)."""
        rng, lead = self.rng(name), (self.tau, self.rows)
        if self.kinds[name] == "index":
            return rng.integers(0, self.sizes[self.counts[name]], lead)
        shape = (*lead, *self.number(self.shapes[name]))
        if name.startswith("q"):
            return rng.uniform(0.05, 0.95, shape)
        return SPREAD * rng.standard_normal(shape)

    def initial(self) -> dict[str, np.ndarray]:
        """The initial values that are given, (rows, *shape)."""
        found = {}
        for name in self.states:
            if name not in self.start:
                continue
            rng = self.rng(f"{name}^(0)")
            if self.kinds[name] == "index":
                found[name] = rng.integers(0, self.sizes[self.counts[name]], self.rows)
            else:
                shape = (self.rows, *self.number(self.shapes[name]))
                found[name] = SPREAD * rng.standard_normal(shape)
        return found

    def weight(self) -> np.ndarray | None:
        """The weights as given: None, (tau,) or (tau, rows); some are 0."""
        if not self.weights:
            return None
        rng = self.rng("weights")
        shape = (self.tau,) if self.weights == "step" else (self.tau, self.rows)
        w = rng.uniform(0.5, 1.5, shape) * (rng.uniform(size=shape) > 0.3)
        w[0] = 1.0  # "mean" divides by the sum
        return w

    def seed_arrays(self) -> dict[str, np.ndarray]:
        """The gradients that arrive from outside, (tau, rows, *shape)."""
        return {
            name: self.rng(f"seed {name}").standard_normal(
                (self.tau, self.rows, *self.number(self.shapes[name]))
            )
            for name in self.defined
            if name in self.seeds
        }

    def params(self) -> dict[str, np.ndarray]:
        """Every parameter that is read."""
        return {name: self.parameter(name) for name in self.used("parameter")}

    def inputs(self) -> dict[str, np.ndarray]:
        """Every input that is read."""
        names = (*self.used("input"), *self.used("index"))
        return {name: self.sequence(name) for name in names}

    def but(self, **changes: object) -> Case:
        """The same case with some fields changed."""
        return replace(self, **changes)
