"""Segments to stages, and what is kept in memory between them.

A stage of a segment computes, for every row, the products (or the reductions over a
row) whose operands earlier stages left in memory, and then every elementwise equation
that can follow. A value that another stage needs is stored where it is computed, unless
it is cheaper to compute it again from what is stored anyway (tanh(s) from s).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bptt.calculus.recurrence import Segment
from bptt.execute.compile.expand import REDUCTIONS, SUMS
from bptt.execute.compile.lowerings import COSTLY
from bptt.step.graph import TO_STATIC, Node, name_of, shift_of, walk
from bptt.step.shapes import Dim, number_of

# A product with so few inputs costs less than the memory traffic of its result, so it
# moves into the loop that reads it: (784, 64, 1, 128) spends 2 ms on U x before the
# loop and 2 ms on reading it inside.
NARROW = 16
# Loads that recomputing a value may cost instead of one store and one load.
RELOADS = 2
ALIASES = frozenset({"named", "spread", "stop_gradient"})


@dataclass
class StagePlan:
    """Products or reductions, then elementwise equations, then stores.

    width: the dimension of all products and stored vectors (None for a row stage, which
    may hold several); stored: what it leaves in memory, in order; is_tensor: a row
    stage of matrices and indexed values, in loops of their own (see `nests`).
    """

    is_row: bool
    width: Dim | None
    products: list[Node] = field(default_factory=list)
    reductions: list[Node] = field(default_factory=list)
    homes: dict[Node, None] = field(default_factory=dict)
    stored: list[Node] = field(default_factory=list)
    is_tensor: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing it computes is wanted."""
        return not self.stored


@dataclass
class SegmentPlan:
    """The stages of one segment; direction 0 runs once over all steps' rows."""

    direction: int
    stages: list[StagePlan]
    totals: list[Node]
    phase: int = 0


@dataclass(frozen=True)
class StagedProgram:
    """Stages by segment, and every timed value that lives in memory.

    memory: canonical nodes with an array of their own; padded: those that another step
    reads, with rows for t = 0 and t = tau + 1.
    """

    segments: list[SegmentPlan]
    memory: Mapping[Node, None]
    padded: Mapping[str, Node]
    canon: Canon


class Canon:
    """Nodes that only rename a value stand for it.

    Of several names of one value that other steps read, the one nearest to the value
    shares its array; each other has one of its own, for its own initial value. Nearest
    first: a name of a name would end at an array that the inner one gets only later.
    """

    def __init__(self, shifted: Iterable[str], roots: Mapping[str, Node]) -> None:
        self._separate: set[str] = set()
        owners: set[Node] = set()
        names = [name for name in shifted if name in roots]
        for name in sorted(names, key=lambda name: _count_names(roots[name])):
            base = self(roots[name])
            if base in owners or is_leaf(base) or base.op in ALIASES:
                self._separate.add(name)
            owners.add(base)

    def __call__(self, node: Node) -> Node:
        """The node that holds this node's value."""
        while node.op in ALIASES:
            is_own = node.op == "named" and name_of(node) in self._separate
            if is_own or not node.inputs[0].timed:
                break
            node = node.inputs[0]
        return node

    def inputs(self, node: Node) -> tuple[Node, ...]:
        """The canonical inputs of a node."""
        return tuple(self(child) for child in node.inputs)


def _count_names(node: Node) -> int:
    """How many names lie over a value."""
    names = 0
    while node.op in ALIASES:
        names, node = names + 1, node.inputs[0]
    return names


def is_product(node: Node) -> bool:
    """A static matrix times a vector that changes in time."""
    is_static = node.op == "matvec" and node.timed and not node.inputs[0].timed
    return is_static and not node.indices


def is_tensor(node: Node) -> bool:
    """A matrix or an indexed value that changes in time, or what is made of one.

    A place of a vector, read or written, is one too: it asks for elements.
    """
    if node.timed and node.op in ("at", "put"):
        return True
    return not is_product(node) and any(
        part.timed and (part.rank > 1 or part.indices) for part in (node, *node.inputs)
    )


