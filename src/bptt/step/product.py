"""The product of the elements of a vector without one of them, for every one."""

from __future__ import annotations

from collections.abc import Callable

from bptt.step.graph import Node
from bptt.step.places import UNNAMED, IndexPlace, PlaceTerm

Apply = Callable[..., Node]


def new_index(x: Node, count: int = 1) -> list[PlaceTerm]:
    """Indices over the first dimension of x that nothing in x has."""
    taken = {name for name, _ in x.indices}
    free = (f"{UNNAMED}{number}" for number in range(len(taken) + count))
    names = [name for name in free if name not in taken][:count]
    return [PlaceTerm(name, x.shape[0]) for name in names]


def number_of(term: PlaceTerm) -> Node:
    """The number of an index, from 1, as a value."""
    return Node("index", (), (), (term.name, term.dim, term.first))


def all_places(term: PlaceTerm) -> IndexPlace:
    """Every place of an index's dimension."""
    return IndexPlace(term.dim, (term,))


def others_product(x: Node, apply: Apply) -> Node:
    """Element i is the product of all x_j with j other than i.

    Not the whole product over x_i, which is 0 / 0 where an element is 0: the products
    of n vectors in which 1 stands in the place of x_i. Exact for every x, to every
    derivative, in n^2 products.
    """
    i, j = new_index(x, 2)
    here = apply("greater_equal", number_of(i), number_of(j)) * apply(
        "greater_equal", number_of(j), number_of(i)
    )
    inner = apply("where", here, 1.0, apply("at", x, data=all_places(j)))
    vector = apply("put", inner, data=(all_places(j), ()))
    product = apply("prod", vector)
    return apply("put", product, data=(all_places(i), ()))
