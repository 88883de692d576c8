"""How far gradients travel while a JAX program trains, for every layer of bptt."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import jax

from bptt.flow.watch import WatchedNorms
from bptt.jax.recurrent import Recurrent
from bptt.jax.watches import enrol
from bptt.step.shapes import Array


class FlowWatch(WatchedNorms):
    """A context around a training step that keeps ‖∇_{h^(t)} L‖ of watched layers.

    `layer(name, f)` gives the layer to call in place of f: its backward pass also
    computes the gradients of the states, and the watch reads their norms inside the
    context, under `jit`, `grad`, `vmap` and `shard_map`. Both ends of the context wait
    for the arrays that are being computed, since JAX runs ahead of Python.

    every: iterations of which one is watched; board: a SummaryWriter of TensorBoard,
    which gets a heat map of t against iteration every `board_every` watched ones.

    >>> import bptt.jax, jax
    >>> import numpy as np
    >>> cell = bptt.cells.book
    >>> watch = bptt.jax.FlowWatch()
    >>> f = watch.layer("reader", bptt.jax.recurrent(cell))
    >>> params = cell.init(n_x=2, n_h=3, n_o=4)
    >>> inputs = {"x": np.ones((5, 1, 2)), "y": np.zeros((5, 1), int)}
    >>> gradient = jax.jit(jax.grad(lambda p: f(p, inputs).loss))
    >>> for _ in range(2):
    ...     with watch:
    ...         found = gradient(params)
    >>> {name: rows.shape for name, rows in watch.norms.items()}
    {'reader.h': (2, 5)}
    """

    def __init__(
        self, *, every: int = 1, board: Any = None, board_every: int = 100
    ) -> None:
        """No layer is watched yet."""
        super().__init__(every, board, board_every)
        self._number, self._lock = enrol(self), threading.Lock()
        self._is_on = False

    def layer(self, name: str, f: Recurrent) -> Recurrent:
        """The layer, watched under this name; a program that was compiled is not."""
        return replace(f, watched=(self._number, name))

    def note(self, layer: str, gradients: Mapping[str, Array]) -> None:
        """Keep the norms of a layer's states, if this is a step that is watched."""
        if self._is_on:
            with self._lock:  # devices call at once
                super().note(layer, gradients)

    def __enter__(self) -> Self:
        """Watch this step, if it is its turn."""
        if self.is_due():
            jax.block_until_ready(jax.live_arrays())
            self.begin()
            self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the step, stop watching, and write to the board when it is due."""
        try:
            if self._is_on:
                jax.block_until_ready(jax.live_arrays())
        finally:
            self._is_on = False
            self.end()