def is_leaf(node: Node) -> bool:
    """Timed, and in memory before anything runs."""
    return node.timed and not node.inputs


def is_other_step(node: Node, plan: StagedProgram) -> bool:
    """A stored definition, read at another step."""
    return node.op == "shift" and shift_of(node)[0] in plan.padded


def plan_program(
    segments: Sequence[Segment],
    roots: Mapping[str, Node],
    outputs: Iterable[str],
    sizes: Mapping[str, int],
) -> StagedProgram:
    """Cut every segment into stages and decide what is stored."""
    segments = _split_at_shifts(segments, roots)
    nodes = [node for segment in segments for node in segment.nodes]
    # Dictionaries, not sets: the order of sums, and so their rounding, is fixed.
    shifted = dict.fromkeys(shift_of(node)[0] for node in nodes if node.op == "shift")
    canon = Canon(shifted, roots)
    sources = {canon(roots[name]) for name in shifted if name in roots}
    read = {canon(roots[name]) for name in outputs}
    placed = _place(segments, canon, sizes, sources, read, roots)
    plans = []
    known: set[Node] = set()
    for segment, members in zip(segments, placed, strict=True):
        stages = _cut(members, canon, known)
        totals = [n for n in segment.nodes if n.op in TO_STATIC]
        plans.append(SegmentPlan(segment.direction, stages, totals, segment.phase))
    forced = _forced(plans, canon, roots, outputs, shifted)
    memory = _Store(plans, canon, forced).run()
    padded = {name: canon(roots[name]) for name in shifted if name in roots}
    return StagedProgram(plans, memory, padded, canon)


# ----- which segment -----


def _split_at_shifts(
    segments: Sequence[Segment], roots: Mapping[str, Node]
) -> list[Segment]:
    """Cut a batched segment where a node reads another step of one in it.

    Threads take ranges of rows, so another step's row may be another thread's: what
    reads it must wait until all threads are done with what it reads.
    """
    result = []
    for segment in segments:
        if segment.direction:
            result.append(segment)
            continue
        depth: dict[Node, int] = {}
        inside = set(segment.nodes)
        for node in segment.nodes:
            parts = [depth.get(child, 0) for child in node.inputs]
            if node.op == "shift":
                source = roots.get(shift_of(node)[0])
                if source in inside:
                    parts = [depth[source] + 1]
            depth[node] = max(parts, default=0)
        for level in range(max(depth.values(), default=0) + 1):
            members = tuple(n for n in segment.nodes if depth[n] == level)
            result.append(Segment(0, members, segment.phase))
    return result


def _place(
    segments: Sequence[Segment],
    canon: Canon,
    sizes: Mapping[str, int],
    sources: Collection[Node],
    read: Collection[Node],
    roots: Mapping[str, Node],
) -> list[list[Node]]:
    """The canonical nodes of every segment, cheap ones moved to the loop they serve.

    read: what a caller reads, who may do so when the first phase is over.
    """
    home = {node: number for number, seg in enumerate(segments) for node in seg.nodes}
    order = [
        n for seg in segments for n in seg.nodes
        if n.timed and n.inputs and canon(n) is n and n.op not in TO_STATIC
    ]  # fmt: skip
    consumers: dict[Node, set[Node]] = {}
    for segment in segments:
        for node in segment.nodes:
            for child in canon.inputs(node):
                consumers.setdefault(child, set()).add(canon(node))
    for node in reversed(order):
        if node in sources or segments[home[node]].direction:
            continue
        if not _may_move(node, sizes):
            continue
        places = {home[c] for c in consumers.get(node, ()) if c.op not in TO_STATIC}
        has_total = any(c.op in TO_STATIC for c in consumers.get(node, ()))
        if len(places) == 1 and not has_total:
            (place,) = places
            is_late = segments[place].phase > segments[home[node]].phase
            is_ahead = place > home[node] and segments[place].direction != 0
            if is_ahead and not (is_late and node in read):
                home[node] = place
    for node in order:
        if is_tensor(node) and segments[home[node]].direction == 0:
            home[node] = _loop_of(node, segments, home, roots, canon)
    placed: list[list[Node]] = [[] for _ in segments]
    for node in order:
        placed[home[node]].append(node)
    return placed


