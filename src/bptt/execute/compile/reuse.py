"""Values that may take the place of others in memory.

    U x (before the loop)  ->  the gate i (forward)  ->  the gradient of i (backward)

A value that one stage alone reads, column by column, dies there; what the same stage
stores may be written over it, each column after it was read. An LSTM then needs 7
vectors per step and row instead of 15, and moves as much less through the caches.
"""

from __future__ import annotations

from collections.abc import Iterable

from bptt.execute.compile.stages import StagedProgram, StagePlan, is_leaf
from bptt.step.graph import Node


def find_successors(plan: StagedProgram, outputs: Iterable[Node]) -> dict[Node, Node]:
    """For a value in memory, the later one that is written over it.

    outputs: values that a caller reads afterwards; they and everything read across
    columns, rows or steps keep their place.
    """
    kept = {*map(plan.canon, outputs), *plan.padded.values()}
    readers: dict[Node, list[StagePlan]] = {}
    homes: dict[Node, StagePlan] = {}
    for segment in plan.segments:
        for node in segment.totals:
            kept.update(plan.canon.inputs(node))
        for stage in segment.stages:
            if stage.is_empty:
                continue
            kept |= {plan.canon(node.inputs[1]) for node in stage.products}
            kept |= {plan.canon(n.inputs[0]) for n in stage.homes if n.op == "pick"}
            homes.update((node, stage) for node in stage.stored)
            if stage.is_tensor:  # reads elements in an order of its own
                kept.update(find_loads(stage, plan))
            for node in find_loads(stage, plan):
                readers.setdefault(node, []).append(stage)
    successors: dict[Node, Node] = {}
    taken: set[Node] = set()
    for node in plan.memory:
        stages = readers.get(node, [])
        if node in kept or len(stages) != 1 or homes[node] is stages[0]:
            continue
        for heir in stages[0].stored:
            if heir not in taken and heir.shape == node.shape and node.rank:
                successors[node] = heir
                taken.add(heir)
                break
    return successors


def find_loads(stage: StagePlan, plan: StagedProgram) -> list[Node]:
    """The stored values of other stages that a stage reads, column by column."""
    return [node for node in find_reads(stage, plan) if not is_leaf(node)]


def find_reads(stage: StagePlan, plan: StagedProgram) -> list[Node]:
    """What a stage reads column by column: leaves, and values that others stored."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = list(stage.stored)
    while stack:
        node = stack.pop()
        if node in seen or not node.timed:
            continue
        seen.add(node)
        if is_leaf(node) or (node in plan.memory and node not in stage.homes):
            found[node] = None
        elif node in stage.homes and node in stage.products:
            continue
        else:
            stack.extend(plan.canon.inputs(node))
    return list(found)
