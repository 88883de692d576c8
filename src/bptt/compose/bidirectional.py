"""A cell that reads a sequence forward and one that reads it backward."""

from __future__ import annotations

from dataclasses import replace

from bptt import errors
from bptt.cell import Cell
from bptt.compose.layers import ENDS, LayerParts, Renaming, as_layer
from bptt.compose.sizes import Sizes
from bptt.language import print_graph
from bptt.step.graph import Graph, Node, rebuild, rewrite, shift, shift_of
from bptt.step.variants import output_names


def bidirectional(cell: Cell, backward: Cell | None = None) -> Cell:
    """Two cells over one sequence, one from t = 1 on, one from t = tau back.

        h_fw[t] = f(W_fw @ h_fw[t-1] + U_fw @ x[t])
        h_bw[t] = f(W_bw @ h_bw[t+1] + U_bw @ x[t])

    (Schuster and Paliwal, 1997; Goodfellow et al., 2016, section 10.3.) Names end in
    `_fw` and `_bw`; the two share x, and `n_h` too unless `backward` is another cell,
    which is turned round. The output is both vectors: `with_readout` reads
    `V_fw @ h_fw[t] + V_bw @ h_bw[t]`, the product with [h_fw; h_bw].
    `initial["h_bw"]` is the value after the last step, `run.final["h_bw"]` that at
    t = 1.

    >>> from bptt import cells
    >>> both = bidirectional(cells.gru)
    >>> both.states, both.graph.backward
    (('h_fw', 'h_bw'), frozenset({'h_bw'}))

    Raises: LayerError, StackSizeError.
    """
    layers = [as_layer(cell, "the cell"), as_layer(backward or cell, "the other cell")]
    for layer in layers:
        if len(layer.outputs) > 1:
            raise errors.LayerError(
                "the cell is bidirectional already; stack such layers: "
                "bptt.stack(bptt.bidirectional(cell), n)"
            )
    layers[1] = replace(layers[1], graph=turn_round(layers[1].graph))
    sizes = Sizes([layer.graph for layer in layers], ["fw", "bw"])
    if backward is None:
        sizes.share([None, None])
    dims = [layer.input_dim for layer in layers]
    if layers[0].reads_tokens != layers[1].reads_tokens:
        raise errors.StackSizeError(
            "one of the two cells reads a token x[t], the other a vector: use "
            "with_tokens() of both or of neither"
        )
    sizes.join((0, dims[0]), (1, dims[1]), "both directions read one x[t]")
    new_dims = sizes.name(dims[0])
    parts = LayerParts()
    outputs: list[Node] = []
    for number, layer in enumerate(layers):
        graph, end = layer.graph, ENDS[number]
        names = {name: name + end for name in graph.names()}
        names[layer.input] = layers[0].input
        outputs += Renaming(layer, names, new_dims[number]).add_to(parts)
    wanted = tuple(str(node.data) for node in outputs)
    if output_names(parts.graph()) != wanted:
        for node, end in zip(outputs, ENDS, strict=True):
            parts.define(f"out{end}", node)
    return Cell(print_graph(parts.graph()))


def turn_round(graph: Graph) -> Graph:
    """The same equations with time reversed: t-1 for t+1 and t+1 for t-1.

    Raises: LayerError for what counts steps or is known after the last one.
    """
    kinds = {written[0] for written in graph.times.hidden.values()}
    if graph.times.once or kinds & {"clock", "tau", "sum", "max"}:
        raise errors.LayerError(
            "the cell reads t or tau, or has equations after the last step, which are "
            "other values when time is reversed; leave them out of the layers and "
            "write them into the whole"
        )

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "shift":
            name, lag = shift_of(node)
            return shift(name, -lag, node.shape)
        return rebuild(node, inputs)

    new = rewrite(graph.definitions.values(), step)
    return replace(
        graph,
        definitions={name: new[node] for name, node in graph.definitions.items()},
        backward=frozenset(graph.states) - graph.backward,
        times=graph.times.turned(),
    )
