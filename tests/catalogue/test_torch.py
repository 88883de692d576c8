"""Every cell of examples/catalogue as a module of torch, against a loop in torch.

In float64, to the bound of `front_ends.assert_same`. BPTT_EVERY_CELL=1 gives every cell
to every test, full and ragged; see cases.py for what a usual run takes.
"""

import numpy as np
import pytest
import torch

from tests.catalogue.cases import KINDS, N_B, load, part
from tests.catalogue.front_ends import Both, assert_all, assert_same, in_turn
from tests.catalogue.loops import LOOPS


@pytest.mark.parametrize(**in_turn(LOOPS, KINDS))
def test_gradients_by_kernels_are_those_of_a_loop(name, is_ragged):
    both = Both(name, is_ragged=is_ragged)
    params, real, initial, whole = both.tensors()
    out = both.call(both.layer(), params, {**real, **whole}, initial)
    both.total(out).backward()
    groups = {"params": params, "inputs": real, "initial": initial}
    assert_all(
        {kind: {n: leaf.grad for n, leaf in group.items()}
         for kind, group in groups.items()},
        both.loops_gradients(),
    )  # fmt: skip


@pytest.mark.parametrize(**in_turn(LOOPS, KINDS, first=1))
def test_gradients_by_torchs_operations_are_those_of_a_loop(name, is_ragged):
    """In a transform of torch.func a cell runs step by step."""
    both = Both(name, is_ragged=is_ragged)
    layer = both.layer()
    *tables, whole = both.tensors()
    tables = [{n: t.detach() for n, t in table.items()} for table in tables]

    def total(params, real, initial):
        return both.total(both.call(layer, params, {**real, **whole}, initial))

    grads = torch.func.grad(total, (0, 1, 2))(*tables)
    names = ("params", "inputs", "initial")
    assert_all(dict(zip(names, grads, strict=True)), both.loops_gradients())


@pytest.mark.parametrize("name", part(LOOPS, 0))
def test_a_gradient_per_row_is_the_gradient_of_the_row(name):
    both = Both(name)
    layer = both.layer()
    params, real, initial, whole = both.tensors()
    inputs = {n: t.detach() for n, t in (real | whole).items()}
    initial = {n: t.detach() for n, t in initial.items()}

    def total(params, inputs, initial):
        return torch.sin(both.value(both.call(layer, params, inputs, initial))).sum()

    axes = (None, both.row_axes(inputs), dict.fromkeys(initial, 0))
    free = {n: t.detach() for n, t in params.items()}
    found = torch.func.vmap(torch.func.grad(total), axes)(free, inputs, initial)
    for b in range(N_B):
        one = {n: t[b] for n, t in initial.items()}
        alone = total(params, both.row(inputs, b), one)
        right = torch.autograd.grad(alone, list(params.values()), allow_unused=True)
        for label, value in zip(params, right, strict=True):
            assert_same(found[label][b], 0.0 if value is None else value, label)


@pytest.mark.parametrize("name", [n for n in LOOPS if load(n).graph.loss])
def test_second_derivatives_are_those_of_hessian_vector(name):
    both = Both(name)
    case = both.case
    params, real, initial, whole = both.tensors()
    out = both.call(both.layer(), params, {**real, **whole}, initial)
    leaves = list(params.values())
    grads = torch.autograd.grad(out.loss, leaves, create_graph=True, allow_unused=True)
    rng = np.random.default_rng(1)
    direction = {n: rng.standard_normal(t.shape) for n, t in params.items()}
    slope = sum(
        (grad * torch.tensor(direction[n])).sum()
        for n, grad in zip(params, grads, strict=True) if grad is not None
    )  # fmt: skip
    found = torch.autograd.grad(slope, leaves, allow_unused=True)
    right = case.cell.hessian_vector(
        case.params, case.inputs, direction, initial=case.initial
    )
    for label, value in zip(params, found, strict=True):
        assert_same(0.0 if value is None else value, right[label], label)


