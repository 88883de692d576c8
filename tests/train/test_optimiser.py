"""torch.optim in the memory of NumPy arrays."""

import sys

import numpy as np
import pytest

from bptt.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from bptt.train.errors import (
    OptimiserOptionError,
    TrainExtraMissingError,
    UnknownOptimiserError,
)
from bptt.train.optimiser import Optimiser, optimiser_names

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")


def make_parameters(dtype=np.float32):
    return {
        "W": np.array([[1.0, 2.0], [3.0, 4.0]], dtype),
        "b": np.array([5.0, 6.0], dtype),
        "alpha": np.array(7.0, dtype),
    }


def make_gradients(dtype=np.float32):
    return {
        "W": np.array([[1.0, 0.0], [0.0, -1.0]], dtype),
        "b": np.array([2.0, 0.0], dtype),
        "alpha": np.array(4.0, dtype),
    }


def test_tensors_share_memory_with_the_parameters():
    parameters = make_parameters()
    optimiser = Optimiser("sgd", parameters, 0.5)
    for name, tensor in optimiser.tensors.items():
        assert np.shares_memory(tensor.numpy(), parameters[name])
    optimiser.step(make_gradients())
    for name, tensor in optimiser.tensors.items():
        assert np.shares_memory(tensor.numpy(), parameters[name])
    np.testing.assert_array_equal(parameters["W"], [[0.5, 2.0], [3.0, 4.5]])
    np.testing.assert_array_equal(parameters["b"], [4.0, 6.0])
    np.testing.assert_array_equal(parameters["alpha"], 5.0)


def test_the_gradient_is_given_without_a_copy_and_let_go(monkeypatch):
    gradients = make_gradients()
    optimiser = Optimiser("sgd", make_parameters(), 0.5)
    given, step = {}, optimiser.torch_optimiser.step

    def seen():
        given.update((n, t.grad.numpy()) for n, t in optimiser.tensors.items())
        step()

    monkeypatch.setattr(optimiser.torch_optimiser, "step", seen)
    optimiser.step(gradients)
    for name, gradient in gradients.items():
        assert np.shares_memory(given[name], gradient)
    assert all(tensor.grad is None for tensor in optimiser.tensors.values())


def test_a_transposed_gradient_goes_to_the_right_entries():
    parameters = make_parameters()
    gradients = make_gradients()
    gradients["W"] = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32).T
    Optimiser("sgd", parameters, 1.0).step(gradients)
    np.testing.assert_array_equal(parameters["W"], [[1.0, 0.0], [2.0, 1.0]])


@pytest.mark.parametrize("name", ["sgd", "adam", "AdamW", "rmsprop", "nadam"])
def test_a_step_is_that_of_torch(name):
    ours = make_parameters(np.float64)
    theirs = [torch.tensor(p, requires_grad=True) for p in ours.values()]
    reference = {k.lower(): v for k, v in vars(torch.optim).items()}[name.lower()](
        theirs, lr=0.01
    )
    optimiser = Optimiser(name, ours, 0.01)
    for _ in range(3):
        gradients = make_gradients(np.float64)
        for tensor, gradient in zip(theirs, gradients.values(), strict=True):
            tensor.grad = torch.tensor(gradient)
        reference.step()
        optimiser.step(gradients)
    for tensor, parameter in zip(theirs, ours.values(), strict=True):
        np.testing.assert_allclose(parameter, tensor.detach().numpy(), rtol=1e-14)


def test_the_rate_factor_scales_the_rate_that_was_given():
    parameters = make_parameters()
    optimiser = Optimiser("sgd", parameters, 0.5)
    optimiser.set_rate_factor(0.5)
    assert optimiser.learning_rate == 0.25
    optimiser.step(make_gradients())
    assert parameters["b"][0] == 4.5
    optimiser.set_rate_factor(1.0)
    optimiser.step(make_gradients())
    assert parameters["b"][0] == 3.5


