"""Buffers that go from a forward pass to its backward pass."""

import importlib

import jax

from tests.jax.oracle import assert_trees_close


def test_the_backward_pass_goes_on_from_the_forward_pass(problem, monkeypatch):
    def refuse(*_):
        raise AssertionError("the forward pass ran once more")

    monkeypatch.setattr(importlib.import_module("bptt.jax.run"), "_go_back", refuse)
    ours = jax.jit(jax.grad(problem.ours))(*problem.arguments)
    assert_trees_close(ours, jax.jit(jax.grad(problem.scan))(*problem.arguments))


def test_a_pullback_may_be_called_again_and_passes_may_wait(problem):
    """A backward pass overwrites buffers: of what waits, a copy of its own."""
    p, x, initial, w = problem.arguments
    pulls = [
        jax.vjp(jax.jit(lambda x: problem.ours(p, x, initial, w)), x * k)[1]
        for k in (1, 2, 3)
    ]
    scan = jax.jit(jax.grad(problem.scan, 1))
    for k, pull in reversed(list(enumerate(pulls, 1))):
        expected = scan(p, x * k, initial, w)
        for seed in (1.0, 3.0):
            assert_trees_close(pull(seed)[0], seed * expected)
