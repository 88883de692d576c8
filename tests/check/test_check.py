"""The proof ledger: what passes, what fails, what is not claimed, how it prints."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

import bptt
from bptt.check import (
    NOT_CHECKED,
    PASSED,
    check_cell,
    check_instance,
    make_instance,
    probes,
)
from bptt.check.context import Trial
from bptt.check.oracles import EPSILONS
from bptt.check.probes import Moved, complex_steps
from tests.execute.library import IN_ALL_VARIANTS

LAYER = "h[t] = {}(w * h[t-1] + x[t])\nL[t] = sum(h[t] * v)"


@pytest.mark.parametrize("name", IN_ALL_VARIANTS)
def test_a_cell_passes_in_all_instances_by_kernels(name):
    ledger = bptt.cells.get(name).check()
    assert ledger.passed, str(ledger)
    assert not ledger.not_checked
    assert {row.instance for row in ledger.rows} == {1, 2, 3}


@pytest.mark.parametrize("name", sorted({*bptt.cells.names()} - {*IN_ALL_VARIANTS}))
def test_every_cell_of_the_library_passes(name):
    """The equations; that kernels compute the same is tests/execute's business."""
    ledger = bptt.cells.get(name).check(instances=1, executor="reference")
    assert ledger.passed, str(ledger)
    assert not ledger.not_checked


@pytest.mark.parametrize("name", IN_ALL_VARIANTS)
def test_every_cell_with_tokens_and_readout_passes(name):
    cell = bptt.cells.get(name).with_tokens().with_readout()
    ledger = cell.check(instances=1, executor="reference")
    assert ledger.passed, str(ledger)


def test_all_sizes_of_an_instance_are_distinct_and_at_least_2():
    for number in range(1, 4):
        for seed in range(20):
            sizes = make_instance(bptt.cells.book.graph, number, seed).sizes
            assert set(sizes) == {"tau", "n_b", "n_x", "n_h", "n_o"}
            assert len(set(sizes.values())) == 5 and min(sizes.values()) >= 2


def test_the_same_seed_gives_the_same_ledger_and_another_seed_another():
    one, two = (bptt.cells.elman.check(instances=1) for _ in range(2))
    assert one == two
    other = bptt.cells.elman.check(instances=1, seed=1)
    assert other.passed and other.instances != one.instances


def test_a_loss_is_summed_weighted_and_averaged_in_turn():
    shown = bptt.cells.book.check().instances
    assert "; sum;" in shown[0] and "sum, weighted" in shown[1] and "mean" in shown[2]


def test_central_differences_show_the_v_shape():
    rows = [r for r in bptt.cells.book.check(instances=1).rows if r.sweep]
    assert len(rows) == 5
    for row in rows:
        assert tuple(epsilon for epsilon, _ in row.sweep) == EPSILONS
        assert row.has_v_shape and row.error < 1e-7
        assert 1e-7 < row.epsilon < 1e-2


@pytest.mark.parametrize("operation", ["relu", "abs"])
def test_a_piecewise_cell_is_checked_away_from_its_kinks(operation):
    ledger = bptt.Cell(LAYER.format(operation)).check()
    assert ledger.passed, str(ledger)
    sweeps = [row.sweep for row in ledger.rows if row.sweep]
    # The larger perturbations would cross a kink, and are not used.
    assert any(len(sweep) < len(EPSILONS) for sweep in sweeps)


def test_a_gradient_that_lets_padding_in_is_caught():
    """Planted: lengths dropped, padding read as zeros of weight 0."""
    cell = bptt.cells.elman

    def wrong(params, inputs, *, lengths=None, **options):
        if lengths is not None:
            inputs = {name: np.nan_to_num(value) for name, value in inputs.items()}
            seeds = options["seeds"]
            options["seeds"] = {n: np.nan_to_num(v, nan=0.1) for n, v in seeds.items()}
            options["weights"] = None
        return cell.gradient(params, inputs, **options)

    ledger = check_cell(cell, gradient=wrong, instances=1)
    failed = {row.what for row in ledger.rows if row.status == "failed"}
    assert failed == {row.what for row in ledger.rows if "alone" in row.how}
    assert all("alone" in r.how for r in ledger.rows if r.status == "failed")


