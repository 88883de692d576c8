"""A delay as a reader sees it: one arrow over several steps.

    h_lag1[t] = h[t-1]; h_lag2[t] = h_lag1[t-1]        is how h[t-3] is carried;
    h[t] = tanh(W @ h_lag2[t-1])                       is shown as tanh(W @ h[t-3])

Where the cell writes a start, `h[0] = ...`, what is carried is h or its start:

    h_before[t] = where(begun[t-1], h[t-1], h_start[t])
    h_lag1[t] = h_before[t]; h[t] = tanh(W @ h_lag1[t-1])    as tanh(W @ h_before[t-1])

The graph in time is computed with what carries a delay, then joined: h_lag2^(2) is
h^(0), and the state h_lag2^(0) before the first step is h^(-2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bptt.step.graph import Graph, Node, Times, rebuild, rewrite, shift, shift_of
from bptt.unrolled import Place, Unrolled

MOST_STARTS = 4  # states before the first step that are shown, h^(0), h^(-1), ...
FROM_NOTHING = ("flag", "clock", "sum")  # what reading makes of a text: see `Times`
Carried = Mapping[str, tuple[str, int]]  # what carries a delay -> of what, and how far


def _said(graph: Graph) -> Times:
    """What the text said of other times, also where it is written out."""
    return graph.times.opened or graph.times


def carried_by(graph: Graph) -> Carried:
    """What only holds a value of another step, as reading `h[t-3]` makes it."""
    found: dict[str, tuple[str, int]] = {}
    hidden = _said(graph).hidden
    for name, node in graph.definitions.items():
        body = node.inputs[0]
        kind, *of = hidden.get(name, ("",))
        # What holds a value of its own step is a second name, read the other way.
        if kind != "lag" or of[1] == "0" or body.op not in ("named", "shift"):
            continue
        source, lag = (str(body.data), 0) if body.op == "named" else shift_of(body)
        own, by = found.get(source, (source, 0))
        found[name] = own, by + lag
    return found


@dataclass(frozen=True)
class Start:
    """`before[t] = where(flag[t+lag], state[t+lag], start[t])`, of a written start."""

    before: str
    flag: str
    state: str
    start: str
    lag: int


def starts_of(graph: Graph) -> Iterator[Start]:
    """The starts that a cell writes, as its equations of every step read them."""
    said = _said(graph)
    for name, node in graph.definitions.items():
        body = node.inputs[0]
        parts = body.inputs if body.op == "where" else ()
        if said.hidden.get(name, ("",))[0] != "lag" or len(parts) != 3:
            continue
        (flag, lag), (state, _) = map(shift_of, parts[:2])
        yield Start(name, flag, state, said.starts[state], lag)


def from_nothing(graph: Graph) -> frozenset[str]:
    """The states that begin at 0 for the equations to mean what the cell says.

    That a step has gone before, `begun[t] = 1`; the count of steps; what is summed.
    """
    hidden = _said(graph).hidden
    return frozenset(n for n in graph.states if hidden.get(n, ("",))[0] in FROM_NOTHING)


def without_carriers(graph: Graph) -> Graph:
    """The graph in which every equation reads a delay itself."""
    carried = carried_by(graph)
    if not carried:
        return graph
    kept: dict[str, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "shift":
            name, lag = shift_of(node)
            own, by = carried.get(name, (name, 0))
            return node if own == name else shift(own, lag + by, node.shape)
        if node.op == "named" and node.data in carried:
            own, by = carried[str(node.data)]
            return shift(own, by, node.shape) if by else inputs[0]
        return rebuild(node, inputs)

    def owner(name: str) -> str:
        return carried[name][0] if name in carried else name

    new = rewrite(graph.definitions.values(), step)
    for name, node in graph.definitions.items():
        if name not in carried:
            kept[name] = new[node]
    times = graph.times
    hidden = {n: said for n, said in times.hidden.items() if n not in carried}
    return replace(
        graph, definitions=kept,
        states=tuple(dict.fromkeys(map(owner, graph.states))),
        backward=frozenset(map(owner, sorted(graph.backward))),
        times=replace(times, hidden=hidden, delays={}),
    )  # fmt: skip


def joined(unrolled: Unrolled, graph: Graph) -> Unrolled:
    """The graph in time without what carries delays; graph: that it was made of."""
    carried = carried_by(graph)
    if not carried:
        return unrolled

    def own(place: Place) -> Place:
        if place.name not in carried or place.t is None:
            return place
        name, by = carried[place.name]
        t = place.t + by
        kind = "initial" if not 1 <= t <= unrolled.tau else (
            "node" if name in graph.definitions else "input"
        )  # fmt: skip
        return Place(kind, name, t)

    def is_carrier(place: Place) -> bool:
        return place.kind == "node" and place.name in carried

    edges = tuple(
        replace(edge, source=own(edge.source))
        for edge in unrolled.edges if not is_carrier(edge.target)
    )  # fmt: skip
    kept = dict.fromkeys(own(p) for p in unrolled.places if not is_carrier(p))
    shapes = {own(p): shape for p, shape in unrolled.shapes.items()}
    values = {own(p): value for p, value in unrolled.values.items()}
    return Unrolled(
        unrolled.tau, tuple(kept), edges, {p: values[p] for p in kept if p in values},
        {p: shapes[p] for p in kept}, unrolled.integers,
    )  # fmt: skip
