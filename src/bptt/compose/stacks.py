"""Layers on top of each other."""

from __future__ import annotations

from collections.abc import Iterable

from bptt import errors
from bptt.cell import Cell
from bptt.compose.layers import Layer, LayerParts, Renaming, as_layer
from bptt.compose.sizes import Sizes
from bptt.language import print_graph
from bptt.step.draws import check_rate
from bptt.step.graph import Initial, InputSpec, Node, name_of
from bptt.step.variants import output_names


def stack(
    cells: Cell | Iterable[Cell],
    n: int | None = None,
    *,
    residual: bool = False,
    dropout: float = 0.0,
) -> Cell:
    """Layers on top of each other, as one cell: layer k reads the output of k - 1.

        h_1[t] = f(W_1 @ h_1[t-1] + U_1 @ x[t])
        h_2[t] = f(W_2 @ h_2[t-1] + U_2 @ h_1[t])

    (Goodfellow et al., 2016, section 10.5.) Names of layer k end in `_k`; x keeps its
    name. `stack(cell, n)` has n layers of one size `n_h`, `stack([a, b])` layers with
    sizes of their own, `n_h_1` and `n_h_2`.

    residual: from layer 2 on, a layer passes on `h_2_res[t] = h_2[t] + h_1[t]`, its
    output plus what it was given (Wu et al., 2016, equation 6), so all have one size.
    dropout: rate of the masks `h_1_mask` between layers, `h_1_drop[t] = h_1_mask[t] *
    h_1[t]` (Zaremba et al., 2014); `Cell.draw` makes them.

    >>> from bptt import cells
    >>> stack(cells.elman, 2).dims
    ('n_x', 'n_h')
    >>> stack([cells.elman, cells.gru]).dims
    ('n_x', 'n_h_1', 'n_h_2')

    Raises: LayerError, StackSizeError, RateError.
    """
    layers = _layers(cells, n)
    check_rate(dropout)
    labels = [str(number) for number in range(1, len(layers) + 1)]
    sizes = Sizes([layer.graph for layer in layers], labels)
    if n is not None:
        sizes.share([layer.input_dim for layer in layers])
    for number in range(1, len(layers)):
        _join(sizes, layers, number, residual=residual)
    dims = sizes.name(layers[0].input_dim)
    parts = LayerParts()
    below: tuple[Node, ...] = ()
    for number, layer in enumerate(layers):
        names = {name: f"{name}_{labels[number]}" for name in layer.graph.names()}
        if not number:
            names[layer.input] = layer.input
        fed = _drop(parts, below, dropout) if below and dropout else below
        above = Renaming(layer, names, dims[number], fed).add_to(parts)
        below = _add(parts, above, below) if residual and below else above
    passed_on = tuple(map(name_of, below))
    if output_names(parts.graph()) != passed_on:
        parts.define(f"{passed_on[-1]}_out", below[-1])
    return Cell(print_graph(parts.graph()))


def _layers(cells: Cell | Iterable[Cell], n: int | None) -> list[Layer]:
    if isinstance(cells, Cell):
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise errors.LayerError(
                f"stack(cell, n={n!r}): the number of layers is a whole number from 1; "
                "for layers of different cells, stack([cell_a, cell_b])"
            )
        return [as_layer(cells, "the cell")] * n
    found = list(cells)
    if n is not None or not found:
        raise errors.LayerError(
            f"stack of {len(found)} cells with n={n!r}: give one cell and n, or a list "
            "of at least one cell"
        )
    return [as_layer(cell, f"layer {k}") for k, cell in enumerate(found, start=1)]


def _join(sizes: Sizes, layers: list[Layer], number: int, *, residual: bool) -> None:
    """What layer `number` reads is what the one below passes on."""
    below, layer = layers[number - 1], layers[number]
    here, there = number + 1, number
    if layer.reads_tokens:
        raise errors.StackSizeError(
            f"layer {here} reads the token {layer.input}[t], an integer, but layer "
            f"{there} passes on a vector {below.outputs[-1]}[t]; stack cells that read "
            "vectors, then stack(...).with_tokens()"
        )
    if len(below.outputs) == 1:
        sizes.join(
            (number - 1, below.output_dim(0)), (number, layer.input_dim),
            f"layer {here} reads {layer.input}[t] from {below.outputs[0]}[t] of layer "
            f"{there}",
        )  # fmt: skip
    if not residual:
        return
    if len(below.outputs) != len(layer.outputs):
        raise errors.StackSizeError(
            f"a residual connection adds {' and '.join(below.outputs)} of layer "
            f"{there} to {' and '.join(layer.outputs)} of layer {here}: one of the two "
            "is bidirectional, the other not"
        )
    for which in range(len(layer.outputs)):
        sizes.join(
            (number - 1, below.output_dim(which)), (number, layer.output_dim(which)),
            f"a residual connection adds {below.outputs[which]}[t] of layer {there} to "
            f"{layer.outputs[which]}[t] of layer {here}",
        )  # fmt: skip


def _drop(parts: LayerParts, below: tuple[Node, ...], rate: float) -> tuple[Node, ...]:
    dropped = []
    for node in below:
        mask = f"{name_of(node)}_mask"
        draw = Initial("dropout", (float(rate),))
        parts.inputs[mask] = InputSpec(node.shape, draw=draw)
        masked = Node("input", (), node.shape, mask) * node
        dropped.append(parts.define(f"{name_of(node)}_drop", masked))
    return tuple(dropped)


def _add(
    parts: LayerParts, above: tuple[Node, ...], below: tuple[Node, ...]
) -> tuple[Node, ...]:
    return tuple(
        parts.define(f"{name_of(output)}_res", output + given)
        for output, given in zip(above, below, strict=True)
    )