def _loop_of(
    node: Node, segments: Sequence[Segment], home: Mapping[Node, int],
    roots: Mapping[str, Node], canon: Canon,
) -> int:  # fmt: skip
    """The loop that has a matrix in a near cache, for what reads it afterwards."""
    found = -1
    for child in canon.inputs(node):
        if child.op == "shift":
            source = roots.get(shift_of(child)[0])
            number = -1 if source is None else home[source]
            # What a later step will leave is not there yet.
            if number >= 0 and shift_of(child)[1] != -segments[number].direction:
                number += 1
            found = max(found, number)
        elif child.timed and child.inputs:
            found = max(found, home[child])
    is_loop = 0 <= found < home[node] and segments[found].direction != 0
    is_near = is_loop and any(
        child.timed and _n_axes(child) > 1 for child in node.inputs
    )
    has_phase = is_near and segments[found].phase == segments[home[node]].phase
    return found if has_phase else home[node]


def _n_axes(node: Node) -> int:
    return len(node.indices) + node.rank


def _may_move(node: Node, sizes: Mapping[str, int]) -> bool:
    if is_product(node):
        dim = node.inputs[1].shape[0]
        return number_of(dim, sizes) <= NARROW
    return node.op not in REDUCTIONS and node.op not in SUMS


# ----- which stage -----


def _cut(members: list[Node], canon: Canon, known: set[Node]) -> list[StagePlan]:
    """List scheduling: products that are ready, else reductions, else equations.

    `known` holds what earlier segments computed, and is added to.
    """
    waiting = list(members)
    stages: list[StagePlan] = []

    def is_known(node: Node) -> bool:
        return node in known or not node.timed or is_leaf(node)

    def is_ready(node: Node) -> bool:
        return all(is_known(child) for child in canon.inputs(node))

    while waiting:
        ready = [node for node in waiting if is_ready(node)]
        stage = _open_stage(ready)
        first = stage.products or [n for n in ready if n in stage.reductions]
        done = set(first)
        taken = _close(waiting, stage, done, known, canon)
        known |= taken
        waiting = [node for node in waiting if node not in taken]
        stages.append(stage)
    return stages


def _open_stage(ready: list[Node]) -> StagePlan:
    products = [node for node in ready if is_product(node)]
    if products:
        width = products[0].shape[0]
        return StagePlan(False, width, [n for n in products if n.shape[0] == width])
    if any(is_tensor(node) for node in ready):
        return StagePlan(True, None, is_tensor=True)
    reductions = [node for node in ready if node.op in REDUCTIONS]
    vectors = [n for n in ready if n.rank == 1 and n not in reductions]
    if reductions or not vectors:
        return StagePlan(True, None, [], reductions)
    return StagePlan(False, vectors[0].shape[0])


def _close(
    waiting: list[Node],
    stage: StagePlan,
    done: set[Node],
    known: set[Node],
    canon: Canon,
) -> set[Node]:
    """Everything the stage can also compute, added to it; returns all it computes."""
    taken = set(done)
    for node in waiting:
        if node in taken:
            stage.homes[node] = None
            continue
        inputs = canon.inputs(node)
        if not all(
            c in taken or c in known or not c.timed or is_leaf(c) for c in inputs
        ):
            continue
        if is_product(node) or (is_tensor(node) and not stage.is_tensor):
            continue
        if stage.is_tensor:
            taken.add(node)
            stage.homes[node] = None
        elif node.op in REDUCTIONS:
            # A row stage may chain reductions; `pick` reads memory of an earlier one.
            if stage.is_row and (node.op != "pick" or inputs[0] not in taken):
                stage.reductions.append(node)
                taken.add(node)
                stage.homes[node] = None
        elif stage.is_row or (node.rank == 1 and node.shape[0] == stage.width):
            taken.add(node)
            stage.homes[node] = None
    return taken


