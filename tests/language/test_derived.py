"""Every operation of `derived.cell`: torch's value and gradient, or Keras's formula."""

import numpy as np
import pytest
import torch
from torch.nn import functional as f

from bptt import Cell
from bptt.language.functions import derived

# call -> the same in torch; where torch has no function of the name, its definition.
# (Also for hardsigmoid: torch's own backward multiplies by a float32 1/6.)
ACTIVATIONS = {
    "linear(u)": lambda u: u,
    "exponential(u)": torch.exp,
    "silu(u)": f.silu,
    "swish(u)": f.silu,
    "gelu(u)": f.gelu,
    "gelu_tanh(u)": lambda u: f.gelu(u, approximate="tanh"),
    "mish(u)": f.mish,
    "softsign(u)": f.softsign,
    "squareplus(u)": lambda u: (u + torch.sqrt(u**2 + 4)) / 2,
    "log_sigmoid(u)": f.logsigmoid,
    "logsigmoid(u)": f.logsigmoid,
    "tanhshrink(u)": f.tanhshrink,
    "tanh_shrink(u)": f.tanhshrink,
    "softmin(u)": lambda u: f.softmin(u, -1),
    "glu(u, 2 * u - 1)": lambda u: f.glu(torch.cat([u, 2 * u - 1], -1), -1),
    "sparse_plus(u)": lambda u: torch.where(
        u >= 1, u, torch.where(u <= -1, 0 * u, (u + 1) ** 2 / 4)
    ),
    "relu6(u)": f.relu6,
    "hardtanh(u)": f.hardtanh,
    "hardtanh(u, -0.5, 2)": lambda u: f.hardtanh(u, -0.5, 2.0),
    "hard_tanh(u)": f.hardtanh,
    "hardsigmoid(u)": lambda u: torch.clamp(u / 6 + 0.5, 0, 1),
    "hard_sigmoid(u)": lambda u: torch.clamp(u / 6 + 0.5, 0, 1),
    "hardswish(u)": f.hardswish,
    "hard_swish(u)": f.hardswish,
    "hard_silu(u)": f.hardswish,
    "sparse_sigmoid(u)": lambda u: torch.clamp(0.5 * (u + 1), 0, 1),
    "leaky_relu(u)": f.leaky_relu,
    "leaky_relu(u, slope=0.3)": lambda u: f.leaky_relu(u, 0.3),
    "prelu(u, 0.25)": lambda u: f.prelu(u, torch.tensor(0.25, dtype=u.dtype)),
    "elu(u)": f.elu,
    "elu(u, alpha=0.5)": lambda u: f.elu(u, 0.5),
    "celu(u, alpha=2)": lambda u: f.celu(u, 2.0),
    "selu(u)": f.selu,
    "threshold(u, 0.5, -3)": lambda u: f.threshold(u, 0.5, -3.0),
    "hardshrink(u)": f.hardshrink,
    "hard_shrink(u, 0.2)": lambda u: f.hardshrink(u, 0.2),
    "softshrink(u)": f.softshrink,
    "soft_shrink(u, 0.2)": lambda u: f.softshrink(u, 0.2),
    "clip(u, -1, 0.5)": lambda u: torch.clamp(u, -1, 0.5),
    "ceil(u)": torch.ceil,
    "floor(u)": torch.floor,
    "round(u)": torch.round,
    "sign(u)": torch.sign,
    "mod(u, 0.7)": lambda u: torch.remainder(u, 0.7),
    "equal(u, 0.5)": lambda u: (u == 0.5).double() + 0 * u,
    "not_equal(u, 0.5)": lambda u: (u != 0.5).double() + 0 * u,
    "erf(u)": torch.erf,
    "expm1(u)": torch.expm1,
    "cumsum(u)": lambda u: torch.cumsum(u, -1),
    "rms_norm(u)": lambda u: f.rms_norm(u, u.shape[-1:], eps=1e-6),
    "u * norm(u)": lambda u: u * torch.linalg.vector_norm(u, dim=-1, keepdim=True),
    "u * max(u)": lambda u: u * u.amax(-1, keepdim=True),
    "u * min(u)": lambda u: u * u.amin(-1, keepdim=True),
    "u * logsumexp(u)": lambda u: u * torch.logsumexp(u, -1, keepdim=True),
    "held(u, -0.5, 2)": lambda u: f.hardtanh(u, -0.5, 2.0),
    "positive_root(u)": lambda u: torch.where(
        u > 0, torch.sqrt(torch.where(u > 0, u, 1.0)), 0.0
    ),
}
# No point, times its weight, lies on a kink.
POINTS = [-4.1, -2.2, -1.3, -0.61, -0.22, -0.05, 0.07, 0.3, 0.77, 1.4, 2.3, 3.2, 7.0]
# Where some activation has a kink; torch's own hardsigmoid has the slope 0 there.
KINKS = [-3.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 6.0]
AT_KINKS = ACTIVATIONS | {
    "hardsigmoid(u)": f.hardsigmoid, "hard_sigmoid(u)": f.hardsigmoid,
}  # fmt: skip


