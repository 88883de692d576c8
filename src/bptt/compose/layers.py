"""A cell as a layer of a network: what it reads from below and what it passes on.

    h[t] = tanh(W @ h[t-1] + U @ x[t])  ->  h_2[t] = tanh(W_2 @ h_2[t-1] + U_2 @ h_1[t])

`Renaming` gives every name of a graph a new one and puts the outputs of the layer below
in the place of its input. Where those are two vectors, the matrix of a product with the
input is cut between them: U @ [u; v] = U_fw @ u + U_bw @ v.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bptt import errors
from bptt.cell import Cell
from bptt.step.graph import (
    Graph,
    Initial,
    InputSpec,
    Node,
    ParameterSpec,
    Times,
    rewrite,
    shift,
    shift_of,
    walk,
)
from bptt.step.ops import matvec
from bptt.step.places import map_data
from bptt.step.shapes import Dim, Shape, summands
from bptt.step.variants import free_name, output_names

ENDS = ("_fw", "_bw")


@dataclass(frozen=True)
class Layer:
    """A graph, the input it is fed through, and the outputs it passes on."""

    graph: Graph
    input: str
    outputs: tuple[str, ...]

    @property
    def reads_tokens(self) -> bool:
        """Whether the input is an integer."""
        return self.graph.inputs[self.input].index is not None

    @property
    def input_dim(self) -> Dim:
        """The size of the input vector, or the number of tokens."""
        spec = self.graph.inputs[self.input]
        return spec.shape[0] if spec.index is None else spec.index

    def output_dim(self, number: int) -> Dim:
        """The size of an output."""
        return self.graph.definitions[self.outputs[number]].shape[0]


def as_layer(cell: Cell, what: str) -> Layer:
    """The cell as a layer: it reads x, or its only input, and passes its output on.

    Raises: LayerError if it has a loss, no such input or no output vector.
    """
    if not isinstance(cell, Cell):
        raise errors.LayerError(
            f"{what} is no cell but {type(cell).__name__}; pass bptt.cells.lstm, "
            "bptt.Cell(text) or a list of cells"
        )
    graph = cell.graph
    if graph.loss is not None:
        raise errors.LayerError(
            f"{what} has a loss L[t] of its own; layers have none, and the whole gets "
            "one: bptt.stack(...).with_readout()"
        )
    given = [name for name, spec in graph.inputs.items() if spec.draw is None]
    name = "x" if "x" in given else given[0] if len(given) == 1 else None
    if name is None or not _is_fit(graph.inputs[name]):
        raise errors.LayerError(
            f"{what} reads no input x[t], a vector, that a layer below could feed; its "
            f"inputs are: {', '.join(map(_shown, graph.inputs.items())) or 'none'}"
        )
    outputs = output_names(graph)
    if not outputs:
        raise errors.LayerError(
            f"{what} defines no vector that it could pass on{_with_index(graph)}"
        )
    return Layer(graph, name, outputs)


def _with_index(graph: Graph) -> str:
    """What could be passed on of values that have an index; "" if there are none."""
    names = [name for name, node in graph.definitions.items() if node.rank == 2]
    index = next(iter(graph.indices), "j")
    if not names:
        return ""
    name = names[-1]
    own = free_name("o", graph.names())
    found = f": {name} is one for every index. Likely fix: "
    if name in graph.times.wholes:
        last = graph.definitions[name].shape[0]
        return f"{found}the last one, `{own}[t] = {name}[t, {last}]`"
    product = f"{free_name('V', graph.names())}[{index}] @ {name}[t, {index}]"
    return f"{found}a vector made of all, `{own}[t] = sum({index}, {product})`"


def _shown(one: tuple[str, InputSpec]) -> str:
    """An input's name, and its shape if it is no vector and no token."""
    name, spec = one
    if _is_fit(spec) or not spec.shape:
        return name
    return f"{name} ({', '.join(map(str, spec.shape))})"


def _parameter_of(matrix: Node) -> str | None:
    """The name of M in M or M[j]; None for what is no parameter."""
    while matrix.op == "at":
        (matrix,) = matrix.inputs
    return str(matrix.data) if matrix.op == "parameter" else None


def _is_fit(spec: InputSpec) -> bool:
    """A vector or a token, no scalar and no matrix."""
    return spec.index is not None or len(spec.shape) == 1


@dataclass
class LayerParts:
    """The pieces of a graph that is being put together."""

    definitions: dict[str, Node] = field(default_factory=dict)
    parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    states: dict[str, None] = field(default_factory=dict)
    backward: set[str] = field(default_factory=set)
    indices: dict[str, tuple[int, Dim]] = field(default_factory=dict)
    times: Times = field(default_factory=Times)

    def define(self, name: str, value: Node) -> Node:
        """A further equation."""
        node = Node("named", (value,), value.shape, name)
        self.definitions[name] = node
        return node

    def graph(self) -> Graph:
        """The whole."""
        return Graph(
            self.definitions, self.parameters, self.inputs, tuple(self.states), None,
            frozenset(self.backward), self.indices, self.times,
        )  # fmt: skip


