"""The cells of the library against their sources' equations in plain NumPy.

Every step below is written from the paper, in rows (n_b, n) and with matrices on the
right, by other names than the cell's where the paper has others.
"""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bptt import cells
from bptt.cli.cells import split_text
from tests.test_cells import STEPS as OLDER

TAU, N_B = 6, 3
SIZES = {"n_x": 2, "n_h": 4, "n_s": 5, "n_r": 3, "n_o": 7}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def normalise(x):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def linear(p, gate, x, h, recurrent=True):
    """b + U x + W h of a gate."""
    total = p[f"b{gate}"] + x @ p[f"U{gate}"].T
    return total + h @ p[f"W{gate}"].T if recurrent else total


def elman_relu(p, x, old, e):
    return {"h": relu(linear(p, "", x, old["h"]))}


def jordan(p, x, old, e):
    hidden = np.tanh(p["b"] + x @ p["U"].T + old["o"] @ p["W"].T)
    return {"o": p["c"] + hidden @ p["V"].T}


def lstm_peephole(p, x, old, e):
    h, c = old["h"], old["s"]
    i = sigmoid(linear(p, "_i", x, h) + c * p["p_i"])
    f = sigmoid(linear(p, "_f", x, h) + c * p["p_f"])
    new = f * c + i * np.tanh(linear(p, "_g", x, h))
    return {
        "s": new,
        "h": sigmoid(linear(p, "_q", x, h) + new * p["p_q"]) * np.tanh(new),
    }


def lstm_coupled(p, x, old, e):
    i = sigmoid(linear(p, "_i", x, old["h"]))
    f = 1 - i
    c = f * old["s"] + i * np.tanh(linear(p, "_g", x, old["h"]))
    return {"s": c, "h": sigmoid(linear(p, "_q", x, old["h"])) * np.tanh(c)}


def lstm_projection(p, x, old, e):
    i, f, g, o = (linear(p, gate, x, old["h"]) for gate in ("_i", "_f", "_g", "_q"))
    c = sigmoid(f) * old["s"] + sigmoid(i) * np.tanh(g)
    return {"s": c, "h": (sigmoid(o) * np.tanh(c)) @ p["P"].T}


def lstm_layer_norm(p, x, old, e):
    def gate(name):
        recurrent = p[f"k_{name}"] * normalise(old["h"] @ p[f"W_{name}"].T)
        return (
            p[f"b_{name}"]
            + recurrent
            + p[f"l_{name}"] * normalise(x @ p[f"U_{name}"].T)
        )

    c = sigmoid(gate("f")) * old["s"] + sigmoid(gate("i")) * np.tanh(gate("g"))
    inner = p["k_s"] * normalise(c) + p["b_s"]
    return {"s": c, "h": sigmoid(gate("q")) * np.tanh(inner)}


def elman_layer_norm(p, x, old, e):
    a = old["h"] @ p["W"].T + x @ p["U"].T
    return {"h": np.tanh(p["k"] * normalise(a) + p["b"])}


def mgu(p, x, old, e):
    f = sigmoid(linear(p, "_f", x, old["h"]))
    candidate = np.tanh(linear(p, "_n", x, f * old["h"]))
    return {"h": (1 - f) * old["h"] + f * candidate}


def mingru(p, x, old, e):
    z = sigmoid(linear(p, "_z", x, None, recurrent=False))
    candidate = linear(p, "_n", x, None, recurrent=False)
    return {"h": (1 - z) * old["h"] + z * candidate}


def ugrnn(p, x, old, e):
    g = sigmoid(linear(p, "_g", x, old["h"]))
    c = np.tanh(linear(p, "_n", x, old["h"]))
    return {"h": g * old["h"] + (1 - g) * c}


def indrnn(p, x, old, e):
    return {"h": relu(x @ p["U"].T + p["w"] * old["h"] + p["b"])}


def antisymmetric(p, x, old, e):
    identity = np.eye(SIZES["n_h"])
    matrix = p["W"] - p["W"].T - p["gamma"] * identity
    inner = old["h"] @ matrix.T + x @ p["U"].T + p["b"]
    return {"h": old["h"] + p["epsilon"] * np.tanh(inner)}


def cornn(p, x, old, e):
    y, z = old["h"], old["z"]
    force = np.tanh(y @ p["W"].T + z @ p["Z"].T + x @ p["U"].T + p["b"])
    new = z + p["dt"] * force - p["dt"] * p["gamma"] * y - p["dt"] * p["epsilon"] * z
    return {"z": new, "h": y + p["dt"] * new}


def lem(p, x, old, e):
    y, z = old["h"], old["z"]
    step = p["dt"] * sigmoid(linear(p, "_p", x, y))
    step_y = p["dt"] * sigmoid(linear(p, "_q", x, y))
    new = (1 - step) * z + step * np.tanh(linear(p, "_z", x, y))
    return {"z": new, "h": (1 - step_y) * y + step_y * np.tanh(linear(p, "_h", x, new))}


