"""Cells made from cells: token look-up for a real input, a read-out with its loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bptt import errors
from bptt.step.graph import Graph, InputSpec, Node, name_of, rebuild, rewrite, shift_of


def with_tokens(graph: Graph, only: Collection[str] | None = None) -> Graph:
    """Every product `M @ x[t]` with a real input becomes the look-up `M[:, x[t]]`.

    A one-hot x makes the two equal, and the look-up never multiplies by zeros. Inputs
    that are drawn (masks, noise) stay as they are. Before the first step the token is
    0, not a vector of zeros, where the call does not say it. only: the inputs that
    become tokens.
    """
    chosen = {
        name
        for name, spec in graph.inputs.items()
        if (only is None or name in only) and _is_measured(spec)
    }
    tokens: dict[Node, str] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """An input of any step becomes a token, and a product with it a look-up."""
        name = _read_of(graph, node)
        if name in chosen:
            new = Node(node.op, inputs, (), node.data)
            tokens[new] = name
            return new
        taken = [child for child in inputs if child in tokens]
        if not taken:
            return rebuild(node, inputs)
        if node.op == "matvec" and inputs[0] not in taken:
            return Node("lookup", inputs, node.shape)
        raise errors.IndexKindError(
            None,
            f"input {tokens[taken[0]]} is used in {_use_of(node)}, not only in "
            "products `M @ x[t]`, so it cannot become a token",
            fix="write the look-up `M[:, x[t]]` in the equations, or train with "
            "--embedding N, a vector of N elements in the place of x",
        )

    new = rewrite(graph.definitions.values(), step)
    inputs = {
        name: InputSpec((), spec.shape[0]) if name in tokens.values() else spec
        for name, spec in graph.inputs.items()
    }
    definitions = {name: new[node] for name, node in graph.definitions.items()}
    return replace(graph, definitions=definitions, inputs=inputs)


def _use_of(node: Node) -> str:
    """What a person calls an operation that is no product."""
    if node.op == "named":
        return f"the equation of {name_of(node)}, as it is"
    if node.op in ("at", "put"):
        return "a vector put together, or in a part of one"
    return f"`{node.op}`"


def _read_of(graph: Graph, node: Node) -> str:
    """The name that a node reads, of any step; "" for what computes."""
    if node.op not in ("input", "named", "shift"):
        return ""
    name = shift_of(node)[0] if node.op == "shift" else name_of(node)
    return graph.times.origin(name)[0]


def _is_measured(spec: InputSpec) -> bool:
    """Whether an input holds real numbers that are given, not drawn."""
    return spec.index is None and spec.draw is None


def readout_text(graph: Graph) -> str:
    """Equations that read the output out and score a class index."""
    outputs = output_names(graph)
    taken = {*graph.definitions, *graph.parameters, *graph.inputs}
    o, c, y = (free_name(name, taken) for name in ("o", "c", "y"))
    declared = ""
    if outputs:
        ends = ("_fw", "_bw") if len(outputs) == 2 else ("",)
        products = " + ".join(
            f"{free_name('V' + end, taken)} @ {name}[t]"
            for end, name in zip(ends, outputs, strict=True)
        )
    else:
        name = _output(graph)
        if not name:
            raise errors.NoLossError(
                "the cell defines no vector that could be read out"
            )
        products = _product_of_places(graph, name, taken)
        declared = _declared_matrix(graph, name, taken, o)
    return f"{declared}{o}[t] = {c} + {products}\nL[t] = nll(softmax({o}[t]), {y}[t])\n"


def _product_of_places(graph: Graph, name: str, taken: Collection[str]) -> str:
    """A read-out of what has an index, of every place or of the last inner step."""
    shape, matrix = graph.definitions[name].shape, free_name("V", taken)
    if name in graph.times.wholes:
        return f"{matrix} @ {name}[t, {shape[0]}]"
    free = dict(graph.indices)
    chosen = []
    for dim in shape[:-1]:
        chosen.append(next(i for i, (_, known) in free.items() if known == dim))
        del free[chosen[-1]]
    places = ", ".join(chosen)
    product = f"{matrix}[{places}] @ {name}[t, {places}]"
    for index in reversed(chosen):
        product = f"sum({index}, {product})"
    return product


def _declared_matrix(graph: Graph, name: str, taken: Collection[str], o: str) -> str:
    """The declaration of a matrix for every pair of places; nothing for one index."""
    shape = graph.definitions[name].shape
    if len(shape) < 3:
        return ""
    sizes = ", ".join(
        map(str, (*shape[:-1], free_name(f"n_{o}", graph.dims()), shape[-1]))
    )
    return f"{free_name('V', taken)}: ({sizes})\n"


def output_names(graph: Graph) -> tuple[str, ...]:
    """What a layer passes on: `h`, or the vector defined last where none is called h.

    A bidirectional layer has two, `h_fw` and `h_bw`. A cell whose last value has an
    index, o[t, j], passes on no vector, and neither does one whose only vectors are
    looked up, e[t] = E[:, x[t]], beside values with an index.
    """
    name = _output(graph)
    if not name or graph.definitions[name].rank > 1:
        return ()
    before, is_one, after = name.rpartition("_bw")
    other = f"{before}_fw{after}"
    is_two = is_one and other in graph.definitions
    return (other, name) if is_two else (name,)


def _output(graph: Graph) -> str:
    """A vector h, or else the last vector, or vector at every place of an index.

    A matrix is none, and neither is a state of matrices, S[t, j]. "" where none is.
    """
    elsewhere = {*graph.times.hidden, *graph.times.once}
    dims = {dim for _, dim in graph.indices.values()}
    names = [
        name
        for name, node in graph.definitions.items()
        if node.rank and dims.issuperset(node.shape[:-1]) and name not in elsewhere
    ]
    has_places = any(node.rank > 1 for node in graph.definitions.values())
    if not names or (has_places and all(_is_read(graph, name) for name in names)):
        return ""
    is_vector = "h" in names and graph.definitions["h"].rank == 1
    return "h" if is_vector else names[-1]


def _is_read(graph: Graph, name: str) -> bool:
    """Whether a vector is looked up, and depends on nothing else."""
    return graph.definitions[name].inputs[0].op == "lookup"


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, lengthened until nothing else is called so."""
    while name in taken:
        name += "_out"
    return name
