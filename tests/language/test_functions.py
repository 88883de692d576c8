"""Lines of one's own: what a call means, how it prints, what a name then is."""

import numpy as np
import pytest

from bptt import Cell
from bptt.language.functions import KEPT
from bptt.step.ops import OPS

LSTM = """
    {functions}
    i[t] = {i}
    f[t] = {f}
    o[t] = {o}
    g[t] = tanh(b_g + W_g @ h[t-1] + U_g @ x[t])
    s[t] = f[t] * s[t-1] + i[t] * g[t]
    h[t] = o[t] * tanh(s[t])
    L[t] = mse(h[t], y[t])
"""


def lstm(functions, call):
    written = {gate: call.format(g=gate) for gate in "ifo"}
    return Cell(LSTM.format(functions=functions, **written))


PLAIN = lstm("", "sigmoid(b_{g} + W_{g} @ h[t-1] + U_{g} @ x[t])")


@pytest.mark.parametrize(("functions", "call"), [
    ("gate(W, U, b) = sigmoid(b + W @ h[t-1] + U @ x[t])",
     "gate(W_{g}, U_{g}, b_{g})"),
    ("gate(W,U,b)=sigmoid(b+W@h[t-1]+U@x[t])", "gate(W_{g}, U_{g}, b_{g})"),
    ("gate(b, W, U, u=1) = sigmoid(u * (b + W @ h[t-1] + U @ x[t]))",
     "gate(b_{g}, U=U_{g}, W=W_{g})"),
    ("one(W, u) = W @ u[t-1]; gate(W, U, b) = sigmoid(b + one(W, h) + U @ x[t])",
     "gate(W_{g}, U_{g}, b_{g})"),
    ("gate(\n    W, U, b  # three\n    ) = sigmoid(b + W @ h[t-1]\n    + U @ x[t])",
     "gate(W_{g}, U_{g}, b_{g})"),
], ids=["plain", "narrow", "by name", "a name that is read", "lines"])  # fmt: skip
def test_a_call_is_replaced_by_the_body(functions, call):
    cell = lstm(functions, call)
    assert set(cell.parameters) == set(PLAIN.parameters)
    assert set(cell.nodes) == set(PLAIN.nodes)
    params = PLAIN.init(n_x=2, n_h=3, seed=1)
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(5, 4, 2)), "y": rng.normal(size=(5, 4, 3))}
    found, right = cell.gradient(params, inputs), PLAIN.gradient(params, inputs)
    for name, value in right.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-13, atol=1e-15)
    again = Cell(cell.canonical_text)
    assert again.canonical_text == cell.canonical_text
    assert again.parameters == cell.parameters


def test_each_call_has_shapes_of_its_own():
    cell = Cell("""
        layer(W, u) = tanh(W @ u)
        h[t] = layer(W, layer(U, x[t])) + h[t-1]
    """)
    assert cell.parameters == {
        "W": ("n_h", "n_W_columns"),
        "U": ("n_W_columns", "n_x"),
    }


def test_a_function_may_be_defined_below_its_call_and_a_parameter_hides_a_name():
    cell = Cell("h[t] = f(x[t]) + b * h[t-1]\nf(b) = 2 * b")
    assert cell.parameters == {"b": ("n_h",)}
    assert "h[t] = 2.0 * x[t] + b * h[t-1]" in cell.canonical_text


def test_an_argument_that_is_read_often_is_one_node():
    text = "f_0(u) = u * u\n" + "".join(
        f"f_{i}(u) = f_0(f_{i - 1}(u))\n" for i in range(1, 12)
    )
    cell = Cell(text + "h[t] = f_11(x[t])")
    assert cell.graph.definitions["h"].inputs[0].op == "mul"
    values = cell.forward({}, {"x": np.full((1, 1), 1.0001)})["h"]
    np.testing.assert_allclose(values, 1.0001**4096, rtol=1e-10)


@pytest.mark.parametrize("name", ["mod", "silu", "norm", "max", "floor", "cumsum"])
def test_a_cell_that_uses_a_newer_operations_name_keeps_it(name):
    assert name not in KEPT
    cell = Cell(f"{name}[t] = tanh(b + {name}[t-1] + x[t])")
    assert cell.states == (name,)
    cell = Cell(f"h[t] = tanh({name} * h[t-1])")
    assert name in cell.parameters
    cell = Cell(f"{name}(u) = 3 * u\nh[t] = {name}(x[t])")
    assert "h[t] = 3.0 * x[t]" in cell.canonical_text


def test_the_names_that_are_kept_are_operations():
    assert set(OPS) >= KEPT


@pytest.mark.parametrize(("text", "step"), [
    ("x[t] % 3", [0.0, 1, 2, 0, 2.5, 1]),
    ("x[t] % 3 == 0", [1, 0, 0, 1, 0, 0]),
    ("where(x[t] != 1, x[t], -5)", [0, -5, 2, 3, -0.5, 4]),
])  # fmt: skip
def test_signs_of_derived_operations(text, step):
    x = np.array([0, 1, 2, 3, -0.5, 4.0])[:, None]
    run = Cell(f"h[t] = {text}").forward({}, {"x": x})
    np.testing.assert_array_equal(run["h"][:, 0], step)
