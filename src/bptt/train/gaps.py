"""Targets of which single elements are missing: a gap leaves out that element alone.

    real         L[t] = mse(known[t] * o[t], known[t] * y[t])
    multi-hot    L[t] = bce(sigmoid(known[t] * o[t] + 10000 * (known[t] - 1)), ...)

known[t] is 1 where an element of y is there and 0 where it is not. There the loss is 0
whatever o says, and so is its gradient: softplus(-10000) is 0 in float32 and float64.
"""

import re
from collections.abc import Collection

import numpy as np

from bptt.cell import Cell
from bptt.language import print_graph
from bptt.step.graph import Node, walk
from bptt.step.shapes import Array
from bptt.train.data.windows import Block

KNOWN = "known"
# The loss of a step, where all elements of y are known and where some are not.
WHOLE = {
    "nll": "nll(softmax({o}[t]), {y}[t])",
    "bce": "bce(sigmoid({o}[t]), {y}[t])",
    "mse": "mse({o}[t], {y}[t])",
}
GAPPED = {
    "bce": "bce(sigmoid(known[t] * {o}[t] + 10000 * (known[t] - 1)), "
    "known[t] * {y}[t])",
    "mse": "mse(known[t] * {o}[t], known[t] * {y}[t])",
}


def reads_known(cell: Cell) -> bool:
    """Whether a cell's loss says which elements of y count."""
    return KNOWN in cell.graph.inputs


def inputs_of(cell: Cell, block: Block) -> dict[str, Array]:
    """What a cell reads of a block: x, y and, if it asks, which elements are known.

    Of a y without time it is the first step's, for every step has the same.
    """
    asked, rows = cell.graph.inputs, cell.graph.times.row_inputs
    plain = {"x": block.x, "y": block.y[0] if "y" in rows else block.y}
    given: dict[str, Array] = {n: a for n, a in plain.items() if n in asked}
    given |= block.others
    if reads_known(cell):
        known = block.known
        given[KNOWN] = np.ones(block.y.shape, bool) if known is None else known
    return given


def with_loss_line(cell: Cell, line: str) -> Cell:
    """The cell with another equation of L[t]."""
    return Cell(f"{without_loss(cell)}L[t] = {line}\n")


def without_loss(cell: Cell) -> str:
    """The equations without those of L[t] and L, and what they alone read."""
    lines = print_graph(cell.graph).splitlines()
    return _declared([s for s in lines if not s.startswith(("L[t] =", "L ="))])


def equations_of(cell: Cell, names: Collection[str]) -> str:
    """The equations of some definitions, and the declarations that they need."""
    rest = cell.graph.definitions.keys() - names
    lines = print_graph(cell.graph).splitlines()
    return _declared([s for s in lines if not _is_equation_of(rest, s)])


def _is_equation_of(names: Collection[str], line: str) -> bool:
    found = re.match(r"(\w+)(\[[^\]]*\])? =", line)
    return found is not None and found[1] in names


def _declared(lines: list[str]) -> str:
    """The lines less declarations of what no equation among them names."""
    found = [re.match(r"(\w+): ", line) for line in lines]
    pairs = list(zip(lines, found, strict=True))
    words = set(re.findall(r"\w+", " ".join(s for s, name in pairs if not name)))
    kept = [s for s, name in pairs if name is None or name[1] in words]
    return "".join(f"{line}\n" for line in kept)


def without_known(node: Node) -> Node:
    """A value less what `known` makes of it: o of known[t] * o[t]."""
    while node.op in ("add", "mul"):
        rest = [child for child in node.inputs if not _is_of_known(child)]
        if len(rest) != 1:
            return node
        (node,) = rest
    return node


def _is_of_known(node: Node) -> bool:
    leaves = {one for one in walk([node]) if not one.inputs}
    inputs = {one.data for one in leaves if one.op == "input"}
    return inputs == {KNOWN} and all(
        one.op in ("input", "constant", "size") for one in leaves
    )


def share_of(known: Array | None, n: int) -> Array:
    """Which share of the elements of n targets is known, (n, ...)."""
    return np.ones(n) if known is None else np.asarray(known.mean(axis=-1))


def total_of(block: Block, weights: Array) -> float:
    """What losses of a block weigh together: a step with gaps less, by its share."""
    if block.known is None:
        return float(weights.sum())
    return float((weights * share_of(block.known, len(weights))).sum())
