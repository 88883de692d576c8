"""Rows of different lengths in bptt.jax, against scans of every row alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bptt
from tests.jax.oracle import TAU, Problem, assert_trees_close, scan_loss

LENGTHS = np.array([2, TAU, 4])


def one_by_one(problem, p, x, initial, w):
    """Every row alone, cut off where it ends, by scans."""
    total = 0.0
    for row, n in enumerate(LENGTHS):
        cut = np.s_[:n, row : row + 1]
        first = {s: value[row : row + 1] for s, value in initial.items()}
        loss, h, final = scan_loss(
            problem.step, p, x[cut], first, problem.y[cut], w[cut]
        )
        k_final = {s: k[row : row + 1] for s, k in problem.k_final.items()}
        more = sum((final[s] * k_final[s]).sum() for s in final)
        total += loss + (jnp.sin(h) * problem.k[cut]).sum() + more
    return total


def test_rows_of_different_lengths_are_rows_that_end_there(lstm):
    """What lies beyond a row's end is NaN here and changes nothing."""
    problem = lstm
    p, x, initial, w = lstm.arguments
    useful = np.arange(TAU)[:, None] < LENGTHS
    padded = np.where(useful[..., None], x, np.nan)

    def ours(p, x, initial, w):
        out = problem.f(p, {"x": x, "y": problem.y}, initial, w, LENGTHS)
        more = sum((out.final[s] * problem.k_final[s]).sum() for s in out.final)
        sines = (jnp.sin(out.nodes["h"]) * problem.k).sum()
        return out.loss + sines + more

    numbers = range(4)
    found = jax.jit(jax.value_and_grad(ours, numbers))(p, padded, initial, w)
    expected = jax.jit(jax.value_and_grad(lambda *a: one_by_one(problem, *a), numbers))(
        p, x, initial, w
    )
    assert_trees_close(found, expected)


def test_lengths_are_folded_by_vmap_and_checked(problem):
    p, x, initial, w = problem.arguments
    xs, lengths = np.stack([x, -x]), np.stack([LENGTHS, LENGTHS[::-1]])

    def total(x, lengths):
        out = problem.f(p, {"x": x, "y": problem.y}, initial, w, lengths)
        return out.loss + (out.final["h"] * problem.k_final["h"]).sum()

    both = jax.jit(jax.vmap(jax.value_and_grad(total)))(xs, lengths)
    alone = [jax.value_and_grad(total)(*pair) for pair in zip(xs, lengths, strict=True)]
    assert_trees_close(both, jax.tree.map(lambda *a: jnp.stack(a), *alone))
    with pytest.raises(bptt.errors.LengthsError, match=r"shape \(n_b,\) = \(3,\)"):
        total(x, LENGTHS[:2])
    with pytest.raises(Exception, match="LengthsError: lengths holds 6 at row 0"):
        jax.block_until_ready(total(x, LENGTHS + 4))


@pytest.mark.parametrize("reduction", ["batch_mean", "mean", "last"])
def test_reductions_of_rows_of_different_lengths_are_those_of_the_cell(reduction):
    problem = Problem("elman", reduction=reduction)
    p, x, _, w = problem.arguments
    inputs = {"x": x, "y": problem.y}
    for weights in (None, w):
        ours = problem.f(p, inputs, weights=weights, lengths=LENGTHS).loss
        cells = problem.cell.forward(
            p, inputs, reduction=reduction, weights=weights, lengths=LENGTHS
        )
        assert ours == pytest.approx(cells.loss, rel=1e-14)
