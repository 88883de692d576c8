"""A cell's loss as a function of one vector."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from bptt import cells, errors

TAU, N_B = 6, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((TAU, N_B, 2))
Y = RNG.integers(0, 4, (TAU, N_B))
INPUTS = {"x": X, "y": Y}
PARAMS = cells.book.init(n_x=2, n_h=3, n_o=4, seed=1)
LENGTH = 3 + 9 + 6 + 4 + 12


def test_flatten_and_unflatten_are_inverse_and_in_the_order_of_the_cell():
    f = cells.book.objective(INPUTS, PARAMS)
    vector = f.flatten(PARAMS)
    assert vector.shape == (LENGTH,)
    np.testing.assert_array_equal(vector[3:12], PARAMS["W"].ravel())
    np.testing.assert_array_equal(vector[12:18], PARAMS["U"].ravel())
    for name, value in f.unflatten(vector).items():
        np.testing.assert_array_equal(value, PARAMS[name])


def test_loss_and_gradient_are_the_cells():
    f = cells.book.objective(INPUTS, PARAMS, reduction="mean")
    loss, gradient = f(f.flatten(PARAMS))
    grad = cells.book.gradient(PARAMS, INPUTS, reduction="mean")
    assert loss == grad.loss
    np.testing.assert_array_equal(gradient, f.flatten(grad))
    error = check_grad(lambda v: f(v)[0], lambda v: f(v)[1], f.flatten(PARAMS))
    assert error < 1e-6


def test_one_unknown_size_follows_from_the_length_of_the_vector():
    f = cells.book.objective(INPUTS, n_o=4)
    shapes = {name: value.shape for name, value in f.unflatten(np.ones(LENGTH)).items()}
    assert shapes == {name: value.shape for name, value in PARAMS.items()}


@pytest.mark.parametrize(
    ("kind", "make", "message"),
    [
        ("MissingSize", lambda: cells.book.objective(INPUTS)(np.ones(LENGTH)),
         "the sizes n_h, n_o do not follow from the inputs; pass params, or for"),
        ("Size", lambda: cells.book.objective(INPUTS, PARAMS)(np.ones(7)),
         "the vector has 7 elements, but the parameters need 34: b (3,), W (3, 3)"),
        ("Size", lambda: cells.book.objective(INPUTS, n_o=4)(np.ones(LENGTH + 1)),
         "the vector has 35 elements, but the parameters need"),
        ("Size", lambda: cells.book.objective(INPUTS, n_q=4), "n_q is not a dimension"),
        ("Size", lambda: cells.book.objective(INPUTS, n_h=0, n_o=4),
         "n_h=0: a size is"),
        ("InputRank", lambda: cells.book.objective(INPUTS, PARAMS)(np.ones((2, 2))),
         "a flat vector is needed, got (2, 2)"),
        ("NoLoss", lambda: cells.elman.objective(INPUTS), "no loss L[t] to minimise"),
        ("MissingParameter", lambda: cells.book.objective(INPUTS, {"W": np.eye(3)}),
         "parameter b (n_h) is missing"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(kind, make, message):
    with pytest.raises(errors.ArgumentError) as caught:
        make()
    assert type(caught.value).__name__ == kind + "Error"
    assert message in str(caught.value)
