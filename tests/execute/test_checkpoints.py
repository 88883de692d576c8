"""Which states are kept: the schedule against every other one, and what is refused."""

import functools
import itertools

import numpy as np
import pytest

from bptt import Cell, cells, errors
from bptt.execute.checkpoints import (
    CheckpointPlan,
    Demand,
    Limit,
    count_forward_steps,
    plan,
    read_bytes,
    walk,
)


@functools.cache
def least_steps(count, slots, stretch):
    """The least steps forward of all schedules: every first place is tried.

    A stretch of up to `stretch` steps is run forward and backward at once.
    """
    if count <= stretch:
        return count
    if slots == 0:
        last = range(1, stretch + 1)
        return min(count + least_steps(count - n, 0, stretch) for n in last)
    return min(
        first
        + least_steps(count - first, slots - 1, stretch)
        + least_steps(first, slots, stretch)
        for first in range(1, count)
    )


@pytest.mark.parametrize("slots", range(6))
def test_no_schedule_runs_fewer_steps_forward(slots):
    for stretch, tau in itertools.product((1, 2, 3, 5), range(1, 34)):
        found = count_forward_steps(tau, slots, stretch)
        assert found == least_steps(tau, slots, stretch), (tau, stretch)


def perform(schedule):
    """Steps run forward by what `walk` says, checked as they are done."""
    cuts, n_steps, place, kept, visited = schedule.cuts, 0, 0, {0}, []
    for action in walk(len(cuts) - 1, schedule.slots):
        if action.kind == "start":
            assert action.begin in kept
            place = action.begin
        elif action.kind == "drop":
            kept.remove(action.begin)
        else:
            assert place == action.begin
        if action.kind == "keep":
            kept.add(place)
            assert len(kept) <= schedule.slots + 1
        elif action.kind == "advance":
            n_steps += cuts[action.end] - cuts[action.begin]
            place = action.end
        elif action.kind == "visit":
            n_steps += cuts[place + 1] - cuts[place]
            visited.append(place)
    assert visited == list(reversed(range(len(cuts) - 1)))
    assert kept == {0}
    return n_steps


@pytest.mark.parametrize("slots", range(6))
def test_the_actions_run_as_many_steps_as_they_should(slots):
    for stretch, tau in itertools.product((2, 3, 5), range(1, 60)):
        schedule = CheckpointPlan(tau, stretch, slots, 0)
        lengths = np.diff(schedule.cuts)
        assert lengths.sum() == tau and lengths.min() >= min(2, tau)
        assert lengths.max() <= max(stretch, 3)
        if tau % stretch != 1:  # else one step alone joined its neighbour
            assert perform(schedule) == count_forward_steps(tau, slots, stretch)
        else:
            perform(schedule)


def test_a_budget_gets_the_best_number_of_states_and_steps():
    """Against every number of states, and every length that fits with it."""
    demand = Demand(fixed=100, state=7, step=20)
    for tau, memory in itertools.product((9, 40, 77), (200, 330, 501, 900)):
        found = plan(Limit(memory=memory), tau, demand)
        assert found.predicted <= memory
        fitting = [
            (slots, stretch)
            for slots in range(tau)
            for stretch in range(2, tau + 1)
            if 100 + 7 * (slots + 2) + 20 * min(tau, stretch + 1) <= memory
        ]
        best = min(count_forward_steps(tau, *pair) for pair in fitting)
        assert found.forward_steps == best


def test_at_1000_steps_a_twentieth_of_the_memory_costs_one_forward_run_at_most():
    """Gruslys et al. (2016) report 95 % saved for a third more time at tau = 1000."""
    for state, step in ((1, 1), (1, 2), (2, 7)):
        found = plan(Limit(memory=50 * step), 1000, Demand(0, state, step))
        assert found.predicted <= 50 * step
    found = plan(Limit(memory=100), 1000, Demand(0, 1, 2))
    assert found.forward_steps < 2.1 * 1000


@pytest.mark.parametrize(
    ("text", "number"),
    [("512MB", 512 * 10**6), ("1.5 GiB", 3 * 2**29), (4096, 4096), ("7 kb", 7000)],
)
def test_numbers_of_bytes(text, number):
    assert read_bytes(text) == number


CELL = Cell("h[t] = tanh(W @ h[t-1] + U @ x[t])\nL[t] = sum(h[t] ** 2)")
PARAMS = CELL.init(n_x=2, n_h=3, seed=0)
X = {"x": np.random.default_rng(0).standard_normal((40, 2, 2))}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"memory": "lots"}, errors.MemoryBudgetError, "'512MB'"),
        ({"memory": -1}, errors.MemoryBudgetError, "memory=-1"),
        ({"memory": 1000}, errors.MemoryBudgetError, "the least that works"),
        ({"checkpoint": 0}, errors.CheckpointError, "at least 1"),
        ({"checkpoint": True}, errors.CheckpointError, "checkpoint=True"),
        ({"checkpoint": "log"}, errors.CheckpointError, "one of sqrt, optimal"),
        ({"memory": "1GB", "checkpoint": 3}, errors.CheckpointError, "leave one"),
        (
            {"checkpoint": 3, "executor": "reference"},
            errors.CheckpointError,
            "keeps every value",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        CELL.gradient(PARAMS, X, **options)


def test_the_least_that_works_works():
    with pytest.raises(errors.MemoryBudgetError) as caught:
        CELL.gradient(PARAMS, X, memory=1000)
    least = int(str(caught.value).split("here is ")[1].split()[0].replace(",", ""))
    with pytest.raises(errors.MemoryBudgetError):
        CELL.gradient(PARAMS, X, memory=least - 1)
    grad = CELL.gradient(PARAMS, X, memory=least)
    assert 0 < grad.schedule.measured <= grad.schedule.predicted <= least
    np.testing.assert_array_equal(grad["W"], CELL.gradient(PARAMS, X)["W"])


def test_lower_and_the_gradient_tell_the_same_schedule():
    plan_ = cells.book.lower(
        n_x=2, n_h=3, n_o=4, checkpoint="optimal", tau=40, n_b=5, dtype=np.float64
    )
    params = cells.book.init(n_x=2, n_h=3, n_o=4)
    inputs = {"x": np.ones((40, 5, 2)), "y": np.zeros((40, 5), int)}
    found = cells.book.gradient(params, inputs, checkpoint="optimal").schedule
    assert found.with_measured(0) == plan_.schedule
    assert str(plan_.schedule) in str(plan_)
    assert f"{found.measured:,}" in str(found)
    assert 0.5 * found.predicted < found.measured <= found.predicted


def test_an_objective_takes_a_number_of_bytes():
    whole = CELL.objective(X, PARAMS)
    part = CELL.objective(X, PARAMS, checkpoint="sqrt")
    vector = whole.flatten(PARAMS)
    assert whole(vector)[0] == part(vector)[0]
    np.testing.assert_array_equal(whole(vector)[1], part(vector)[1])
