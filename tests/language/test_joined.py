"""Vectors put together, their parts and places, and integers that a cell computes."""

import numpy as np
import pytest
import torch
from torch import sigmoid, tanh

from bptt import Cell, check_equation, errors

TAU, N_B = 4, 3
LENGTHS = np.array([4, 2, 3])
N_X, N_H, N_G = 3, 4, 5

GATED = """
    z[t] = [h[t-1]; x[t]; 1]
    g[t] = sigmoid(W @ z[t])
    a[t] = A @ [g[t]; x[t]]
    s[t] = a[t, 1, ..., n_h] * a[t, n_h + 1, ..., 2 * n_h]
    h[t] = tanh(s[t]) + roll(roll(g[t], 2)[1, ..., n_h], -1)
    L[t] = sum(h[t] * roll(h[t], 1)) + prod(x[t, 2, ..., 3]) * prod(h[t]) + min(g[t])
    h: n_h; a: 2 * n_h
"""


def gated(p, x, h, tau):
    total, one = 0, torch.ones(1).double()
    for t in range(tau):
        g = sigmoid(p["W"] @ torch.cat([h, x[t], one]))
        a = p["A"] @ torch.cat([g, x[t]])
        s = a[:N_H] * a[N_H:]
        h = tanh(s) + torch.roll(torch.roll(g, 2)[:N_H], -1)
        total = total + (h * torch.roll(h, 1)).sum() + g.min()
        total = total + x[t, 1] * x[t, 2] * h.prod()
    return total


def test_parts_and_wholes_are_those_of_torch_forward_and_backward():
    cell, rng = Cell(GATED), np.random.default_rng(1)
    assert cell.parameters == {"W": ("n_g", "n_h+n_x+1"), "A": ("n_h+n_h", "n_g+n_x")}
    sizes = {"n_x": N_X, "n_h": N_H, "n_g": N_G}
    params = {n: rng.normal(size=v.shape) for n, v in cell.init(**sizes).items()}
    assert params["W"].shape == (5, 8)
    x, h = rng.normal(size=(TAU, N_B, N_X)), rng.normal(size=(N_B, N_H))
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in params.items()}
    first = torch.tensor(h, requires_grad=True)
    total = sum(gated(leaves, torch.tensor(x[:, row]), first[row], int(n))
                for row, n in enumerate(LENGTHS))  # fmt: skip
    total.backward()
    for executor in ("reference", "llvm"):
        found = cell.gradient(params, {"x": x}, initial={"h": h}, lengths=LENGTHS,
                              initial_gradient=True, executor=executor)  # fmt: skip
        np.testing.assert_allclose(found.loss, total.item(), rtol=1e-12)
        for n, leaf in leaves.items():
            np.testing.assert_allclose(found[n], leaf.grad, atol=1e-11)
        np.testing.assert_allclose(found.initial["h"], first.grad, atol=1e-11)


def test_all_gradients_of_parts_are_checked_and_the_text_reads_back():
    cell = Cell(GATED)
    printed = cell.canonical_text
    assert "z[t] = [h[t-1]; x[t]; 1.0]" in printed
    assert "s[t] = a[t, 1, ..., n_h] * a[t, n_h + 1, ..., 2 * n_h]" in printed
    assert Cell(printed).canonical_text == printed
    ledger = cell.check(instances=1)
    assert ledger.passed, str(ledger)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_a_product_with_elements_that_are_zero_has_its_derivatives(zeros):
    cell = Cell("L[t] = prod(v * x[t])\nv: 4")
    v = np.array([1.5, -2.0, 0.5, 3.0])
    v[:zeros] = 0
    x, direction = np.array([[0.5, 2.0, -1.0, 4.0]]), np.array([1.0, -0.5, 2.0, 0.25])
    product = lambda u: (u * torch.tensor(x[0])).prod()  # noqa: E731
    leaf = torch.tensor(v, requires_grad=True)
    (grad,) = torch.autograd.grad(product(leaf), leaf)
    _, curved = torch.autograd.functional.hvp(
        product, torch.tensor(v), torch.tensor(direction)
    )
    for executor in ("reference", "llvm"):
        found = cell.gradient({"v": v}, {"x": x}, executor=executor)
        np.testing.assert_allclose(found["v"], grad, atol=1e-14)
    second = cell.hessian_vector({"v": v}, {"x": x}, direction={"v": direction})
    np.testing.assert_allclose(second["v"], curved, atol=1e-13)


FED_BACK = """
    # figure 10.10: the network reads what it said, where g[t] is 1
    g: () = bernoulli(0.5)
    u: () = uniform(0, 1)
    e[t] = where(g[t] > 0, E[:, k[t-1]], E[:, x[t]])
    h[t] = tanh(W @ h[t-1] + e[t])
    o[t] = V @ h[t]
    k[t] = sample(softmax(o[t]), u[t])
    m[t] = argmax(o[t])
    L[t] = nll(softmax(o[t]), y[t]) + sum(U[:, m[t]] * h[t])
"""


def fed_back(p, x, u, g, y, tau):
    h, k, total, said = torch.zeros(4).double(), 0, 0, []
    for t in range(tau):
        h = tanh(p["W"] @ h + p["E"][:, k if g[t] else x[t]])
        o = p["V"] @ h
        share = torch.softmax(o, 0).detach().cumsum(0)
        k = int((share > u[t]).nonzero()[0, 0])
        said.append(k)
        total = total - torch.log_softmax(o, 0)[y[t]]
        total = total + p["U"][:, int(o.argmax())] @ h
    return total, said


