"""Where a cell is not smooth: how far its numbers are from the nearest kink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bptt.calculus.program import forward_program
from bptt.check.rounding import meanings, spread
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.step.graph import Graph, Node, shift_of, walk
from bptt.step.ops import TABLE
from bptt.step.places import align_indices
from bptt.step.shapes import Array

COMPARISONS = ("greater", "greater_equal")
# A branch is decided by rounding where the values compared are no further apart than
# so many times what a unit of each last place moves them by.
ROUNDINGS = 64.0


def observe(
    graph: Graph, parts: Mapping[str, Node], bindings: Bindings,
    meaning: reference.Meaning = reference.AS_IT_IS,
) -> dict[str, Array]:  # fmt: skip
    """The values of nodes inside a step, by the names they are given."""
    named = {n: Node("named", (node,), node.shape, n) for n, node in parts.items()}
    whole = replace(graph, definitions={**graph.definitions, **named})
    program = forward_program(whole, tuple(parts))
    values = reference.run(program, bindings, meaning)
    return {name: values[program.roots[name]] for name in parts}


@dataclass(frozen=True, eq=False)
class Kinks:
    """The kinks of a cell at the numbers of one instance."""

    graph: Graph
    bindings: Bindings

    @cached_property
    def distance(self) -> float:
        """The distance of the nearest kink; infinite without one."""
        found = map(np.min, self._distances(reference.AS_IT_IS))
        return float(min(found, default=np.inf))

    @property
    def are_decided_by_rounding(self) -> bool:
        """Whether a branch is chosen between two values that rounding alone parts.

        max(A u, A v) where u = v: which is the larger differs from one order of the
        same sums to another, and so do the gradients, all of them right. Two that are
        equal however they are rounded, as x and min(b, x), are a tie everywhere.
        """
        every = zip(*map(self._distances, meanings()), strict=True)
        return any(_is_rounding(*distances) for distances in every)

    def _distances(self, meaning: reference.Meaning) -> list[Array]:
        """How far each operation that has a kink is from it, element by element."""
        parts = {node: f"part {number}" for number, node in enumerate(self._parts)}
        values = observe(
            self.graph, {name: node for node, name in parts.items()}, self.bindings,
            meaning,
        )  # fmt: skip
        found = []
        for node in self._sharp:
            kink = TABLE[node.op].kink
            assert kink is not None
            arguments = (
                _as_argument(values[parts[child]], child, node) for child in node.inputs
            )
            found.append(np.asarray(kink(*arguments)))
        return found

    @cached_property
    def _sharp(self) -> list[Node]:
        """The operations that have a kink of their own, of what can be moved."""
        return [
            node
            for node in walk(self.graph.definitions.values())
            if _has_kink(node) and _can_move(node, self._fixed)
        ]

    @cached_property
    def _parts(self) -> dict[Node, None]:
        """What these operations are computed of, each once."""
        return dict.fromkeys(child for node in self._sharp for child in node.inputs)

    @cached_property
    def _fixed(self) -> frozenset[str]:
        """The definitions that nothing moves, such as the number of the step."""
        definitions = self.graph.definitions
        fixed = frozenset(definitions) & self.graph.times.hidden.keys()
        kept = frozenset(n for n in fixed if not _can_move(definitions[n], fixed))
        while kept != fixed:
            fixed = kept
            kept = frozenset(n for n in fixed if not _can_move(definitions[n], fixed))
        return fixed


def _is_rounding(plain: Array, *rounded: Array) -> bool:
    """Whether a distance is nothing but rounding somewhere, and not always 0."""
    moved = spread([plain, *rounded])
    return bool(((plain <= ROUNDINGS * moved) & (moved > 0)).any())


def _has_kink(node: Node) -> bool:
    """A `where` on comparisons has its kinks where the comparisons have theirs."""
    if node.op not in TABLE or TABLE[node.op].kink is None:
        return False
    return node.op != "where" or not _is_of_comparisons(node.inputs[0])


def _is_of_comparisons(condition: Node) -> bool:
    """Whether a condition is comparisons and numbers alone, such as u == v."""
    if condition.op in (*COMPARISONS, "constant"):
        return True
    return condition.op in ("named", "add", "sub", "mul") and all(
        map(_is_of_comparisons, condition.inputs)
    )


def _can_move(node: Node, fixed: frozenset[str]) -> bool:
    """Whether a value depends on anything but numbers, indices and what is fixed."""
    return any(
        leaf.op in ("parameter", "input")
        or (leaf.op == "shift" and shift_of(leaf)[0] not in fixed)
        for leaf in walk([node])
    )


def _as_argument(value: Array, child: Node, node: Node) -> Array:
    """An observed value with axes of one where it lacks an index, or is a scalar."""
    own, wanted = ([name for name, _ in n.indices] for n in (child, node))
    shape = align_indices(value.shape, own, wanted, child.rank)
    return value.reshape((*shape, *(1,) * (node.rank - child.rank)))
