"""A backward pass that continues from a forward pass equals the gradient in one go."""

import numpy as np
import pytest

import bptt
from bptt.calculus.program import Request
from bptt.execute.bindings import bind
from bptt.passes import ForwardPass

TAU, N_B = 6, 3
SIZES = {"n_x": 2, "n_h": 5, "n_o": 4}
EXECUTORS = ("llvm", "reference")
# Two orders of the same sums of 18 terms, in float64.
ROUNDING = 1e-13


class Problem:
    """A cell with random numbers for everything, and its gradient in one go."""

    def __init__(self, name):
        self.cell = cell = bptt.cells.get(name)
        self.rng = rng = np.random.default_rng(3)
        sizes = {dim: SIZES[dim] for dim in cell.dims}
        self.params = {
            name: 0.5 * rng.normal(size=value.shape)
            for name, value in cell.init(**sizes).items()
        }
        self.inputs = {"x": rng.normal(size=(TAU, N_B, 2))}
        if "y" in cell.inputs:
            self.inputs["y"] = rng.integers(0, 4, (TAU, N_B))
        self.initial = {s: rng.normal(size=(N_B, 5)) for s in cell.states}
        self.weights = rng.uniform(0.5, 2, (TAU, N_B))
        self.loss = (cell.graph.loss,) if cell.graph.loss else ()

    def seeds(self):
        return {"h": self.rng.normal(size=(TAU, N_B, 5))}

    def expected(self, seeds):
        return self.cell.gradient(
            self.params, self.inputs, initial=self.initial, seeds=seeds, nodes=("h",),
            weights=self.weights if self.loss else None, input_gradient=True,
            initial_gradient=True, executor="reference",
        )  # fmt: skip

    def forward_pass(self, executor):
        request = Request(
            nodes=("h",), inputs=("x",), initial=True, seeds=("h", *self.loss),
            values=("h", *self.loss), is_phased=True,
        )  # fmt: skip
        bindings = bind(
            self.cell.graph, self.params, self.inputs, self.initial, None, "sum",
            self.weights,
        )  # fmt: skip
        program = self.cell.gradient_program(request)
        return ForwardPass(program, bindings, request, executor)

    def all_seeds(self, seeds):
        return seeds | dict.fromkeys(self.loss, self.weights)


@pytest.fixture(scope="module", params=["book", "lstm", "gru", "gru_reset_before"])
def problem(request):
    return Problem(request.param)


def assert_close(found, expected):
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= ROUNDING * scale


def assert_gradients_equal(found, expected):
    for name in expected:
        assert_close(found[name], expected[name])
    for name in expected.initial:
        assert_close(found.initial[name], expected.initial[name])
    assert_close(found.inputs["x"], expected.inputs["x"])
    assert_close(found.nodes["h"], expected.nodes["h"])


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_backward_pass_gives_the_gradient_in_one_go(problem, executor):
    seeds = problem.seeds()
    forward = problem.forward_pass(executor)
    found = forward.backward(problem.all_seeds(seeds))
    assert_gradients_equal(found, problem.expected(seeds))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_values_are_those_of_forward_before_and_after_going_back(problem, executor):
    expected = problem.cell.forward(
        problem.params, problem.inputs, initial=problem.initial,
        weights=problem.weights, executor="reference",
    )  # fmt: skip
    forward = problem.forward_pass(executor)
    for _ in range(2):
        for name in forward.run:
            assert_close(forward.run[name], expected[name])
        if problem.loss:
            assert_close(forward.run.loss, np.float64(expected.loss))
        forward.backward(problem.all_seeds(problem.seeds()))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_second_backward_pass_leaves_the_first_ones_result_alone(problem, executor):
    forward = problem.forward_pass(executor)
    seeds = [problem.seeds(), problem.seeds()]
    found = [forward.backward(problem.all_seeds(given)) for given in seeds]
    for gradient, given in zip(found, seeds, strict=True):
        assert_gradients_equal(gradient, problem.expected(given))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_arrays_may_move_between_the_passes(executor):
    """A framework frees its buffers: the second pass reads only the new places."""
    problem = Problem("gru")
    seeds = problem.seeds()
    expected = problem.expected(seeds)
    request = Request(seeds=("h",), inputs=("x",), is_phased=True)

    def bind_copies():
        tables = (problem.params, problem.inputs, problem.initial)
        copies = [{n: np.array(a) for n, a in table.items()} for table in tables]
        return copies, bind(problem.cell.graph, *copies)

    old, bindings = bind_copies()
    program = problem.cell.gradient_program(request)
    forward = ForwardPass(program, bindings, request, executor)
    for table in old:
        for array in table.values():
            array.fill(np.nan)
    grad = forward.backward(seeds, bind_copies()[1])
    for name in problem.params:
        error = abs(grad[name] - expected[name]).max()
        assert error <= ROUNDING * abs(expected[name]).max(), name
    error = abs(grad.inputs["x"] - expected.inputs["x"]).max()
    assert error <= ROUNDING * abs(expected.inputs["x"]).max()
