"""Before, after and across time, against loops in torch that know nothing of it."""

import numpy as np
import pytest
import torch
from torch import tanh
from torch.nn import functional as f

from bptt import Cell, errors

TAU, N_B = 7, 4
LENGTHS = np.array([7, 3, 5, 1])
SIZES = {"n_x": 3, "n_h": 5, "n_o": 6, "n_s": 2, "n_y": 5}
RNN = "h[t] = tanh(b + W @ h[t-1] + U @ x[t])\n"


def rnn(p, x, row, tau, h0=None):
    """The states of one row, a list of vectors."""
    h, states = torch.zeros(5).double() if h0 is None else h0, []
    for t in range(tau):
        h = tanh(p["b"] + p["W"] @ h + p["U"] @ x["x"][t, row])
        states.append(h)
    return states


def last_state(p, x, row, tau, _):
    o = p["c"] + p["V"] @ rnn(p, x, row, tau)[-1]
    return f.cross_entropy(o, x["y"][row])


def started(p, x, row, tau, _):
    h, total = tanh(p["B"] @ x["s"][row]), 0
    for t in range(tau):
        h = tanh(p["W"] @ h + p["R"] @ x["s"][row])
        total = total + ((h - x["z"][t, row]) ** 2).mean()
    return total


def started_behind(p, x, row, tau, _):
    h, total = p["h_0"], 0
    for t in reversed(range(tau)):
        h = tanh(p["W"] @ h + p["U"] @ x["x"][t, row])
        total = total + ((h - x["z"][t, row]) ** 2).mean()
    return total


def pooled(p, x, row, tau, _):
    h = torch.stack(rnn(p, x, row, tau))
    share = torch.softmax(tanh(h @ p["A"].T) @ p["v"] + h @ h[-1], 0)
    c = (share[:, None] * h).sum(0) + h.mean(0) * h.amax(0) + tau * h[0] * 0
    return ((c - x["y"][row]) ** 2).mean() + tau / 10


def clocked(p, x, row, tau, _):
    h, total = torch.zeros(5).double(), 0
    for t in range(1, tau + 1):
        new = tanh(p["b"] + p["W"] @ h + p["U"] @ x["x"][t - 1, row])
        h = new if t % 3 == 1 else h * (t / 10)
        total = total + ((h - x["z"][t - 1, row]) ** 2).mean()
    return total


def both_losses(p, x, row, tau, _):
    states = rnn(p, x, row, tau)
    total = sum(((h - x["z"][t, row]) ** 2).mean() for t, h in enumerate(states))
    return total + (states[-1] * p["v"]).sum() ** 2


def delayed(p, x, row, tau, initial):
    before = [torch.zeros(5).double()] * 4
    if initial is not None:
        before = [initial[k][row] for k in range(4)]
    states, total = list(before), 0
    for t in range(tau):
        u = x["x"][t - 3, row] if t >= 3 else torch.zeros(3).double()
        ahead = x["q"][t + 2, row] if t + 2 < tau else torch.zeros(3).double()
        here = p["U"] @ (u + x["x"][t, row]) + p["Q"] @ (ahead * x["q"][t, row])
        h = tanh(p["b"] + p["W"] @ states[-4] + p["R"] @ states[-2] + here)
        states.append(h)
        total = total + ((h - x["z"][t, row]) ** 2).mean()
    return total


def looked_ahead(p, x, row, tau, _):
    states, total = [torch.zeros(5).double()] * 3, 0
    for t in reversed(range(tau)):
        h = tanh(p["W"] @ states[-3] + p["R"] @ states[-1] + p["U"] @ x["x"][t, row])
        states.append(h)
        total = total + ((h - x["z"][t, row]) ** 2).mean()
    return total


