"""Watching costs a share of the time, whatever a step takes; the clock is ours."""

import numpy as np
import pytest

import bptt
from bptt.flow.pacing import Pacer
from bptt.flow.watch import WatchedNorms


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def train(steps, plain, cost, budget=0.1, tau=3):
    """Steps of some seconds; a watched one takes longer, and notes norms of its number.

    plain, cost: of an iteration's number. Returns: the watch, and the time of both.
    """
    watch, clock = WatchedNorms(budget=budget), Clock()
    watch.pacer.clock = clock
    spent = {"plain": 0.0, "more": 0.0}
    for number in range(steps):
        with watch:
            clock.now += plain(number)
            spent["plain"] += plain(number)
            if watch.iterations and watch.iterations[-1] == number:
                clock.now += cost(number)
                spent["more"] += cost(number)
                watch.note("one", {"h": np.full((tau, 1, 1), 1.0 + number)})
    return watch, spent["more"] / spent["plain"]


@pytest.mark.parametrize("plain", [1e-4, 2e-3, 5.0])
@pytest.mark.parametrize("cost", [0.0, 0.03, 0.12, 0.7, 5.0])
@pytest.mark.parametrize("budget", [0.02, 0.1, 0.5])
def test_the_cost_stays_within_the_budget(plain, cost, budget):
    watch, share = train(
        3000, lambda n: plain, lambda n: cost * plain, budget,
    )  # fmt: skip
    assert share <= budget * (1 + 1e-5)
    # And what the budget allows is used: every second one, or within a tenth of it.
    wanted = min(1500, 3000 * budget / cost if cost else 1500)
    assert len(watch.iterations) >= 0.9 * wanted - 1


def test_a_cold_start_and_rare_pauses_do_not_count():
    """The first two iterations compile; every 50th waits for a validation."""

    def plain(number):
        return 8.0 if number < 2 else 0.01 + 0.5 * (number % 50 == 49)

    watch, _ = train(2000, plain, lambda n: 3.0 if n == 0 else 0.002)
    assert watch.pacer.pause == pytest.approx(2.0)
    assert len(watch.iterations) == pytest.approx(1000, abs=2)


def test_steps_that_grow_are_paced_anew():
    """Longer sequences later: watching them costs a larger share."""
    watch, share = train(
        4000, lambda n: 1.0, lambda n: 0.05 if n < 2000 else 0.8, budget=0.1
    )
    late = [n for n in watch.iterations if n >= 2100]
    assert np.median(np.diff(late)) == pytest.approx(8, abs=1)
    assert share <= 0.11


def test_norms_keep_the_number_of_their_iteration():
    watch, _ = train(200, lambda n: 1.0, lambda n: 0.73)
    assert watch.iterations[:3] == [0, 2, 4]
    assert (np.diff(watch.iterations) >= 2).all()
    expected = np.array(watch.iterations)[:, None] + np.ones(3)
    np.testing.assert_array_equal(watch.norms["one.h"], expected)


def test_a_heat_map_has_its_columns_evenly_in_iterations():
    """Watched at 0, 2, 4 and 12: of 0, 4, 8, 12 the one at 8 shows what 4 had."""
    watch = WatchedNorms()
    for iteration, size in ((0, 1.0), (2, 1e-2), (4, 1e-4), (12, 1e-6)):
        watch.iteration = iteration
        watch.begin()
        watch.note("one", {"h": np.full((2, 1, 1), size)})
        watch.end()
    light = watch.heat_map("one.h").astype(int).sum(axis=2)[0]
    assert light[0] > light[1] == light[2] > light[3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 0}, 'every=0: a number of iterations from 1 on, or "auto"'),
        ({"every": "often"}, "every='often': a number of iterations"),
        ({"budget": 0}, "budget=0: the share of a step's time that watching may cost"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(bptt.errors.FlowError, match=words):
        WatchedNorms(**options)


def test_an_iteration_that_fails_leaves_the_plan_alone():
    watch = WatchedNorms()
    with pytest.raises(ZeroDivisionError), watch:
        raise ZeroDivisionError
    for _ in range(3):
        with watch:
            pass
    assert watch.iterations == [0, 2]


def test_what_a_watch_costs_that_does_not_look_is_paid_first():
    """0.06 of the 0.1: the rest pays for 0.08 in 2 steps; nothing is left, seldom."""
    for always, pause in ((0.06, 2.0), (0.2, 1000.0)):
        pacer = Pacer(0.1)
        pacer.always = always
        pacer._plain.append(1.0)
        pacer._watched.append(1.08)
        assert pacer.pause == pytest.approx(pause)


def test_waiting_at_the_ends_is_counted_too():
    """A watch that costs nothing itself, and waits of 0.05 of a step: four of them."""
    clock = Clock()

    class Waiting(WatchedNorms):
        def _settle(self):
            clock.now += 0.05

    watch = Waiting()
    watch.pacer.clock = clock
    for _ in range(200):
        with watch:
            clock.now += 1.0
    assert watch.pacer.pause == pytest.approx(2.0)


def test_the_first_is_the_only_one_that_nothing_is_known_before():
    pacer = Pacer(0.1)
    assert (pacer.next, pacer.pause) == (0, 0.0)