def goes_on(name):
    """Whether a cell neither starts anew nor waits for the end of a sequence."""
    times = load(name).graph.times
    return not (times.row_inputs or times.once or load(name).graph.backward)


@pytest.mark.parametrize("name", [n for n in part(LOOPS, 1) if goes_on(n)])
def test_two_pieces_are_one_sequence(name):
    """`final` is what `initial` takes to go on, a delay's steps and inputs included."""
    both = Both(name)
    layer, (params, real, initial, whole) = both.layer(), both.tensors()
    inputs = real | whole
    run = both.call(layer, params, inputs, initial)
    early, late = ({n: t[part] for n, t in inputs.items()}
                   for part in (slice(2), slice(2, None)))  # fmt: skip
    first = both.call(layer, params, early, initial)
    second = both.call(layer, params, late, first.final)
    for state, value in run.final.items():
        assert_same(second.final[state].detach(), value.detach(), state)
    totals = [torch.sin(both.value(out)).sum() for out in (first, second)]
    if both.has_loss:
        totals, total = [first.loss, second.loss], run.loss
    else:
        total = torch.sin(both.value(run)).sum()
    groups = [*params.values(), *real.values(), *initial.values()]
    found = torch.autograd.grad(sum(totals), groups, allow_unused=True)
    right = torch.autograd.grad(total, groups, allow_unused=True)
    for a, b in zip(found, right, strict=True):
        assert_same(0.0 if a is None else a, 0.0 if b is None else b)


class Flat(torch.nn.Module):
    """A layer whose arguments and results are tensors in a row, as graphs want them."""

    def __init__(self, both):
        super().__init__()
        self.both, self.layer = both, both.layer()
        _, real, initial, whole = both.tensors()
        tables = (real | whole, initial)
        self.names = [list(table) for table in tables]
        self.given = [t.detach() for table in tables for t in table.values()]
        if both.lengths is not None:
            self.given.append(torch.tensor(both.lengths))

    def forward(self, *tensors):
        inputs, initial = self.names
        n = len(inputs)
        more = {} if self.both.lengths is None else {"lengths": tensors[-1]}
        out = self.layer(
            **dict(zip(inputs, tensors, strict=False)),
            initial=dict(zip(initial, tensors[n:], strict=False)), **more,
        )  # fmt: skip
        loss = [] if out.loss is None else [out.loss]
        return (*out.nodes.values(), *out.final.values(), *loss)


def compiled(module):
    torch._dynamo.reset()
    return torch.compile(module, backend="aot_eager", fullgraph=True)


WATCHED = {
    "compile": compiled,
    "export": lambda m: torch.export.export(m, tuple(m.given)).module(),
    "trace": lambda m: torch.jit.trace(m, tuple(m.given), check_trace=False),
    "make_fx": lambda m: torch.fx.experimental.proxy_tensor.make_fx(m)(*m.given),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("way", WATCHED)
@pytest.mark.parametrize(**in_turn(KINDS))
def test_a_graph_of_torch_computes_the_same(name, way, is_ragged):
    module = Flat(Both(name, is_ragged=is_ragged))
    found, expected = WATCHED[way](module)(*module.given), module(*module.given)
    rng = torch.Generator().manual_seed(0)
    seeds = [torch.randn(e.shape, generator=rng, dtype=e.dtype) for e in expected]
    totals = []
    for values in (found, expected):
        pairs = zip(values, seeds, strict=True)
        totals.append(sum((value * seed).sum() for value, seed in pairs))
    assert_same(totals[0].detach(), totals[1].detach())
    parameters = list(module.parameters())
    if way in ("make_fx", "export") or not parameters:
        return  # they hold parameters of their own
    for a, b in zip(*(torch.autograd.grad(t, parameters, allow_unused=True)
                      for t in totals), strict=True):  # fmt: skip
        assert_same(0.0 if a is None else a, 0.0 if b is None else b)
