"""A cell of the catalogue as a module of torch, and as a function of JAX arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

import bptt
import bptt.torch
from tests.catalogue.cases import EVERY, LENGTHS, N_B, TAU, Case
from tests.catalogue.loops import LOOPS
from tests.catalogue.test_against_loops import leaves, torch_gradients


def in_turn(names, both=(), first=0):
    """Full and ragged batches in turn, and of a few names both; for `parametrize`.

    The first name is full, or ragged with `first` 1: two tests that begin otherwise
    give a name full and ragged. BPTT_EVERY_CELL=1 gives both of all.
    """
    batches = [
        (name, is_ragged)
        for number, name in enumerate(names)
        for is_ragged in (False, True)
        if EVERY or name in both or is_ragged == bool((number + first) % 2)
    ]
    ids = [f"{name}-{'ragged' if is_ragged else 'full'}" for name, is_ragged in batches]
    return {"argnames": ("name", "is_ragged"), "argvalues": batches, "ids": ids}


def is_real(array):
    return array.dtype.kind == "f"


class Both:
    """A case, what is asked of it, and its gradients by a loop in torch."""

    def __init__(self, name, *, is_ragged=False):
        self.loop, self.node = LOOPS[name]
        self.case = Case(name, self.node)
        self.has_loss = self.node == self.case.cell.graph.loss
        self.outputs = [] if self.has_loss else [self.node]
        self.lengths = list(LENGTHS) if is_ragged else None

    def loops_gradients(self):
        lengths = self.lengths or [TAU] * N_B
        return torch_gradients(self.loop, self.node, self.case, lengths)[1]

    def layer(self):
        case = self.case
        layer = bptt.torch.Recurrent(
            case.cell, outputs=self.outputs, dtype=torch.float64, seed=0, **case.sizes
        )
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                parameter.copy_(torch.tensor(case.params[name]))
        return layer

    def value(self, out):
        return out.loss if self.has_loss else out.nodes[self.node]

    def total(self, out):
        seed = 1.0 if self.has_loss else self.case.seeds[self.node]
        if isinstance(self.value(out), torch.Tensor):
            seed = torch.tensor(seed)
        return (self.value(out) * seed).sum()

    def tensors(self):
        """Parameters, real inputs, initial values, and integer inputs, as leaves."""
        case = self.case
        real = {n: a for n, a in case.inputs.items() if is_real(a)}
        whole = {n: a for n, a in case.inputs.items() if not is_real(a)}
        return [leaves(t) for t in (case.params, real, case.initial, whole)]

    def call(self, layer, params, inputs, initial):
        """The layer with other parameters, on other inputs."""
        more = {}
        if self.lengths is not None:
            more["lengths"] = torch.tensor(self.lengths)
        call = torch.func.functional_call
        return call(layer, params, (), {**inputs, "initial": initial, **more})

    def jax_function(self):
        return bptt.jax.recurrent(self.case.cell, nodes=self.outputs)

    def jax_call(self, f, params, real, initial):
        whole = {n: a for n, a in self.case.inputs.items() if not is_real(a)}
        lengths = None if self.lengths is None else jnp.asarray(self.lengths)
        return f(params, {**real, **whole}, initial, lengths=lengths)

    def row_axes(self, inputs):
        """Where rows lie in every input."""
        return {name: 0 if name in self.case.rows else 1 for name in inputs}

    def row(self, inputs, b):
        return {n: a[b] if n in self.case.rows else a[:, b] for n, a in inputs.items()}


def assert_same(found, expected, message=""):
    """1e-10 of the largest, or of 1: the two sum in other orders."""
    found, expected = np.asarray(found), np.asarray(expected)
    largest = abs(expected).max(initial=1.0)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=1e-10 * largest, err_msg=str(message)
    )


def assert_all(groups, expected):
    """Gradients by kind and name; the loop may lack one that is zero."""
    found = {
        (kind, name): value for kind, group in groups.items()
        for name, value in group.items() if value is not None
    }  # fmt: skip
    for key in found.keys() | expected.keys():
        assert_same(found.get(key, 0.0), expected.get(key, 0.0), key)


def jax_gradients(both):
    case = both.case
    f = both.jax_function()
    real = {n: a for n, a in case.inputs.items() if is_real(a)}

    def total(params, real, initial):
        return both.total(both.jax_call(f, params, real, initial))

    grads = jax.jit(jax.grad(total, (0, 1, 2)))(case.params, real, case.initial)
    return dict(zip(("params", "inputs", "initial"), grads, strict=True))
