"""The layers of a cell: states that feed back on one another, and no others.

A stack's h_2 reads h_1, which does not read it back; the forward and the backward half
of a network with both directions do not read each other. Each such part has a memory of
its own: its block of the Jacobian, the other states held still. The product over all
states shows the layer that fares best, and hides the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from bptt.flow.growth import Growth, Loop, measure_growth
from bptt.flow.maps import CutStep, StepMaps
from bptt.step.components import components
from bptt.step.graph import Node, name_of, rebuild, rewrite, walk


def layers_of(cut: CutStep) -> tuple[tuple[str, ...], ...]:
    """The states of every layer, lower layers first; () where there is only one."""
    before = {node: name for name, node in cut.before.items()}
    reads = {
        name: [before[n] for n in walk([cut.definitions[name]]) if n in before]
        for name in cut.before
    }
    found = [
        tuple(name for name in cut.before if name in part)
        for part in components(cut.before, reads.__getitem__)
        if len(part) > 1 or part[0] in reads[part[0]]
    ]
    return tuple(found) if len(found) > 1 else ()


def part_of(cut: CutStep, names: Sequence[str]) -> CutStep:
    """The step of some states alone: what they read of others is an input."""
    others = {cut.definitions[n]: n for n in cut.before if n not in names}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in others:
            return Node("input", (), node.shape, f"state({others[node]})")
        return rebuild(node, inputs)

    new = rewrite([cut.definitions[name] for name in names], step)
    roots = {name: new[cut.definitions[name]] for name in names}
    mine = {name_of(n): n for n in walk(roots.values()) if n.op == "named"}
    return replace(
        cut, definitions={**mine, **roots}, before={n: cut.before[n] for n in names}
    )


def measure_layers(
    maps: StepMaps, loops: Sequence[tuple[Loop, Growth]], lag: int,
    written: Callable[[Iterable[str]], tuple[str, ...]] = tuple,
) -> Mapping[str, Growth]:  # fmt: skip
    """The growth of every layer, by the names of its states: "h_2, s_2".

    loops: those that were measured; a layer that is one of them is not measured again.
    written: the names that a person wrote; a layer without one, such as the number of
    the step, is none.
    """
    known = {loop.names: growth for loop, growth in loops}
    found = [names for names in layers_of(maps.cut) if written(names)]
    if len(found) < 2:
        return {}
    return {
        ", ".join(written(names)): known.get(names)
        or measure_growth(Loop(maps, names), lag)
        for names in found
    }
