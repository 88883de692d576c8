"""A cell in both forms: through bptt.jax, and written with `jax.lax.scan`, in float64.

Nothing is shared with what is tested: JAX runs the scan and differentiates it.
"""

import jax
import jax.numpy as jnp
import numpy as np

import bptt

TAU, N_B = 5, 3
SIZES = {"n_x": 2, "n_h": 4, "n_o": 6}
# float64, sums of at most tau * n_b * n_h terms in another order: 60 * 2^-53, times 15
TOLERANCE = 1e-13


def book_step(p, state, x):
    """Goodfellow et al., 10.8-10.9."""
    h = jnp.tanh(p["b"] + state["h"] @ p["W"].T + x @ p["U"].T)
    return {"h": h}


def lstm_step(p, state, x):
    """Goodfellow et al., 10.40-10.44."""

    def gate(name, function):
        return function(
            p[f"b_{name}"] + state["h"] @ p[f"W_{name}"].T + x @ p[f"U_{name}"].T
        )

    i, f, q = (gate(name, jax.nn.sigmoid) for name in "ifq")
    s = f * state["s"] + i * gate("g", jnp.tanh)
    return {"s": s, "h": q * jnp.tanh(s)}


STEPS = {"elman": book_step, "lstm": lstm_step}


def scan_loss(step, p, x, initial, y, w):
    """The weighted loss, every h, and the last states, by `lax.scan`."""

    def body(state, x_t):
        state = step(p, state, x_t)
        return state, state["h"]

    final, h = jax.lax.scan(body, initial, x)
    log_y_hat = jax.nn.log_softmax(p["c"] + h @ p["V"].T)
    L = -jnp.take_along_axis(log_y_hat, y[..., None], axis=-1)[..., 0]
    return (w * L).sum(), h, final


class Problem:
    """A cell, its arrays, and a function of all its results in both forms."""

    def __init__(self, name, **options):
        rng = np.random.default_rng(3)
        self.cell = bptt.cells.get(name).with_readout()
        self.step = STEPS[name]
        self.params = {
            key: 0.5 * rng.normal(size=value.shape)
            for key, value in self.cell.init(**SIZES).items()
        }
        self.x = rng.normal(size=(TAU, N_B, SIZES["n_x"]))
        self.y = rng.integers(0, SIZES["n_o"], (TAU, N_B))
        self.w = rng.uniform(0.2, 2, (TAU, N_B))
        shape = (N_B, SIZES["n_h"])
        self.initial = {s: rng.normal(size=shape) for s in self.cell.states}
        self.k = rng.normal(size=(TAU, *shape))
        self.k_final = {s: rng.normal(size=shape) for s in self.cell.states}
        self.f = bptt.jax.recurrent(self.cell, nodes="h", **options)

    def ours(self, p, x, initial, w):
        out = self.f(p, {"x": x, "y": self.y}, initial, w)
        return self._total(out.loss, out.nodes["h"], out.final)

    def scan(self, p, x, initial, w):
        return self._total(*scan_loss(self.step, p, x, initial, self.y, w))

    def _total(self, loss, h, final):
        """Depends on the loss, on every h, and on the last states once more."""
        more = sum((final[s] * self.k_final[s]).sum() for s in self.k_final)
        return loss + (jnp.sin(h) * self.k).sum() + more

    @property
    def arguments(self):
        return self.params, self.x, self.initial, self.w


def assert_trees_close(ours, theirs):
    ours, theirs = jax.tree.leaves_with_path(ours), jax.tree.leaves_with_path(theirs)
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype, path
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * abs(b).max())