@dataclass(frozen=True)
class Renaming:
    """New names for a layer's names and dimensions, and what feeds its input."""

    layer: Layer
    names: Mapping[str, str]
    dims: Mapping[Dim, Dim]
    feed: tuple[Node, ...] = ()

    def add_to(self, parts: LayerParts) -> tuple[Node, ...]:
        """Add the renamed layer to a graph; returns its outputs there."""
        graph = self.layer.graph
        cut: dict[str, None] = {}

        def step(node: Node, inputs: tuple[Node, ...]) -> Node:
            return self._step(node, inputs, cut)

        new = rewrite(graph.definitions.values(), step)
        for name, node in graph.definitions.items():
            parts.definitions[self.names[name]] = new[node]
        self._refuse_tied(cut, (new[node] for node in graph.definitions.values()))
        self._add_parameters(parts, cut)
        for name, spec in graph.inputs.items():
            if name != self.layer.input or not self.feed:
                index = None if spec.index is None else self.dims[spec.index]
                renamed = InputSpec(self._shape(spec.shape), index, spec.draw)
                parts.inputs.setdefault(self.names[name], renamed)
        parts.states.update((self._state(name), None) for name in graph.states)
        parts.backward.update(self._state(name) for name in graph.backward)
        parts.times = parts.times.joined(graph.times.renamed(self._state))
        for name, (first, dim) in graph.indices.items():
            parts.indices[self._index(name)] = first, self._dim(dim)
        return tuple(new[graph.definitions[name]] for name in self.layer.outputs)

    def _state(self, name: str) -> str:
        if name == self.layer.input and len(self.feed) == 1:
            return str(self.feed[0].data)
        return self.names[name]

    def _dim(self, dim: Dim) -> Dim:
        """A new name; of a sum, `n_h+n_x`, those of its parts."""
        if dim in self.dims or not isinstance(dim, str) or "+" not in dim:
            return self.dims.get(dim, dim)
        parts = [self.dims.get(part, part) for part in summands(dim)]
        return "+".join(map(str, parts))

    def _shape(self, shape: Shape) -> Shape:
        return tuple(map(self._dim, shape))

    def _index(self, name: str) -> str:
        return self.names.get(name, name)

    def _step(self, node: Node, inputs: tuple[Node, ...], cut: dict[str, None]) -> Node:
        shape = self._shape(node.shape)
        if node.op == "shift":
            name, lag = shift_of(node)
            if name == self.layer.input and len(self.feed) > 1:
                raise self._not_a_product("at another step")
            return shift(self._state(name), lag, shape)
        if node.op == "input" and node.data == self.layer.input and self.feed:
            # Of two vectors the last stands for both, until the product is met.
            return self.feed[-1]
        if node.op in ("parameter", "input", "named"):
            return Node(node.op, inputs, shape, self.names[str(node.data)])
        reads = [n.op == "input" and n.data == self.layer.input for n in node.inputs]
        if not any(reads) or len(self.feed) < 2:
            data = map_data(node.op, node.data, self._dim, self._index)
            return Node(node.op, inputs, shape, data)
        matrix = None if reads[0] else _parameter_of(node.inputs[0])
        if node.op != "matvec" or matrix is None:
            raise self._not_a_product(f"in `{node.op}`")
        cut[matrix] = None
        left, right = (
            matvec(self._half(inputs[0], end, vector), vector)
            for end, vector in zip(ENDS, self.feed, strict=True)
        )
        return left + right

    def _refuse_tied(self, cut: Mapping[str, None], roots: Iterable[Node]) -> None:
        """A matrix that is cut cannot be read whole as well."""
        read = {node.data for node in walk(roots) if node.op == "parameter"}
        for name in cut:
            if self.names[name] in read:
                raise errors.LayerError(
                    f"the layer below passes two vectors on, forward and backward, so "
                    f"the matrix {name} of `{name} @ {self.layer.input}[t]` is cut in "
                    "two, but another term reads it whole; use two matrices"
                )

    def _half(self, matrix: Node, end: str, vector: Node) -> Node:
        """The part of a matrix, M or M[j], that one of two vectors is multiplied by."""
        shape = (*matrix.shape[:-1], vector.shape[0])
        if matrix.op == "parameter":
            return Node("parameter", (), shape, f"{matrix.data}{end}")
        inner = self._half(matrix.inputs[0], end, vector)
        return Node(matrix.op, (inner,), shape, matrix.data)

    def _not_a_product(self, how: str) -> errors.LayerError:
        name = self.layer.input
        return errors.LayerError(
            f"the layer below passes two vectors on, forward and backward, and "
            f"{name}[t] is read {how}, not in a product `M @ {name}[t]` or `M[j] @ "
            f"{name}[t]` whose matrix could be cut between the two"
        )

    def _add_parameters(self, parts: LayerParts, cut: Mapping[str, None]) -> None:
        """Parameters under their new names; a cut matrix becomes two."""
        for name, spec in self.layer.graph.parameters.items():
            shape, initial = self._shape(spec.shape), spec.initial
            if len(spec.shape) >= 2 and initial is None and self.feed:
                # A square matrix is orthogonal by default; one that is square only
                # because two layers have one size keeps its own default.
                is_square = spec.shape[-2] == spec.shape[-1]
                initial = None if is_square else Initial("glorot")
            if name not in cut:
                parts.parameters[self.names[name]] = ParameterSpec(shape, initial)
                continue
            for end, vector in zip(ENDS, self.feed, strict=True):
                half = (*shape[:-1], vector.shape[0])
                parts.parameters[self.names[name] + end] = ParameterSpec(half, initial)
