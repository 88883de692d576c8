"""Which nodes of a graph say the same."""

from __future__ import annotations

from typing import Any

from bptt.step.graph import Node, walk


class Structure:
    """Numbers nodes: two have one number if they are written alike."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._known: dict[Node, int] = {}

    def number(self, root: Node) -> int:
        """The number of a node; it stays the same for as long as this object."""
        for node in walk([root]):
            if node not in self._known:
                inputs = tuple(self._known[child] for child in node.inputs)
                key = (node.op, node.data, node.shape, inputs)
                self._known[node] = self._numbers.setdefault(key, len(self._numbers))
        return self._known[root]
