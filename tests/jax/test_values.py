"""bptt.jax against the same cell written with `jax.lax.scan`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
from tests.jax.oracle import (
    N_B,
    SIZES,
    TAU,
    Problem,
    assert_trees_close,
    book_step,
    scan_loss,
)


@pytest.mark.parametrize("name", ["problem", "lstm"])
def test_every_gradient_equals_that_of_a_scan(name, request):
    problem = request.getfixturevalue(name)
    arguments = problem.arguments
    ours, scan = (
        jax.value_and_grad(f, range(len(arguments)))
        for f in (problem.ours, problem.scan)
    )
    expected = jax.jit(scan)(*arguments)
    assert_trees_close(jax.jit(ours)(*arguments), expected)
    if name == "problem":  # the same kernels, reached without jit
        assert_trees_close(ours(*arguments), expected)


def test_results_equal_those_of_the_cell_itself(problem):
    p, x, initial, w = problem.arguments
    out = problem.f(p, {"x": x, "y": problem.y}, initial, w)
    run = problem.cell.forward(p, {"x": x, "y": problem.y}, initial=initial, weights=w)
    assert out.loss == pytest.approx(run.loss, rel=1e-14)
    assert np.array_equal(out.nodes["h"], run["h"])
    assert all(np.array_equal(out.final[s], run.final[s]) for s in run.final)


@pytest.mark.parametrize("reduction", ["batch_mean", "mean", "last"])
def test_reductions_are_those_of_the_cell(reduction):
    problem = Problem("elman", reduction=reduction)
    p, x, _, w = problem.arguments
    inputs = {"x": x, "y": problem.y}
    for weights in (None, w, w[:, 0]):
        ours = problem.f(p, inputs, weights=weights).loss
        cells = problem.cell.forward(p, inputs, reduction=reduction, weights=weights)
        assert ours == pytest.approx(cells.loss, rel=1e-14)


def test_a_layer_returns_its_states_and_passes_gradients_on():
    problem = Problem("elman")
    p = {name: problem.params[name] for name in "bWU"}
    f = bptt.jax.recurrent(bptt.cells.elman)
    out = f(p, {"x": problem.x})
    assert out.loss is None
    assert list(out.nodes) == ["h"]
    zero = {"h": jnp.zeros((N_B, SIZES["n_h"]))}

    def readout(h):
        return (problem.k * h**2).sum()

    def scanned(p):
        body = lambda state, x: (book_step(p, state, x),) * 2  # noqa: E731
        return readout(jax.lax.scan(body, zero, problem.x)[1]["h"])

    ours = jax.grad(lambda p: readout(f(p, {"x": problem.x}).nodes["h"]))(p)
    assert_trees_close(ours, jax.grad(scanned)(p))


def test_a_gradient_that_only_the_last_state_receives_is_right(problem):
    """No gradient arrives at a sequence: the last row is seeded alone."""
    p, x, initial, w = problem.arguments

    def ours(x):
        out = problem.f(p, {"x": x, "y": problem.y}, initial)
        return (out.final["h"] * problem.k_final["h"]).sum()

    def scan(x):
        _, _, final = scan_loss(problem.step, p, x, initial, problem.y, w)
        return (final["h"] * problem.k_final["h"]).sum()

    assert_trees_close(jax.grad(ours)(x), jax.grad(scan)(x))


def test_without_a_batch_axis_results_have_none(problem):
    p, x, initial, w = problem.arguments
    one = {s: value[1] for s, value in initial.items()}
    out = problem.f(p, {"x": x[:, 1], "y": problem.y[:, 1]}, one, w[:, 1])
    rows = problem.f(p, {"x": x, "y": problem.y}, initial, w)
    np.testing.assert_allclose(out.nodes["h"], rows.nodes["h"][:, 1], rtol=1e-14)
    np.testing.assert_allclose(out.final["h"], rows.final["h"][1], rtol=1e-14)


def test_an_input_read_one_step_late_is_a_state_with_a_gradient():
    cell = bptt.Cell("h[t] = tanh(U @ x[t] + V @ x[t-1] + W @ h[t-1])")
    p = cell.init(n_x=2, n_h=3)
    rng = np.random.default_rng(1)
    x, before = rng.normal(size=(TAU, N_B, 2)), rng.normal(size=(N_B, 2))
    k = rng.normal(size=(TAU, N_B, 3))
    f = bptt.jax.recurrent(cell)
    assert np.array_equal(f(p, {"x": x}).final["x"], x[-1])
    ours = jax.grad(lambda b: (k * f(p, {"x": x}, {"x": b}).nodes["h"]).sum())(before)
    theirs = cell.gradient(
        p, {"x": x}, seeds={"h": k}, initial={"x": before}, initial_gradient=True
    )
    np.testing.assert_allclose(ours, theirs.initial["x"], rtol=1e-14)


@pytest.mark.parametrize("has_start", [True, False])
def test_a_size_that_is_known_as_the_rest_of_a_sum(has_start):
    cell = bptt.Cell("""
        W: (n_p+n_g, n_p+n_g); h: n_p+n_g; x: (); b: n_p
        g[t] = g[t-2]
        h[t] = W @ h[t-1] + [b; sin(g[t])] * x[t]
        L[t] = mse(h[t], y[t])
    """)
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((5, 5)), "b": rng.standard_normal(2)}
    inputs = {"x": rng.standard_normal((4, 6)), "y": rng.standard_normal((4, 6, 5))}
    start = {"g": rng.standard_normal((2, 6, 3))} if has_start else {}
    f = bptt.jax.recurrent(cell)
    ours = jax.jit(jax.grad(lambda p, s: f(p, inputs, s).loss, (0, 1)))(params, start)
    known = cell.gradient(
        params, inputs, initial=start, initial_gradient=True, executor="reference"
    )
    for name in params:
        np.testing.assert_allclose(ours[0][name], known[name], rtol=1e-12, atol=1e-13)
    for name in start:
        np.testing.assert_allclose(ours[1][name], known.initial[name], rtol=1e-12)


PUT_TOGETHER = """
    W: (n_h, n_p+n_q+1); x: n_p; u: n_q
    h[t] = tanh(W @ [x[t]; u[t]; 1] + R @ h[t-1])
    L[t] = mean([x[t]; h[t]])
