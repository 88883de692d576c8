"""A loop over time for a step in torch, and the table of all loops.

A step takes parameters, this step's inputs and the states before it as attributes, and
`back(name, d)`, the value d steps earlier (an initial value at t = 0, zero before). It
returns what it computed by name. A loop takes parameters, inputs and initial values of
one row by name, and the number of the row's steps.
"""

from types import SimpleNamespace

import torch

LOOPS = {}
LOSS = "L"


def loop(node, without_time=()):
    """Enter a step in the table; node: what its loop returns at every step.

    The node L is the loss: a number a step, or, with an `end`, the row's own.
    without_time: inputs that have one value for the row.
    """

    def enter(step, end=None):
        def run(p, inputs, initial, tau):
            return _run(step, node, without_time, end, (p, inputs, initial, tau))

        LOOPS[step.__name__.rstrip("_")] = (run, node)
        step.ending = lambda end: enter(step, end)
        return step

    return enter


def _run(step, node, without_time, end, case):
    p, inputs, initial, tau = case
    p = SimpleNamespace(**p)
    fixed = {name: inputs[name] for name in without_time}
    timed = {n: v for n, v in inputs.items() if n not in fixed}
    seen = []

    def back(name, d):
        at = len(seen) - d
        if at >= 0:
            return timed[name][at] if name in timed else seen[at][name]
        value = initial[name]
        return value if at == -1 else torch.zeros_like(value)

    for t in range(tau):
        x = SimpleNamespace(t=t + 1, **fixed, **{n: v[t] for n, v in timed.items()})
        old = SimpleNamespace(**(initial if t == 0 else {**initial, **seen[-1]}))
        seen.append(step(p, x, old, back))
    if end is not None:
        fixed.update({n: v for n, v in inputs.items() if n in without_time})
        return end(p, SimpleNamespace(**fixed), seen)
    return torch.stack([values[node] for values in seen])