def test_every_derived_operation_is_compared():
    called = {name for call in ACTIVATIONS for name in derived() if name + "(" in call}
    # Those two give places: tests/language/test_joined.py.
    assert called == set(derived()) - {"argmin", "sample"}


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("call", ACTIVATIONS)
def test_value_and_gradient_are_those_of_torch(call, executor):
    cell = Cell(f"f(u) = {call}\nu[t] = w * x[t]\nh[t] = f(u[t])\nw: n_h\nx: n_h")
    x = np.array(POINTS)[None, None]
    w, g = np.linspace(0.9, 1.1, len(POINTS)), np.linspace(-1, 2, len(POINTS))
    found = cell.gradient({"w": w}, {"x": x}, seeds={"h": g[None, None]},
                          nodes=("h",), executor=executor)  # fmt: skip
    u = torch.tensor(w * POINTS, requires_grad=True)
    h = ACTIVATIONS[call](u)
    h.backward(torch.tensor(g))
    value = cell.forward({"w": w}, {"x": x}, executor=executor)["h"][0, 0]
    np.testing.assert_allclose(value, h.detach(), rtol=1e-13, atol=1e-14)
    expected = u.grad.numpy() * POINTS
    np.testing.assert_allclose(found["w"], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("call", ACTIVATIONS)
def test_value_and_slope_at_every_kink_are_those_of_torch(call, executor):
    cell = Cell(f"f(u) = {call}\nu[t] = 1 * x[t]\nh[t] = f(u[t])\nx: n_h")
    g = np.linspace(-1, 2, len(KINKS))
    ask = {"inputs": {"x": np.array(KINKS)[None, None]}, "executor": executor}
    found = cell.gradient({}, **ask, seeds={"h": g[None, None]}, input_gradient=True)
    u = torch.tensor(KINKS, dtype=torch.float64, requires_grad=True)
    h = AT_KINKS[call](u)
    h.backward(torch.tensor(g))
    np.testing.assert_allclose(
        cell.forward({}, **ask)["h"][0, 0], h.detach(), rtol=1e-13, atol=1e-14
    )
    # 1e-7: the backward of torch's hardsigmoid multiplies by a float32 1/6.
    np.testing.assert_allclose(found.inputs["x"][0, 0], u.grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
def test_the_norm_of_zero_has_gradient_zero(executor):
    cell = Cell("u[t] = w * x[t]\nL[t] = norm(u[t])")
    found = cell.gradient({"w": np.ones(3)}, {"x": np.zeros((2, 3))}, executor=executor)
    assert found.loss == 0
    np.testing.assert_array_equal(found["w"], 0)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
def test_with_derivative_has_the_first_ones_value_and_the_second_ones_slope(executor):
    """A spike with the slope of Zenke and Ganguli (2018), 1 / (1 + 5 |u|)^2."""
    cell = Cell("""
        surrogate(u) = u / (1 + 5 * abs(u))
        v[t] = beta * v[t-1] * (1 - z[t-1]) + W @ x[t]
        z[t] = with_derivative(v[t] > 1, surrogate(v[t] - 1))
        L[t] = mse(z[t], y[t])
        beta: () = 0.9
    """)
    rng = np.random.default_rng(3)
    params = {**cell.init(n_x=4, n_z=5, seed=2), "W": rng.normal(size=(5, 4))}
    x, y = rng.normal(size=(12, 3, 4)), rng.normal(size=(12, 3, 5))
    found = cell.gradient(params, {"x": x, "y": y}, executor=executor)

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            ctx.save_for_backward(u)
            return (u > 0).double()

        @staticmethod
        def backward(ctx, g):
            (u,) = ctx.saved_tensors
            return g / (1 + 5 * u.abs()) ** 2

    leaves = {n: torch.tensor(p, requires_grad=True) for n, p in params.items()}
    v = z = torch.zeros(3, 5, dtype=torch.float64)
    total = torch.zeros(())
    for t in range(12):
        v = leaves["beta"] * v * (1 - z) + torch.tensor(x[t]) @ leaves["W"].T
        z = Spike.apply(v - 1)
        total = total + ((z - torch.tensor(y[t])) ** 2).mean(-1).sum()
    total.backward()
    assert 0 < float(z.detach().mean()) < 1
    np.testing.assert_allclose(found.loss, float(total.detach()), rtol=1e-13)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(found[name], leaf.grad, rtol=1e-12, atol=1e-13)