CELLS = {
    "last state": (RNN + "o = c + V @ h[tau]\nL = nll(softmax(o), y)", last_state),
    "start, input without time": ("""
        s: n_s = input
        h[0] = tanh(B @ s)
        h[t] = tanh(W @ h[t-1] + R @ s)
        L[t] = mse(h[t], z[t])""", started),
    "start of a loop behind": ("""
        h[tau+1] = h_0
        h[t] = tanh(W @ h[t+1] + U @ x[t])
        L[t] = mse(h[t], z[t])""", started_behind),
    "pooled": (RNN + """y: n_h = input
o = h[tau]
e[t] = dot(v, tanh(A @ h[t]))
c = sum(t, softmax(t, e[t] + dot(h[t], o)) * h[t]) + mean(t, h[t]) * max(t, h[t])
L = mse(c, y) + tau / 10
A: (n_a, n_h)""", pooled),
    "clocked": ("""
        h[t] = where(t % 3 == 1, tanh(b + W @ h[t-1] + U @ x[t]), h[t-1] * (t / 10))
        L[t] = mse(h[t], z[t])""", clocked),
    "both losses": (RNN + "L[t] = mse(h[t], z[t])\nL = dot(v, h[tau]) ** 2",
                    both_losses),
    "delayed": ("""
        u[t] = U @ (x[t-3] + x[t]) + Q @ (q[t+2] * q[t])
        h[t] = tanh(b + W @ h[t-4] + R @ h[t-2] + u[t])
        L[t] = mse(h[t], z[t])""", delayed),
    "delayed behind": ("""
        h[t] = tanh(W @ h[t+3] + R @ h[t+1] + U @ x[t])
        L[t] = mse(h[t], z[t])""", looked_ahead),
}  # fmt: skip


def arrays_of(cell, seed=0):
    rng = np.random.default_rng(seed)
    sizes = {d: SIZES.get(d, 3) for d in cell.dims}
    params = {n: rng.normal(size=[sizes[d] for d in s]) / 2
              for n, s in cell.parameters.items()}  # fmt: skip
    inputs = {}
    for name, spec in cell.graph.inputs.items():
        once = name in cell.graph.times.row_inputs
        lead = (N_B,) if once else (TAU, N_B)
        if spec.index is not None:
            inputs[name] = rng.integers(0, sizes[spec.index], lead)
        else:
            inputs[name] = rng.normal(size=(*lead, *(sizes[d] for d in spec.shape)))
    return params, inputs


