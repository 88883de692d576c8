"""Tokens read at other steps: a run goes on from `final`, and starts are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bptt

EXECUTORS = ("llvm", "reference")
READS = ("x[t-1]", "x[t-2]", "x[t-3]", "k[t-1]")
NUMBERS: Any = {"rtol": 0, "atol": 1e-14}


def _cell(read: str) -> bptt.Cell:
    text = f"h[t] = tanh(W @ h[t-1] + U[:, x[t]] + R[:, {read}])"
    chosen = "k[t] = argmax(V @ h[t-1])\n" if "k" in read else ""
    return bptt.Cell(chosen + text)


def _instance(read: str, shape: tuple[int, int]) -> Any:
    cell, rng = _cell(read), np.random.default_rng(0)
    sizes = {"n_h": 3, "n_x": 4, **({"n_V": 5} if "k" in read else {})}
    params = cell.init(seed=0, **sizes)
    return cell, params, rng.integers(0, 4, shape), rng.standard_normal((*shape, 3))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("read", READS)
def test_two_pieces_are_the_whole(read: str, first: int, executor: Any) -> None:
    """Values and gradients, also where the first piece is shorter than the delay."""
    cell, params, x, seed = _instance(read, (7, 2))
    whole = cell.gradient(params, {"x": x}, seeds={"h": seed}, executor=executor)
    begun = cell.forward(params, {"x": x[:first]}, executor=executor)
    later = cell.gradient(
        params, {"x": x[first:]}, initial=begun.final, seeds={"h": seed[first:]},
        initial_gradient=True, executor=executor,
    )  # fmt: skip
    if "x" in read:
        assert begun.final["x"].dtype == np.int64
    np.testing.assert_allclose(later.run["h"], whole.run["h"][first:], **NUMBERS)
    early = seed[:first].copy()
    early[-1] += later.initial["h"]
    sooner = cell.gradient(
        params, {"x": x[:first]}, seeds={"h": early}, executor=executor
    )
    for name in params:
        total = sooner[name] + later[name]
        np.testing.assert_allclose(total, whole[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("read", READS)
def test_rows_that_ended_early_go_on(read: str, executor: Any) -> None:
    cell, params, x, _ = _instance(read, (4, 3))
    more, lengths = np.random.default_rng(1).integers(0, 4, (3, 3)), np.array([4, 1, 2])
    begun = cell.forward(params, {"x": x}, lengths=lengths, executor=executor)
    later = cell.forward(params, {"x": more}, initial=begun.final, executor=executor)
    for row, length in enumerate(lengths):
        both = np.concatenate([x[:length, row], more[:, row]])
        whole = cell.forward(params, {"x": both}, executor=executor)
        np.testing.assert_allclose(later["h"][:, row], whole["h"][length:], **NUMBERS)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("away", [1, 2, 3])
def test_a_backward_run_goes_on_before_it(away: int, executor: Any) -> None:
    cell = bptt.Cell(f"h[t] = tanh(W @ h[t+1] + U[:, x[t]] + R[:, x[t+{away}]])")
    params = cell.init(n_h=3, n_x=4, seed=0)
    x = np.random.default_rng(0).integers(0, 4, (7, 2))
    whole = cell.forward(params, {"x": x}, executor=executor)
    last = cell.forward(params, {"x": x[5:]}, executor=executor)
    early = cell.forward(params, {"x": x[:5]}, initial=last.final, executor=executor)
    assert last.final["x"].dtype == np.int64
    np.testing.assert_allclose(early["h"], whole["h"][:5], **NUMBERS)


def test_a_token_read_both_ways_is_whole() -> None:
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U[:, x[t+2]] + R[:, x[t-3]])")
    params, x = cell.init(n_h=3, n_x=4, seed=0), np.array([1, 2, 3, 3])
    final = cell.forward(params, {"x": x}).final
    np.testing.assert_array_equal(final["x"], [2, 3, 3])
    np.testing.assert_array_equal(final["x_after"], [1, 2])
    assert final["x"].dtype == final["x_after"].dtype == np.int64
    cell.forward(params, {"x": x}, initial=final)


@pytest.mark.parametrize(
    ("read", "start", "place"),
    [
        ("x[t-2]", [99, 1], "holds 99 at (t, row) = (-1, 0)"),
        ("x[t-2]", [-1, 1], "holds -1 at (t, row) = (-1, 0)"),
        ("x[t-2]", [10**7, 1], "holds 10000000 at (t, row) = (-1, 0)"),
        ("x[t-2]", [1, 99], "holds 99 at (t, row) = (0, 0)"),
        ("x[t+2]", [99, 1], "holds 99 at (t, row) = (tau+1, 0)"),
        ("x[t+2]", [1, 99], "holds 99 at (t, row) = (tau+2, 0)"),
    ],
)
def test_every_step_of_a_start_is_in_its_range(
    read: str, start: list[int], place: str
) -> None:
    cell, params, x, _ = _instance(read, (5, 1))
    said = f"initial state x {place}; it must lie in 0..3 (n_x = 4)"
    prepared = cell.prepare(params, {"x": x[:, 0]}, seeds={"h": np.ones((5, 3))})
    for call in (cell.forward, cell.gradient, prepared):
        more = {} if call == cell.forward else {"seeds": {"h": np.ones((5, 3))}}
        with pytest.raises(bptt.errors.IndexRangeError) as caught:
            call(params, {"x": x[:, 0]}, initial={"x": np.array(start)}, **more)
        assert said in str(caught.value)


def test_the_row_of_a_wrong_start_is_told() -> None:
    cell, params, x, _ = _instance("x[t-3]", (5, 2))
    start = np.array([[1, 1], [1, 4], [0, 0]])
    with pytest.raises(bptt.errors.IndexRangeError, match=r"4 at .* = \(-1, 1\)"):
        cell.forward(params, {"x": x}, initial={"x": start})


def test_a_start_after_the_last_step_is_an_integer_in_its_range() -> None:
    cell = bptt.Cell("h[t] = tanh(W @ h[t-1] + U[:, x[t+1]] + R[:, x[t-1]])")
    params, x = cell.init(n_h=3, n_x=4, seed=0), {"x": np.array([1, 2, 3])}
    cell.forward(params, x, initial={"x_after": np.array([1])[0]})
    with pytest.raises(bptt.errors.IndexRangeError, match=r"x_after .*tau\+1"):
        cell.forward(params, x, initial={"x_after": 99})
    for wrong in (1.5, np.array(1.5), np.ones(1)):
        with pytest.raises(bptt.errors.ArgumentError):
            cell.forward(params, x, initial={"x_after": wrong})
    with pytest.raises(bptt.errors.DtypeError, match="must hold integers"):
        cell.forward(params, x, initial={"x_after": np.array(1.5)})


def test_a_number_for_all_rows_is_bound_again() -> None:
    """Without a batch axis, and the second call like the first."""
    cell = bptt.Cell("a: ()\ns: ()\nx: ()\ns[t] = s[t-1] + a * x[t]")
    x, start = np.ones(3), np.array(1.5)
    for _ in range(2):
        run = cell.forward({"a": np.array(1.0)}, {"x": x}, initial={"s": start})
        np.testing.assert_array_equal(run["s"], [2.5, 3.5, 4.5])
