"""The explicit graph in time: structure, cut edges, groups of paths, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import bptt
from bptt.unrolled import unroll


def sequence(n, tau=4, seed=0):
    return np.random.default_rng(seed).normal(size=(tau, n))


def test_paths_above_the_limit_are_grouped_by_lag_and_still_sum_to_the_gradient():
    cell = bptt.cells.lstm.with_readout()
    rng = np.random.default_rng(0)
    params = cell.init(n_x=2, n_h=3, n_o=4)
    inputs = {"x": sequence(2, 6), "y": rng.integers(0, 4, 6)}
    graph = cell.unroll(params, inputs)
    grad = cell.gradient(params, inputs)
    place = graph.place("W_f")
    groups = graph.paths(place)
    assert [group.lag for group in groups] == [0, 1, 2, 3, 4, 5]
    assert sum(group.count for group in groups) == graph.count_paths(place) == 4214
    assert np.allclose(sum(g.product for g in groups), grad["W_f"], rtol=1e-13)
    assert "(1 paths)" not in str(groups[0]) and "W_f" in str(groups[0])


def test_grouped_and_enumerated_paths_agree_lag_by_lag():
    cell = bptt.cells.elman
    params = cell.init(n_x=2, n_h=3)
    graph = cell.unroll(params, {"x": sequence(2)}, seeds={"h": sequence(3)})
    place = graph.place("U")
    one_by_one, groups = graph.paths(place), graph.paths(place, limit=1)
    for group in groups:
        same_lag = [path.product for path in one_by_one if path.lag == group.lag]
        assert len(same_lag) == group.count
        assert np.allclose(sum(same_lag), group.product, rtol=1e-13, atol=1e-16)


def test_a_path_reads_from_its_start_to_the_loss():
    cell = bptt.Cell("h[t] = tanh(w * h[t-1] + x[t])\nL[t] = sum(h[t])")
    graph = cell.unroll({"w": np.ones(2)}, {"x": sequence(2, tau=2)})
    shown = {str(path) for path in graph.paths(graph.place("w"))}
    assert shown == {
        "w -> w^(1) -> h^(1) -> L^(1) -> L",
        "w -> w^(1) -> h^(1) -> h^(2) -> L^(2) -> L",
        "w -> w^(2) -> h^(2) -> L^(2) -> L",
    }


def test_a_batch_is_the_sum_over_its_rows():
    cell = bptt.cells.elman
    params = cell.init(n_x=2, n_h=3)
    x, g = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    batch = cell.gradient(params, {"x": x[..., :2]}, seeds={"h": g})
    rows = [
        cell.unroll(params, {"x": x[:, r, :2]}, seeds={"h": g[:, r]}) for r in range(5)
    ]
    total = sum(row.grad(row.place("W")) for row in rows)
    assert np.allclose(total, batch["W"], rtol=1e-12)


def test_more_than_one_row_is_refused_with_the_fix():
    cell = bptt.cells.elman
    with pytest.raises(bptt.errors.InputRankError, match="one batch row, got 5; pass"):
        cell.unroll(cell.init(n_x=2, n_h=3), {"x": np.ones((4, 5, 2))})


def test_an_unknown_place_is_refused_by_its_label():
    cell = bptt.cells.elman
    graph = cell.unroll(cell.init(n_x=2, n_h=3), {"x": sequence(2)},
                        seeds={"h": sequence(3)})  # fmt: skip
    with pytest.raises(bptt.errors.UnknownNodeError, match=r"W\^\(9\) is not"):
        graph.place("W", 9)


def test_an_edge_through_which_no_gradient_passes_is_cut_and_has_no_jacobian():
    cell = bptt.Cell("h[t] = tanh(w * stop_gradient(h[t-1]) + x[t])\nL[t] = sum(h[t])")
    graph = cell.unroll({"w": np.ones(2)}, {"x": sequence(2)})
    (edge,) = [e for e in graph.predecessors(graph.place("h", 3)) if e.is_cut]
    assert edge.source == graph.place("h", 2)
    with pytest.raises(ValueError, match="no gradient passes"):
        edge.jacobian  # noqa: B018
    assert graph.count_paths(graph.place("w")) == 4


def test_tokens_have_no_gradient_and_their_matrix_has():
    cell = bptt.Cell("h[t] = tanh(U[:, x[t]] + w * h[t-1])\nL[t] = sum(h[t] ** 2)")
    params = {"U": sequence(5, 3), "w": np.ones(3)}
    inputs = {"x": np.array([4, 0, 4, 1])}
    graph = cell.unroll(params, inputs)
    assert np.allclose(
        graph.grad(graph.place("U")), cell.gradient(params, inputs)["U"], rtol=1e-13
    )
    reasons = {item.place.label: item.reason for item in graph.skipped()}
    assert "whole number" in reasons["x^(2)"]


def test_a_node_on_which_the_loss_does_not_depend_is_skipped_with_the_reason():
    cell = bptt.Cell("p[t] = w * x[t]\nh[t] = v * x[t]\nL[t] = sum(h[t])")
    graph = cell.unroll({"w": np.ones(2), "v": np.ones(2)}, {"x": sequence(2)})
    reasons = {item.place.label: item.reason for item in graph.skipped()}
    assert reasons["p^(1)"] == "L does not depend on p^(1)"
    assert not graph.grad(graph.place("w")).any()
    assert graph.paths(graph.place("w")) == ()


def test_a_long_sequence_needs_no_recursion():
    cell = bptt.Cell("h[t] = tanh(w * h[t-1] + x[t])\nL[t] = sum(h[t])")
    params, inputs = {"w": np.full(2, 0.9)}, {"x": sequence(2, tau=1500)}
    graph = unroll(cell.graph, params, inputs)
    assert graph.count_paths(graph.place("w")) == 1500 * 1501 // 2
    assert np.allclose(
        graph.grad(graph.place("w")), cell.gradient(params, inputs)["w"], rtol=1e-12
    )