def test_a_network_is_fed_its_own_samples():
    cell, rng = Cell(FED_BACK), np.random.default_rng(2)
    assert cell.dims == ("n_o", "n_h")
    assert cell.parameters["E"] == cell.parameters["U"] == ("n_h", "n_o")
    params = cell.init(n_o=5, n_h=4)
    params = {n: rng.normal(size=v.shape) for n, v in params.items()}
    given = {n: rng.integers(0, 5, (TAU, N_B)) for n in "xy"}
    inputs = cell.draw(params, given, seed=3)
    assert 0 < inputs["g"].sum() < TAU * N_B
    leaves = {n: torch.tensor(v, requires_grad=True) for n, v in params.items()}
    rows = [fed_back(leaves, *(inputs[n][:, row] for n in "xugy"), int(LENGTHS[row]))
            for row in range(N_B)]  # fmt: skip
    sum(total for total, _ in rows).backward()
    for executor in ("reference", "llvm"):
        found = cell.gradient(params, inputs, lengths=LENGTHS, executor=executor)
        for n, leaf in leaves.items():
            np.testing.assert_allclose(found[n], leaf.grad, atol=1e-12)
        run = cell.forward(params, inputs, lengths=LENGTHS, executor=executor)
        for row, (_, said) in enumerate(rows):
            assert run["k"][: LENGTHS[row], row].tolist() == said


def test_computed_look_ups_print_and_are_checked():
    cell = Cell(FED_BACK)
    assert "E[:, k[t-1]], E[:, x[t]]" in cell.canonical_text
    assert Cell(cell.canonical_text).canonical_text == cell.canonical_text
    assert cell.check(instances=1).passed


def test_samples_come_as_often_as_their_probability_says():
    cell = Cell("k[t] = sample(softmax(x[t]), u[t])\nu: ()\nx: 3")
    n = 3000
    p = np.array([0.2, 0.5, 0.3])
    u = (np.arange(n) + 0.5) / n
    x = np.broadcast_to(np.log(p), (n, 3))
    k = cell.forward({}, {"x": x, "u": u})["k"]
    np.testing.assert_allclose(np.bincount(k.astype(int)) / n, p, atol=1 / n)


def test_what_runs_along_an_index_has_products_and_places():
    cell = Cell("i = 1, ..., 3\nx: 3\np[t] = prod(i, x[t, i]) + min(i, x[t, i])\n"
                "k[t] = argmax(i, -x[t, i]) + argmin(x[t])")  # fmt: skip
    x = np.array([[2.0, -1.5, 4.0], [3.0, 0.5, -3.0]])
    for executor in ("reference", "llvm"):
        run = cell.forward({}, {"x": x}, executor=executor)
        assert run["p"].tolist() == [-13.5, -7.5]
        assert run["k"].tolist() == [2, 4]


def refused(text, kind):
    with pytest.raises(kind) as caught:
        Cell(text)
    return str(caught.value)


def test_mistakes_with_parts_say_what_to_write():
    message = refused("h[t] = [W; x[t]] @ x[t]", errors.RankError)
    assert "x[t] is a vector and W a matrix: what is put together differs" in message
    message = refused("x: 5\nh[t] = x[t, 2, ..., 7]", errors.DimensionClashError)
    assert "x has 5 elements, and x[t, 2, ..., 7] reads element 7" in message
    message = refused("h[t] = x[t, 3, ..., 2]", errors.RankError)
    assert "a part runs from an element to a later one" in message
    message = refused("h[t] = x[t, y, ..., x[t]]", errors.IndexUseError)
    assert "is no part of a vector" in message
    message = refused("h[t] = roll(x[t], n)", errors.ArgumentCountError)
    assert "roll goes round by a whole number, not `n`" in message
    message = refused("h[t] = W[:, [x[t]; x[t]]]", errors.RankError)
    assert "a look-up takes one whole number" in message
    message = refused("v: n_c; L[t] = sum(v * [x[t]; y[t]])",
                      errors.DimensionClashError)  # fmt: skip
    assert "one dimension would need two sizes, n_c and n_x+n_y" in message


def test_sizes_that_are_no_sum_of_their_parts_are_refused():
    cell = Cell("h[t] = tanh(W @ [h[t-1]; x[t]])")
    x = np.ones((2, 3))
    assert cell.forward({"W": np.ones((4, 7))}, {"x": x})["h"].shape == (2, 4)
    with pytest.raises(errors.SizeError) as caught:
        cell.forward({"W": np.ones((4, 6))}, {"x": x})
    assert "n_x is 3 here, but 2 in parameter W (n_h, n_h+n_x)" in str(caught.value)


def test_an_explanation_shows_the_gradient_of_parts():
    cell = Cell("h[t] = tanh(W @ [h[t-1]; x[t]])")
    assert "grad_W = sum(t, outer(" in cell.explain().text()
    back = "(W.T @ (grad_h[t+1] * (1 - h[t+1]**2)))[1, ..., n_h]"
    assert check_equation(f"grad_h[t] = incoming_h[t] + {back}", cell).passed
    assert not check_equation("grad_h[t] = grad_h[t+1]", cell).passed
