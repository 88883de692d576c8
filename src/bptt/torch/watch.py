"""How far gradients travel while a torch model trains, for every layer of bptt."""

from __future__ import annotations

from typing import Any

import torch

from bptt.flow.watch import WatchedNorms
from bptt.results import Gradient
from bptt.torch.layers import _Layers
from bptt.torch.network import records_of
from bptt.torch.record import Record
from bptt.torch.recurrent import Recurrent


class FlowWatch(WatchedNorms):
    """A context around a training step that keeps ‖∇_{h^(t)} L‖ of every layer.

    every: iterations of which one is watched, `watch.iterations` has their numbers;
    "auto" finds by itself how many cost `budget` of the time of all steps, a tenth, and
    begins with every other one. board: a SummaryWriter of TensorBoard, which gets a
    heat map of t against iteration every `board_every` watched ones.
    A call under torch.compile, on another device or with create_graph is not seen.

    >>> import torch, bptt.torch
    >>> model = bptt.torch.LSTM(3, 4)
    >>> watch = bptt.torch.FlowWatch(model, every=1)
    >>> for _ in range(2):
    ...     with watch:
    ...         y, _ = model(torch.ones(6, 2, 3))
    ...         y.sum().backward()
    >>> {name: rows.shape for name, rows in watch.norms.items()}
    {'0.h': (2, 6), '0.s': (2, 6)}
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        every: int | str = "auto",
        board: Any = None,
        board_every: int = 100,
        budget: float = 0.1,
    ) -> None:
        """Look for layers; those that are added later are not watched.

        Raises: FlowError.
        """
        super().__init__(every, board, board_every, budget)
        self._records = dict(_named_records(model))

    def _turn(self, *, is_on: bool) -> None:
        for name, record in self._records.items():
            record.watch = _Look(self, name) if is_on else None


class _Look:
    """Notes the gradients of one layer."""

    def __init__(self, watch: FlowWatch, name: str) -> None:
        self._watch, self._name = watch, name

    def __call__(self, gradient: Gradient) -> None:
        self._watch.note(self._name, gradient.nodes)


def _named_records(model: torch.nn.Module) -> list[tuple[str, Record]]:
    """Every layer's name and record: "encoder.0", "encoder.0 reversed", ..."""
    found: list[tuple[str, Record]] = []
    for path, module in model.named_modules():
        if isinstance(module, Recurrent):
            found.append((path or "layer", module.record))
        elif isinstance(module, _Layers):
            n = 2 if module.bidirectional else 1
            for number, record in enumerate(records_of(module)):
                end = " reversed" if number % n else ""
                name = f"{path}.{number // n}" if path else str(number // n)
                found.append((name + end, record))
    return found