def test_a_kink_within_ten_epsilon_is_never_a_tick():
    cell = bptt.Cell(LAYER.format("relu"))
    instance = make_instance(cell.graph, 1, seed=0)
    zero = {name: 0 * array for name, array in instance.inputs.items()}
    params = {**instance.params, "w": 0 * instance.params["w"]}
    at_kink = dataclasses.replace(instance, inputs=zero, params=params)
    rows = check_instance(cell, at_kink)
    for row in rows:
        if "complex step" in row.how or "differences" in row.how or "moved" in row.how:
            assert row.status == NOT_CHECKED, row
            assert "a kink lies 0.0e+00 away" in row.note
            assert "not checked" in str(row) and "ok" not in str(row)


def test_a_ledger_in_which_nothing_was_checked_has_not_passed():
    cell = bptt.Cell("h[t] = log(0 * x[t] - 1) * w\nL[t] = sum(h[t])")
    ledger = cell.check()
    assert not ledger.passed and not ledger.failures
    assert "no random point was found where every value is finite" in str(ledger)


def test_a_stopped_gradient_is_held_where_others_are_moved():
    cell = bptt.Cell("h[t] = tanh(w * stop_gradient(h[t-1]) + x[t])\nL[t] = sum(h[t])")
    ledger = cell.check()
    assert ledger.passed, str(ledger)
    assert {row.how for row in ledger.not_checked} == {
        "second derivative, complex step"}  # fmt: skip
    edges = {row.what for row in ledger.rows if row.how == "edge Jacobian, by column"}
    assert edges == {"∂h/∂w", "∂h/∂h[t-1]", "∂h/∂x[t]", "∂L/∂h[t]"}


def test_a_stopped_value_under_a_read_that_is_moved_stays():
    """d/dw of w * stop(w * x) is stop(w * x): not 2 w x, and not 0."""
    cell = bptt.Cell("h[t] = w * stop_gradient(w * x[t])")
    ledger = cell.check(instances=1)
    assert ledger.passed and not ledger.not_checked, str(ledger)
    (edge,) = (row for row in ledger.rows if row.what == "∂h/∂w")
    assert edge.error < 1e-15


def test_a_value_with_an_index_is_held_at_every_place():
    cell = bptt.Cell("""
        j = 1, ..., n_k
        m[t, j] = stop_gradient(dot(v[j], x[t]))
        o[t, j] = dot(v[j], x[t]) - m[t, j] * stop_gradient(dot(v[j], x[t]))
    """)
    assert cell.check(instances=1, executor="reference").passed


def test_a_domain_is_met_by_drawing_again():
    cell = bptt.Cell("h[t] = sqrt(log(1 + x[t]) * w) + h[t-1]\nL[t] = sum(h[t])")
    assert cell.check().passed


def scaled(cell, factor):
    """A gradient function whose ∇_W is off by a factor."""

    def gradient(params, inputs, **options):
        right = cell.gradient(params, inputs, **options)

        class Wrong:
            loss, nodes, inputs = right.loss, right.nodes, right.inputs
            initial, copies = right.initial, right.copies

            def __getitem__(self, name):
                return right[name] * (factor if name == "W" else 1)

        return Wrong()

    return gradient


@pytest.mark.parametrize("factor", [1.001, 1 + 1e-9, -1, 0, np.nan, np.inf])
def test_a_wrong_gradient_fails_by_name_and_only_there(factor):
    ledger = check_cell(bptt.cells.book, gradient=scaled(bptt.cells.book, factor))
    assert not ledger.passed
    assert {row.what for row in ledger.failures} == {"∇_W"}
    assert "complex step" in {row.how for row in ledger.failures}
    assert "FAILED: ∇_W against complex step" in str(ledger)


def test_a_gradient_of_the_wrong_shape_fails():
    def gradient(params, inputs, **options):
        right = bptt.cells.book.gradient(params, inputs, **options)

        class Wrong:
            loss, nodes, inputs = right.loss, right.nodes, right.inputs
            initial, copies = right.initial, right.copies

            def __getitem__(self, name):
                return right[name].T

        return Wrong()

    ledger = check_cell(bptt.cells.book, instances=1, gradient=gradient)
    failed = {row.what for row in ledger.failures}
    assert {"∇_W", "∇_U", "∇_V"} <= failed and "∇_b" not in failed