def test_weight_decay_reaches_the_optimiser_and_one_without_it_says_so():
    parameters = make_parameters()
    Optimiser("sgd", parameters, 0.5, weight_decay=0.1).step(make_gradients())
    assert parameters["b"][1] == np.float32(6.0 - 0.5 * 0.1 * 6.0)
    with pytest.raises(OptimiserOptionError, match="has no option 'weight_decay'"):
        Optimiser("rprop", make_parameters(), 0.1, weight_decay=0.1)


@pytest.mark.parametrize("name", optimiser_names())
def test_every_optimiser_goes_on_from_its_state_bit_for_bit(name, tmp_path):
    """Through a checkpoint's bytes: numbers, tuples and tensors keep their kind."""
    random = np.random.default_rng(0)
    gradients = [
        {n: np.asarray(random.normal(size=p.shape), np.float32) for n, p in
         make_parameters().items()}
        for _ in range(6)
    ]  # fmt: skip
    straight = make_parameters()
    optimiser = Optimiser(name, straight, 0.1)
    for gradient in gradients[:3]:
        optimiser.step(gradient)
    saved = Checkpoint(straight, {"optimiser": optimiser.state()})
    write_checkpoint(tmp_path, LAST, saved)
    for gradient in gradients[3:]:
        optimiser.step(gradient)
    loaded = read_checkpoint(tmp_path, LAST)
    again = Optimiser(name, loaded.parameters, 0.1)
    again.load(loaded.optimiser["optimiser"])
    for gradient in gradients[3:]:
        again.step(gradient)
    for key, value in straight.items():
        np.testing.assert_array_equal(loaded.parameters[key], value)


def test_options_reach_the_optimiser():
    parameters = make_parameters()
    optimiser = Optimiser("sgd", parameters, 0.5, {"momentum": 0.5})
    optimiser.step(make_gradients())
    optimiser.step(make_gradients())
    assert parameters["b"][0] == 5.0 - 1.0 - 1.5


def test_an_unknown_optimiser_is_named_with_those_there_are():
    with pytest.raises(UnknownOptimiserError) as caught:
        Optimiser("adamm", make_parameters(), 0.1)
    message = str(caught.value)
    assert message.startswith("--optimiser adamm: torch.optim has no optimiser of this")
    assert "adam, adamax, adamw" in message
    assert "lbfgs" not in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("LBFGS", "it evaluates the loss several times per step"),
        ("SparseAdam", "it takes sparse gradients only"),
        ("Muon", "it takes matrices only"),
        ("Optimizer", "no optimiser of this name"),
    ],
)
def test_an_optimiser_that_cannot_work_here_says_why(name, reason):
    with pytest.raises(UnknownOptimiserError, match=reason):
        Optimiser(name, make_parameters(), 0.1)


def test_every_optimiser_that_is_offered_takes_a_step():
    for name in optimiser_names():
        parameters = make_parameters()
        Optimiser(name, parameters, 0.1).step(make_gradients())
        assert parameters["b"][0] < 5.0, name
        assert np.isfinite(parameters["W"]).all(), name


def test_an_option_the_optimiser_lacks_is_named():
    with pytest.raises(OptimiserOptionError, match="has no option 'momentum'; it has"):
        Optimiser("adam", make_parameters(), 0.1, {"momentum": 0.9})


def test_a_value_the_optimiser_refuses_is_named():
    with pytest.raises(OptimiserOptionError, match=r"refuses .*Invalid momentum"):
        Optimiser("sgd", make_parameters(), 0.1, {"momentum": -1.0})


def test_without_torch_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TrainExtraMissingError) as caught:
        Optimiser("sgd", make_parameters(), 0.1)
    assert str(caught.value) == (
        "this command needs the package torch, which is not installed: "
        'from a clone of bptt, pip install -c constraints.txt ".[train]"'
    )
