"""An LSTM of bptt inside an Equinox model, trained by AdamW of optax under jit.

The network reads twelve tokens and must then say the first one. The model is written
for one sequence; `jax.vmap` makes the batch, which reaches the kernels as rows.
Needs, from a clone: pip install -c constraints.txt ".[jax]"
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import bptt.jax

TAU, N_B, N_TOKENS, N_H, STEPS = 12, 32, 5, 32, 200


class Classifier(eqx.Module):
    """The embedding and the recurrence are the cell's, the head is Equinox's."""

    params: dict[str, jax.Array]
    head: eqx.nn.Linear
    lstm: bptt.jax.Recurrent = eqx.field(static=True)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Logits (N_TOKENS,) of one sequence of tokens (tau,)."""
        return self.head(self.lstm(self.params, {"x": tokens}).final["h"])


def loss_of(model, tokens):
    """Cross-entropy in nats, the mean over sequences (n_b, tau)."""
    logits = jax.vmap(model)(tokens)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 0])
    return losses.mean()


cell = bptt.cells.lstm.with_tokens()
params = cell.init(n_x=N_TOKENS, n_h=N_H, seed=0, dtype=np.float32)
head = eqx.nn.Linear(N_H, N_TOKENS, key=jax.random.key(0))
model = Classifier(params, head, bptt.jax.recurrent(cell, nodes=()))
optimiser = optax.adamw(0.02)
state = optimiser.init(eqx.filter(model, eqx.is_array))


@eqx.filter_jit
def train_step(model, state, tokens):
    """One step of AdamW."""
    loss, grad = eqx.filter_value_and_grad(loss_of)(model, tokens)
    updates, state = optimiser.update(grad, state, eqx.filter(model, eqx.is_array))
    return eqx.apply_updates(model, updates), state, loss


random = np.random.default_rng(0)
losses = []
for _ in range(STEPS):
    tokens = jnp.asarray(random.integers(0, N_TOKENS, (N_B, TAU)))
    model, state, loss = train_step(model, state, tokens)
    losses.append(float(loss))

print(f"loss in nats: {losses[0]:.3f} at first, {losses[-1]:.3f} after {STEPS} steps")
