"""The gradient serves any gradient-based method (requirement 3).

One small problem whose lowest loss is known: three sequences of four ask for the same
classes and the fourth for the others, given the same input, so that no model can do
better than the entropy of (3/4, 1/4). A class depends on the input one step earlier:
without the recurrence it cannot be told.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

import bptt
from bptt.train.optimiser import Optimiser

LOWEST = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
TOLERANCE = 1e-3
BITS = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1])


def make_problem():
    one_hot = np.eye(2)[BITS]
    x = np.repeat(one_hot[:, None, :], 4, axis=1)  # (tau, n_b, n_x)
    earlier = np.concatenate([[0], BITS[:-1]])
    y = np.stack([earlier, earlier, earlier, 1 - earlier], axis=1)
    cell = bptt.cells.book
    parameters = cell.init(n_x=2, n_h=6, n_o=2, seed=0, dtype="float64")
    return cell, parameters, {"x": x, "y": y}


def loss_of(cell, parameters, inputs):
    return float(cell.forward(parameters, inputs, reduction="mean").loss)


@pytest.mark.parametrize(
    ("name", "rate", "options", "steps"),
    [("sgd", 0.3, {"momentum": 0.9}, 600), ("adam", 0.02, {}, 600)],
)
def test_torch_optimisers_reach_the_lowest_loss(name, rate, options, steps):
    pytest.importorskip("torch")
    cell, parameters, inputs = make_problem()
    assert loss_of(cell, parameters, inputs) > LOWEST + 0.1
    optimiser = Optimiser(name, parameters, rate, options)
    for _ in range(steps):
        gradient = cell.gradient(parameters, inputs, reduction="mean")
        optimiser.step({key: gradient[key] for key in parameters})
    assert loss_of(cell, parameters, inputs) == pytest.approx(LOWEST, abs=TOLERANCE)


def test_l_bfgs_of_scipy_reaches_the_lowest_loss():
    cell, parameters, inputs = make_problem()
    f = cell.objective(inputs, parameters, reduction="mean")
    found = minimize(f, f.flatten(parameters), jac=True, method="L-BFGS-B")
    trained = f.unflatten(found.x)
    assert {k: v.shape for k, v in trained.items()} == {
        k: v.shape for k, v in parameters.items()
    }
    assert found.fun == pytest.approx(LOWEST, abs=TOLERANCE)
    assert loss_of(cell, trained, inputs) == pytest.approx(found.fun, rel=1e-12)


def test_plain_gradient_descent_in_numpy_reaches_the_lowest_loss():
    cell, parameters, inputs = make_problem()
    for _ in range(3000):
        gradient = cell.gradient(parameters, inputs, reduction="mean")
        for name in parameters:
            parameters[name] -= 0.5 * gradient[name]
    assert loss_of(cell, parameters, inputs) == pytest.approx(LOWEST, abs=TOLERANCE)


def test_the_optax_example_runs_and_learns(capsys):
    pytest.importorskip("optax")
    example = Path(__file__).parents[1] / "examples" / "optax_adam.py"
    result = runpy.run_path(str(example), run_name="__main__")
    assert result["losses"][0] > 1.0
    assert result["losses"][-1] < 0.05
    assert "after 300 steps" in capsys.readouterr().out


def test_the_equinox_example_runs_and_learns(capsys):
    pytest.importorskip("equinox")
    example = Path(__file__).parents[1] / "examples" / "equinox_classifier.py"
    result = runpy.run_path(str(example), run_name="__main__")
    assert result["losses"][0] > 1.5  # about log 5, a guess
    assert result["losses"][-1] < 0.1
    assert "after 200 steps" in capsys.readouterr().out
