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
JOINED = "joined("
INNER = "l"  # the index of inner steps
AFTER, BEFORE = "_after", "_before"  # the second name of what is read both ways


def as_written(text: str) -> str:
    """`joined(u, v)` as the language has it, [u; v]; Python's `ast` reads the first."""
    while JOINED in text:
        before, _, rest = text.rpartition(JOINED)
        depth, places = 0, []
        for place, letter in enumerate(rest):
            if letter == "," and not depth:
                places.append(place)
            depth += (letter in "([") - (letter in ")]")
            if depth < 0:
                break
        inside = "".join(";" if i in places else c for i, c in enumerate(rest[:place]))
        text = f"{before}[{inside}]{rest[place + 1 :]}"
    return text


@dataclass(frozen=True)
class Equation:
    """`name[t] = right`.

    at: "[t]", "[t, j]", "[0]", "[tau+1]", nothing, or of inner steps "[t, l]" and
    "[t, 0]", where they start; without a step "[j]", and "[l]" with "[0]".
    """

    name: str
    right: str
    at: str = "[t]"

    def __str__(self) -> str:
        return as_written(f"{self.name}{self.at} = {self.right}")

    @property
    def starts_inner(self) -> bool:
        """Whether it holds for the place before or after all inner steps."""
        return self.at.startswith("[t, ") and self.at[4:-1].isdigit()

    @property
    def is_timeless(self) -> bool:
        """Whether it is of no step, at places or not; no start."""
        return self.at in ("", "[j]", f"[{INNER}]")

    @property
    def reads(self) -> set[str]:
        """Every name on the right side."""
        return set(NAME.findall(self.right))


