"""Calls that were decided before: the same bits as others, and the same refusals."""

import threading
import warnings

import pytest
import torch

import bptt.torch
from bptt.execute.kernels import direct
from bptt.torch.plan import plan_of
from bptt.torch.ready import KEPT, Ready
from tests.torch.pairs import flatten

N_X, N_H, TAU, N_B = 3, 5, 4, 2
OPTIONS = ({}, {"bias": False}, {"batch_first": True}, {"dtype": torch.float64},
           {"num_layers": 2, "bidirectional": True}, {"proj_size": 2})  # fmt: skip


@pytest.fixture
def ran(monkeypatch):
    """The names of the ways that calls took, each time."""
    found = []
    for name in ("evaluate", "forward", "go_back"):
        own = getattr(Ready, name)

        def note(self, *args, own=own, name=name, **options):
            found.append(name)
            return own(self, *args, **options)

        monkeypatch.setattr(Ready, name, note)
    plan_of.cache_clear()
    yield found
    plan_of.cache_clear()


def make(kind, seed=0, **options):
    torch.manual_seed(seed)
    return getattr(bptt.torch, kind)(N_X, N_H, **options)


def arguments(layer, seed=1):
    """An input that is not in one piece, and states; all want a gradient."""
    torch.manual_seed(seed)
    dtype = layer.weight_ih_l0.dtype
    x = torch.randn(TAU, N_X, N_B, dtype=dtype).transpose(1, 2)
    x = x.transpose(0, 1) if layer.batch_first else x
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [layer.proj_size or N_H, N_H]
    states = [torch.randn(rows, N_B, width, dtype=dtype) for width in widths]
    for tensor in (x, *states):
        tensor.requires_grad_()
    is_lstm = isinstance(layer, torch.nn.LSTM)
    return (x, tuple(states) if is_lstm else states[0]), (x, *states[: 1 + is_lstm])


def everything(layer, weigh=(1.0, 0.5, -0.25)):
    """Values with and without a gradient to follow, and every gradient."""
    args, wanted = arguments(layer)
    with torch.no_grad():
        found = flatten(layer(*args)) + flatten(layer(args[0]))
    out = flatten(layer(*args))
    pairs = zip(out, weigh, strict=False)
    loss = sum(w * (part.sin() ** 2).sum() for part, w in pairs if w)
    grads = torch.autograd.grad(loss, [*layer.parameters(), *wanted], allow_unused=True)
    return [*found, *(part.detach() for part in out), *grads]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_the_bits_are_those_of_the_long_way(kind, options, ran, monkeypatch):
    if "proj_size" in options and kind != "LSTM":
        pytest.skip("torch projects the state of an LSTM alone")
    layer = make(kind, **options)
    calls = [everything(layer) for _ in range(3)]
    assert {"evaluate", "forward", "go_back"} == set(ran)
    plan_of.cache_clear()
    monkeypatch.setattr(direct, "MOST_BLOCK", -1)
    ran.clear()
    expected = everything(layer)
    assert not ran
    n_states = len(arguments(layer)[1]) - 1
    for call in calls:
        for one, other in zip(call[:-n_states], expected[:-n_states], strict=True):
            assert torch.equal(one, other)
            assert one.shape == other.shape
        # Those of initial states are products in NumPy, whose BLAS chooses the order of
        # N_H terms, of up to four matrices.
        for one, other in zip(call[-n_states:], expected[-n_states:], strict=True):
            most = 4 * N_H * torch.finfo(one.dtype).eps * other.abs().max()
            torch.testing.assert_close(one, other, rtol=0, atol=float(most))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_gradients_that_arrive_elsewhere_than_before(kind, ran):
    layer = make(kind)
    theirs = getattr(torch.nn, kind)(N_X, N_H)
    theirs.load_state_dict(layer.state_dict())
    for weigh in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0)):
        if kind == "LSTM" or any(weigh[:2]):
            found, expected = everything(layer, weigh), everything(theirs, weigh)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert "go_back" in ran


def test_two_ways_back_and_a_derivative_of_the_second_order(ran):
    layer, theirs = make("LSTM"), torch.nn.LSTM(N_X, N_H)
    theirs.load_state_dict(layer.state_dict())
    found = []
    for one in (layer, layer, theirs):
        (x, states), _ = arguments(one)
        y, _ = one(x, states)
        loss = (y**2).sum()
        first = torch.autograd.grad(loss, x, retain_graph=True)[0]
        second = torch.autograd.grad(loss, x, create_graph=True)[0]
        third = torch.autograd.grad(second.square().sum(), x)[0]
        found.append((first, second, third))
    for parts in zip(*found, strict=True):
        for part in parts[:2]:
            torch.testing.assert_close(part, parts[2], rtol=1e-4, atol=1e-5)
    assert "forward" in ran


def wrong_calls():
    """Arguments that torch refuses, or answers in another way, by what is wrong."""
    x, h = torch.randn(TAU, N_B, N_X), torch.zeros(1, N_B, N_H)
    return {
        "rows of states": (x, h.repeat(2, 1, 1)),
        "a batch of another size": (x, h[:, :1]),
        "a state of two axes": (x, h[0]),
        "a state without axes": (x, torch.tensor(1.0)),
        "width": (x[..., :2], h),
        "a type": (x.double(), h),
        "states in a tuple": (x, (h,)),
        "a state of states": (x, torch.zeros(2, 1, N_B, N_H)),
        "no step": (x[:0], h),
        "unbatched": (x[:, 0], h[:, 0]),
        "nothing": (None, h),
        "text": (x, "h"),
    }


