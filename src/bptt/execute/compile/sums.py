"""The products over all rows after the loop: what each sums, and where its parts lie.

Everything but addresses is worked out when a program is compiled: a call of a small
cell takes no longer than a few dozen lines of Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bptt.execute.compile.layout import Layout, TimeSum
from bptt.execute.compile.stages import StagedProgram
from bptt.step.graph import Node

# Fewer columns than this would fill a small part of the two vectors of a tile.
SWAP_BELOW = 8


@dataclass(frozen=True)
class View:
    """An array inside one of a workspace's results; start and strides in bytes."""

    result: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class SumJob:
    """One product over all rows.

    a^T b of two sequences, each by its number in the table, the byte where it begins in
    a row, and the stride of a row: `a` has m columns, `b` n. When `is_swapped` the
    gradients are b and the result is the transpose; else the column sums of a come with
    it. Job k leaves its product in result 2 k of the
    workspace and its column sums in result 2 k + 1.
    """

    a: tuple[int, int, int]
    m: int
    b: tuple[int, int, int]
    n: int
    is_swapped: bool


@dataclass(frozen=True)
class Sums:
    """All products of an executable, and where the totals they give are found.

    stacks: what `find_stack` found before.
    """

    jobs: tuple[SumJob, ...]
    views: Mapping[Node, View]
    stacks: dict[tuple[Node, ...], View | None] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Reals of every result of a workspace."""
        return tuple(size for job in self.jobs for size in (job.m * job.n, job.m))

    def find_stack(self, nodes: tuple[Node, ...]) -> View | None:
        """One view of totals that lie one under the other; None where they do not."""
        if nodes not in self.stacks:
            is_known = all(node in self.views for node in nodes)
            views = [self.views[node] for node in nodes] if is_known else []
            self.stacks[nodes] = _join(views) if views else None
        return self.stacks[nodes]


def _join(views: Sequence[View]) -> View | None:
    first, n_rows = views[0], 0
    for view in views:
        begin = first.start + n_rows * first.strides[0]
        place = (view.result, view.start, view.strides, view.shape[1:])
        if place != (first.result, begin, first.strides, first.shape[1:]):
            return None
        n_rows += view.shape[0]
    return View(first.result, first.start, (n_rows, *first.shape[1:]), first.strides)


def plan_sums(
    plan: StagedProgram, layout: Layout, names: Sequence[str], real_bytes: int
) -> Sums:
    """The products of a layout, and a view of every total that one of them gives."""
    numbers = {name: number for number, name in enumerate(names)}

    def place(node: Node) -> tuple[int, int, int]:
        begin = layout.column(node) * real_bytes
        return numbers[layout.name(node)], begin, layout.stride(node)

    jobs: list[SumJob] = []
    views: dict[Node, View] = {}
    for item in layout.sums:
        widths = [layout.width(node) for node in item.nodes]
        m, n = sum(widths), layout.width(item.operand)
        g, x = place(item.nodes[0]), place(item.operand)
        result = 2 * len(jobs)
        is_swapped = n < SWAP_BELOW <= m
        if is_swapped:
            jobs.append(SumJob(x, n, g, m, True))
        else:
            jobs.append(SumJob(g, m, x, n, False))
            views |= _column_views(plan, item, widths, result + 1, real_bytes)
        steps = (1, m) if is_swapped else (n, 1)
        strides = (steps[0] * real_bytes, steps[1] * real_bytes)
        column = 0
        for total, width in zip(item.totals, widths, strict=True):
            views[total] = View(result, column * strides[0], (width, n), strides)
            column += width
    return Sums(tuple(jobs), views)


def _column_views(
    plan: StagedProgram,
    item: TimeSum,
    widths: Sequence[int],
    result: int,
    real_bytes: int,
) -> dict[Node, View]:
    """The totals that are column sums of one product's gradients."""
    places: dict[Node, View] = {}
    column = 0
    for node, width in zip(item.nodes, widths, strict=True):
        places[node] = View(result, column * real_bytes, (width,), (real_bytes,))
        column += width
    return {
        total: places[plan.canon(total.inputs[0])]
        for segment in plan.segments
        for total in segment.totals
        if total.op == "total" and plan.canon(total.inputs[0]) in places
    }
