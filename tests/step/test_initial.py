"""Initial values: the rules, the seeds and the errors."""

import numpy as np
import pytest

from bptt import Cell, cells, errors

SIZES = {"n_x": 5, "n_h": 7}


def test_recurrent_matrices_are_orthogonal_and_others_glorot_uniform():
    params = cells.gru.init(**SIZES, seed=1)
    for name in ("W_z", "W_r", "W_n"):
        np.testing.assert_allclose(params[name].T @ params[name], np.eye(7), atol=1e-14)
    bound = np.sqrt(6 / 12)
    u = np.concatenate([params[name].ravel() for name in ("U_z", "U_r", "U_n")])
    assert np.abs(u).max() <= bound
    assert np.abs(u).max() > 0.9 * bound
    assert u.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)
    assert abs(u.mean()) < 0.1
    assert all((params[name] == 0).all() for name in ("b_z", "b_r", "b_n", "d_n"))


def test_declared_values_are_used():
    params = cells.lstm.init(**SIZES)
    assert params["b_f"].tolist() == [1.0] * 7
    assert params["b_i"].tolist() == [0.0] * 7
    cell = Cell(
        "alpha: () = -0.5\nb: n_h = ones\nA: (n_h, n_x) = identity(2)\n"
        "B: (n_h, n_x) = orthogonal(3)\nC: (n_h, n_x) = normal(0.01)\n"
        "D: (n_h, n_x) = uniform(2, 3)\nE: (n_h, n_x) = glorot(2)\n"
        "F: (n_h, n_x) = zeros\n"
        "h[t] = b + alpha * (A + B + C + D + E + F) @ x[t]"
    )
    params = cell.init(**SIZES, seed=3)
    assert params["alpha"] == -0.5
    assert params["b"].tolist() == [1.0] * 7
    np.testing.assert_array_equal(params["A"], 2 * np.eye(7, 5))
    np.testing.assert_allclose(params["B"].T @ params["B"], 9 * np.eye(5), atol=1e-13)
    assert params["C"].std() == pytest.approx(0.01, rel=0.3)
    assert 2 <= params["D"].min() < params["D"].max() <= 3
    assert np.abs(params["E"]).max() <= 2 * np.sqrt(6 / 12)
    assert not params["F"].any()


def test_a_parameter_depends_on_seed_name_and_shape_alone():
    small = Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])")
    large = Cell("z[t] = A @ x[t]\nh[t] = tanh(b + W @ h[t-1] + U @ x[t] + sum(z[t]))")
    first = small.init(**SIZES, seed=4)
    second = large.init(**SIZES, n_z=3, seed=4)
    np.testing.assert_array_equal(first["W"], second["W"])
    np.testing.assert_array_equal(first["U"], second["U"])
    assert not np.array_equal(first["W"], small.init(**SIZES, seed=5)["W"])
    one = Cell("h[t] = (A - B) @ x[t]").init(**SIZES, seed=4)
    assert not np.array_equal(one["A"], one["B"])


def test_the_values_of_a_seed_do_not_change_between_versions():
    params = cells.elman.init(n_x=2, n_h=3, seed=0)
    fixed = [0.8972615696162536, -0.09498299896463691]
    assert params["U"][0].tolist() == pytest.approx(fixed, rel=1e-14)


def test_the_element_type_is_asked_for():
    assert cells.elman.init(**SIZES, dtype=np.float32)["W"].dtype == np.float32
    assert cells.elman.init(**SIZES, dtype="complex128")["W"].dtype == np.complex128


@pytest.mark.parametrize(
    ("kind", "text", "sizes", "message"),
    [
        ("MissingSize", None, {"n_h": 7},
         "init needs the size of n_x; for example init(n_x=8, n_h=7)"),
        ("Size", None, {**SIZES, "n_z": 3}, "n_z is not a dimension of the cell"),
        ("Size", None, {"n_x": 5, "n_h": 0}, "n_h=0: a size is a whole number >= 1"),
        ("Size", None, {"n_x": 5, "n_h": 2.0},
         "n_h=2.0: a size is a whole number >= 1"),
        ("Size", None, {"n_x": True, "n_h": 2},
         "n_x=True: a size is a whole number >= 1"),
        ("Dtype", None, {**SIZES, "dtype": int}, "dtype int64; use float32 or float64"),
        ("InitialValue", "b: n_h = orthogonal\nh[t] = b + x[t]", {"n_h": 7},
         "parameter b (7,) cannot be orthogonal(): orthogonal needs a matrix"),
        ("InitialValue", "b: n_h = identity\nh[t] = b + x[t]", {"n_h": 7},
         "parameter b (7,) cannot be identity(): identity needs a matrix"),
        ("InitialValue", "b: n_h = uniform(3, -3)\nh[t] = b + x[t]", {"n_h": 7},
         "parameter b (7,) cannot be uniform(3.0, -3.0)"),
        ("InitialValue", "b: n_h = normal(-1)\nh[t] = b + x[t]", {"n_h": 7},
         "parameter b (7,) cannot be normal(-1.0)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(kind, text, sizes, message):
    cell = cells.elman if text is None else Cell(text)
    with pytest.raises(errors.ArgumentError) as caught:
        cell.init(**sizes)
    assert type(caught.value).__name__ == kind + "Error"
    assert message in str(caught.value)
