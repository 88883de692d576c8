"""Inner steps, `s[t, l-1]`, against loops in torch, and what is refused."""

import numpy as np
import pytest
import torch
from torch import sigmoid, tanh

from bptt import Cell, errors

TAU, N_B = 5, 3
LENGTHS = np.array([5, 2, 4])

HIGHWAY = """
    # recurrent highway network (Zilly et al., 2017, equations 6-9), depth 5
    l = 1, ..., 5
    first(W) = where(l == 1, W @ x[t], 0)
    s[t, 0] = s[t-1, 5]
    h[t, l] = tanh(first(W_h) + R_h[l] @ s[t, l-1] + b_h[l])
    g[t, l] = sigmoid(first(W_g) + R_g[l] @ s[t, l-1] + b_g[l])
    s[t, l] = h[t, l] * g[t, l] + s[t, l-1] * (1 - g[t, l])
    L[t] = mse(V @ s[t, 5], y[t])
"""


def highway(p, x, y, tau, initial):
    s, total = initial["s"][4], 0
    for t in range(tau):
        for k in range(5):
            first = 1.0 if k == 0 else 0.0
            h = tanh(first * (p["W_h"] @ x[t]) + p["R_h"][k] @ s + p["b_h"][k])
            g = sigmoid(first * (p["W_g"] @ x[t]) + p["R_g"][k] @ s + p["b_g"][k])
            s = h * g + s * (1 - g)
        total = total + ((p["V"] @ s - y[t]) ** 2).mean()
    return total


SOLVER = """
    # a liquid time constant, six steps of a solver (Hasani et al., 2021, algorithm 1)
    k = 1, ..., 6
    f(v) = sigmoid(b + W @ v + U @ x[t])
    h[t, 0] = h[t-1, 6]
    h[t, k] = (h[t, k-1] + 0.1 * f(h[t, k-1]) * a) / (1 + 0.1 * (1 + f(h[t, k-1])))
    L[t] = mse(h[t, 6] + mean(k, h[t, k]), y[t])
"""


def solver(p, x, y, tau, initial):
    h, total = initial["h"][5], 0
    for t in range(tau):
        steps = []
        for _ in range(6):
            f = sigmoid(p["b"] + p["W"] @ h + p["U"] @ x[t])
            h = (h + 0.1 * f * p["a"]) / (1 + 0.1 * (1 + f))
            steps.append(h)
        mean = torch.stack(steps).mean(0)
        total = total + ((h + mean - y[t]) ** 2).mean()
    return total


STACKED = """
    # three layers, a state for each, and two heads with a state of their own inside
    l = 1, ..., 3; j = 1, ..., 2
    m: (3, 2)
    h[t, 0] = U @ x[t]
    h[t, l] = tanh(W[l] @ h[t-1, l] + R[l] @ h[t, l-1] + sum(j, m[t-1, l, j]) * d)
    m[t, 0, j] = 0
    m[t, l, j] = 0.5 * m[t, l-1, j] + l * dot(v[j], h[t, l]) / 10
    L[t] = mse(h[t, 3], y[t]) + sum(j, m[t, 2, j])
"""


def stacked(p, x, y, tau, initial):
    h, m, total = list(initial["h"]), initial["m"], 0
    for t in range(tau):
        below, carried, rows = p["U"] @ x[t], torch.zeros(2).double(), []
        for k in range(3):
            h[k] = tanh(p["W"][k] @ h[k] + p["R"][k] @ below + m[k].sum() * p["d"])
            carried = 0.5 * carried + (k + 1) * (p["v"] @ h[k]) / 10
            rows.append(carried)
            below = h[k]
        m = torch.stack(rows)
        total = total + ((h[2] - y[t]) ** 2).mean() + m[1].sum()
    return total


BACKWARD = """
    l = 1, ..., 3
    u[t, 4] = U @ x[t]
    u[t, l] = tanh(W[l] @ u[t, l+1] + B @ u[t+1, l])
    L[t] = mse(u[t, 1], y[t])
"""


def backward(p, x, y, tau, initial):
    u, total = list(initial["u"]), 0
    for t in reversed(range(tau)):
        above = p["U"] @ x[t]
        for k in (2, 1, 0):
            u[k] = tanh(p["W"][k] @ above + p["B"] @ u[k])
            above = u[k]
        total = total + ((u[0] - y[t]) ** 2).mean()
    return total


CASES = {
    "highway": (HIGHWAY, highway), "solver": (SOLVER, solver),
    "stacked": (STACKED, stacked), "backward": (BACKWARD, backward),
}  # fmt: skip


def _drawn(cell, rng):
    sizes = {d: 4 if d not in ("n_x", "n_y", "n_o") else 3 for d in cell.dims}
    params = {n: rng.normal(size=v.shape) / 2 for n, v in cell.init(**sizes).items()}
    numbers = lambda shape: tuple(sizes.get(d, d) for d in shape)  # noqa: E731
    inputs = {
        n: rng.normal(size=(TAU, N_B, *numbers(s))) for n, s in cell.inputs.items()
    }
    initial = {n: rng.normal(size=(N_B, *numbers(cell.nodes[n]))) for n in cell.states}
    return params, inputs, initial


