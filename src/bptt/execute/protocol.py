"""What every executor gives: one run of a program, and the values it computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan
from bptt.step.graph import Node
from bptt.step.shapes import Array


class Values(Protocol):
    """The values that an executor computed, by node.

    schedule: how steps were run where not all of them are kept.
    """

    schedule: CheckpointPlan | None

    def __getitem__(self, node: Node) -> Array:
        """A node's value, timed ones as (tau, n_b, *shape)."""
        ...

    def at(self, name: str, index: int) -> Array:
        """A definition's value at each row's first step (0) or last one (-1)."""
        ...

    def map_steps(
        self,
        nodes: tuple[Node, ...],
        use: Callable[[Mapping[Node, Array], bool], Array],
    ) -> list[Array]:
        """What `use` makes of some nodes' values, (steps, n_b, *shape), over all steps.

        Where not all steps are kept it is called for one stretch after another, and the
        results come in the order of time; its second argument says if all are there.
        """
        ...

    def read_stack(self, nodes: tuple[Node, ...]) -> Array | None:
        """Static values one under the other, where they lie so; else None."""
        ...


class Call(Protocol):
    """One run of a program, whose first phase is over.

    program: the one whose roots the values belong to.
    """

    @property
    def program(self) -> Program:
        """The program, in the form that the executor ran."""
        ...

    @property
    def values(self) -> Values:
        """What was computed so far."""
        ...

    def finish(
        self,
        seeds: Mapping[str, Any] | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        """Run what waited for seeds, (tau, n_b, *shape) each; once only.

        bindings: the arrays of the first phase where they lie now, if the caller's
        memory moved since.
        """
        ...