def leaky(p, x, old, e):
    alpha = p["dt"] / p["time_constant"]
    drive = old["h"] @ p["W"].T + x @ p["U"].T + p["b"]
    current = (1 - alpha) * old["s"] + alpha * drive + p["sigma"] * e
    return {"s": current, "h": relu(current)}


def low_rank(p, x, old, e):
    connectivity = p["M"] @ p["N"].T
    drive = np.tanh(old["s"]) @ connectivity.T + x @ p["U"].T
    current = old["s"] + p["alpha"] * (-old["s"] + drive)
    return {"s": current, "h": np.tanh(current)}


def slstm(p, x, old, e):
    """Without the stabiliser: c / n is the same, and small numbers need none."""
    h = old["h"]
    i, f = np.exp(linear(p, "_i", x, h)), sigmoid(linear(p, "_f", x, h))
    c = f * old["c"] + i * np.tanh(linear(p, "_z", x, h))
    n = f * old["norm"] + i
    return {"c": c, "norm": n, "h": sigmoid(linear(p, "_q", x, h)) * c / n}


STEPS = {
    step.__name__: step
    for step in (
        antisymmetric, cornn, elman_layer_norm, elman_relu, indrnn, jordan, leaky, lem,
        low_rank, lstm_coupled, lstm_layer_norm, lstm_peephole, lstm_projection, mgu,
        mingru, slstm, ugrnn,
    )
} | {"irnn": elman_relu}  # fmt: skip
HIDDEN = {"lstm_projection": {"s": "n_s"}, "jordan": {"o": "n_o"}}
# Scalars that are positive or small in their papers.
SCALARS = {
    "epsilon": 0.2, "gamma": 0.3, "dt": 0.4, "time_constant": 0.9, "sigma": 0.1,
    "alpha": 0.3,
}  # fmt: skip


def arrays(cell, seed=7):
    rng = np.random.default_rng(seed)
    params = {
        name: rng.standard_normal([SIZES[dim] for dim in shape])
        for name, shape in cell.parameters.items()
    }
    params |= {name: np.asarray(SCALARS[name]) for name in params.keys() & SCALARS}
    inputs = {"x": rng.standard_normal((TAU, N_B, SIZES["n_x"]))}
    if "y" in cell.inputs:
        inputs["y"] = np.zeros((TAU, N_B), int)
    return params, cell.draw(params, inputs, seed=seed)


def first_state(name):
    shapes = {"h": "n_h", "s": "n_h", "z": "n_h", "c": "n_h", "norm": "n_h"}
    shapes |= HIDDEN.get(name, {})
    return {state: np.zeros((N_B, SIZES[dim])) for state, dim in shapes.items()}


def test_every_cell_of_the_library_has_an_oracle_and_a_fixed_vector():
    assert set(cells.names()) == {*STEPS, *OLDER, "book"}
    assert set(FIXED) == {*STEPS}


@pytest.mark.parametrize("name", STEPS)
def test_a_cell_computes_its_source_s_equations(name):
    cell = cells.get(name)
    params, inputs = arrays(cell)
    run = cell.forward(params, inputs, executor="reference")
    state = first_state(name)
    noise = inputs.get("e", [0] * TAU)
    for t in range(TAU):
        new = STEPS[name](params, inputs["x"][t], state, noise[t])
        state |= new
        for known in new.keys() & run.keys():
            np.testing.assert_allclose(
                run[known][t], state[known], rtol=1e-11, atol=1e-13
            )
        if name == "slstm":  # the state is c in units of exp(m)
            scaled = run["s"][t] * np.exp(run["m"][t])
            np.testing.assert_allclose(scaled, state["c"], rtol=1e-11)


@pytest.fixture
def torch_for_numpy(monkeypatch):
    """The steps above take five functions from NumPy: here from torch."""
    torch = pytest.importorskip("torch")
    names = SimpleNamespace(
        tanh=torch.tanh, exp=torch.exp, sqrt=torch.sqrt,
        maximum=lambda x, least: x.clamp(min=least),
        eye=lambda n: torch.eye(n, dtype=torch.float64),
    )  # fmt: skip

    def total(step, params, inputs, states, seed, node):
        state, noise, found = dict(states), inputs.get("e", [0] * TAU), 0
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[__name__], "np", names)
            for t in range(TAU):
                state |= step(params, inputs["x"][t], state, noise[t])
                found = found + (state[node] * seed[t]).sum()
        return found

    return torch, total


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("name", STEPS)
def test_a_gradient_is_that_of_the_source_s_equations(name, executor, torch_for_numpy):
    torch, total = torch_for_numpy
    cell, node = cells.get(name), "o" if name == "jordan" else "h"
    params, inputs = arrays(cell)
    given = {n: a for n, a in inputs.items() if a.dtype.kind == "f"}
    states = first_state(name)
    weights = [0.0] * TAU if cell.graph.loss else None  # the seed alone counts
    seed = np.random.default_rng(3).standard_normal((TAU, *states[node].shape))
    grad = cell.gradient(
        params, inputs, seeds={node: seed}, weights=weights, input_gradient=True,
        initial_gradient=True, executor=executor,
    )  # fmt: skip
    leaves = [
        {n: torch.tensor(a).requires_grad_() for n, a in group.items()}
        for group in (params, given, states)
    ]
    total(STEPS[name], *leaves, torch.tensor(seed), node).backward()
    for group, found in zip(leaves, (grad, grad.inputs, grad.initial), strict=True):
        for known in group.keys() & found.keys() - SCALARS.keys():
            if name == "slstm" and group is leaves[2] and known != "h":
                continue  # its states are in units of exp(m)
            expected = group[known].grad
            expected = 0.0 if expected is None else expected.numpy()
            largest = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(
                found[known], expected, rtol=0, atol=1e-10 * largest, err_msg=known
            )


