"""The nodes of a step graph and the graph that holds them.

A `Node` is one value of the step at time t: an operation of `ops.OPS` on other nodes,
or a leaf. Nodes are immutable and compared by identity. A node is *timed* when it has
one value per step and batch row, *static* when it has one value for the whole call (a
parameter, or anything made from parameters alone, or a sum over all steps).

Leaves:

    constant   data = the number
    size       data = a dimension; its size as a scalar
    parameter  data = its name; static
    input      data = its name; timed
    index      data = (name, dimension, first number); its number as a scalar; static
    eye        data = a dimension; the unit matrix; static
    shift      data = (name, lag); the value of a definition or input at step t + lag
    weight     w_t, the weight of L^(t) in the total loss; timed
    seed       data = name; a gradient that arrives at a definition from outside; timed
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bptt.step import shapes
from bptt.step.shapes import Dim, Shape

TIMED_LEAVES = frozenset({"input", "shift", "weight", "seed"})
STATIC_LEAVES = frozenset({"constant", "size", "parameter", "index", "eye"})
LEAVES = TIMED_LEAVES | STATIC_LEAVES
TO_STATIC = frozenset({"total", "total_outer", "total_outer_at", "total_scatter"})
TO_TIMED = frozenset({"named", "spread"})
# Of what a hidden definition stands for, those that say it of another name.
NAMING = frozenset({"lag", "start", "tau", "place"})
# Names and dimensions of the indices that an expression still has: j in `C[t, j]`.
Indices = tuple[tuple[str, Dim], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value of the step graph; see the module for the kinds of leaves."""

    op: str
    inputs: tuple[Node, ...] = ()
    shape: Shape = ()
    data: Hashable = None
    timed: bool = field(init=False)
    indices: Indices = field(init=False)

    def __post_init__(self) -> None:
        """Derive `timed` and `indices` from the operation and the inputs."""
        if self.op in TIMED_LEAVES or self.op in TO_TIMED:
            timed = True
        elif self.op in TO_STATIC:
            timed = False
        else:
            timed = any(node.timed for node in self.inputs)
        object.__setattr__(self, "timed", timed)
        object.__setattr__(self, "indices", _indices_of(self))

    @property
    def rank(self) -> int:
        """0 a scalar, 1 a vector, 2 a matrix: what is left after the indices."""
        return len(self.shape)

    @property
    def axes(self) -> tuple[Dim, ...]:
        """The dimensions of a value in memory: of its indices, then the rest."""
        return (*(dim for _, dim in self.indices), *self.shape)

    def __repr__(self) -> str:
        data = "" if self.data is None else f" {self.data!r}"
        return f"<{self.op}{data} {shapes.show_shape(self.shape)}>"

    # The arithmetic of backward rules. `evaluate.verify` recomputes every
    # shape from the table, so a slip here cannot pass.
    def __add__(self, other: Operand) -> Node:
        return _arithmetic("add", self, other)

    def __radd__(self, other: float) -> Node:
        return _arithmetic("add", other, self)

    def __sub__(self, other: Operand) -> Node:
        return _arithmetic("sub", self, other)

    def __rsub__(self, other: float) -> Node:
        return _arithmetic("sub", other, self)

    def __mul__(self, other: Operand) -> Node:
        return _arithmetic("mul", self, other)

    def __rmul__(self, other: float) -> Node:
        return _arithmetic("mul", other, self)

    def __truediv__(self, other: Operand) -> Node:
        return _arithmetic("div", self, other)

    def __rtruediv__(self, other: float) -> Node:
        return _arithmetic("div", other, self)

    def __pow__(self, other: Operand) -> Node:
        return _arithmetic("pow", self, other)

    def __neg__(self) -> Node:
        return Node("neg", (self,), self.shape)


Operand = Node | float | int


def _indices_of(node: Node) -> Indices:
    """The indices of the inputs, each once, in the order of their names."""
    found = {name: dim for child in node.inputs for name, dim in child.indices}
    data: Any = node.data
    if node.op == "at":
        found |= dict(data.indices)
    elif node.op == "put":
        place, kept = data
        found = {n: d for n, d in found.items() if n in kept or n not in place.names}
    elif node.op in ("index", "index_fill"):
        found[data[0]] = data[1]
    elif node.op == "index_sum":
        del found[data[0]]
    if not found:
        return ()
    return tuple(sorted(found.items(), key=lambda pair: pair[0]))


def _arithmetic(op: str, a: Operand, b: Operand) -> Node:
    left, right = as_node(a), as_node(b)
    shape = shapes.elementwise(shapes.unify_strict, left.shape, right.shape)
    return Node(op, (left, right), shape)