"""


def exported(**widths):
    """The gradient of W as a program for symbolic sizes: of W's columns, of x, of u."""
    cell = bptt.Cell(PUT_TOGETHER)
    f = bptt.jax.recurrent(cell)

    def gradient(params, x, u):
        return jax.grad(lambda p: f(p, {"x": x, "u": u}).loss)(params)["W"]

    names = ", ".join(dict.fromkeys(widths.values()))
    sizes = dict(zip(widths, jax.export.symbolic_shape(names), strict=True))
    shape = functools.partial(jax.ShapeDtypeStruct, dtype="float32")
    params = {"W": shape((5, sizes["W"])), "R": shape((5, 5))}
    allowed = [jax.export.DisabledSafetyCheck.custom_call("bptt")]
    program = jax.export.export(jax.jit(gradient), disabled_checks=allowed)
    return program(params, shape((4, 6, sizes["x"])), shape((4, 6, sizes["u"])))


@pytest.mark.parametrize("n_p", [2, 7])
def test_a_sum_of_symbolic_sizes_is_exported(n_p):
    program = exported(x="n", u="m", W="n + m + 1")
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((5, n_p + 4)), "R": rng.standard_normal((5, 5))}
    x, u = (rng.standard_normal((4, 6, n)) for n in (n_p, 3))
    single = jax.tree.map(lambda a: a.astype("float32"), (params, {"x": x, "u": u}))
    found = program.call(single[0], single[1]["x"], single[1]["u"])
    known = bptt.Cell(PUT_TOGETHER).gradient(*single, executor="reference")
    np.testing.assert_allclose(found, known["W"], rtol=1e-4, atol=1e-5)


def test_a_sum_of_symbolic_sizes_that_is_another_is_refused():
    with pytest.raises(bptt.errors.SizeError, match=r"n_p\+n_q\+1"):
        exported(x="n", u="m", W="n + m")


def test_a_parameter_that_only_comparisons_read_has_a_gradient_of_0():
    """No seed reaches it, so nothing of the second phase does."""
    cell = bptt.Cell("""
        a: (); b: (); r: (); s: (); h: n_h
        s[0] = a ** 2
        r[t] = sin(0.5 * r[t-1] + 0.3 * b)
        s[t] = r[t]
        h[t] = tanh(W @ x[t] + 0.2 * h[t-1]) * (h[t-2] >= s[t-3])
    """)
    rng = np.random.default_rng(0)
    given = {"a": np.float64(0.4), "b": np.float64(0.2), "W": rng.normal(size=(3, 2))}
    x, seed = rng.normal(size=(6, 2, 2)), rng.normal(size=(6, 2, 3))
    f = bptt.jax.recurrent(cell, nodes=["h"])
    found = jax.jit(jax.grad(lambda p: (seed * f(p, {"x": x}).nodes["h"]).sum()))(given)
    expected = cell.gradient(given, {"x": x}, seeds={"h": seed}, executor="reference")
    for name in given:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-14)
    assert (found["a"], found["b"]) == (0, 0)
    assert np.abs(found["W"]).max() > 0.1
