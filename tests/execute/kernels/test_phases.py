"""A forward pass in stretches, and the gradient that goes on from it, bit for bit.

Against the same phased program with every step kept, for every kind of cell.
"""

import gc
import weakref

import numpy as np
import pytest

from bptt import Cell, errors
from bptt.calculus.program import Request
from bptt.execute.bindings import bind
from bptt.execute.checkpoints import Limit, read_limit
from bptt.passes import ForwardPass
from tests.execute.kernels.test_stretches import (
    CELLS,
    CLOSELY,
    LENGTHS,
    N_B,
    NAMES,
    TAU,
    _quick,  # noqa: F401  a fixture
    case_of,
)


def make_pass(cell, n_b, dtype, lengths, limit):
    """A forward pass with two values, and seeds on them and the loss."""
    whole = Cell(cell.text)
    whole.graph = graph = whole.graph.at_every_step()
    loss = graph.loss
    values = tuple(name for name in whole.nodes if name != loss)[-2:]
    seeded = (*values, loss) if loss else values
    real = tuple(name for name, spec in graph.inputs.items() if spec.index is None)
    request = Request((), real, True, tuple(sorted(seeded)), False, values, True)
    case = case_of(cell, n_b, dtype)
    inputs = {
        name: np.broadcast_to(a, (TAU, *a.shape))
        if name in cell.graph.times.row_inputs
        else a
        for name, a in case["inputs"].items()
    }
    bindings = bind(graph, case["params"], inputs, case.get("initial"), lengths=lengths)
    rng = np.random.default_rng(3)
    seeds = {
        name: rng.standard_normal(
            (TAU, n_b, *bindings.numbers(whole.nodes[name]))
        ).astype(dtype)
        for name in seeded
    }
    program = whole.gradient_program(request)
    return ForwardPass(program, bindings, request, limit=limit), values, seeds


def read_all(forward, values, seeds):
    """Every number that a forward and a backward pass give, by name."""
    run = forward.run
    found = {name: np.array(run[name]) for name in values}
    found |= {f"final {name}": array for name, array in run.final.items()}
    found["loss"] = np.array(0 if run.loss is None else run.loss)
    grad = forward.backward(seeds)
    found |= {f"gradient {name}": np.array(array) for name, array in grad.items()}
    found |= {f"of input {n}": np.array(a) for n, a in grad.inputs.items()}
    found |= {f"of initial {n}": np.array(a) for n, a in grad.initial.items()}
    found["its loss"] = np.array(0 if grad.loss is None else grad.loss)
    return found, grad.schedule


@pytest.mark.parametrize("name", NAMES)
def test_both_phases_have_the_bits_of_a_pass_that_keeps_every_step(name):
    cell, number = CELLS[name], NAMES.index(name)
    is_close = name in CLOSELY
    for lengths in LENGTHS if is_close else [LENGTHS[number % 2]]:
        number += 1
        dtype = (np.float32, np.float64)[number % 2]
        whole, _ = read_all(*make_pass(cell, N_B, dtype, lengths, None))
        way = (11, 1, "sqrt", "optimal")[number % 4]
        for kept in (3, way) if is_close else (way,):
            limit = read_limit(None, kept)
            found, schedule = read_all(*make_pass(cell, N_B, dtype, lengths, limit))
            for what in whole:
                np.testing.assert_array_equal(found[what], whole[what], what)
            assert 0 < schedule.measured <= schedule.predicted


def test_a_budget_that_drops_states_and_finds_them_again():
    cell = CELLS["lstm read out"]
    with pytest.raises(errors.MemoryBudgetError) as caught:
        make_pass(cell, N_B, np.float32, None, Limit(memory=1))
    least = int(str(caught.value).split("here is ")[1].split()[0].replace(",", ""))
    whole, _ = read_all(*make_pass(cell, N_B, np.float32, None, None))
    limit = Limit(memory=least + 200)
    found, schedule = read_all(*make_pass(cell, N_B, np.float32, None, limit))
    assert schedule.forward_steps > 2 * schedule.tau
    for what in whole:
        np.testing.assert_array_equal(found[what], whole[what], what)


def test_going_back_twice_gives_the_same_twice():
    """The second time the first phase runs once more: its states were used up."""
    cell, limit = CELLS["lstm read out"], read_limit(None, 3)
    forward, values, seeds = make_pass(cell, N_B, np.float64, None, limit)
    first, _ = read_all(forward, values, seeds)
    again, _ = read_all(forward, values, seeds)
    for what in first:
        np.testing.assert_array_equal(again[what], first[what], what)


def test_no_workspace_is_held_between_the_phases():
    """What lives is what was asked for and the states that the plan keeps."""
    cell, limit = CELLS["lstm read out"], read_limit(None, 3)
    forward, _, _ = make_pass(cell, N_B, np.float64, None, limit)
    (call,) = forward._calls
    pool = call._executable.pool
    assert len(pool) == 1
    watched = weakref.ref(pool.pop().workspace)
    gc.collect()
    assert watched() is None
    kept = call._kept
    assert len(kept.states) == 4  # the initial one, too
    held = [a for s in (*kept.states.values(), kept.running) for a in s.values()]
    assert len(held) == 5 * len(cell.states)
    assert all(array.shape[0] == N_B for array in held)


def test_truncated_windows_after_a_first_phase():
    """The values of the whole sequence; the gradient is the core's own."""
    cell = CELLS["lstm read out"]
    for lengths in LENGTHS:
        forward, values, seeds = make_pass(
            cell, N_B, np.float64, lengths, Limit(truncate=(2, 5))
        )
        whole, _, _ = make_pass(cell, N_B, np.float64, lengths, None)
        for name in values:
            np.testing.assert_array_equal(forward.run[name], whole.run[name])
        grad = forward.backward(seeds)
        case = case_of(cell, N_B, np.float64) | {"lengths": lengths}
        weights = seeds.pop("L")
        case |= {"seeds": seeds, "weights": weights}
        direct = cell.gradient(**case, truncate=(2, 5))
        for name in grad:
            np.testing.assert_allclose(grad[name], direct[name], rtol=1e-12, atol=1e-13)
