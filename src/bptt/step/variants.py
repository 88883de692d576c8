"""Cells made from cells: token look-up for a real input, a read-out with its loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bptt import errors
from bptt.step.graph import Graph, InputSpec, Node, rebuild, rewrite


def with_tokens(graph: Graph) -> Graph:
    """Every product `M @ x[t]` with a real input becomes the look-up `M[:, x[t]]`.

    A one-hot x makes the two equal, and the look-up never multiplies by zeros. Inputs
    that are drawn (masks, noise) stay as they are.
    """
    tokens: dict[str, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """An input becomes a token, and a product with it a look-up."""
        if node.op == "input" and _is_measured(graph.inputs[str(node.data)]):
            return tokens.setdefault(str(node.data), Node("input", (), (), node.data))
        taken = [child for child in inputs if child in tokens.values()]
        if not taken:
            return rebuild(node, inputs)
        if node.op == "matvec" and inputs[0] not in taken:
            return Node("lookup", inputs, node.shape)
        raise errors.IndexKindError(
            None,
            f"input {taken[0].data} is used in `{node.op}`, not only in products "
            "`M @ x[t]`, so it cannot become a token",
            fix="write the look-up `M[:, x[t]]` in the equations, or train with "
            "--embedding N, a vector of N elements in the place of x",
        )

    new = rewrite(graph.definitions.values(), step)
    inputs = {
        name: InputSpec((), spec.shape[0]) if name in tokens else spec
        for name, spec in graph.inputs.items()
    }
    definitions = {name: new[node] for name, node in graph.definitions.items()}
    return replace(graph, definitions=definitions, inputs=inputs)


def _is_measured(spec: InputSpec) -> bool:
    """Whether an input holds real numbers that are given, not drawn."""
    return spec.index is None and spec.draw is None


def readout_text(graph: Graph) -> str:
    """Equations that read the output out and score a class index."""
    outputs = output_names(graph)
    taken = {*graph.definitions, *graph.parameters, *graph.inputs}
    o, c, y = (free_name(name, taken) for name in ("o", "c", "y"))
    if outputs:
        ends = ("_fw", "_bw") if len(outputs) == 2 else ("",)
        products = " + ".join(
            f"{free_name('V' + end, taken)} @ {name}[t]"
            for end, name in zip(ends, outputs, strict=True)
        )
    else:
        products = _product_of_places(graph, free_name("V", taken))
    return f"{o}[t] = {c} + {products}\nL[t] = nll(softmax({o}[t]), {y}[t])\n"


def _product_of_places(graph: Graph, matrix: str) -> str:
    """A read-out of what has an index: of every place, or of the last inner step.

    Raises: NoLossError where there is none.
    """
    elsewhere = {*graph.times.hidden, *graph.times.once}
    rows = {
        name: node.shape[0] for name, node in graph.definitions.items()
        if node.rank == 2 and name not in elsewhere
    }  # fmt: skip
    name = "h" if "h" in rows else next(reversed(rows), "")
    if name in graph.times.wholes:
        return f"{matrix} @ {name}[t, {rows[name]}]"
    for index, (_, dim) in graph.indices.items():
        if name and dim == rows[name]:
            return f"sum({index}, {matrix}[{index}] @ {name}[t, {index}])"
    raise errors.NoLossError("the cell defines no vector that could be read out")


def output_names(graph: Graph) -> tuple[str, ...]:
    """What a layer passes on: `h`, or the vector defined last where none is called h.

    A bidirectional layer has two, `h_fw` and `h_bw`; a cell without a vector has none,
    and so has one whose only vectors are looked up, e[t] = E[:, x[t]], beside values
    with an index.
    """
    elsewhere = {*graph.times.hidden, *graph.times.once}
    vectors = [
        name
        for name, node in graph.definitions.items()
        if node.rank == 1 and name not in elsewhere
    ]
    if "h" in vectors:
        return ("h",)
    has_places = any(node.rank > 1 for node in graph.definitions.values())
    if not vectors or (has_places and all(_is_read(graph, name) for name in vectors)):
        return ()
    before, found, after = vectors[-1].rpartition("_bw")
    other = f"{before}_fw{after}"
    return (other, vectors[-1]) if found and other in vectors else (vectors[-1],)


def _is_read(graph: Graph, name: str) -> bool:
    """Whether a vector is looked up, and depends on nothing else."""
    return graph.definitions[name].inputs[0].op == "lookup"


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, lengthened until nothing else is called so."""
    while name in taken:
        name += "_out"
    return name
