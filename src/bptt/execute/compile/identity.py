"""Everything that decides the code of a plan, as one value.

Its `repr` tells plans apart. Nodes are numbered in the order in which they are needed,
so that equal plans of two cells, or of two processes, are the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bptt.execute.codegen.packed_weights import Packed
from bptt.execute.compile.layout import Layout
from bptt.execute.compile.stages import SegmentPlan, StagedProgram, StagePlan
from bptt.step.graph import Node, walk


def identify(
    plan: StagedProgram,
    layout: Layout,
    names: Sequence[str],
    packed: Sequence[Packed],
    real_bytes: int,
) -> tuple[Any, ...]:
    """The plan, where its values lie, and the table that its kernels read."""
    roots = [*plan.memory, *plan.padded.values()]
    for segment in plan.segments:
        roots += segment.totals
        for stage in segment.stages:
            roots += [*stage.homes, *stage.stored, *stage.products, *stage.reductions]
    # What stands for a node is one of its inputs, however deep.
    numbers = {node: number for number, node in enumerate(walk(roots))}

    def of(nodes: Iterable[Node]) -> tuple[int, ...]:
        return tuple(numbers[node] for node in nodes)

    def stage_of(stage: StagePlan) -> tuple[Any, ...]:
        parts = (stage.products, stage.reductions, stage.homes, stage.stored)
        return (stage.is_row, stage.is_tensor, stage.width, *map(of, parts))

    def segment_of(segment: SegmentPlan) -> tuple[Any, ...]:
        stages = tuple(map(stage_of, segment.stages))
        return (segment.direction, segment.phase, stages, of(segment.totals))

    nodes = [
        (node.op, of(node.inputs), node.shape, node.data, node.indices,
         numbers[plan.canon(node)] if node.timed else None, layout.places.get(node))
        for node in numbers
    ]  # fmt: skip
    return (
        real_bytes, dict(layout.sizes), nodes, of(plan.memory),
        {name: numbers[node] for name, node in plan.padded.items()},
        tuple(map(segment_of, plan.segments)), layout.buffers,
        [number for node, number in numbers.items() if node in layout.overwritten],
        tuple(names), tuple(packed),
    )  # fmt: skip
