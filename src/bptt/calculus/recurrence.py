"""Before | loop | after: what must wait for time, and what need not.

    h[t] = tanh(b + W @ h[t-1] + U @ x[t])      before:  p = b + U @ x     all t at once
    o[t] = c + V @ h[t]                    ->   loop:    h = tanh(p + W @ h[t-1])
                                                after:   o = c + V @ h     all t at once

A node is in a loop exactly when it lies on a cycle through time, so the loops of a
program are the strongly connected components of its graph with the edges through time.
Forward cycles run t = 1..tau, the adjoint's run t = tau..1, a stack of layers gives one
loop per layer with batched products between them. A sum inside a loop is first split,
so that its terms that do not wait leave the loop together.

Non-goals: choosing kernels, moving elementwise work; the executors decide that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bptt.step import components as connected
from bptt.step.graph import TO_STATIC, Node, rebuild, shift_of, walk


@dataclass(frozen=True)
class Segment:
    """Nodes that run together: once for all steps, or step by step.

    direction: 0 batched over all t, +1 a loop t = 1..tau, -1 a loop t = tau..1;
    nodes: in an order in which every input comes first; phase: 1 for what waits for a
    seed in a program of two phases, else 0.
    """

    direction: int
    nodes: tuple[Node, ...]
    phase: int = 0


@dataclass(frozen=True)
class Schedule:
    """The segments of a program in order, and the roots after sums were split."""

    segments: tuple[Segment, ...]
    roots: Mapping[str, Node]


def schedule(
    roots: Mapping[str, Node],
    outputs: Iterable[str],
    leaves: Mapping[str, Node],
    *,
    is_phased: bool = False,
) -> Schedule:
    """Order everything that `outputs` need.

    roots: all named nodes (definitions that shifts refer to, and outputs);
    outputs: the names wanted; leaves: input leaves that shifts may refer to;
    is_phased: whatever needs no seed comes first, in segments of its own, but for the
    gradients, which the second phase gives: one that needs no seed is 0.
    """
    wanted = tuple(outputs)
    split = _split_sums(roots, leaves)
    sources = {**leaves, **split}
    needed = _needed([split[name] for name in wanted], sources)
    last: set[Node] = set()
    if is_phased:
        others = [split[name] for name in wanted if not name.startswith("∇")]
        last = {node for node in needed if node.op in TO_STATIC}
        last -= set(_needed(others, sources))
    return Schedule(_segments(needed, sources, last, is_phased=is_phased), split)


def _needed(starts: Iterable[Node], sources: Mapping[str, Node]) -> list[Node]:
    """Everything the starts depend on, through time, inputs first."""
    roots = list(starts)
    seen: set[str] = set()
    while True:
        nodes = list(walk(roots))
        new = {shift_of(n)[0] for n in nodes if n.op == "shift"} - seen
        if not new:
            return nodes
        seen |= new
        roots.extend(sources[name] for name in sorted(new))


def time_inputs(node: Node, sources: Mapping[str, Node]) -> tuple[Node, ...]:
    """What a node waits for, the edge through time included."""
    if node.op == "shift":
        return (sources[shift_of(node)[0]],)
    return node.inputs


def components(nodes: list[Node], sources: Mapping[str, Node]) -> list[list[Node]]:
    """Strongly connected components, inputs first."""
    return connected.components(nodes, lambda node: time_inputs(node, sources))


def _is_loop(component: list[Node]) -> bool:
    return len(component) > 1


def loop_nodes(nodes: list[Node], sources: Mapping[str, Node]) -> dict[Node, int]:
    """Every node that lies on a cycle through time, with the number of its loop."""
    loops = [part for part in components(nodes, sources) if _is_loop(part)]
    return {node: number for number, part in enumerate(loops) for node in part}


# ----- splitting sums -----


def _split_sums(
    roots: Mapping[str, Node], leaves: Mapping[str, Node]
) -> dict[str, Node]:
    """a + W h + b  ->  (a + b) + W h, where only W h is in the loop."""
    nodes = list(walk(roots.values()))
    inside = loop_nodes(nodes, {**leaves, **roots})

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op not in ("add", "sub") or node not in inside:
            return rebuild(node, inputs)
        terms = list(_terms(node, inside, 1))
        waiting = [(s, new_of[n]) for s, n in terms if n in inside]
        free = [(s, new_of[n]) for s, n in terms if n not in inside]
        if not waiting or len(terms) < 3:
            return rebuild(node, inputs)
        return _join(free, waiting)

    new_of: dict[Node, Node] = {}
    for node in nodes:
        new_of[node] = step(node, tuple(new_of[child] for child in node.inputs))
    return {name: new_of[root] for name, root in roots.items()}


def _terms(
    node: Node, inside: Mapping[Node, int], sign: int
) -> Iterable[tuple[int, Node]]:
    """The signed terms of a sum, as far as the sum itself is in the loop."""
    if node in inside and node.op in ("add", "sub"):
        left, right = node.inputs
        yield from _terms(left, inside, sign)
        yield from _terms(right, inside, sign if node.op == "add" else -sign)
    else:
        yield sign, node


def _join(free: list[tuple[int, Node]], waiting: list[tuple[int, Node]]) -> Node:
    """(free terms) + (other waiting terms) + (waiting products), each summed alone.

    Products stand together because a kernel can add them up without leaving registers.
    """
    others = [term for term in waiting if term[1].op != "matvec"]
    products = [term for term in waiting if term[1].op == "matvec"]
    groups = [_sum(group) for group in (free, others, products) if group]
    total = groups[0]
    for group in groups[1:]:
        total = total + group
    return total


def _sum(terms: list[tuple[int, Node]]) -> Node:
    terms = sorted(terms, key=lambda term: -term[0])
    sign, total = terms[0]
    total = total if sign > 0 else -total
    for sign, term in terms[1:]:
        total = total + term if sign > 0 else total - term
    return total


# ----- ordering -----


def _segments(
    nodes: list[Node], sources: Mapping[str, Node], last: set[Node], *, is_phased: bool
) -> tuple[Segment, ...]:
    """The order of each phase, one after the other; last: of the second phase."""
    parts = components(nodes, sources)
    home = {node: number for number, part in enumerate(parts) for node in part}
    waits = {
        number: {home[child] for node in part for child in time_inputs(node, sources)}
        - {number}
        for number, part in enumerate(parts)
    }
    order = {node: position for position, node in enumerate(nodes)}
    late: set[int] = set()
    for number, part in enumerate(parts):  # inputs first, so one sweep is enough
        is_seeded = any(node.op == "seed" or node in last for node in part)
        if is_phased and (is_seeded or waits[number] & late):
            late.add(number)
    early = [number for number in range(len(parts)) if number not in late]
    done: set[int] = set()
    segments = _order(parts, early, waits, order, done)
    late_segments = _order(parts, sorted(late), waits, order, done)
    return (*segments, *(replace(segment, phase=1) for segment in late_segments))


def _order(
    parts: list[list[Node]],
    numbers: list[int],
    waits: Mapping[int, set[int]],
    order: Mapping[Node, int],
    done: set[int],
) -> list[Segment]:
    """Kahn's order over components: all batched work that is ready, then one loop."""
    segments: list[Segment] = []
    batched: list[Node] = []
    remaining = numbers
    while remaining:
        ready, held = [], []
        for number in remaining:
            # `parts` come inputs first, so one sweep takes all batched work in reach.
            if waits[number] <= done and not _is_loop(parts[number]):
                batched.extend(parts[number])
                done.add(number)
            else:
                held.append(number)
        ready = [number for number in held if waits[number] <= done]
        if batched:
            segments.append(Segment(0, tuple(batched)))
            batched = []
        if ready:
            part = sorted(parts[ready[0]], key=order.__getitem__)
            segments.append(Segment(_direction(part), tuple(part)))
            done.add(ready[0])
        remaining = [number for number in held if number not in done]
    return segments


def _direction(part: list[Node]) -> int:
    """+1 when the cycle reads earlier steps, -1 when it reads later ones."""
    lags = sorted({shift_of(node)[1] for node in part if node.op == "shift"})
    if len(lags) != 1:
        raise ValueError(f"a loop cannot read both earlier and later steps: {lags}")
    return -lags[0]
