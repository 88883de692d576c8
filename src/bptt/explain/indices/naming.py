"""Names for the inner nodes of long equations of a cell with indices.

    q[t, j] = unit(silu(W[j] @ x[t]))    ->    q_1[t, j] = W[j] @ x[t]
                                               q_2[t, j] = silu(q_1[t, j])
                                               q[t, j] = q_2[t, j] / norm(q_2[t, j])

Otherwise a term of the gradient would hold W[j] @ x[t] many times. The values and
gradients of every node that was there before stay what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from bptt.explain.indices.structure import Structure
from bptt.explain.prepare import free_name
from bptt.step import ops
from bptt.step.graph import Graph, Node, own_nodes, rebuild, rewrite
from bptt.step.ops import TABLE
from bptt.step.places import IndexPlace, PlaceTerm
from bptt.step.shapes import Dim

LEAVES = frozenset({"input", "parameter", "shift", "named", "constant", "index", "size",
                    "eye"})  # fmt: skip
# What a derivative does not read, and what is only looked at another way.
LINEAR = frozenset({"neg", "at", "put", "transpose", "index_fill", "fill", "diag",
                    "stop_gradient", "sign", "floor", "round"})  # fmt: skip
WHOLE = frozenset({"softmax", "log_softmax", "layer_norm", "logsumexp", "max", "prod"})


def with_inner_names(graph: Graph, long: frozenset[str]) -> Graph:
    """The graph with names for the inner nodes of the equations called `long`."""
    taken = set(graph.names())
    definitions: dict[str, Node] = {}
    for name, root in graph.definitions.items():
        if name not in long:
            definitions[name] = root
            continue
        namer = _Namer(graph, name, taken)
        body = namer.rewritten(root.inputs[0])
        definitions |= namer.found
        definitions[name] = Node("named", (body,), body.shape, name)
    return _relinked(graph, definitions)


def _relinked(graph: Graph, definitions: dict[str, Node]) -> Graph:
    """Names read the new definitions, where an equation read the old."""
    new: dict[str, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "named" and node.data in new:
            return new[str(node.data)]
        return rebuild(node, inputs)

    for name, root in definitions.items():
        body = rewrite([root.inputs[0]], step)[root.inputs[0]]
        new[name] = Node("named", (body,), body.shape, name)
    return replace(graph, definitions=new)


class _Namer:
    """Names the inner nodes of one equation; found: the new definitions, in order."""

    def __init__(self, graph: Graph, name: str, taken: set[str]) -> None:
        self._graph, self._name, self._taken = graph, name, taken
        self._structure = Structure()
        self.found: dict[str, Node] = {}

    def rewritten(self, body: Node) -> Node:
        """The equation's right side with names in it."""
        chosen = {self._structure.number(node) for node in self._chosen(body)}
        made: dict[int, Node] = {}
        new: dict[Node, Node] = {}
        for node in own_nodes(body):
            number = self._structure.number(node)
            inputs = tuple(new.get(child, child) for child in node.inputs)
            built = rebuild(node, inputs) if node.op != "named" else node
            if number in chosen and node is not body:
                if number not in made:
                    made[number] = self._named(built)
                built = made[number]
            new[node] = built
        return new[body]

    def _chosen(self, body: Node) -> Iterator[Node]:
        """What is read twice, and the arguments and values of what is not linear."""
        root, label = body, set[Node]()
        while root.op == "put" and not root.data[0].label:  # type: ignore[index]
            root = root.inputs[0]
        nodes = list(own_nodes(root))
        for node in nodes:
            if node.op == "put" and node.data[0].label:  # type: ignore[index]
                label |= set(own_nodes(node))
        readers = Counter(
            self._structure.number(child)
            for node in {self._structure.number(n): n for n in nodes}.values()
            for child in node.inputs
        )
        for node in nodes:
            if node in label or not _is_inner(node):
                continue
            if readers[self._structure.number(node)] > 1 and node is not root:
                yield node
            if node.op in WHOLE or _is_curved(node):
                if node is not root:
                    yield node
                yield from filter(_is_inner, node.inputs)

    def _named(self, node: Node) -> Node:
        """A definition of a node at every place of its indices, read at these."""
        name = free_name(self._name, self._taken)
        places = [self._place(*index) for index in node.indices]
        whole = node
        for place in reversed(places):
            whole = ops.put(whole, place)
        found = self.found[name] = Node("named", (whole,), whole.shape, name)
        for place in places:
            found = ops.at(found, place)
        return found

    def _place(self, name: str, dim: Dim) -> IndexPlace:
        first, _ = self._graph.indices.get(name, (1, dim))
        return IndexPlace(dim, (PlaceTerm(name, dim, first),))


def _is_inner(node: Node) -> bool:
    """Whether a node may have a name: an operation on what the cell computes."""
    if node.op in LEAVES or node.op in LINEAR or not node.inputs:
        return False
    own = list(own_nodes(node))
    return any(n.op in ("input", "named", "shift") for n in own) and not any(
        n.op in ("one_hot", "one_hot_of", "argmax") for n in own
    )


def _is_curved(node: Node) -> bool:
    """Whether it is a function of one argument whose derivative is no constant."""
    if node.op not in TABLE or node.op in LINEAR:
        return False
    row = TABLE[node.op]
    return row.is_elementwise and row.arity == 1