@pytest.mark.parametrize("name", CASES)
def test_inner_steps_are_a_loop_forward_and_backward(name):
    text, loop = CASES[name]
    cell = Cell(text)
    params, inputs, initial = _drawn(cell, np.random.default_rng(3))
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in params.items()}
    first = {n: torch.tensor(v, requires_grad=True) for n, v in initial.items()}
    total = sum(
        loop(leaves, *(torch.tensor(inputs[n][:, row]) for n in "xy"), LENGTHS[row],
             {n: v[row] for n, v in first.items()})
        for row in range(N_B)
    )  # fmt: skip
    total.backward()
    for executor in ("reference", "llvm"):
        found = cell.gradient(params, inputs, initial=initial, lengths=LENGTHS,
                              initial_gradient=True, executor=executor)  # fmt: skip
        np.testing.assert_allclose(found.loss, total.item(), rtol=1e-12)
        for n, leaf in leaves.items():
            np.testing.assert_allclose(found[n], leaf.grad, rtol=0, atol=1e-11)
        for n, leaf in first.items():
            np.testing.assert_allclose(found.initial[n], leaf.grad, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_inner_steps_print_as_single_places_and_read_back(name):
    cell = Cell(CASES[name][0])
    printed = cell.canonical_text
    again = Cell(printed)
    assert again.canonical_text == printed
    assert (again.nodes, again.parameters) == (cell.nodes, cell.parameters)


def test_all_gradients_of_inner_steps_are_checked():
    ledger = Cell(STACKED).check(instances=1)
    assert ledger.passed, str(ledger)


def test_a_branch_that_a_step_never_takes_is_not_in_it():
    text = Cell(HIGHWAY).canonical_text
    assert text.count("W_h @ x[t]") == 1
    assert "h[t, 2] = tanh(R_h[2] @ s[t, 1] + b_h[2])" in text


def test_single_places_may_be_written_beside_the_rest():
    cell = Cell("l = 1, ..., 3\nu[t, 1] = x[t]\nu[t, l] = l * u[t, l-1]")
    run = cell.forward({}, {"x": np.array([[2.0, 5.0]])})
    assert run["u"].tolist() == [[[2, 5], [4, 10], [12, 30]]]


def refused(text, kind=errors.InnerStepError):
    with pytest.raises(kind) as caught:
        Cell(text)
    return str(caught.value)


STEPS = "l = 1, ..., 3\n"


def test_inner_steps_without_a_start_are_refused():
    message = refused(STEPS + "s[t, l] = tanh(R[l] @ s[t, l-1] + U @ x[t])")
    assert "l is an inner loop without a start: s[t, 0] has no equation" in message
    assert "Likely fix: s[t, 0] = s[t-1, 3], or s[t, 0] = 0" in message
    assert message.startswith("line 2 of the cell")


def test_inner_steps_have_a_fixed_number():
    message = refused("l = 1, ..., n_l\ns[t, 0] = x[t]\ns[t, l] = tanh(s[t, l-1])")
    assert "l counts inner steps here" in message
    assert "`l = 1, ..., 6`" in message


def test_inner_steps_run_one_way():
    message = refused(
        STEPS + "s[t, 0] = x[t]; s[t, 4] = x[t]\ns[t, l] = s[t, l-1] + s[t, l+1]"
    )
    assert "l would have to run up and down" in message


@pytest.mark.parametrize(("line", "words"), [
    ("s[t, l] = s[t, l-1] + sum(i, s[t, i])", "that only i says"),
    ("s[t, l] = s[t, l-1] + sum(l, R[l] @ x[t])", "l is on the left already"),
    ("s[t, l] = R @ s[t] + s[t, l-1]", "all places of s are read"),
])  # fmt: skip
def test_what_waits_for_itself_inside_is_refused(line, words):
    kind = errors.IndexUseError if "left" in words else errors.InnerStepError
    text = f"i, l = 1, ..., 3\ns[t, 0] = x[t]\n{line}"
    assert words in refused(text, kind)


def test_a_later_equation_of_the_same_inner_step_is_refused():
    text = STEPS + "s[t, 0] = x[t]\ns[t, l] = h[t, l]\nh[t, l] = tanh(s[t, l-1])"
    message = refused(text, errors.UseBeforeDefinitionError)
    assert "h[t, 1] is read by s[t, 1], which is computed earlier" in message


def test_places_with_gaps_or_twice_are_refused():
    assert "none for place 2" in refused(STEPS + "u[t, 1] = x[t]; u[t, 3] = x[t]")
    text = STEPS + "u[t, 1] = x[t]; u[t, 1] = x[t]"
    message = refused(text, errors.DuplicateDefinitionError)
    assert "u has two equations for place 1" in message


def test_the_start_is_no_place_outside_the_inner_steps():
    cell = Cell("""
        l = 1, ..., 3
        s: 3; p: 3; a: (); b: ()
        s[t, 0] = 5
        s[t, l] = s[t, l-1] * p[t, l]
        a[t] = sum(l, s[t, l-1])
        b[t] = sum(l, where(l == 1, s[t, 0], s[t, wrap(l-1)]))
    """)
    run = cell.forward({}, {"p": np.full((1, 1, 3), 0.5)}, executor="reference")
    assert run["s"][0, 0].tolist() == [2.5, 1.25, 0.625]
    assert run["a"][0, 0] == 2.5 + 1.25
    assert run["b"][0, 0] == 5 + 2.5 + 1.25


def test_what_has_inner_steps_has_a_start_at_every_place():
    cell = Cell(
        "j = 1, ..., 3\nx: 3\nr[0, j] = 4\nr[t, 0] = 0\n"
        "r[t, j] = x[t, j] + 0.5 * r[t-1, j] + 0.3 * r[t, j-1]"
    )
    again = Cell(cell.canonical_text)
    assert again.canonical_text == cell.canonical_text
    x = np.arange(6.0).reshape(2, 3)
    r = np.full(3, 4.0)
    for t in range(2):
        before = 0.0
        for j in range(3):
            before = r[j] = x[t, j] + 0.5 * r[j] + 0.3 * before
        for made in (cell, again):
            np.testing.assert_allclose(made.forward({}, {"x": x})["r"][t], r)
