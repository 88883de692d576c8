"""Every cell of examples/catalogue against an independent torch loop, and compiled.

1e-10 in float64: the two sum in other orders; the largest difference seen is 4e-13.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from bptt import Cell
from tests.catalogue.loops import LOOPS

FOLDER = Path(__file__).parents[2] / "examples" / "catalogue"
SIZES = (3, 2, 5, 4, 9, 17)
TAU, N_B = 4, 3


def load(name):
    return Cell.load(FOLDER / f"{name}.cell")


def numbers(shape, sizes):
    return tuple(d if isinstance(d, int) else sizes[d] for d in shape)


def make_case(cell, node, dtype=np.float64):
    """Arrays with sizes that are all different; weights that make a distribution."""
    rng = np.random.default_rng(5)
    sizes = dict(zip(cell.dims, SIZES, strict=False))

    def draw(shape, *lead):
        return (0.6 * rng.standard_normal((*lead, *numbers(shape, sizes)))).astype(
            dtype
        )

    params = {name: draw(shape) for name, shape in cell.parameters.items()}
    inputs = {}
    for name, spec in cell.graph.inputs.items():
        inputs[name] = draw(spec.shape, TAU, N_B)
        if spec.index is not None:
            inputs[name] = rng.integers(0, sizes[spec.index], (TAU, N_B))
    shapes = {**cell.nodes, **cell.inputs}
    initial = {name: draw(shapes[name], N_B) for name in cell.states}
    if "w" in initial:  # an address of places
        initial["w"] = np.exp(initial["w"]) / np.exp(initial["w"]).sum(
            -1, keepdims=True
        )
    if "n" in initial:  # a normaliser
        initial["n"] = np.abs(initial["n"]) + 1
    seeds = {node: draw(cell.nodes[node], TAU, N_B)}
    return params, inputs, initial, seeds


def torch_gradients(loop, node, case):
    """Values of the node, and gradients of everything real, by the loop."""
    params, inputs, initial, seeds = case

    def leaf(value):
        tensor = torch.tensor(value)
        return tensor.requires_grad_() if tensor.is_floating_point() else tensor

    p = {name: leaf(value) for name, value in params.items()}
    x = {name: leaf(value) for name, value in inputs.items()}
    s = {name: leaf(value) for name, value in initial.items()}
    rows = [
        loop(
            p, {n: v[:, b] for n, v in x.items()}, {n: v[b] for n, v in s.items()}, TAU
        )
        for b in range(N_B)
    ]
    values = torch.stack(rows, 1)
    (values * torch.tensor(seeds[node])).sum().backward()
    groups = {"params": p, "inputs": x, "initial": s}
    return values.detach().numpy(), {
        (kind, name): value.grad.numpy()
        for kind, group in groups.items()
        for name, value in group.items()
        if value.grad is not None
    }


def test_every_cell_of_the_catalogue_has_a_loop():
    assert {path.stem for path in FOLDER.glob("*.cell")} == set(LOOPS)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("name", LOOPS)
def test_values_and_gradients_equal_a_loop_in_torch(name, executor):
    loop, node = LOOPS[name]
    cell = load(name)
    case = params, inputs, initial, seeds = make_case(cell, node)
    values, expected = torch_gradients(loop, node, case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fall-back to NumPy warns
        grad = cell.gradient(
            params, inputs, initial=initial, seeds=seeds, input_gradient=True,
            initial_gradient=True, executor=executor,
        )  # fmt: skip
    np.testing.assert_allclose(grad.run[node], values, rtol=0, atol=1e-10)
    found = {("params", n): v for n, v in grad.items()}
    found |= {("inputs", n): v for n, v in grad.inputs.items()}
    found |= {("initial", n): v for n, v in grad.initial.items()}
    assert found.keys() >= expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-10, err_msg=key)


@pytest.mark.parametrize("name", LOOPS)
def test_the_canonical_text_reads_back_to_itself(name):
    text = load(name).canonical_text
    assert Cell(text).canonical_text == text
