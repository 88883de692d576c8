"""What the last backward pass of a module went through, for looking inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bptt import errors
from bptt.results import Copies, Gradient
from bptt.torch.plan import Plan
from bptt.torch.views import Views, array_of


class NoRecordError(errors.ArgumentError):
    """Gradients of the last backward pass are asked for, and there are none."""


class Record:
    """The tensors and arriving gradients of a module's last backward pass.

    A copy, or a pickled one, is empty: it belongs to the module that ran.
    """

    def __init__(self) -> None:
        """Empty until the first backward pass."""
        # What looks at the gradients of the states while they are there: `FlowWatch`.
        self.watch: Callable[[Gradient], None] | None = None
        self.views = Views()
        self._kept: tuple[Plan, list[Any], list[int], dict[str, Any]] | None = None

    def keep(
        self, plan: Plan, tensors: Sequence[torch.Tensor], seeds: dict[str, Any]
    ) -> None:
        """Remember a backward pass, by tensors of nobody else; no array is copied."""
        versions = [tensor._version for tensor in tensors]  # noqa: SLF001
        self._kept = (plan, list(tensors), versions, seeds)

    def gradient(self, nodes: tuple[str, ...] = ()) -> Gradient:
        """The same gradient once more, with those of `nodes`.

        Raises: NoRecordError if nothing ran backward, or a tensor has changed since.
        """
        if self._kept is None:
            raise NoRecordError(
                "no backward pass of this module is recorded: call backward() first. "
                "A call under torch.compile, on another device or with create_graph "
                "records nothing"
            )
        plan, tensors, versions, seeds = self._kept
        if [tensor._version for tensor in tensors] != versions:  # noqa: SLF001
            raise NoRecordError(
                "a parameter or input was changed in place since backward(), for "
                "example by optimizer.step(): look at the gradients before that"
            )
        arrays = list(map(array_of, tensors))
        needs = [False] * len(arrays)
        forward = plan.forward(arrays, needs, torch.get_num_threads(), nodes)
        return plan.backward(forward, seeds)

    def node_gradients(self, name: str) -> torch.Tensor:
        """∇_{h^(t)} L for every t, of a node, (tau, n_b, *shape)."""
        plan = self._kept[0] if self._kept else None
        if plan is not None and name not in plan.cell.nodes:
            raise errors.UnknownNodeError(
                f"{name} is not a node of the cell; its nodes are: "
                f"{errors.list_known(name, plan.cell.nodes)}"
            )
        return torch.from_numpy(self.gradient((name,)).nodes[name])

    def copies(self, name: str) -> Copies:
        """∇_{W^(t)} L for every t, of a parameter of the cell."""
        return self.gradient().copies[name]

    def __deepcopy__(self, memo: object) -> Record:
        return Record()

    def __reduce__(self) -> tuple[type[Record], tuple[()]]:
        return Record, ()