def as_node(value: Operand) -> Node:
    """A node as it is, a number as a constant."""
    return value if isinstance(value, Node) else constant(value)


def constant(value: float) -> Node:
    """A number."""
    return Node("constant", (), (), float(value))


def is_constant(node: Node, value: float) -> bool:
    """Whether the node is this number."""
    return node.op == "constant" and node.data == value


def shift(name: str, lag: int, shape: Shape) -> Node:
    """The value of `name` at step t + lag."""
    return Node("shift", (), shape, (name, lag))


def shift_of(node: Node) -> tuple[str, int]:
    """The name and lag of a shift leaf."""
    data: Any = node.data
    return data[0], data[1]


def name_of(node: Node) -> str:
    """The name that a parameter, input, seed or named node carries."""
    return str(node.data)


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter's shape and its declared initial value (None: chosen by role)."""

    shape: Shape
    initial: Initial | None = None


@dataclass(frozen=True)
class Initial:
    """A declared initial value: the name of a rule in `initial.py` and its numbers."""

    rule: str
    arguments: tuple[float, ...] = ()


@dataclass(frozen=True)
class InputSpec:
    """An input's shape per step.

    index: the dimension an integer input counts; draw: the distribution of an input
    that is drawn from a seed, a rule in `draws.py` and its numbers.
    """

    shape: Shape
    index: Dim | None = None
    draw: Initial | None = None