def torch_total(loop, params, inputs, lengths, initial=None):
    leaves = {n: torch.tensor(a, requires_grad=True) for n, a in params.items()}
    tensors = {n: torch.tensor(a, requires_grad=a.dtype.kind == "f")
               for n, a in inputs.items()}  # fmt: skip
    if initial is not None:
        initial = torch.tensor(initial, requires_grad=True)
    total = sum(loop(leaves, tensors, row, int(tau), initial)
                for row, tau in enumerate(lengths))  # fmt: skip
    total.backward()
    zero = {n: np.zeros(t.shape) for n, t in (leaves | tensors).items()}
    grads = {n: zero[n] if t.grad is None else t.grad.numpy()
             for n, t in (leaves | tensors).items()}  # fmt: skip
    return float(total.detach()), grads, initial


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("name", CELLS)
def test_loss_and_gradient_are_those_of_a_loop(name, lengths, executor):
    text, loop = CELLS[name]
    cell = Cell(text)
    params, inputs = arrays_of(cell)
    found = cell.gradient(params, inputs, lengths=lengths, input_gradient=True,
                          executor=executor)  # fmt: skip
    rows = [TAU] * N_B if lengths is None else lengths
    total, grads, _ = torch_total(loop, params, inputs, rows)
    np.testing.assert_allclose(found.loss, total, rtol=1e-12)
    for parameter in params:
        np.testing.assert_allclose(found[parameter], grads[parameter], atol=1e-12)
    for given in found.inputs:
        np.testing.assert_allclose(found.inputs[given], grads[given], atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_the_text_reads_back(name):
    cell = Cell(CELLS[name][0])
    again = Cell(cell.canonical_text)
    assert again.canonical_text == cell.canonical_text
    assert again.graph.times == cell.graph.times
    assert again.nodes == cell.nodes
    for line in CELLS[name][0].splitlines():
        target = line.split("=")[0].strip()
        if target.endswith(("[0]", "[tau+1]")) or target in ("o", "L"):
            assert f"\n{target} = " in cell.canonical_text


@pytest.mark.parametrize("name", CELLS)
def test_each_is_checked(name):
    ledger = Cell(CELLS[name][0]).check(instances=1)
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("name", CELLS)
def test_each_is_explained(name):
    found = Cell(CELLS[name][0]).explain()
    assert found.passed
    assert "h" in found.markdown()


@pytest.mark.parametrize("name", ["last state", "clocked"])
def test_gradients_flow(name):
    cell = Cell(CELLS[name][0])
    params, inputs = arrays_of(cell)
    flow = cell.flow(params, inputs)
    right = cell.gradient(params, inputs, nodes=("h",)).nodes["h"]
    norms = np.linalg.norm(right, axis=(1, 2))
    np.testing.assert_allclose(flow.numbers.norms["h"], norms, rtol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_the_unrolled_graph_gives_the_same(name):
    cell = Cell(CELLS[name][0])
    params, inputs = arrays_of(cell)
    one = {n: a[0] if n in cell.graph.times.row_inputs else a[:, 0]
           for n, a in inputs.items()}  # fmt: skip
    right = cell.gradient(params, one)
    graph = cell.unroll(params, one)
    np.testing.assert_allclose(graph.loss, right.loss, rtol=1e-12)
    for parameter in params:
        found = graph.grad(graph.place(parameter))
        np.testing.assert_allclose(found, right[parameter], atol=1e-12)


def test_the_hessian_times_a_direction_is_the_gradients_slope():
    cell = Cell(CELLS["pooled"][0])
    params, inputs = arrays_of(cell)
    rng = np.random.default_rng(5)
    direction = {n: rng.normal(size=a.shape) for n, a in params.items()}
    found = cell.hessian_vector(params, inputs, direction)
    step = 1e-6
    ahead, behind = (
        cell.gradient({n: a + s * direction[n] for n, a in params.items()}, inputs)
        for s in (step, -step)
    )
    for name in params:
        slope = (ahead[name] - behind[name]) / (2 * step)
        np.testing.assert_allclose(found[name], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
def test_initial_values_of_several_steps_come_in_order_of_time(executor):
    cell = Cell(CELLS["delayed"][0])
    params, inputs = arrays_of(cell)
    h = np.random.default_rng(3).normal(size=(4, N_B, 5))
    found = cell.gradient(params, inputs, initial={"h": h}, initial_gradient=True,
                          lengths=LENGTHS, executor=executor)  # fmt: skip
    total, grads, leaf = torch_total(delayed, params, inputs, LENGTHS, h)
    np.testing.assert_allclose(found.loss, total, rtol=1e-12)
    np.testing.assert_allclose(found["W"], grads["W"], atol=1e-12)
    np.testing.assert_allclose(found.initial["h"], leaf.grad, atol=1e-12)
    assert list(found.initial) == ["x", "q", "h"]
    short = cell.gradient(params, inputs, initial={"h": h[-1]}, executor=executor)
    padded = np.concatenate([np.zeros((3, N_B, 5)), h[-1:]])
    long = cell.gradient(params, inputs, initial={"h": padded}, executor=executor)
    np.testing.assert_allclose(short["W"], long["W"], atol=1e-14)


@pytest.mark.parametrize("executor", ["llvm", "reference"])
@pytest.mark.parametrize("name", ["delayed", "delayed behind"])
def test_the_last_steps_are_what_a_delay_reads(name, executor):
    """In order of time, of nodes and inputs, for every row its own."""
    cell = Cell(CELLS[name][0])
    params, inputs = arrays_of(cell)
    run = cell.forward(params, inputs, lengths=LENGTHS, executor=executor)
    behind = name == "delayed behind"
    for row, tau in enumerate(LENGTHS):
        if behind:
            h = np.pad(run["h"][:tau, row], ((0, 3), (0, 0)))[:3]
            np.testing.assert_array_equal(run.final["h"][:, row], h)
        else:
            for label, depth, values in (("h", 4, run["h"]), ("x", 3, inputs["x"])):
                last = np.pad(values[:tau, row], ((depth, 0), (0, 0)))[-depth:]
                np.testing.assert_array_equal(run.final[label][:, row], last)


@pytest.mark.parametrize(("reduction", "scale"), [("sum", 1), ("batch_mean", 1 / N_B),
                                                  ("mean", 1 / N_B)])  # fmt: skip
def test_a_mean_over_a_loss_of_rows_is_over_rows(reduction, scale):
    cell = Cell(CELLS["last state"][0])
    params, inputs = arrays_of(cell)
    whole = cell.gradient(params, inputs, lengths=LENGTHS)
    found = cell.gradient(params, inputs, lengths=LENGTHS, reduction=reduction)
    np.testing.assert_allclose(found.loss, whole.loss * scale, rtol=1e-14)
    np.testing.assert_allclose(found["W"], whole["W"] * scale, rtol=1e-12, atol=1e-15)


def test_values_after_the_last_step_have_no_step():
    cell = Cell(CELLS["last state"][0])
    params, inputs = arrays_of(cell)
    run = cell.forward(params, inputs, lengths=LENGTHS)
    assert run["o"].shape == (N_B, 6)
    for row, tau in enumerate(LENGTHS):
        expected = params["c"] + params["V"] @ run["h"][tau - 1, row]
        np.testing.assert_allclose(run["o"][row], expected, rtol=1e-13)
    grad = cell.gradient(params, inputs, nodes=("o",), lengths=LENGTHS)
    p = np.exp(run["o"]) / np.exp(run["o"]).sum(-1, keepdims=True)
    expected = p - np.eye(6)[inputs["y"]]
    np.testing.assert_allclose(grad.nodes["o"], expected, atol=1e-13)


def test_a_gradient_may_arrive_after_the_last_step():
    cell = Cell(RNN + "o = c + V @ h[tau]")
    params, inputs = arrays_of(cell)
    g = np.random.default_rng(1).normal(size=(N_B, 6))
    found = cell.gradient(params, inputs, seeds={"o": g}, lengths=LENGTHS)

    def loop(p, x, row, tau, _):
        o = p["c"] + p["V"] @ rnn(p, x, row, tau)[-1]
        return (o * torch.tensor(g[row])).sum()

    _, grads, _ = torch_total(loop, params, inputs, LENGTHS)
    for name in params:
        np.testing.assert_allclose(found[name], grads[name], atol=1e-13)


def test_without_a_batch_axis():
    for name, (text, _) in CELLS.items():
        cell = Cell(text)
        params, inputs = arrays_of(cell)
        one = {n: a[0] if n in cell.graph.times.row_inputs else a[:, 0]
               for n, a in inputs.items()}  # fmt: skip
        first = {n: a[None] if n in cell.graph.times.row_inputs else a[:, None]
                 for n, a in one.items()}  # fmt: skip
        found = cell.gradient(params, one, input_gradient=True)
        right = cell.gradient(params, first, input_gradient=True)
        assert found.loss == right.loss, name
        for given in found.inputs:
            batch = right.inputs[given]
            row = batch[0] if given in cell.graph.times.row_inputs else batch[:, 0]
            np.testing.assert_array_equal(found.inputs[given], row)


def test_a_start_of_the_cell_is_not_given_with_the_call():
    cell = Cell(CELLS["start, input without time"][0])
    params, inputs = arrays_of(cell)
    with pytest.raises(errors.UnexpectedNameError, match=r"`h\[0\] = \.\.\.`"):
        cell.forward(params, inputs, initial={"h": np.zeros(5)})


@pytest.mark.parametrize(("s", "kind", "words"), [
    (np.zeros((9, 2)), errors.SizeError, "n_b is 4"),
    (np.zeros((TAU, N_B, 7, 2)), errors.InputRankError, "one value per row"),
    (np.zeros((3, N_B, 2)), errors.SizeError, "tau = 7 steps and n_b = 4 rows"),
])  # fmt: skip
def test_an_input_without_time_of_a_wrong_shape(s, kind, words):
    cell = Cell(CELLS["start, input without time"][0])
    params, inputs = arrays_of(cell)
    with pytest.raises(kind, match=words):
        cell.forward(params, {**inputs, "s": s})


# ----- the other libraries -----


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("name", ["last state", "start, input without time", "delayed"])
def test_torch_gives_the_same(name, lengths):
    import bptt.torch

    cell = Cell(CELLS[name][0])
    params, inputs = arrays_of(cell)
    layer = bptt.torch.Recurrent(cell, **{d: SIZES.get(d, 3) for d in cell.dims},
                                 dtype=torch.float64, reduction="mean")  # fmt: skip
    for parameter, array in params.items():
        getattr(layer, parameter).data = torch.tensor(array)
    tensors = {n: torch.tensor(a) for n, a in inputs.items()}
    real = [n for n, t in tensors.items() if t.is_floating_point()]
    for given in real:
        tensors[given].requires_grad_()
    kept = None if lengths is None else torch.tensor(lengths)
    out = layer(**tensors, lengths=kept)
    out.loss.backward()
    right = cell.gradient(params, inputs, reduction="mean", lengths=lengths,
                          input_gradient=True)  # fmt: skip
    np.testing.assert_allclose(out.loss.detach(), right.loss, rtol=1e-12)
    for parameter in params:
        found = getattr(layer, parameter).grad
        np.testing.assert_allclose(found, right[parameter], atol=1e-13)
    for given in real:
        found = tensors[given].grad
        np.testing.assert_allclose(found, right.inputs[given], atol=1e-13)
    run = cell.forward(params, inputs, lengths=lengths)
    for state, value in out.final.items():
        np.testing.assert_allclose(value.detach(), run.final[state], atol=1e-13)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("name", ["last state", "start, input without time", "delayed"])
def test_jax_gives_the_same(name, lengths):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        assert_jax_gives_the_same(jax, name, lengths)


def assert_jax_gives_the_same(jax, name, lengths):
    import bptt.jax

    cell = Cell(CELLS[name][0])
    params, inputs = arrays_of(cell)
    nodes = ("h", "o") if "o" in cell.nodes else ("h",)
    f_jax = bptt.jax.recurrent(cell, nodes=nodes, reduction="mean")

    def loss(p, given):
        return f_jax(p, given, lengths=lengths).loss

    real = {n: a for n, a in inputs.items() if a.dtype.kind == "f"}
    value, (by_p, by_x) = jax.value_and_grad(
        lambda p, x: loss(p, inputs | x), argnums=(0, 1)
    )(params, real)
    right = cell.gradient(params, inputs, reduction="mean", lengths=lengths,
                          input_gradient=True)  # fmt: skip
    np.testing.assert_allclose(value, right.loss, rtol=1e-12)
    for parameter in params:
        np.testing.assert_allclose(by_p[parameter], right[parameter], atol=1e-13)
    for given in real:
        np.testing.assert_allclose(by_x[given], right.inputs[given], atol=1e-13)
    run = cell.forward(params, inputs, lengths=lengths)
    found = f_jax(params, inputs, lengths=lengths)
    for node in nodes:
        np.testing.assert_allclose(found.nodes[node], run[node], atol=1e-13)