# ----- what is stored -----


def _forced(
    plans: list[SegmentPlan],
    canon: Canon,
    roots: Mapping[str, Node],
    outputs: Iterable[str],
    shifted: Iterable[str],
) -> dict[Node, None]:
    """Values that must be in memory whatever they cost."""
    forced = [canon(roots[name]) for name in outputs if roots[name].timed]
    forced += [canon(roots[name]) for name in shifted if name in roots]
    for plan in plans:
        for node in plan.totals:
            forced += canon.inputs(node)
        for stage in plan.stages:
            forced += [canon(node.inputs[1]) for node in stage.products]
            forced += [canon(n.inputs[0]) for n in stage.reductions if n.op == "pick"]
    return {node: None for node in forced if node.timed and not is_leaf(node)}


class _Store:
    """Decides, from the last stage to the first, what earlier stages must store."""

    def __init__(
        self, plans: list[SegmentPlan], canon: Canon, forced: dict[Node, None]
    ) -> None:
        self._stages = [stage for plan in plans for stage in plan.stages]
        self._canon = canon
        self._memory = dict(forced)
        self._home = {node: stage for stage in self._stages for node in stage.homes}

    def run(self) -> dict[Node, None]:
        """All stored nodes; fills `stored` of every stage."""
        for stage in reversed(self._stages):
            mine = [node for node in self._memory if self._home[node] is stage]
            self._visit(stage, mine)
        for node in self._memory:
            self._home[node].stored.append(node)
        for stage in self._stages:
            order = {n: i for i, n in enumerate(walk(stage.stored))}
            stage.stored.sort(key=order.__getitem__)
        return self._memory

    def _operands(self, node: Node) -> tuple[Node, ...]:
        return tuple(c for c in self._canon.inputs(node) if c.timed)

    def _visit(self, stage: StagePlan, wanted: list[Node]) -> None:
        seen: set[Node] = set()
        stack = list(wanted)
        while stack:
            node = stack.pop()
            if node in seen or not node.timed or is_leaf(node):
                continue
            seen.add(node)
            if self._home[node] is stage:
                if node not in stage.products:
                    stack.extend(self._operands(node))
            elif node not in self._memory:
                is_there = stage.is_tensor or not is_tensor(node)
                if is_there and self._reload_cost(node) <= RELOADS:
                    stack.extend(self._operands(node))
                else:
                    self._memory[node] = None

    def _reload_cost(self, node: Node, depth: int = 0) -> float:
        """Loads that recomputing a node takes; infinite if it cannot be recomputed."""
        if not node.timed:
            return 0
        if is_leaf(node) or (depth and node in self._memory):
            return 1
        if is_tensor(node):
            return float("inf") if depth else self._tensor_cost(node, _n_axes(node))
        if depth > 6 or is_product(node) or node.op in REDUCTIONS:
            return float("inf")
        cost = sum(self._reload_cost(c, depth + 1) for c in self._operands(node))
        # One costly function from a stored value is worth its store, two are not.
        return cost + (1.5 if node.op in COSTLY and depth else 0)

    def _tensor_cost(self, node: Node, n_axes: int, depth: int = 0) -> float:
        """The same for a matrix: what has fewer axes is stored, and costs nothing."""
        if not node.timed or _n_axes(node) < n_axes:
            return 0
        if is_leaf(node) or (depth and node in self._memory):
            return 1
        if depth > 8 or is_product(node) or node.op in SUMS or node.op == "pick":
            return float("inf")
        cost = sum(
            self._tensor_cost(c, n_axes, depth + 1) for c in self._operands(node)
        )
        return cost + (1.5 if node.op in COSTLY and depth else 0)
