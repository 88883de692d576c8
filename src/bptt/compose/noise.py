"""Dropout, zoneout and additive noise: equations that read a mask or noise input.

The inputs are declared with their distribution, and `Cell.draw` makes them from a seed;
the mean of a mask or of noise, `draw(..., mean=True)`, gives the network that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from bptt import errors
from bptt.cell import Cell
from bptt.language import print_graph
from bptt.language.printer import print_node
from bptt.step.draws import check_rate
from bptt.step.graph import (
    Graph,
    Initial,
    InputSpec,
    Node,
    Times,
    constant,
    rebuild,
    rewrite,
    shift,
    walk,
)
from bptt.step.shapes import Shape

Replaced = dict[str, Node]
PRODUCTS = ("matvec", "matmul")


def dropout(cell: Cell, *, variational: bool = False, **rates: float) -> Cell:
    """Masks on what the equations read: `dropout(cell, x=0.2, h=0.3)`.

        x_drop[t] = x_mask[t] * x[t]        h_drop[t] = h_mask[t] * h[t-1]

    rates: the share of elements that is dropped, by name. An input is masked where it
    is read at t, another node where it is read at t, and a state where its value of
    another step is multiplied by a matrix (recurrent dropout): where a gate hands it
    on, z[t] * h[t-1], a mask would be multiplied again at every step, and 1 / (1 -
    rate) grows without end. A state that no matrix multiplies is masked wherever it is
    read; one whose reader is both multiplied and handed on is refused, but where the
    state has a start or a delay. A mask is 0 or 1 / (1 - rate), so its mean is 1, new
    at every step (Srivastava et al., 2014), or with `variational` one for the whole
    sequence (Gal and Ghahramani, 2016).

    >>> from bptt import cells
    >>> dropped = dropout(cells.elman, h=0.5, variational=True)
    >>> dropped.canonical_text.splitlines()[-3:-1]
    ['h_drop[t] = h_mask[t] * h[t-1]', 'a[t] = b + W @ h_drop[t] + U @ x[t]']

    Raises: RateError; UnknownNodeError for a name that is no real input and no node;
    LayerError for a state whose mask would stand where it is handed on.
    """
    rule = "variational_dropout" if variational else "dropout"
    graph = cell.graph
    for name, rate in rates.items():
        _check_name(graph, name)
        check_rate(rate)
        graph = _mask(graph, name, Initial(rule, (float(rate),)))
    return Cell(print_graph(graph))


def zoneout(cell: Cell, rate: float | None = None, **rates: float) -> Cell:
    """States that keep their old value now and then: `zoneout(cell, h=0.05, s=0.5)`.

        h_new[t] = ...                       (the cell's equation of h)
        h[t] = h_zone[t] * h[t-1] + (1 - h_zone[t]) * h_new[t]

    (Krueger et al., 2017, equation 5: the equations of other states read the new value
    at t, the next step the kept one.) rate: of every state, or by name; a mask is 1
    with that probability, else 0, and its mean is the rate.

    Raises: RateError; UnknownNodeError for a name that is no state.
    """
    graph = cell.graph
    states = [name for name in graph.states if name in graph.definitions]
    chosen = {name: rate for name in states if rate is not None} | rates
    for name, share in chosen.items():
        if name not in states:
            raise errors.UnknownNodeError(
                f"{name} is not a state of the cell; its states are: "
                f"{errors.list_known(name, states)}"
            )
        check_rate(share)
    if not chosen:
        raise errors.RateError("zoneout needs a rate: zoneout(cell, 0.1) or h=0.05")
    return Cell(print_graph(_zone(graph, chosen)))


def noise(cell: Cell, **deviations: float) -> Cell:
    """Gaussian noise on nodes or inputs: `noise(cell, a=0.1)`.

        a[t] = ... + a_noise[t]              x_noisy[t] = x[t] + x_noise[t]

    deviations: the standard deviation by name, independent at every step and element.

    Raises: RateError; UnknownNodeError for a name that is no real input and no node.
    """
    graph = cell.graph
    for name, deviation in deviations.items():
        _check_name(graph, name)
        if isinstance(deviation, bool) or not deviation >= 0:
            raise errors.RateError(f"{name}={deviation!r}: a deviation is not negative")
        graph = _disturb(graph, name, Initial("normal", (float(deviation),)))
    return Cell(print_graph(graph))


def _check_name(graph: Graph, name: str) -> None:
    spec = graph.inputs.get(name)
    real = [n for n, s in graph.inputs.items() if s.index is None]
    if name not in graph.definitions and name not in real:
        what = "no input and no node" if spec is None else "an integer input"
        raise errors.UnknownNodeError(
            f"{name} is {what} of the cell that could be changed; there are: "
            f"{errors.list_known(name, (*real, *graph.definitions))}"
        )


def _with_input(graph: Graph, name: str, shape: Shape, draw: Initial) -> Graph:
    if name in {*graph.definitions, *graph.parameters, *graph.inputs}:
        raise errors.LayerError(
            f"the cell has a {name} already; the same name cannot be changed twice"
        )
    inputs = {**graph.inputs, name: InputSpec(shape, draw=draw)}
    return replace(graph, inputs=inputs)


def _leaf(graph: Graph, name: str) -> Node:
    return Node("input", (), graph.inputs[name].shape, name)


def _named(name: str, value: Node) -> Node:
    return Node("named", (value,), value.shape, name)


def _shape_of(graph: Graph, name: str) -> Shape:
    found = graph.definitions.get(name) or graph.inputs[name]
    return found.shape


def _mask(graph: Graph, name: str, draw: Initial) -> Graph:
    """Put mask * value in the place of the value, where it is read."""
    shape = _shape_of(graph, name)
    graph = _with_input(graph, f"{name}_mask", shape, draw)
    mask = _leaf(graph, f"{name}_mask")
    if name in graph.definitions and name not in graph.states:
        return _after(graph, name, lambda node: _named(f"{name}_drop", mask * node))
    value = Node("input", (), shape, name)
    if name in graph.states and name in graph.definitions:
        value = shift(name, graph.lag(name), shape)
        return _before(
            graph, value, _named(f"{name}_drop", mask * value), _handing_on(graph, name)
        )
    return _before(graph, value, _named(f"{name}_drop", mask * value))


def is_multiplied(cell: Cell, state: str) -> bool:
    """Whether a matrix multiplies what a state was at another step."""
    graph = cell.graph
    readers, carrying = _readers(graph, state), _carrying(graph)
    return any(node not in carrying for node in readers)


def _handing_on(graph: Graph, state: str) -> set[Node]:
    """Who reads a state's value of another step and hands it on without a product.

    Nobody where nobody multiplies it by a matrix. Raises: LayerError for one who does
    both.
    """
    readers, carrying = _readers(graph, state), _carrying(graph)
    is_late = state in graph.times.starts or state in graph.times.delays
    if not is_late and readers & carrying & _multiplied(graph, state):
        raise errors.LayerError(
            f"what reads {state} of an earlier step is multiplied by a matrix and "
            "handed on without it as well; a mask there would be multiplied again at "
            "every step. Write it into the cell where the matrix reads: `m: n_h = "
            "dropout(0.2)`, and W @ (m[t] * p[t])"
        )
    return readers & carrying if readers - carrying else set()


def _multiplied(graph: Graph, state: str) -> set[Node]:
    """What the matrices multiply of which a state is made, not through a state."""
    ends = _carried(graph)
    within = walk([graph.definitions[state]])
    wanted = [one for node in within if node.op in PRODUCTS for one in node.inputs]
    found: set[Node] = set()
    while wanted:
        node = wanted.pop()
        if node not in found and node not in ends and node.op not in PRODUCTS:
            found.add(node)
            wanted += node.inputs
    return found


def _readers(graph: Graph, state: str) -> set[Node]:
    leaf = shift(state, graph.lag(state), _shape_of(graph, state))
    return {
        node
        for node in walk(graph.definitions.values())
        if any(_reads_the_same(leaf, one) for one in node.inputs)
    }


def _carried(graph: Graph) -> set[Node]:
    return {graph.definitions[s] for s in graph.states if s in graph.definitions}


def _reads_the_same(leaf: Node, node: Node) -> bool:
    return (node.op, node.data) == (leaf.op, leaf.data)


def _carrying(graph: Graph) -> set[Node]:
    """The nodes of which a state is made without a product by a matrix."""
    found: set[Node] = set()
    wanted = _carried(graph)
    for node in reversed(list(walk(graph.definitions.values()))):
        if node in wanted and node.op not in PRODUCTS:
            found.add(node)
            wanted.update(node.inputs)
    return found


def _rewritten(graph: Graph, definitions: Mapping[str, Node]) -> Graph:
    """The graph with other equations, as it may then be printed.

    What no line has is printed as what it was written for, `h[t-3]`; where it is not
    that any more, the equations of every step are printed as they are.
    Raises: LayerError where they would count otherwise.
    """
    hidden = graph.times.hidden
    is_same = all(
        _says_the_same(graph.definitions[name], definitions[name]) for name in hidden
    )
    if is_same:
        return replace(graph, definitions=definitions)
    if graph.times.once:
        raise errors.LayerError(
            "the cell has equations after the last step, and what is changed is read "
            "through a start or a delay; write the mask or the noise into the cell: "
            "`m: n_h = dropout(0.2)`, and m[t] * h[t]"
        )
    times = Times(row_inputs=graph.times.row_inputs)
    return replace(graph, definitions=definitions, times=times)


def _says_the_same(old: Node, new: Node) -> bool:
    """Whether two equations have one text, whatever their names stand for."""
    return print_node(old.inputs[0]) == print_node(new.inputs[0])


def _before(
    graph: Graph, leaf: Node, stand_in: Node, apart: Collection[Node] = ()
) -> Graph:
    """`stand_in`, defined first, is read in the place of a leaf, but by some nodes."""
    is_leaf = partial(_reads_the_same, leaf)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if is_leaf(node):
            return stand_in
        pairs = zip(node.inputs, inputs, strict=True)
        keeps = node in apart
        return rebuild(node, tuple(a if keeps and is_leaf(a) else b for a, b in pairs))

    new = rewrite(graph.definitions.values(), step)
    definitions = {str(stand_in.data): stand_in}
    definitions |= {name: new[node] for name, node in graph.definitions.items()}
    return _rewritten(graph, definitions)


def _after(graph: Graph, name: str, make: Callable[[Node], Node]) -> Graph:
    """What is made of a node, defined after it, is read in the node's place."""
    kept = graph.definitions[name]
    stand_in = make(kept)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        taken = tuple(stand_in if child is kept else child for child in inputs)
        return rebuild(node, taken)

    new: dict[Node, Node] = {}
    for node in walk(graph.definitions.values()):
        new[node] = step(node, tuple(new[child] for child in node.inputs))
    definitions: dict[str, Node] = {}
    for other, node in graph.definitions.items():
        definitions[other] = new[node]
        if other == name:
            definitions[str(stand_in.data)] = stand_in
    return _rewritten(graph, definitions)


def _disturb(graph: Graph, name: str, draw: Initial) -> Graph:
    shape = _shape_of(graph, name)
    graph = _with_input(graph, f"{name}_noise", shape, draw)
    leaf = _leaf(graph, f"{name}_noise")
    if name not in graph.definitions:
        value = Node("input", (), shape, name)
        return _before(graph, value, _named(f"{name}_noisy", value + leaf))

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "named" and node.data == name:
            return _named(name, inputs[0] + leaf)
        return rebuild(node, inputs)

    new = rewrite(graph.definitions.values(), step)
    definitions = {n: new[node] for n, node in graph.definitions.items()}
    return _rewritten(graph, definitions)


def _zone(graph: Graph, rates: Mapping[str, float]) -> Graph:
    """New values for the equations that make the states, kept ones for the others."""
    for name, rate in rates.items():
        draw = Initial("bernoulli", (float(rate),))
        graph = _with_input(graph, f"{name}_zone", _shape_of(graph, name), draw)
    roots = [graph.definitions[name] for name in rates]
    inner = set(walk(roots))

    def rename(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "named" and node.data in rates:
            return _named(f"{node.data}_new", inputs[0])
        return rebuild(node, inputs)

    new = rewrite(roots, rename)
    kept: Replaced = {}
    for name in rates:
        zone = _leaf(graph, f"{name}_zone")
        old = shift(name, graph.lag(name), _shape_of(graph, name))
        fresh = new[graph.definitions[name]]
        kept[name] = _named(name, zone * old + (constant(1.0) - zone) * fresh)

    def reread(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node not in inner:
            return rebuild(node, inputs)
        is_kept = node.op == "named" and node.data in kept
        return kept[str(node.data)] if is_kept else new[node]

    outer = rewrite(graph.definitions.values(), reread)
    made = [new[n] for n in graph.definitions.values() if n in inner]
    definitions = {str(node.data): node for node in made} | kept
    definitions |= {
        name: outer[node]
        for name, node in graph.definitions.items()
        if node not in inner
    }
    return _rewritten(graph, definitions)
