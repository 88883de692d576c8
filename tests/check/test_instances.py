"""The numbers that a check draws."""

import numpy as np

import bptt
from bptt.check import instances
from bptt.check.instances import make_instance


def test_of_values_that_grow_with_every_spread_those_that_grow_least_are_taken():
    # Whatever h is divided by is drawn: no spread tames 100 of it.
    text = "h[t] = 100 + (h[t-1] + x[t]) / s[t-1]; s[t] = s[t-1]; L[t] = sum(w * h[t])"
    graph = bptt.Cell(text).graph
    for number in (1, 2, 3):
        found = make_instance(graph, number, 0)
        every = []
        for draw, share in enumerate((1, 2, 4, 8)):
            rng = np.random.default_rng([0, number, draw])
            drawn = instances._draw(graph, number, 0, rng, instances.SPREAD / share)
            every.append(instances._largest(graph, drawn))
        assert instances._largest(graph, found) == min(every) > instances.TAME