def test_a_ledger_prints_as_aligned_text_and_as_a_table():
    ledger = bptt.cells.book.check(instances=1)
    lines = str(ledger).splitlines()
    assert lines[0].split() == [
        "check", "of", "worst", "error", "tolerance", "epsilon", "result"]  # fmt: skip
    column = lines[0].index("tolerance")
    assert all(line[column - 1] == " " for line in lines[1:10])
    assert lines[-1] == f"{len(ledger.rows)} passed, 0 failed, 0 not checked here"
    assert "\x1b" not in str(ledger)
    file = io.StringIO()
    Console(file=file, width=120).print(ledger)
    assert "sum over paths" in file.getvalue() and "\x1b" not in file.getvalue()


def test_rows_and_ledgers_do_not_change():
    ledger = bptt.cells.elman.check(instances=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ledger.rows[0].status = PASSED


def test_the_number_of_paths_is_in_the_ledger():
    instance = make_instance(bptt.cells.book.graph, 1, seed=0)
    tau = instance.sizes["tau"]
    rows = check_instance(bptt.cells.book, instance)
    notes = {row.what: row.note for row in rows if row.how == "sum over paths"}
    assert notes["∇_W"] == f"{tau * (tau + 1) // 2} paths per row"
    assert notes["∇_V"] == f"{tau} paths per row"


def test_an_initial_state_without_influence_has_a_gradient_of_zero():
    cell = bptt.Cell(
        "s[t] = v * s[t-1] + x[t]\n"
        "h[t] = tanh(w * stop_gradient(h[t-1]) + s[t])\n"
        "L[t] = sum(h[t])"
    )
    inputs, params = {"x": np.ones((4, 2, 3))}, {"v": np.ones(3), "w": np.ones(3)}
    grad = cell.gradient(params, inputs, initial_gradient=True)
    assert set(grad.initial) == {"s", "h"}
    assert grad.initial["h"].shape == (2, 3) and not grad.initial["h"].any()
    assert grad.initial["s"].all()


def test_directions_find_one_wrong_element_of_a_large_cell(monkeypatch):
    """What stands for every element where those are too many."""
    monkeypatch.setattr(probes, "LARGE", 0)
    cell = bptt.cells.book
    ledger = cell.check(instances=2, executor="reference")
    assert ledger.passed, str(ledger)
    assert "; moved along 4 random directions of each array" in ledger.instances[0]
    notes = {row.what: row.note for row in ledger.rows if row.how == "complex step"}
    assert notes["∇_W"].startswith("4 random directions of ")

    def gradient(params, inputs, **options):
        found = dict(cell.gradient(params, inputs, **options))
        found["W"] = found["W"].copy()
        found["W"][1, -1] *= 1 + 1e-6
        return found

    context = Trial(cell, make_instance(cell.graph, 1, seed=0), gradient)
    context.__dict__["scale"] = 1.0  # of the right gradient, which has inputs' too
    target = Moved("parameter", "W")
    ((_, found),) = complex_steps(
        context.prober, [target], h=1e-20, each_step=lambda _: False
    )
    claimed = context.prober.along(target, context.claimed(target))
    assert claimed.shape == (4,)
    right = np.abs(claimed - found.sum(axis=1)) <= 1e-12
    assert not right.any()


def test_many_targets_in_one_run_give_the_same_as_each_alone(monkeypatch):
    cell = bptt.cells.lstm
    trial = Trial(cell, make_instance(cell.graph, 1, seed=0), cell.gradient)

    def slopes(targets):
        found = complex_steps(
            trial.prober, targets, h=1e-20, each_step=lambda t: t.kind == "node"
        )
        return [array for _, array in found]

    targets = trial.targets()
    together = slopes(targets)
    monkeypatch.setattr(probes, "MOST_REALS", 0)
    for one, other in zip(together, slopes(targets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


def test_the_share_that_is_done_grows_to_1():
    shares = []
    bptt.cells.irnn.check(instances=2, executor="reference", progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 26
