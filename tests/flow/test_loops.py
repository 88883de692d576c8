"""Flow of ragged batches and of loops that run backward, against single rows."""

import numpy as np
import pytest

import bptt

TAU = 9
FORWARD = "h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = sum(h[t] ** 2)"
BACKWARD = "h[t] = tanh(W @ h[t+1] + U @ x[t])\nL[t] = sum(h[t] ** 2)"
BOTH = """
f[t] = tanh(W @ f[t-1] + U @ x[t])
g[t] = tanh(V @ g[t+1] + Q @ f[t])
L[t] = sum(g[t] ** 2)
"""


def setting(text, n_b=3):
    rng = np.random.default_rng(4)
    cell = bptt.Cell(text)
    sizes = dict(zip(cell.dims, (2, 3, 4), strict=False))
    params = {k: v + 0.3 * rng.normal(size=v.shape)
              for k, v in cell.init(seed=2, **sizes).items()}  # fmt: skip
    return cell, params, rng.normal(size=(TAU, n_b, 2))


def turned(flow):
    """What two flows have in common when time is turned round."""
    numbers = flow.numbers
    return (flow.lags, numbers.log_singular_values, numbers.exponents,
            flow.growth[0].windows, flow.growth[0].rates)  # fmt: skip


def test_a_backward_loop_flows_as_the_forward_one_of_the_sequence_turned_round():
    forward, params, x = setting(FORWARD)
    backward = bptt.Cell(BACKWARD)
    one = forward.flow(params, {"x": x}, lag=4)
    other = backward.flow(params, {"x": x[::-1]}, lag=4)
    for mine, theirs in zip(turned(one), turned(other), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    for part in ("norms", "injected", "arrived"):
        mine, theirs = (
            getattr(one.numbers, part)["h"],
            getattr(other.numbers, part)["h"],
        )
        np.testing.assert_allclose(mine, theirs[::-1], atol=1e-12)
    assert [d.kind for d in one.diagnoses] == [d.kind for d in other.diagnoses]


def terms(cell, params, x, states):
    """The norm of ∇_{s^(t)} L^(u) for every t and u, (tau, tau): brute force."""
    found = np.zeros((TAU, TAU))
    for u in range(TAU):
        only = np.zeros(TAU)
        only[u] = 1.0
        grad = cell.gradient(params, {"x": x}, nodes=states, weights=only,
                             executor="reference")  # fmt: skip
        found[:, u] = [
            np.sqrt(sum((grad.nodes[s][t] ** 2).sum() for s in states))
            for t in range(TAU)
        ]
    return found


def test_both_directions_at_once():
    """The lags of g alone are distances; truncated to 2 tau nothing is left out."""
    cell, params, x = setting(BOTH)
    flow = cell.flow(params, {"x": x})
    assert flow.truncations[-1].k == 2 * TAU
    assert flow.truncations[-2].k == 16
    # lag 17, there and back, is what is missing of it
    assert flow.truncations[-2].cosine == pytest.approx(1.0, abs=1e-6)
    assert flow.truncations[0].cosine < 0.999
    assert len(flow.growth) == 2
    # of the loss of one step: at g, t steps to one side, by its distance; to f, all
    only_g = terms(cell, params, x, ("g",))
    squares = [np.sqrt((np.diagonal(only_g, -k) ** 2).sum()) for k in range(TAU)]
    alone = bptt.Cell("g[t] = tanh(V @ g[t+1] + z[t])\nL[t] = sum(g[t] ** 2)")
    run = cell.forward(params, {"x": x})
    z = run["f"] @ params["Q"].T
    part = alone.flow({"V": params["V"]}, {"z": z})
    np.testing.assert_allclose(part.lags, squares, atol=1e-12)


def test_a_ragged_batch_flows_as_its_rows_do():
    cell, params, x = setting(FORWARD)
    lengths = np.array([TAU, 4, 6])
    x[4:, 1], x[6:, 2] = np.nan, np.nan
    flow = cell.flow(params, {"x": x}, lengths=lengths, lag=3, row=1)
    rows = [cell.flow(params, {"x": x[:n, [b]]}, lag=3) for b, n in enumerate(lengths)]
    for b, alone in enumerate(rows):
        mine = flow.lags_by_row[: len(alone.lags), b]
        np.testing.assert_allclose(mine, alone.lags, atol=1e-12)
        windows = flow.growth[0].windows[:, b]
        expected = alone.growth[0].windows[:, 0]
        np.testing.assert_allclose(windows[: len(expected)], expected, atol=1e-9)
        assert np.isnan(windows[len(expected) :]).all()
        np.testing.assert_allclose(flow.row_norms("h")[: lengths[b], b],
                                   alone.row_norms("h")[:, 0], atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(
        flow.numbers.log_singular_values, rows[1].numbers.log_singular_values,
        atol=1e-10,
    )  # fmt: skip
    full = cell.gradient(params, {"x": x}, lengths=lengths)
    for name, size in flow.gradient_norms.items():
        assert size == pytest.approx(np.linalg.norm(full[name]), rel=1e-12)
    assert flow.truncations[-2].cosine == pytest.approx(1.0, abs=1e-3)


def test_a_few_steps_stand_for_all_where_all_cost_too_much(monkeypatch):
    """The sources are named; lags and truncation are those of their loss, exactly."""
    from bptt.flow import travel

    cell, params, x = setting(FORWARD)
    count = sum(array.size for array in params.values())
    # work for less than half of the steps
    monkeypatch.setattr(travel, "WORK", 4.0 * count * 3 * TAU * 2)
    flow = cell.flow(params, {"x": x})
    assert 4 <= len(flow.sources) < TAU
    only = np.zeros(TAU)
    only[flow.sources] = 1.0
    exact = cell.flow(params, {"x": x}, weights=only)
    np.testing.assert_allclose(flow.lags, exact.lags, atol=1e-13)
    for mine, theirs in zip(flow.truncations, exact.truncations, strict=True):
        assert mine.cosine == pytest.approx(theirs.cosine, abs=1e-12)
    assert f"of the loss at {len(flow.sources)} of {TAU} steps" in str(flow)


def test_leading_directions_are_those_of_the_full_set_where_they_part():
    cell, _, x = setting(FORWARD)
    wide = {"W": np.diag(0.9 ** np.arange(1, 13)), "U": np.ones((12, 2)) / 9}
    inputs = {"x": 0.1 * x}
    full = cell.flow(wide, inputs, spectrum="full").numbers
    few = cell.flow(wide, inputs, spectrum="leading").numbers
    assert full.is_full and not few.is_full
    assert few.exponents.shape == (8,)
    # lower bounds, and near where the product is long
    assert (
        few.log_singular_values[:, 0] <= full.log_singular_values[:, 0] + 1e-9
    ).all()
    assert few.log_singular_values[0, 0] == pytest.approx(
        full.log_singular_values[0, 0], abs=0.05
    )


def test_a_run_without_any_loss_has_no_gradient_and_no_lags():
    cell = bptt.cells.book
    inputs = {"x": np.ones((6, 2, 3)), "y": np.zeros((6, 2), int)}
    params = cell.init(n_x=3, n_h=4, n_o=5, seed=0)
    for tau in (6, 1):
        rows = {name: array[:tau] for name, array in inputs.items()}
        flow = cell.flow(params, rows, weights=np.zeros((tau, 2)))
        assert flow.diagnoses[0].kind == "no-gradient"
        assert flow.lags.tolist() == [0.0] and len(flow.sources) == 0
        assert flow.truncations[-1].cosine == 1.0
        assert "没有梯度" in flow.text("zh")
