"""Adam of optax on gradients of bptt: plain arrays go in, plain arrays come out.

The network hears one of three symbols per step and must say the one before it.
Needs, from a clone: pip install -c constraints.txt ".[jax]"
"""

import numpy as np
import optax

import bptt

STEPS = 300

random = np.random.default_rng(0)
symbols = random.integers(0, 3, size=(20, 16))  # (tau, n_b)
inputs = {"x": np.eye(3, dtype=np.float32)[symbols], "y": np.roll(symbols, 1, axis=0)}
inputs["y"][0] = 0  # nothing comes before the first step

cell = bptt.cells.book
params = cell.init(n_x=3, n_h=16, n_o=3, seed=0)
optimiser = optax.adam(0.02)
state = optimiser.init(params)
losses = []
for _ in range(STEPS):
    gradient = cell.gradient(params, inputs, reduction="mean")
    losses.append(float(gradient.loss))
    gradients = {name: gradient[name] for name in params}
    updates, state = optimiser.update(gradients, state, params)
    params = {name: np.asarray(params[name] + updates[name]) for name in params}

print(f"loss in nats: {losses[0]:.3f} at first, {losses[-1]:.3f} after {STEPS} steps")
