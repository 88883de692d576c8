"""Random cells: the gradient, its parts, its program and its text, by other roads.

What is asked is whether the calculus is right, so NumPy runs most of these programs;
kernels run as many cells beside it in tests/execute/compile/test_compiled.py, and here
where they add up something of their own: the copies, and float32.
"""

import numpy as np
import pytest
from hypothesis import given

from bptt import Cell
from bptt.calculus import program as programs
from bptt.calculus.program import Request, forward_program, gradient_program
from bptt.execute import reference
from bptt.execute.bindings import bind
from bptt.step.graph import shift_of
from tests.strategies import cells, examples

STEP = 1e-30
NUMPY = {"executor": "reference"}


def directions(arrays, seed):
    """One real direction per real array."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(array.shape)
        for name, array in arrays.items()
        if array.dtype.kind == "f"
    }


def moved(arrays, by):
    """The arrays, complex, a tiny imaginary step along the directions."""
    return {
        name: array + 1j * STEP * by[name] if name in by else array
        for name, array in arrays.items()
    }


def inner(grads, by):
    """The inner product of gradient and direction, and the sum of its sizes."""
    terms = [(np.asarray(grads[name]) * by[name]).ravel() for name in by]
    flat = np.concatenate([np.zeros(1), *terms])
    return flat.sum(), np.abs(flat).sum()


@given(cells())
def test_the_gradient_equals_the_complex_step(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(1)
    initial = {name: value for name, value in initial.items() if name in cell.states}
    grad = cell.gradient(
        params, inputs, initial=initial, input_gradient=True, initial_gradient=True,
        **NUMPY,
    )  # fmt: skip
    for given_arrays, grads, which in (
        (params, grad, 0), (inputs, grad.inputs, 1), (initial, grad.initial, 2)
    ):  # fmt: skip
        by = directions({n: given_arrays[n] for n in given_arrays if n in grads}, which)
        new = [{n: a.astype(complex) for n, a in params.items()}, inputs, initial]
        new[which] = moved(new[which], by)
        expected = cell.forward(new[0], new[1], initial=new[2]).loss.imag / STEP
        found, size = inner(grads, by)
        assert found == pytest.approx(expected, rel=0, abs=1e-11 * (1 + size))


@examples(0.5)
@given(cells(stops=True))
def test_copies_add_up_to_the_gradient(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(2)
    grad = cell.gradient(params, inputs, initial=initial)
    for name, total in grad.items():
        copies = grad.copies[name]
        stack = copies.stack()
        bound = 1e-13 * (1 + np.abs(stack).sum())
        np.testing.assert_allclose(copies.total(), total, rtol=0, atol=bound)
        norms = np.sqrt((stack**2).reshape(len(stack), -1).sum(axis=1))
        np.testing.assert_allclose(copies.norms(), norms, rtol=1e-6, atol=bound)


@given(cells(stops=True))
def test_a_node_gradient_is_the_gradient_of_something_added_to_the_node(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(3)
    names = tuple(name for name in cell.nodes if name != "L")
    grad = cell.gradient(params, inputs, initial=initial, nodes=names, **NUMPY)
    declared, lines, extra = [], [], dict(inputs)
    for line in random.text.splitlines():
        name, _, right = line.partition("[t] = ")
        if name in names:
            line = f"{name}[t] = ({right}) + x_{name}[t]"  # noqa: PLW2901
            declared.append(f"x_{name}: ({', '.join(cell.nodes[name])})")
            extra[f"x_{name}"] = np.zeros(grad.nodes[name].shape)
        lines.append(line)
    wider = Cell("\n".join([*declared, *lines]))
    more = {"input_gradient": True, **NUMPY}
    added = wider.gradient(params, extra, initial=initial, **more)
    for name in names:
        # Nothing of this test remains to find where a node does not reach the loss.
        expected = added.inputs[f"x_{name}"]
        np.testing.assert_allclose(
            grad.nodes[name], expected, rtol=1e-12, atol=1e-13 * (1 + abs(grad.loss))
        )


@examples(0.5)
@given(cells(stops=True))
def test_simplification_preserves_every_value(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(4)
    bindings = bind(cell.graph, params, inputs, initial)
    request = Request(initial=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "simplify", lambda roots, keep=(): dict(roots))
        plain = gradient_program(cell.graph, request)
    simple = gradient_program(cell.graph, request)
    before, after = reference.run(plain, bindings), reference.run(simple, bindings)
    assert plain.outputs == simple.outputs
    for name in plain.outputs:
        old, new = before[plain.roots[name]], after[simple.roots[name]]
        np.testing.assert_allclose(new, old, rtol=1e-10, atol=1e-11)


@given(cells(stops=True, depth=3))
def test_printed_text_parses_back_to_the_same_cell(random):
    cell = Cell(random.text)
    again = Cell(cell.canonical_text)
    assert again.canonical_text == cell.canonical_text
    assert again.parameters == cell.parameters
    assert again.inputs == cell.inputs
    assert again.nodes == cell.nodes
    assert again.states == cell.states
    params, inputs, initial = random.arrays(5)
    initial = {name: value for name, value in initial.items() if name in cell.states}
    first, second = (
        c.forward(params, inputs, initial=initial, **NUMPY) for c in (cell, again)
    )
    assert second.loss == first.loss


def waiting(segment, sources):
    """The nodes of a loop that depend on another step of the same loop."""
    inside = set(segment.nodes)
    found = set()
    for node in segment.nodes:
        if node.op == "shift":
            if sources[shift_of(node)[0]] in inside:
                found.add(node)
        elif any(child in found for child in node.inputs):
            found.add(node)
    return found


@given(cells(stops=True))
def test_no_product_waits_in_a_loop_that_could_be_outside(random):
    graph = Cell(random.text).graph
    for plan in (
        forward_program(graph, tuple(graph.definitions)),
        gradient_program(graph, Request(initial=True)),
    ):
        seen = set()
        for segment in plan.segments:
            for node in segment.nodes:
                assert set(node.inputs) <= seen | {node} | set(segment.nodes)
            if segment.direction:
                assert waiting(segment, plan.sources) == set(segment.nodes)
            seen |= set(segment.nodes)
            seen |= {child for node in segment.nodes for child in node.inputs}


@examples(0.5)
@given(cells(max_equations=3))
def test_the_hessian_product_equals_the_complex_step_of_the_gradient(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(6)
    by = directions(params, 7)
    found = cell.hessian_vector(params, inputs, by, initial=initial)
    stepped = cell.gradient(moved(params, by), inputs, initial=initial)
    for name, value in found.items():
        expected = np.imag(stepped[name]) / STEP
        bound = 1e-11 * (1 + np.abs(expected).max())
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=bound)


@examples(0.5)
@given(cells(stops=True))
def test_float32_stays_float32_and_near_float64(random):
    cell = Cell(random.text)
    params, inputs, initial = random.arrays(8, np.float32)
    grad = cell.gradient(params, inputs, initial=initial, nodes=tuple(cell.nodes))
    double = {name: value.astype(np.float64) for name, value in params.items()}
    exact = cell.gradient(double, inputs, initial=initial, **NUMPY)
    for name, value in grad.items():
        assert value.dtype == np.float32
        size = np.abs(exact.copies[name].stack()).sum() + 1
        np.testing.assert_allclose(value, exact[name], rtol=0, atol=2e-4 * size)
    for values in (*grad.nodes.values(), *grad.run.values(), *grad.final.values()):
        assert values.dtype == np.float32