def test_the_stabiliser_keeps_the_slstm_finite_where_plain_exponentials_are_not():
    cell = cells.slstm
    params, inputs = arrays(cell)
    params["b_i"] = np.full(SIZES["n_h"], 800.0)  # exp(800) overflows in float64
    h = cell.forward(params, inputs, executor="reference")["h"]
    assert np.isfinite(h).all()
    assert np.abs(h).max() <= 1
    seeds = {"h": np.ones_like(h)}
    grad = cell.gradient(params, inputs, seeds=seeds, executor="reference")
    assert all(np.isfinite(array).all() for array in grad.values())


@pytest.mark.parametrize("name", STEPS)
def test_fixed_values(name):
    """x = 1, -0.5; every weight 0.1, every bias 0.2, scalars as declared; kept."""
    cell = cells.get(name)
    values = cell.init(**{dim: SIZES[dim] for dim in cell.dims})
    for parameter, array in values.items():
        if array.ndim:
            # Rows of slightly different weights: a norm of equal elements is 0.
            rows = 0.1 + 0.01 * np.arange(len(array))
            array[...] = rows[:, None] if array.ndim == 2 else 2 * rows
        assert parameter in SCALARS or array.ndim
    inputs = {"x": np.array([[1.0, -0.5]] * 3)}
    if "y" in cell.inputs:
        inputs["y"] = np.zeros(3, int)
    run = cell.forward(
        values, cell.draw(values, inputs, mean=True), executor="reference"
    )
    found = run["o" if name == "jordan" else "h"][:, 1]
    assert found.tolist() == pytest.approx(FIXED[name], rel=1e-13)


def test_what_is_set_and_not_learned_has_no_gradient():
    for name in ("antisymmetric", "cornn", "leaky", "lem", "low_rank"):
        cell = cells.get(name)
        params, inputs = arrays(cell)
        seeds = {"h": np.ones((TAU, N_B, SIZES["n_h"]))}
        grad = cell.gradient(params, inputs, seeds=seeds, executor="reference")
        for parameter in params.keys() & SCALARS:
            assert grad[parameter] == 0, (name, parameter)


def test_every_cell_names_its_source_with_its_year():
    for name in cells.names():
        comment = " ".join(
            line.removeprefix("#").strip()
            for line in cells.get(name).text.splitlines()
            if line.startswith("#")
        )
        assert re.search(r"\((19|20)\d\d\)", comment) or "torch.nn" in comment, name


def test_the_documentation_prints_every_cell_as_it_is():
    page = (Path(__file__).parents[2] / "docs" / "cells.md").read_text()
    for name in cells.names():
        _, equations = split_text(cells.get(name).text)
        assert f"### {name}\n\n```\n{equations}\n```\n" in page, name


FIXED = {
    "antisymmetric": [0.02682711820216014, 0.05356672820919399, 0.08021846713000033],
    "cornn": [0.0006706779550540035, 0.001991783609813121, 0.003942657484237836],
    "elman_layer_norm": [0.13356230465082072, 0.1228533684759917, 0.12285774157195341],
    "elman_relu": [0.275, 0.4015, 0.45969000000000004],
    "indrnn": [0.275, 0.3355, 0.34881],
    "irnn": [0.275, 0.4015, 0.45969000000000004],
    "jordan": [0.3430375720446289, 0.460007540618942, 0.4920023504802594],
    "leaky": [0.055, 0.10406, 0.14782152],
    "lem": [0.18883556080572864, 0.30045675090036106, 0.364474584941708],
    "low_rank": [0.01099955635480575, 0.020149696075672633, 0.027760388261802046],
    "lstm_coupled": [0.08598306425434984, 0.1364545909014542, 0.16486636709631924],
    "lstm_layer_norm": [0.05260140874303117, 0.04397107545811179, 0.04076253301855251],
    "lstm_peephole": [0.0872250876726862, 0.15541249033198556, 0.20987452793371547],
    "lstm_projection": [0.05248044872265957, 0.08743115346649284, 0.11059630858059828],
    "mgu": [0.15246387373420658, 0.24257501051393915, 0.2942343805341833],
    "mingru": [0.15628799545651823, 0.2237543999173395, 0.25287829850965005],
    "slstm": [0.15246387373420658, 0.1813137034283456, 0.19297999744359273],
    "ugrnn": [0.1158073082873948, 0.1998245091637904, 0.2614922039835879],
}
