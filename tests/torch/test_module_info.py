"""The samples by which torch tests its own RNN, LSTM and GRU, run over ours."""

import copy
import io

import pytest
import torch
from torch.testing._internal import common_modules
from torch.testing._internal.common_modules import ModuleErrorEnum

import bptt.torch
from tests.torch.pairs import DOUBLE, assert_equal

NAMES = ("RNN", "LSTM", "GRU")
INFOS = {
    name: next(
        info
        for info in common_modules.module_db
        if info.module_cls is getattr(torch.nn, name)
    )
    for name in NAMES
}


def samples(name):
    """Ours with torch's parameters, torch's, and torch's arguments, for each sample."""
    info = INFOS[name]
    options = {"with_packed_sequence": True} if name != "LSTM" else {}
    torch.manual_seed(0)
    found = info.module_inputs_func(
        info, device="cpu", dtype=DOUBLE, requires_grad=True, training=False, **options
    )
    assert len(found) >= 32
    for sample in found:
        made = sample.constructor_input
        theirs = info.module_cls(*made.args, **made.kwargs, dtype=DOUBLE)
        ours = getattr(bptt.torch, name)(*made.args, **made.kwargs, dtype=DOUBLE)
        ours.load_state_dict(theirs.state_dict())
        yield ours, theirs, sample


def leaves(value):
    """The tensors of arguments or results, as they lie there."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return [value.data]
    return [t for part in value for t in leaves(part)] if value is not None else []


def tensors(layer, arguments):
    """Outputs and gradients of a loss that weighs every element, by name."""
    given = [t for t in leaves(arguments) if t.requires_grad]
    out = leaves(layer(*arguments))
    generator = torch.Generator().manual_seed(1)
    loss = sum((t * torch.randn(t.shape, generator=generator, dtype=DOUBLE)).sum()
               for t in out)  # fmt: skip
    wanted = [*given, *layer.parameters()]
    found = torch.autograd.grad(loss, wanted)
    result = {f"output {n}": t.detach() for n, t in enumerate(out)}
    return result | {f"gradient {n}": t for n, t in enumerate(found)}


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_gradients(name):
    for ours, theirs, sample in samples(name):
        arguments = sample.forward_input.args
        assert not sample.forward_input.kwargs
        assert_equal(tensors(ours, arguments), tensors(theirs, arguments))
        if isinstance(arguments[0], torch.Tensor):  # it takes no PackedSequence
            reference = sample.reference_fn(ours, *arguments)
            pairs = zip(leaves(ours(*arguments)), leaves(reference), strict=True)
            assert all(torch.allclose(a, b, rtol=1e-12) for a, b in pairs)


def noncontiguous(value):
    """The same numbers, with gaps between them in memory."""
    if isinstance(value, torch.Tensor):
        wide = torch.repeat_interleave(value.detach(), 2, dim=-1)
        return wide[..., ::2].requires_grad_(value.requires_grad)
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return value._replace(data=noncontiguous(value.data))
    return tuple(map(noncontiguous, value))


@pytest.mark.parametrize("name", NAMES)
def test_noncontiguous_arguments(name):
    for ours, _, sample in samples(name):
        given = sample.forward_input.args
        apart = noncontiguous(given)
        assert not leaves(apart)[0].is_contiguous()
        assert_equal(tensors(ours, apart), tensors(ours, given))
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter.data = noncontiguous(parameter.data)
        assert_equal(tensors(ours, apart), tensors(ours, given))


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_and_copied(name):
    for ours, theirs, sample in samples(name):
        arguments = sample.forward_input.args
        expected = leaves(ours(*arguments))
        stored = io.BytesIO()
        torch.save((ours, ours.state_dict()), stored)
        stored.seek(0)
        loaded, state = torch.load(stored, weights_only=False)
        theirs.load_state_dict(state)
        for other in (loaded, copy.deepcopy(ours)):
            pairs = zip(leaves(other(*arguments)), expected, strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
        assert repr(loaded) == repr(ours) == repr(theirs)


def check_derivatives(name, check, step):
    """torch's own finite differences, over parameters and arguments, every n-th."""
    for ours, _, sample in list(samples(name))[::step]:
        arguments = sample.forward_input.args
        if any(not isinstance(t, torch.Tensor) for t in arguments[:1]):
            continue  # a PackedSequence is no tensor to take differences of
        given = [t for t in leaves(arguments) if t.requires_grad]
        n_given, names = len(given), [n for n, _ in ours.named_parameters()]

        def run(*values, ours=ours, arguments=arguments, n=n_given, names=names):
            states = values[1:n]
            hx = (states,) if isinstance(arguments[-1], tuple) else states
            params = dict(zip(names, values[n:], strict=True))
            out = torch.func.functional_call(ours, params, (values[0], *hx))
            return tuple(leaves(out))

        assert check(run, [*given, *ours.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_differences(name):
    check_derivatives(name, torch.autograd.gradcheck, 5)


@pytest.mark.parametrize("name", NAMES)
def test_second_gradients_by_differences(name):
    check_derivatives(name, torch.autograd.gradgradcheck, 19)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", NAMES)
def test_errors(name, dtype):
    info = INFOS[name]
    found = info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=False
    )
    assert len(found) >= 8
    for error in found:
        made = error.module_error_input
        given = made.constructor_input

        def call(given=given, made=made, error=error):
            layer = getattr(bptt.torch, name)(*given.args, **given.kwargs)
            if error.error_on is ModuleErrorEnum.FORWARD_ERROR:
                layer(*made.forward_input.args, **made.forward_input.kwargs)

        with pytest.raises(error.error_type, match=error.error_regex):
            call()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_of_every_sample(name):
    for ours, theirs, sample in samples(name):
        made = sample.constructor_input.kwargs
        x = torch.zeros(3, 0, 2, dtype=DOUBLE, requires_grad=True)
        if made["batch_first"]:
            x = x.detach().transpose(0, 1).requires_grad_()
        assert_equal(sized(ours, x), sized(theirs, x))


def sized(layer, x):
    """Results, whose elements there are none of, and gradients, which are zero."""
    out = leaves(layer(x))
    found = torch.autograd.grad(
        sum(t.sum() for t in out), [x, *layer.parameters()], allow_unused=True
    )
    shapes = {f"shape {n}": torch.tensor(t.shape) for n, t in enumerate(out)}
    return shapes | {
        f"gradient {n}": t
        for n, t in enumerate(found)
        if t is not None and t.numel()
    }  # fmt: skip
