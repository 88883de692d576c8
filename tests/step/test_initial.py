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


# ----- rules with a structure -----


def made(line, **sizes):
    return Cell(f"{line}\nh[t] = tanh(W @ x[t])").init(**sizes, seed=2)["W"]


def test_a_spectral_radius_is_the_largest_eigenvalue():
    w = made("W: (n_x, n_x) = spectral(0.9, 0.25)", n_x=12)
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(0.9, abs=1e-12)
    assert ((w != 0).sum(1) == 3).all()


def test_sparse_rows_have_a_fixed_number_of_elements():
    w = made("W: (n_h, n_x) = sparse(0.2, 3)", n_h=400, n_x=15)
    assert ((w != 0).sum(1) == 3).all()
    assert w[w != 0].std() == pytest.approx(3, rel=0.05)
    assert ((w != 0).sum(0) > 40).all()


def test_blocks_are_orthogonal_and_stand_on_the_diagonal():
    w = made("W: (6, 6) = block(3, 2)")
    np.testing.assert_allclose(w @ w.T, 4 * np.eye(6), atol=1e-14)
    assert (w[np.kron(np.eye(3), np.ones((2, 2))) == 0] == 0).all()


def test_numbers_stand_row_by_row():
    assert made("W: (2, 3) = values(1, -2, 3, 4, 5.5, 6)").tolist() == [
        [1, -2, 3], [4, 5.5, 6],
    ]  # fmt: skip


def test_hippo_matrices_hold_what_their_papers_say():
    scaled = -np.array([[1, 0, 0], [3**0.5, 2, 0], [5**0.5, 15**0.5, 3]])
    np.testing.assert_allclose(made("W: (3, 3) = hippo_legs"), scaled, rtol=1e-15)
    shifted = np.array([[-1, -1, -1], [3, -3, -3], [-5, 5, -5]])
    assert made("W: (3, 3) = hippo_legt").tolist() == shifted.tolist()
    text = "b: 3 = hippo_legs\nc: 3 = hippo_legt(2)\nh[t] = (b + c) * x[t]"
    params = Cell(text).init()
    np.testing.assert_allclose(params["b"], np.sqrt([1, 3, 5]))
    assert params["c"].tolist() == [0.5, -1.5, 2.5]


def test_a_discrete_legendre_memory_remembers_its_window():
    # A constant input is the constant polynomial: m = (1, 0, 0, ...) once it is full.
    cell = Cell("A: (6, 6) = hippo_legt(8, 1); b: 6 = hippo_legt(8, 1)\n"
                "m[t] = A @ m[t-1] + b * u[t]\nu: ()")  # fmt: skip
    m = cell.forward(cell.init(), {"u": np.full(64, 1.5)})["m"][-1]
    np.testing.assert_allclose(m, [1.5, 0, 0, 0, 0, 0], atol=1e-6)


def test_an_array_with_an_index_has_a_matrix_for_every_value():
    text = "j = 1, ..., 4\nh[t, j] = tanh(W[j] @ h[t-1, j] + U[j] @ x[t])"
    params = Cell(text).init(n_x=3, n_h=5, seed=1)
    for w in params["W"]:
        np.testing.assert_allclose(w @ w.T, np.eye(5), atol=1e-14)
    assert np.abs(params["U"]).max() <= np.sqrt(6 / 8)
    assert len({float(u[0, 0]) for u in params["U"]}) == 4


@pytest.mark.parametrize(("rule", "words"), [
    ("spectral(0.9)", "spectral needs a square matrix"),
    ("sparse(0)", "a density is a share above 0"),
    ("block(2)", "block needs a square matrix"),
    ("values(1, 2)", "2 numbers for 12 elements"),
    ("hippo_legs", "hippo_legs needs a square matrix"),
])  # fmt: skip
def test_a_rule_that_does_not_fit_says_why(rule, words):
    with pytest.raises(errors.InitialValueError, match=words):
        made(f"W: (3, 4) = {rule}")
