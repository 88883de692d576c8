"""`lengths=` in every method of a cell: reductions, streams, second derivatives.

That a ragged batch is its rows run alone, in both executors, is tested in
`tests/execute/kernels/test_ragged.py`; here the oracle is NumPy, or the same call
without padding.
"""

import numpy as np
import pytest

from bptt import Cell, cells

TAU, N_B, N_X, N_H, N_O = 6, 4, 2, 3, 5
SIZES = {"n_x": N_X, "n_h": N_H, "n_o": N_O}
LENGTHS = np.array([4, 6, 1, 3])
ALIVE = np.arange(TAU)[:, None] < LENGTHS
RNG = np.random.default_rng(0)
PARAMS = {
    name: RNG.standard_normal([SIZES[dim] for dim in shape])
    for name, shape in cells.book.parameters.items()
}
X = np.where(ALIVE[..., None], RNG.standard_normal((TAU, N_B, N_X)), np.nan)
Y = np.where(ALIVE, RNG.integers(0, N_O, (TAU, N_B)), -7)
INPUTS = {"x": X, "y": Y}
EXECUTORS = ["reference", "llvm"]


def gradient(**options):
    return cells.book.gradient(
        PARAMS, INPUTS, lengths=LENGTHS, nodes=("L", "h"), **options
    )


def losses():
    """L^(t) of every useful step, 0 elsewhere, written out for each row."""
    found = np.zeros((TAU, N_B))
    b, W, U, c, V = (PARAMS[name] for name in ("b", "W", "U", "c", "V"))
    for row, length in enumerate(LENGTHS):
        h = np.zeros(N_H)
        for t in range(length):
            h = np.tanh(b + W @ h + U @ X[t, row])
            o = c + V @ h
            found[t, row] = np.log(np.exp(o).sum()) - o[Y[t, row]]
    return found


W = RNG.uniform(0.5, 2.0, (TAU, N_B))
MASK = RNG.random((TAU, N_B)) < 0.6
LAST = np.arange(1, TAU + 1)[:, None] == LENGTHS
REDUCTIONS = {
    "sum": ({}, ALIVE * 1.0),
    "batch mean": ({"reduction": "batch_mean"}, ALIVE / N_B),
    "mean": ({"reduction": "mean"}, ALIVE / LENGTHS.sum()),
    "last": ({"reduction": "last"}, LAST * 1.0),
    "weighted last": ({"weights": W, "reduction": "last"}, LAST * W),
    "weighted": ({"weights": W}, ALIVE * W),
    "weighted steps": ({"weights": W[:, 0]}, ALIVE * W[:, :1]),
    "weighted mean": (
        {"weights": np.where(ALIVE, W, np.nan), "reduction": "mean"},
        ALIVE * W / (ALIVE * W).sum(),
    ),
    "masked mean": (
        {"weights": MASK, "reduction": "mean"},
        (ALIVE & MASK) / (ALIVE & MASK).sum(),
    ),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_weighs_every_useful_loss(name, executor):
    """∂L/∂L^(t) is the weight itself, and the total is its product with the losses."""
    options, weight = REDUCTIONS[name]
    grad = gradient(executor=executor, **options)
    np.testing.assert_allclose(grad.nodes["L"], weight, rtol=1e-14)
    assert grad.loss == pytest.approx((weight * losses()).sum(), rel=1e-13)


def test_weights_alone_and_lengths_give_the_same_gradient():
    zeros = {"x": np.nan_to_num(X), "y": np.maximum(Y, 0)}
    masked = cells.book.gradient(PARAMS, zeros, weights=ALIVE)
    for name, value in gradient().items():
        np.testing.assert_allclose(value, masked[name], rtol=1e-12, atol=1e-13)


def test_final_states_continue_every_row_where_it_ended():
    whole = cells.book.forward(PARAMS, INPUTS, lengths=LENGTHS + 0)
    first = np.array([2, 3, 1, 1])
    start = cells.book.gradient(PARAMS, INPUTS, lengths=first)
    rest_lengths = LENGTHS - first
    rows = np.flatnonzero(rest_lengths)  # row 2 is over
    rest = {
        name: np.stack(
            [np.roll(value[:, row], -first[row], axis=0) for row in rows], axis=1
        )
        for name, value in INPUTS.items()
    }
    state = {"h": start.final["h"][rows]}
    second = cells.book.forward(PARAMS, rest, lengths=rest_lengths[rows], initial=state)
    np.testing.assert_allclose(second.final["h"], whole.final["h"][rows], rtol=1e-13)
    np.testing.assert_allclose(start.final["h"][2], whole.final["h"][2], rtol=1e-14)
    assert start.loss + second.loss == pytest.approx(whole.loss, rel=1e-14)


def test_a_sequence_without_a_batch_axis_has_one_length():
    inputs = {"x": X[:, 3], "y": Y[:, 3]}
    found = cells.book.gradient(PARAMS, inputs, lengths=3, nodes=("h",))
    short = {name: value[:3] for name, value in inputs.items()}
    expected = cells.book.gradient(PARAMS, short, nodes=("h",))
    assert found.loss == pytest.approx(expected.loss, rel=1e-14)
    assert found.nodes["h"].shape == (TAU, N_H)
    np.testing.assert_allclose(found.nodes["h"][:3], expected.nodes["h"], atol=1e-14)
    assert not found.nodes["h"][3:].any()


def test_the_unrolled_graph_ends_where_the_row_does():
    graph = cells.book.unroll(PARAMS, {"x": X[:, 3], "y": Y[:, 3]}, lengths=3)
    assert graph.tau == 3
    expected = cells.book.unroll(PARAMS, {"x": X[:3, 3], "y": Y[:3, 3]})
    assert graph.places == expected.places
    for place in expected.places:
        np.testing.assert_array_equal(graph.grad(place), expected.grad(place))


def test_hessian_vector_products_leave_padding_out():
    direction = {n: RNG.standard_normal(v.shape) for n, v in PARAMS.items()}
    found = cells.book.hessian_vector(PARAMS, INPUTS, direction, lengths=LENGTHS)
    for name in PARAMS:
        expected = sum(
            cells.book.hessian_vector(
                PARAMS, {"x": X[:length, row], "y": Y[:length, row]}, direction
            )[name]
            for row, length in enumerate(LENGTHS)
        )
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-12)


