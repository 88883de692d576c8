"""What is measured: shapes, cells with their stacked parameters, and the targets."""

from dataclasses import dataclass, field

import numpy as np

from bptt.cell import Cell
from bptt.cells import get

# (tau, n_b, n_x, n_h)
SHAPES = (
    (100, 1, 64, 64),
    (1000, 1, 88, 200),
    (100, 16, 128, 128),
    (100, 32, 64, 128),
    (100, 32, 256, 256),
    (100, 64, 256, 256),
    (784, 64, 1, 128),
    (100, 32, 512, 512),
    (100, 64, 1024, 1024),
)
QUICK_SHAPES = ((100, 1, 64, 64), (100, 32, 64, 128), (100, 32, 256, 256))
MEMORY_SHAPE = (20_000, 16, 32, 128)
ALPHA = 0.2

LEAKY = f"""
a[t] = b + W @ h[t-1] + U @ x[t]
h[t] = {1 - ALPHA} * h[t-1] + {ALPHA} * tanh(a[t])
"""


def _layer_norm_lstm():
    """Each gate's sum is normalised and scaled by a gain k; the state is normalised.

    Gains of 1 let the gradient grow to 1e21 over 784 steps, where no two orders of
    summation agree on a digit; with 0.1 float32 and float64 differ by 1e-5.
    """
    gates = {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "q": "sigmoid"}
    lines = [f"k_{g}: n_h = 0.1" for g in gates] + ["b_f: n_h = 1"]
    lines += [
        f"{g}[t] = {f}(b_{g} + k_{g} * layer_norm(W_{g} @ h[t-1] + U_{g} @ x[t]))"
        for g, f in gates.items()
    ]
    lines += [
        "s[t] = f[t] * s[t-1] + i[t] * g[t]",
        "h[t] = q[t] * tanh(layer_norm(s[t]))",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Case:
    """A cell, and the order in which rivals stack its gates.

    gates: suffixes of U, W and b; extra: other stacked parameters, name -> the cell's
    names; target: ratio to the matrix product's rate asked of n_b >= 16, n_h >= 128;
    over_best: geometric mean asked over the best rival; is_custom: no torch.nn module.
    """

    name: str
    text: str
    gates: tuple[str, ...]
    target: float | None = None
    over_best: float = 1.5
    is_custom: bool = False
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def make_cell(self):
        """A new cell, whose first call compiles."""
        return Cell(self.text)

    def flops(self, shape):
        """Of the matrix products: x twice (U, its gradient), h three times."""
        tau, n_b, n_x, n_h = shape
        return 2 * tau * n_b * len(self.gates) * n_h * (2 * n_x + 3 * n_h)

    def _stacks(self):
        return {m: tuple(m + g for g in self.gates) for m in "UWb"} | self.extra

    def pack(self, params):
        """The cell's parameters with all gates stacked, as rivals like them."""
        return {
            name: np.concatenate([params[part] for part in parts])
            for name, parts in self._stacks().items()
        }

    def unpack(self, stacked):
        """Stacked gradients under the cell's own names."""
        found = {}
        for name, parts in self._stacks().items():
            pieces = np.split(np.asarray(stacked[name]), len(parts))
            found |= dict(zip(parts, pieces, strict=True))
        return found


def _case(name, *options, text=None, **more):
    return Case(name, text or get(name).text, *options, **more)


LSTM_GATES, GRU_GATES = ("_i", "_f", "_g", "_q"), ("_r", "_z", "_n")
CASES = {
    case.name: case
    for case in (
        _case("elman", ("",), 0.85),
        _case("gru", GRU_GATES, 0.75, extra={"d": ("d_n",)}),
        _case("lstm", LSTM_GATES, 0.75, 1.2),
        _case("leaky", ("",), text=LEAKY, is_custom=True),
        _case(
            "layer_norm_lstm",
            LSTM_GATES,
            text=_layer_norm_lstm(),
            is_custom=True,
            extra={"k": tuple("k" + g for g in LSTM_GATES)},
        ),
        _case("gru_reset_before", GRU_GATES, is_custom=True),
    )
}


def make_data(case, shape, dtype, seed=0):
    """Parameters under the cell's names, inputs, and a gradient of ones for h.

    Biases and gains are disturbed: if all gates had the same, a rival that mixes gates
    up would still agree.
    """
    tau, n_b, n_x, n_h = shape
    params = case.make_cell().init(seed=seed, dtype=dtype, n_x=n_x, n_h=n_h)
    rng = np.random.default_rng(seed)
    for name, array in params.items():
        if array.ndim == 1:
            noise = 0.1 * rng.standard_normal(n_h)
            disturbed = array * (1 + noise) if array.any() else noise
            params[name] = disturbed.astype(dtype)
    x = rng.standard_normal((tau, n_b, n_x), dtype)
    return params, x, np.ones((tau, n_b, n_h), dtype)
