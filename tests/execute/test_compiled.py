"""Compiled kernels against the reference executor: every value, every gradient.

The bound: both executors round each operation once, in another order, so two results
differ by at most a small multiple of the rounding unit times the size of what was
added. The size is measured: each gradient is compared with the largest element of the
reference result of the same name, and the multiple (200 in float64, 400 in float32
units) is four times the largest one seen over 2,000 random cells.
"""

import numpy as np
from hypothesis import given

from bptt import Cell
from bptt.execute import reference
from bptt.execute.bindings import bind
from bptt.execute.llvm import executor
from bptt.execute.llvm.expand import NotCompilableError
from bptt.execute.program import Request, forward_program, gradient_program
from tests.strategies import cells as random_cells

LIMIT = {np.dtype(np.float64): 200, np.dtype(np.float32): 400}


def compare(cell, params, inputs, initial=None, seeds=None, threads=1, target=None):
    """Run both executors; the largest error in rounding units, by output."""
    real = tuple(n for n, spec in cell.graph.inputs.items() if spec.index is None)
    request = Request(tuple(cell.nodes), real, True, tuple(seeds or ()))
    errors = {}
    bindings = bind(cell.graph, params, inputs, initial, seeds)
    for program in (
        forward_program(cell.graph, tuple(cell.nodes)),
        gradient_program(cell.graph, request),
    ):
        expected = reference.run(program, bindings)
        lowered, found = executor.run(program, bindings, threads, target)
        for name in program.outputs:
            if name in program.carried.values():
                pair = expected.first(name), found.first(name)
            else:
                pair = expected[program.roots[name]], found[lowered.roots[name]]
            errors[name] = measure(*pair)
    return errors, bindings.dtype


def measure(expected, found):
    """The largest difference in rounding units of the largest expected element."""
    expected = np.asarray(expected)
    found = np.broadcast_to(found, expected.shape)
    assert np.asarray(found).dtype == expected.dtype
    size = np.abs(expected).max(initial=0)
    unit = np.finfo(expected.dtype).eps * max(size, np.finfo(expected.dtype).tiny)
    return np.abs(expected - found).max(initial=0) / unit


def assert_close(errors, dtype):
    worst = {name: error for name, error in errors.items() if error > LIMIT[dtype]}
    assert not worst


@given(random_cells())
def test_random_cells_equal_the_reference(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(1)
    initial = {name: value for name, value in initial.items() if name in cell.states}
    try:
        errors, dtype = compare(cell, params, inputs, initial)
    except NotCompilableError:
        return
    assert_close(errors, dtype)
