"""Truncated gradients against one window after another, each run by itself exactly."""

import numpy as np
import pytest

from bptt import Cell, cells, errors
from tests.execute.library import make_case, sizes_of

TAU, N_H = 13, 5
CELLS = {
    "elman": cells.elman,
    "lstm read out": cells.lstm.with_readout(),
    "a delay": Cell("""
        h[t] = tanh(W @ h[t-1] + R @ h[t-2] + U @ x[t])
        L[t] = sum(h[t] ** 2)
    """),
}


def by_hand(cell, case, n_b, lengths, k1, k2):
    """The windows as the book of Williams and Peng has them, by the reference.

    A window that starts at s takes the states of the whole run there: weights and seeds
    before its last k1 steps are 0.
    """
    lengths = np.full(n_b, TAU) if lengths is None else np.asarray(lengths)
    tau = lengths.max()
    inputs, seeds = case["inputs"], case["seeds"]
    total, loss, nodes = {}, 0.0, np.zeros((TAU, n_b, N_H))
    for block in range(0, tau, k1):
        end = min(block + k1, tau)
        begin = max(0, end - k2)
        rows = np.flatnonzero(lengths > begin)
        initial = {n: v[rows] for n, v in case["initial"].items()}
        if begin:
            before = cell.forward(
                case["params"], {n: v[:begin, rows] for n, v in inputs.items()},
                initial=initial, executor="reference",
            )  # fmt: skip
            initial = before.final
        heard = (np.arange(begin, end) >= block).astype(float)[:, None]
        grad = cell.gradient(
            case["params"], {n: v[begin:end, rows] for n, v in inputs.items()},
            initial=initial, nodes=("h",), executor="reference",
            weights=heard * np.ones(len(rows)) if cell.graph.loss else None,
            seeds={n: v[begin:end, rows] * heard[..., None] for n, v in seeds.items()},
            lengths=np.minimum(lengths[rows], end) - begin,
        )  # fmt: skip
        total = {n: total.get(n, 0) + grad[n] for n in grad}
        nodes[begin:end, rows] += grad.nodes["h"]
        loss += grad.loss or 0.0
    return total, loss, nodes


@pytest.mark.parametrize("lengths", [None, [4, 13, 9], [11, 3, 7]])
@pytest.mark.parametrize("name", CELLS)
def test_windows_are_those_of_a_run_by_hand(name, lengths):
    cell = CELLS[name]
    case = make_case(cell, sizes_of(cell), TAU, 3)
    if name == "a delay":
        case["initial"] = {}
    for k1, k2 in ((1, 1), (2, 5), (4, 4), (3, 40), (5, 7)):
        found = cell.gradient(**case, lengths=lengths, truncate=(k1, k2), nodes=("h",))
        total, loss, nodes = by_hand(cell, case, 3, lengths, k1, k2)
        for parameter, value in total.items():
            np.testing.assert_allclose(
                found[parameter], value, rtol=1e-10, atol=1e-12, err_msg=f"{k1} {k2}"
            )
        np.testing.assert_allclose(found.nodes["h"], nodes, rtol=1e-10, atol=1e-12)
        if cell.graph.loss:
            assert found.loss == pytest.approx(loss, rel=1e-12)


def test_windows_as_long_as_the_sequence_lose_nothing():
    cell = CELLS["lstm read out"]
    case = make_case(cell, sizes_of(cell), TAU, 3)
    exact = cell.gradient(**case)
    whole = cell.gradient(**case, truncate=(TAU, TAU))
    short = cell.gradient(**case, truncate=(2, 3))
    for name, (error, cosine) in whole.bias().items():
        assert error < 1e-12 and cosine > 1 - 1e-12, name
    for name, (error, _) in short.bias().items():
        norm = np.linalg.norm(exact[name])
        expected = np.linalg.norm(short[name] - exact[name]) / norm
        assert error == pytest.approx(expected, rel=1e-12)
    assert max(error for error, _ in short.bias().values()) > 1e-3
    assert short.loss == pytest.approx(exact.loss, rel=1e-12)
    assert short.schedule.measured <= short.schedule.predicted
    with pytest.raises(errors.TruncationError, match="overlap"):
        short.copies["W_i"].norms()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truncate": (3, 2)}, "at least k1"),
        ({"truncate": 3}, r"use \(k1, k2\)"),
        ({"truncate": (0, 2)}, r"use \(k1, k2\)"),
        ({"truncate": (1, 2), "memory": "1GB"}, "leave out"),
    ],
)
def test_windows_that_make_no_sense_are_refused(options, words):
    cell = CELLS["lstm read out"]
    with pytest.raises(errors.TruncationError, match=words):
        cell.gradient(**make_case(cell, sizes_of(cell), 4, 2), **options)


def test_a_loop_from_the_end_has_no_windows():
    cell = Cell("h[t] = tanh(W @ h[t+1] + U @ x[t]); L[t] = sum(h[t] ** 2)")
    with pytest.raises(errors.TruncationError, match="later steps"):
        cell.gradient(**make_case(cell, sizes_of(cell), 4, 2), truncate=(1, 2))