@pytest.mark.parametrize("name", wrong_calls())
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_call_unlike_those_before_gets_what_torch_says(kind, name, ran):
    layer, theirs = make(kind), getattr(torch.nn, kind)(N_X, N_H)
    theirs.load_state_dict(layer.state_dict())
    everything(layer)
    assert ran
    x, h = wrong_calls()[name]
    if kind == "LSTM" and isinstance(h, torch.Tensor) and h.dim() in {2, 3}:
        h = (h, h)
    answers = []
    for one in (layer, theirs):
        try:
            answers.append([part.detach() for part in flatten(one(x, h))])
        except Exception as error:  # noqa: BLE001  whichever torch raises
            answers.append((type(error), str(error)))
    if isinstance(answers[1], tuple):
        assert answers[0] == answers[1]
    else:
        for one, other in zip(*answers, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_an_output_that_was_written_into_is_refused(ran):
    layer = make("GRU")
    for _ in range(2):
        y, _ = layer(torch.randn(TAU, N_B, N_X))
        loss = (y**2).sum()
        with torch.no_grad():
            y.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
    assert "forward" in ran


def test_parameters_that_are_replaced_or_no_parameters(ran):
    layer, x = make("LSTM"), torch.randn(TAU, N_B, N_X)
    layer(x)
    other = {name: p.detach() * 2 for name, p in layer.named_parameters()}
    found, _ = torch.func.functional_call(layer, other, (x,))
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    again, _ = layer(x)
    again.sum().backward()
    twin = torch.nn.LSTM(N_X, N_H)
    twin.load_state_dict(other)
    torch.testing.assert_close(found, twin(x)[0], rtol=1e-5, atol=1e-5)
    assert layer.parametrizations.weight_hh_l0.original1.grad.abs().sum() > 0


def test_no_more_kinds_are_kept_than_so_many(ran):
    layer = make("GRU")
    for tau in range(1, 2 * KEPT):
        x = torch.randn(tau, N_B, N_X)
        twice = [layer(x)[0] for _ in range(2)]
        assert torch.equal(*twice)
    (plan,) = {y.grad_fn.plan for y in twice}
    assert len(plan.ready) <= KEPT


def test_evaluation_in_inference_mode_first(ran):
    layer, x = make("LSTM"), torch.randn(TAU, N_B, N_X)
    with torch.inference_mode():
        first = [layer(x)[0] for _ in range(2)]
    assert all(y.is_inference() for y in first)
    y, _ = layer(x)
    y.sum().backward()
    with torch.no_grad():
        again, _ = layer(x)
    again.add_(0)
    assert not again.is_inference()
    assert torch.equal(again, first[0].clone())
    assert torch.equal(again, y.detach())


def test_threads_that_run_one_layer(ran):
    layer, xs = make("LSTM"), torch.randn(8, TAU, N_B, N_X)
    expected = [layer(x)[0].detach() for x in xs]
    wrong = []

    def work(number):
        for _ in range(50):
            y, _ = layer(xs[number])
            (g,) = torch.autograd.grad(y.square().sum(), layer.weight_hh_l0)
            if not torch.equal(y, expected[number]) or not g.isfinite().all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def decode(layer, xs):
    """A call for every step."""
    state, ys = None, []
    for x in xs:
        y, state = layer(x[None], state)
        ys.append(y)
    return torch.cat(ys)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_decoder_goes_back_through_weights_packed_once(kind, ran):
    layer, theirs = make(kind), getattr(torch.nn, kind)(N_X, N_H)
    theirs.load_state_dict(layer.state_dict())
    xs = torch.randn(6, N_B, N_X)
    twice = [decode(layer, xs) for _ in range(2)]  # two graphs, one way back each
    for y in twice:
        (y**2).sum().backward()
    decode(theirs, xs).square().sum().mul(2).backward()
    for p, q in zip(layer.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5)
    assert ran.count("go_back") == 2 * len(xs)


def test_ways_back_between_which_weights_were_others(ran):
    """Behind torch's back: each way back reads what the weights are then."""
    layer, x = make("LSTM"), torch.randn(TAU, N_B, N_X)
    layer(x)
    double = [lambda p=p: p.data.mul_(2) for p in layer.parameters()]
    halve = [lambda p=p: p.data.mul_(0.5) for p in layer.parameters()]
    (expected,) = torch.autograd.grad((layer(x)[0] ** 2).sum(), layer.weight_hh_l0)
    first, _ = layer(x)
    for change in double:
        change()
    second, _ = layer(x)
    torch.autograd.grad((second**2).sum(), layer.weight_hh_l0)
    for change in halve:
        change()
    (found,) = torch.autograd.grad((first**2).sum(), layer.weight_hh_l0)
    assert torch.equal(found, expected)


def test_looking_inside_after_a_decided_call(ran):
    layer, x = make("GRU"), torch.randn(TAU, N_B, N_X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            layer.zero_grad()
            y, h = layer(x)
            ((y**2).sum() + h.sum()).backward()
            total = layer.copies("W_n").total()
            rows = layer.weight_hh_l0.grad[2 * N_H :].numpy()
            assert abs(total - rows).max() < 1e-5
            assert layer.node_gradients("n").shape == (TAU, N_B, N_H)
    assert ran.count("go_back") == 2
