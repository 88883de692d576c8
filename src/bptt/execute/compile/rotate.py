"""Products that a loop of gradients carries to the next step, read there instead.

    step t+1:  carry = W^T g + r                 step t+1:  g and r are stored
    step t:    grad_h = p + carry(t+1)    ->     step t:    grad_h = p + W^T g + r
                                                             (g, r of step t+1)

so that one stage sums the product and runs the equations on it, where two would be
needed. It holds because beyond the last step carry, g and r are all zero; a definition
of the cell, which has an initial value there, is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bptt.execute.compile.stages import is_product
from bptt.step.graph import (
    Node,
    name_of,
    rebuild,
    rewrite,
    shift,
    shift_of,
    terms_of,
    walk,
)


@dataclass(frozen=True)
class _Carry:
    """One carried sum: its product terms, their operands, and the rest."""

    products: tuple[Node, ...]
    rest: tuple[Node, ...]


def rotate(
    roots: Mapping[str, Node], definitions: Collection[str]
) -> tuple[dict[str, Node], frozenset[str]]:
    """The same roots, with carried products moved to their readers.

    definitions: the names that the cell defines. New roots name the operands and rests
    that another step now reads. Returns the roots and the names of the carries that no
    step reads any more.
    """
    carries = _find_carries(roots, definitions)
    operands: dict[Node, str] = {}
    for name, carry in carries.items():
        for number, product in enumerate(carry.products):
            operand = product.inputs[1]
            known = name_of(operand) if operand.op == "named" else f"{name}.g{number}"
            operands.setdefault(operand, known)
    moved: dict[str, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "shift" and shift_of(node)[0] in carries and node in readers:
            return readers[node]
        new = rebuild(node, inputs)
        if node in operands and node.op != "named":
            new = Node("named", (new,), node.shape, operands[node])
            moved[operands[node]] = new
        return new

    nodes = list(walk(roots.values()))
    readers = {
        node: _reader(node, shift_of(node), carries[shift_of(node)[0]], operands)
        for node in nodes
        if node.op == "shift" and shift_of(node)[0] in carries
    }
    new = rewrite(roots.values(), step)
    result = {name: new[root] for name, root in roots.items()}
    for name, carry in carries.items():
        parts = [new[product] for product in carry.products]
        if carry.rest:
            rest = _add([new[term] for term in carry.rest])
            named = Node("named", (rest,), rest.shape, _rest_name(name))
            result[_rest_name(name)] = named
            parts.append(named)
        # Made of stored values alone: an initial gradient is computed from them.
        total = _add(parts)
        result[name] = Node("named", (total,), total.shape, name)
    return result | moved, frozenset(carries)


def _rest_name(name: str) -> str:
    return f"{name}.rest"


def _find_carries(
    roots: Mapping[str, Node], definitions: Collection[str]
) -> dict[str, _Carry]:
    """Gradients that other steps read in one direction, and that hold a product."""
    nodes = walk(roots.values())
    read = dict.fromkeys(shift_of(n) for n in nodes if n.op == "shift")
    one_way = [name for name, lag in read if (name, -lag) not in read]
    carries = {}
    for name in sorted(set(one_way) - set(definitions)):
        root = roots.get(name)
        if root is None or root.op != "named" or not root.inputs[0].timed:
            continue
        terms = terms_of(root.inputs[0])
        products = tuple(term for term in terms if is_product(term))
        rest = tuple(term for term in terms if not is_product(term))
        operands = {product.inputs[1] for product in products}
        is_zero_beyond = all(
            operand.op != "named" or name_of(operand) not in definitions
            for operand in operands
        )
        if products and is_zero_beyond:
            carries[name] = _Carry(products, rest)
    return carries


def _reader(
    node: Node,
    read: tuple[str, int],
    carry: _Carry,
    operands: Mapping[Node, str],
) -> Node:
    name, lag = read
    terms = []
    if carry.rest:
        terms.append(shift(_rest_name(name), lag, node.shape))
    for product in carry.products:
        matrix, operand = product.inputs
        later = shift(operands[operand], lag, operand.shape)
        terms.append(Node("matvec", (matrix, later), product.shape))
    return _add(terms)


def _add(terms: list[Node]) -> Node:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
