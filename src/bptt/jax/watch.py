"""How far gradients travel while a JAX program trains, for every layer of bptt."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import jax

from bptt.flow.watch import WatchedNorms
from bptt.jax.recurrent import Recurrent
from bptt.jax.watches import enrol
from bptt.step.shapes import Array

# Seconds: a layer that could be watched keeps more arrays (1.1 ms steps, LSTM of 16).
ALWAYS = 7e-5


class FlowWatch(WatchedNorms):
    """A context around a training step that keeps ‖∇_{h^(t)} L‖ of watched layers.

    `layer(name, f)` gives the layer to call in place of f: its backward pass also
    computes the gradients of the states, and the watch reads their norms inside the
    context, under `jit`, `grad`, `vmap` and `shard_map`. Where an iteration is watched
    both ends of the context wait for the arrays that are being computed, since JAX runs
    ahead of Python; elsewhere the layer computes what one that is not watched does.

    every: iterations of which one is watched, `watch.iterations` has their numbers;
    "auto" finds by itself how many cost `budget` of the time of all steps, a tenth, and
    begins with every other one. board: a SummaryWriter of TensorBoard, which gets a
    heat map of t against iteration every `board_every` watched ones.

    >>> import bptt.jax, jax
    >>> import numpy as np
    >>> cell = bptt.cells.book
    >>> watch = bptt.jax.FlowWatch(every=1)
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

    def _set_up(self) -> None:
        self._number, self._lock = enrol(self), threading.Lock()
        self.is_on = False
        self.pacer.always = ALWAYS

    def layer(self, name: str, f: Recurrent) -> Recurrent:
        """The layer, watched under this name; a program that was compiled is not."""
        return replace(f, watched=(self._number, name))

    def note(self, layer: str, gradients: Mapping[str, Array]) -> None:
        """Keep the norms of a layer's states, if this is a step that is watched."""
        if self.is_on:
            with self._lock:  # devices call at once
                super().note(layer, gradients)

    def _settle(self) -> None:
        jax.block_until_ready(jax.live_arrays())

    def _turn(self, *, is_on: bool) -> None:
        self.is_on = is_on