@dataclass(frozen=True)
class Case:
    """A cell, its sizes, and one call.

    shapes: of every parameter, real input and node, in dimensions; kinds: name ->
    "parameter", "input", "index", "node", "choice", or without time "static", "class"
    and "short", a name for an expression of parameters;
    counts: index input -> the dimension it counts; indices: index -> dimension; n_b:
    rows, 0 for sequences without a batch axis; start: states whose initial value is
    given; weights: "", "step" or "row"; values: seed of the arrays.
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
    indices: Mapping[str, str] = field(default_factory=dict)

    # ----- the cell -----

    @property
    def defined(self) -> tuple[str, ...]:
        """The names that equations of a step define."""
        return tuple(eq.name for eq in self.equations
                     if eq.at.startswith("[t") and not eq.starts_inner)  # fmt: skip

    @property
    def real(self) -> tuple[str, ...]:
        """Those that may be asked for a gradient: no places, no whole numbers."""
        mixed = {"L"} & {*self.lasts}  # at tau it holds both losses
        return tuple(name for name in self.defined if name not in mixed
                     and not self.is_inner(name)
                     and self.kinds[name] == "node")  # fmt: skip

    @property
    def lasts(self) -> tuple[str, ...]:
        """The names that equations without a step define."""
        return tuple(eq.name for eq in self.equations if eq.is_timeless)

    @property
    def statics(self) -> tuple[str, ...]:
        """The inputs without time."""
        return (*self.used("static"), *self.used("class"))

    def index_of(self, name: str) -> str:
        """The index for whose every place the equation of a name holds, or nothing."""
        at = [eq.at for eq in self.equations if eq.name == name]
        places = [a[4:-1] for a in at if a.startswith("[t, ") and not a[4:-1].isdigit()]
        return places[0] if places else ""

    def place_of(self, name: str) -> str:
        """The index of an equation without a step that holds for every place."""
        at = [eq.at for eq in self.equations if eq.name == name and eq.is_timeless]
        return at[0][1:-1] if at else ""

    def is_inner(self, name: str) -> bool:
        """Whether a name has a value for every inner step, each of its own node."""
        return self.index_of(name) == INNER

    def holders_of_places(self, name: str) -> list[str]:
        """The definitions that hold each place of inner steps, as bptt names them."""
        count = self.size(self.indices[INNER])
        return [f"{name}_{place}" for place in range(1, count + 1)]

    @property
    def has_loss(self) -> bool:
        """Whether an equation is the loss."""
        return "L" in (*self.defined, *self.lasts)

    def used(self, kind: str) -> tuple[str, ...]:
        """The names of a kind that some equation reads or defines, in fixed order."""
        here = {eq.name for eq in self.equations}.union(
            *(eq.reads for eq in self.equations)
        )
        return tuple(n for n, k in self.kinds.items() if k == kind and n in here)

    @property
    def text(self) -> str:
        """The cell as bptt reads it."""
        written = "".join(map(str, self.equations))
        lines = [f"{index} = 1, ..., {dim}" for index, dim in self.indices.items()
                 if re.search(rf"\b{index}\b", written)]  # fmt: skip
        for kind in ("parameter", "input", "node", "static"):
            said = {*self.used("static"), *self.declared} - {"L"}
            names = [name for name in self.used(kind) if name in said]
            how = " = input" if kind == "static" else ""
            lines += [
                f"{name}: ({', '.join(self.shapes[name])}){how}" for name in names
            ]
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
        return tuple(map(self.size, dims))

    def size(self, dim: str) -> int:
        """A dimension's size: of `n_p`, of the sum `n_p+n_q`, or of the number `3`."""
        parts = dim.split("+")
        return sum(int(p) if p.isdigit() else self.sizes[p] for p in parts)

    @property
    def rows(self) -> int:
        """The number of rows, 1 without a batch axis."""
        return self.n_b or 1

    def length(self, row: int) -> int:
        """The number of steps of a row."""
        return self.tau if self.lengths is None else self.lengths[row]

    @property
    def states(self) -> dict[str, int]:
        """What is carried to other steps -> the sign of the lag.

        A name that is read both ways is carried under two names, `x` and `x_after`.
        """
        return {self.carried(name, 1 if lag > 0 else -1): 1 if lag > 0 else -1
                for name, lag in self._reads()}  # fmt: skip

    def carried(self, name: str, way: int) -> str:
        """The name under which a value is carried one way; its own with its start."""
        ways = {lag > 0 for read, lag in self._reads() if read == name}
        starts_later = any(eq.name == name and eq.at == "[tau+1]"
                           for eq in self.equations)  # fmt: skip
        if len(ways) == 1 or (way > 0) == starts_later:
            return name
        return f"{name}{AFTER if way > 0 else BEFORE}"

    def depth(self, state: str) -> int:
        """How many steps away a state is read at most."""
        name, way = self.owner(state), self.states[state]
        return max(lag * way for read, lag in self._reads() if read == name)

    def owner(self, state: str) -> str:
        """The name whose values a state carries."""
        if state in self.kinds:
            return state
        return state.removesuffix(AFTER).removesuffix(BEFORE)

    def _reads(self) -> list[tuple[str, int]]:
        text = "\n".join(equation.right for equation in self.equations)
        found = re.findall(r"([A-Za-z_]\w*)\[t ?([+-]) ?(\w+)", text)
        return [(name, int(f"{sign}{step}")) for name, sign, lag in found
                for step in self._distances(lag)]  # fmt: skip

    def _distances(self, lag: str) -> list[int]:
        """The number that is written, or those of an index."""
        count = 0 if lag.isdigit() else self.size(self.indices[lag])
        return list(range(1, count + 1)) if count else [int(lag)]

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
        """An input, (tau, rows, *shape), or without time (rows, *shape)."""
        rng, lead = self.rng(name), (self.tau, self.rows)
        if self.kinds[name] in ("static", "class"):
            lead = (self.rows,)
        if self.kinds[name] in ("index", "class"):
            return rng.integers(0, self.size(self.counts[name]), lead)
        shape = (*lead, *self.number(self.shapes[name]))
        if name.startswith("q"):
            return rng.uniform(0.05, 0.95, shape)
        return SPREAD * rng.standard_normal(shape)

    def initial(self) -> dict[str, np.ndarray]:
        """The initial values that are given, (rows, *shape) or (depth, rows, *shape).

        Several are in the order of time.
        """
        found = {}
        for name in self.states:
            if name not in self.start:
                continue
            rng, depth = self.rng(f"{name}^(0)"), self.depth(name)
            lead = (self.rows,) if depth == 1 else (depth, self.rows)
            owner = self.owner(name)
            if self.kinds[owner] == "index":
                found[name] = rng.integers(0, self.size(self.counts[owner]), lead)
            else:
                shape = (*lead, *self.number(self.shapes[owner]))
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
            for name in self.real
            if name in self.seeds
        }

    def params(self) -> dict[str, np.ndarray]:
        """Every parameter that is read."""
        return {name: self.parameter(name) for name in self.used("parameter")}

    def inputs(self) -> dict[str, np.ndarray]:
        """Every input that is read."""
        names = (*self.used("input"), *self.used("index"), *self.statics)
        return {name: self.sequence(name) for name in names}

    def but(self, **changes: object) -> Case:
        """The same case with some fields changed."""
        return replace(self, **changes)