@dataclass(frozen=True)
class Times:
    """What the equations of a step were written for; see `bptt.language.times`.

    once: definitions that have one value per row, that of its last step; row_inputs:
    inputs with one value per row; hidden: definitions that no line has, and what they
    stand for; starts: state -> the definition of its start; delays: name -> the
    definitions that hold it, one step more away each; end_loss: the definition of L
    where there is L[t], too; is_end_loss: whether the loss counts at the last step
    alone; wholes: definitions that hold all places of a name, each of which has an
    equation of its own; opened: where all this is written out as equations of a step,
    what the text had said.
    """

    once: frozenset[str] = frozenset()
    row_inputs: frozenset[str] = frozenset()
    hidden: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)
    delays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    end_loss: str = ""
    is_end_loss: bool = False
    wholes: frozenset[str] = frozenset()
    opened: Times | None = None

    def said(self, name: str, later: int = 0) -> str:
        """A definition as a person wrote it, h[t-2] of what carries h over two steps.

        later: the step of the definition itself, from t. Names that a line has stay.
        """
        kind, *rest = self.hidden.get(name, ("",))
        if kind == "lag":
            return f"{rest[0]}[t{int(rest[1]) + later:+d}]"
        if kind == "start":
            return f"{rest[0]}[{rest[1]}]"
        if kind == "flag":
            return {"begun": "[t > 1]", "going": "[t < tau]"}.get(rest[0], name)
        return "t" if kind == "clock" else name

    def origin(self, name: str) -> tuple[str, int]:
        """Whose value a definition holds, and of which step: h, -2; its own, 0."""
        kind, *rest = self.hidden.get(name, ("",))
        return (rest[0], int(rest[1])) if kind == "lag" else (name, 0)

    def written(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names that a person wrote, and none that reading made."""
        return tuple(name for name in names if name not in self.hidden)

    def renamed(self, name: Callable[[str], str]) -> Times:
        """The same for definitions with other names."""
        hidden = {
            name(key): (kind, *(name(first) if kind in NAMING else first
                                for first in rest[:1]), *rest[1:])
            for key, (kind, *rest) in self.hidden.items()
        }  # fmt: skip
        return replace(
            self,
            once=frozenset(map(name, sorted(self.once))),
            row_inputs=frozenset(map(name, sorted(self.row_inputs))),
            hidden=hidden,
            starts={name(a): name(b) for a, b in self.starts.items()},
            delays={name(a): tuple(map(name, b)) for a, b in self.delays.items()},
            wholes=frozenset(map(name, sorted(self.wholes))),
        )

    def joined(self, other: Times) -> Times:
        """Those of two graphs in one."""
        return replace(
            self,
            once=self.once | other.once,
            row_inputs=self.row_inputs | other.row_inputs,
            hidden={**self.hidden, **other.hidden},
            starts={**self.starts, **other.starts},
            delays={**self.delays, **other.delays},
            wholes=self.wholes | other.wholes,
        )

    def turned(self) -> Times:
        """The same with time reversed: starts are ends, delays look ahead."""
        ends = {"0": "tau+1", "tau+1": "0"}
        hidden = {
            key: (kind, rest[0], str(-int(rest[1]))) if kind == "lag"
            else (kind, rest[0], ends[rest[1]]) if kind == "start"
            else (kind, *rest)
            for key, (kind, *rest) in self.hidden.items()
        }  # fmt: skip
        return replace(self, hidden=hidden)


@dataclass(frozen=True, eq=False)
class Graph:
    """One time step of a cell: its definitions in order, and its leaves by name.

    states: the names read at another step; backward: those of them read at t+1, whose
    loop runs from tau to 1 and whose boundary value is that of step tau + 1; indices:
    the first number and the dimension of each, as declared; times: what the
    text said of other times than a step.
    """

    definitions: Mapping[str, Node]
    parameters: Mapping[str, ParameterSpec]
    inputs: Mapping[str, InputSpec]
    states: tuple[str, ...]
    loss: str | None = None
    backward: frozenset[str] = frozenset()
    indices: Mapping[str, tuple[int, Dim]] = field(default_factory=dict)
    times: Times = field(default_factory=Times)

    @property
    def ends_in_loss(self) -> bool:
        """Whether the loss is one value per row, counted at its last step."""
        return self.times.is_end_loss or self.loss in self.times.once

    def at_every_step(self) -> Graph:
        """The same with a value at every step where there is one per row.

        For a front end, which spreads and picks with its own arrays.
        """
        times = replace(
            self.times,
            once=frozenset(),
            row_inputs=frozenset(),
            is_end_loss=self.ends_in_loss,
        )
        return replace(self, times=times)

    @property
    def handed_on(self) -> tuple[str, ...]:
        """The states whose last value starts the next call.

        Not what `times` carries back from the end of a row: a later call has its own.
        """
        own = {
            name
            for name, (kind, *_) in self.times.hidden.items()
            if name in self.backward and kind != "lag"
        }
        return tuple(name for name in self.states if name not in own)

    def names(self) -> tuple[str, ...]:
        """All names: of values, of indices, and of what has places and is made once."""
        puts = (n.data for n in walk(self.definitions.values()) if n.op == "put")
        labels = (data[0].label for data in puts)  # type: ignore[index]
        return (
            *self.definitions, *self.parameters, *self.inputs, *self.indices,
            *dict.fromkeys(filter(None, labels)),
        )  # fmt: skip

    def lag(self, state: str) -> int:
        """Where a state is read: -1 for t-1, +1 for t+1."""
        return 1 if state in self.backward else -1

    def vectors(self) -> list[str]:
        """The definitions that are a vector, or one for every value of indices."""
        found = []
        for name, node in self.definitions.items():
            rank, body = node.rank, node.inputs[0]
            while body.op == "put":
                rank, body = rank - 1, body.inputs[0]
            if 1 in (rank, node.rank):
                found.append(name)
        return found

    def dims(self) -> tuple[str, ...]:
        """The named dimensions, in order of first appearance."""
        seen: dict[object, None] = {}
        for source in self.inputs.values():
            seen |= dict.fromkeys((*source.shape, source.index))
        for spec in self.parameters.values():
            seen |= dict.fromkeys(spec.shape)
        for node in self.definitions.values():
            seen |= dict.fromkeys(node.shape)
        parts = dict.fromkeys(
            part
            for dim in seen
            if isinstance(dim, str)
            for part in shapes.summands(dim)
        )
        return tuple(part for part in parts if isinstance(part, str))


def unnamed(node: Node) -> Node:
    """A value without the names over it."""
    while node.op == "named":
        (node,) = node.inputs
    return node


def terms_of(node: Node) -> list[Node]:
    """The terms of a sum, or the node alone."""
    if node.op == "add":
        return [term for child in node.inputs for term in terms_of(child)]
    return [node]


def walk(roots: Iterable[Node], *, is_behind_names: bool = True) -> Iterator[Node]:
    """Every node reachable within one step, inputs before the nodes that read them.

    is_behind_names: whether also what a name in an equation stands for. Iterative: a
    graph may be deeper than Python's recursion limit.
    """
    done: set[Node] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            if ready:
                done.add(node)
                yield node
                continue
            stack.append((node, True))
            if is_behind_names or node.op != "named":
                stack.extend((child, False) for child in reversed(node.inputs))


def own_nodes(body: Node) -> Iterator[Node]:
    """The nodes of one equation's right side, inputs first: nothing behind a name."""
    return walk([body], is_behind_names=False)


def rewrite(
    roots: Iterable[Node], rule: Callable[[Node, tuple[Node, ...]], Node]
) -> dict[Node, Node]:
    """Rebuild a graph bottom-up: `rule(node, new_inputs)` gives each node's successor.

    Returns: a map from every old node to its new one.
    """
    new: dict[Node, Node] = {}
    for node in walk(roots):
        new[node] = rule(node, tuple(new[child] for child in node.inputs))
    return new


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same operation on other inputs; the node itself when nothing changed."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    return Node(node.op, inputs, node.shape, node.data)