def test_an_objective_takes_lengths():
    objective = cells.book.objective(INPUTS, PARAMS, lengths=LENGTHS)
    loss, flat = objective(objective.flatten(PARAMS))
    grad = gradient()
    assert loss == grad.loss
    np.testing.assert_array_equal(flat, objective.flatten(grad))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_log_of_zero_in_the_padding_is_never_taken(executor):
    """A step with zeros for inputs would give -inf, and -inf times 0 is NaN."""
    cell = Cell("h[t] = 0.5 * h[t-1] + log(u * x[t])\nL[t] = sum(h[t])")
    x = np.where(ALIVE[..., None], RNG.uniform(1, 2, (TAU, N_B, N_X)), 0)
    u = np.array([0.5, 2.0])
    grad = cell.gradient({"u": u}, {"x": x}, lengths=LENGTHS, executor=executor)
    # ∂L/∂u_j = sum over steps of (1 / u_j) * sum of 0.5^k over the steps left.
    left = [sum(0.5**k for k in range(n - t)) for n in LENGTHS for t in range(n)]
    np.testing.assert_allclose(grad["u"], sum(left) / u, rtol=1e-13)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_gradient_that_is_cut_inside_a_sequence_stays_inside_its_window(executor):
    """Where cut[t] = 1 the state is passed on but no gradient: truncation by windows.

    Windows of 2 steps: each starts from the state that the one before left.
    """
    cell = Cell(
        "cut: ()\n"
        "s[t] = where(cut[t] > 0, stop_gradient(h[t-1]), h[t-1])\n"
        "h[t] = tanh(W @ s[t] + U @ x[t])\n"
        "L[t] = sum(h[t] ** 2)"
    )
    params = {"W": PARAMS["W"], "U": PARAMS["U"]}
    cut = np.where(np.arange(TAU) % 2 == 0, 1.0, 0.0)[:, None] * np.ones(N_B)
    found = cell.gradient(
        params, {"x": X, "cut": cut}, lengths=LENGTHS, executor=executor
    )
    expected = dict.fromkeys(params, 0)
    plain = Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = sum(h[t] ** 2)")
    for row, length in enumerate(LENGTHS):
        state = None
        for start in range(0, length, 2):
            window = {"x": X[start : min(start + 2, length), row]}
            grad = plain.gradient(params, window, initial=state)
            state = grad.final
            expected = {n: expected[n] + grad[n] for n in params}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-13)
