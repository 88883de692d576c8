"""Ragged batches: every row of one equals the same row run alone at its own length.

Padding is filled with NaN and with tokens that do not exist. The oracle is the
reference executor without lengths, one row at a time.
"""

import numpy as np
import pytest

from bptt import Cell, cells
from bptt.execute.kernels import executor as kernels
from bptt.execute.kernels import threads
from tests.execute.library import library, make_case, sizes_of

TAU, LENGTHS = 7, np.array([3, 6, 1, 4, 6])
N_B = len(LENGTHS)
DEAD = np.arange(TAU)[:, None] >= LENGTHS
EVERYTHING = {"input_gradient": True, "initial_gradient": True}
LIBRARY = library()
# What other steps are read in: a loop backward in time, inputs, sums over time of a
# vector or a row, products outside every loop, and a gradient that is cut.
OTHERS = {
    "both directions": Cell("""
h[t] = tanh(W @ h[t-1] + U @ x[t])
g[t] = tanh(V @ g[t+1] + Q @ h[t] + k * g[t+1])
L[t] = sum(h[t] * g[t])
"""),
    "other inputs": Cell("""
x: (n_x)
z: (n_x)
h[t] = tanh(W @ h[t-1] + U @ (x[t-1] + x[t]) + V @ (z[t+1] - z[t]))
L[t] = nll(softmax(Q @ h[t]), y[t]) + nll(softmax(P @ h[t-1]), y[t-1])
"""),
    "outside loops": Cell("""
h[t] = tanh(u * h[t-1] + U @ x[t])
o[t] = sigmoid(V @ h[t-1] + w * h[t-1])
e[t] = softmax(Q @ o[t-1])
L[t] = sum(e[t] * o[t]) + mean(h[t-1])
"""),
    "cut": Cell("""
c[t] = stop_gradient(W @ h[t-1]) + 0.5 * c[t-1]
h[t] = tanh(c[t] + U @ x[t] + m[t-1])
m[t] = 0.5 * m[t-1] + mean(h[t])
L[t] = sum(h[t] ** 2)
"""),
}
# One of each kind in the library: compiling all of them takes half a minute.
KINDS = ("elman", "book", "lstm read out", "gru", "gru of tokens read out", "rows")
ALL = {**{name: LIBRARY[name] for name in KINDS}, **OTHERS}


def spoil(case):
    """The case with nonsense after the end of every row."""
    spoilt = {kind: dict(group) for kind, group in case.items()}
    for kind in ("inputs", "seeds"):
        for name, value in case[kind].items():
            nonsense = np.nan if value.dtype.kind == "f" else 10**6
            spoilt[kind][name] = np.where(
                DEAD.reshape(TAU, N_B, *[1] * (value.ndim - 2)), nonsense, value
            ).astype(value.dtype)
    return spoilt


def row_of(case, row):
    """One row of a case, without a batch axis, cut at its length."""
    length = LENGTHS[row]
    return {
        "params": case["params"],
        "initial": {name: value[row] for name, value in case["initial"].items()},
        "inputs": {n: value[:length, row] for n, value in case["inputs"].items()},
        "seeds": {n: value[:length, row] for n, value in case["seeds"].items()},
    }


def pad(steps, length):
    """Values of `length` steps with zeros up to TAU."""
    return np.concatenate([steps, np.zeros((TAU - length, *steps.shape[1:]))])


def run_alone(cell, case):
    """What all rows give, each run alone: the arrays of a gradient by name."""
    found = {}
    for row, length in enumerate(LENGTHS):
        alone = cell.gradient(
            **row_of(case, row), nodes=tuple(cell.nodes), executor="reference",
            **EVERYTHING,
        )  # fmt: skip
        for name, value in alone.items():
            found[name] = found.get(name, 0) + value
        for name, copies in alone.copies.items():
            key = f"copies {name}"
            found[key] = found.get(key, 0) + pad(copies.stack(), length)
        for kind in ("nodes", "inputs", "run"):
            for name, value in getattr(alone, kind).items():
                found.setdefault(f"{kind} {name}", []).append(pad(value, length))
        for kind in ("initial", "final"):
            for name, value in getattr(alone, kind).items():
                found.setdefault(f"{kind} {name}", []).append(value)
        if alone.loss is not None:
            found["loss"] = found.get("loss", 0) + alone.loss
    return {
        key: np.stack(value, axis=0 if key.startswith(("initial", "final")) else 1)
        if isinstance(value, list)
        else value
        for key, value in found.items()
    }


def run_ragged(cell, case, **options):
    """The same arrays from one call with lengths."""
    grad = cell.gradient(
        **case, lengths=LENGTHS, nodes=tuple(cell.nodes), **EVERYTHING, **options
    )
    found = dict(grad)
    for name, copies in grad.copies.items():
        found[f"copies {name}"] = copies.stack()
    for kind in ("nodes", "inputs", "run", "initial", "final"):
        for name, value in getattr(grad, kind).items():
            found[f"{kind} {name}"] = value
    if grad.loss is not None:
        found["loss"] = grad.loss
    return found


@pytest.mark.parametrize("executor", ["reference", "llvm"])
@pytest.mark.parametrize("name", ALL)
def test_a_ragged_batch_is_its_rows_run_alone(name, executor):
    """The bound of test_compiled: 200 rounding units of the size of what was added.

    That size is the largest element of all arrays of a kind: the gradient of the
    sLSTM's stabiliser is 0, a sum of terms as large as its neighbours' gradients.
    """
    cell = ALL[name]
    case = make_case(cell, sizes_of(cell), TAU, N_B)
    expected = run_alone(cell, case)
    found = run_ragged(cell, spoil(case), executor=executor)
    assert found.keys() == expected.keys()
    sizes = {}
    for key, value in expected.items():
        kind = key.partition(" ")[0] if " " in key else ""
        sizes[kind] = max(sizes.get(kind, 0), np.abs(value).max(initial=0))
    for key, value in expected.items():
        kind = key.partition(" ")[0] if " " in key else ""
        bound = 200 * np.finfo(np.float64).eps * sizes[kind]
        assert np.abs(found[key] - value).max(initial=0) <= bound, key
        if key.startswith(("nodes", "inputs", "run")):
            assert not found[key][DEAD].any(), key


@pytest.mark.parametrize("name", ["lstm read out", "outside loops"])
def test_norms_of_copies_leave_padding_out(name):
    cell = ALL[name]
    case = make_case(cell, sizes_of(cell), TAU, N_B)
    grad = cell.gradient(**spoil(case), lengths=LENGTHS)
    expected = run_alone(cell, case)
    for parameter in cell.parameters:
        stack = expected[f"copies {parameter}"].reshape(TAU, -1)
        np.testing.assert_allclose(
            grad.copies[parameter].norms(), np.linalg.norm(stack, axis=1), atol=1e-12
        )


@pytest.mark.parametrize("name", ["lstm read out", "both directions"])
def test_results_do_not_depend_on_the_number_of_threads(name, monkeypatch):
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    cell = ALL[name]
    rng = np.random.default_rng(0)
    used = set()
    each = kernels.KernelCall._each

    def note(call, ranges, job):
        used.add(len(ranges))
        each(call, ranges, job)

    monkeypatch.setattr(kernels.KernelCall, "_each", note)
    for n_b in (5, 13, 22):
        case = make_case(cell, sizes_of(cell, 5, 33, 4), 6, n_b)
        lengths = rng.integers(1, 7, n_b)
        first, *others = (
            cell.gradient(**case, lengths=lengths, threads=n, **EVERYTHING)
            for n in (1, 2, 3)
        )
        for other in others:
            assert first.loss == other.loss
            for kind in ("inputs", "initial", "final", "run"):
                for key, value in getattr(first, kind).items():
                    np.testing.assert_array_equal(value, getattr(other, kind)[key])
            for key, value in first.items():
                np.testing.assert_array_equal(value, other[key])
    assert used >= {1, 2, 3}


def test_threads_get_about_as_many_useful_steps_each(monkeypatch):
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    cell = cells.elman
    lengths = np.array([40] * 8 + [2] * 80)
    case = make_case(cell, sizes_of(cell), 40, len(lengths))
    found = []
    each = kernels.KernelCall._each

    def note(call, ranges, job):
        found.append(ranges)
        each(call, ranges, job)

    monkeypatch.setattr(kernels.KernelCall, "_each", note)
    cell.gradient(**case, lengths=np.random.default_rng(0).permutation(lengths),
                  threads=2)  # fmt: skip
    # 480 useful steps, 240 for each: 6 rows of 40 steps, cut at a multiple of 4.
    assert [(0, 8), (8, 88)] in found


def test_a_workspace_of_a_ragged_batch_serves_a_full_one_again():
    """Rows 6 and 3 of 3 steps fill 3 steps of 3 rows: the same space as tau = 3."""
    cell = ALL["outside loops"]
    sizes = sizes_of(cell)
    full = make_case(cell, sizes, 3, 3, seed=1)
    expected = cell.gradient(**full, executor="reference")
    ragged = make_case(cell, sizes, 6, 3)
    for _ in range(2):
        for lengths in ([6, 2, 1], [1, 1, 6]):
            cell.gradient(**ragged, lengths=lengths)
            found = cell.gradient(**full)
            for name, value in expected.items():
                np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-13)


def test_lengths_of_all_steps_change_no_bit():
    cell = ALL["lstm read out"]
    case = make_case(cell, sizes_of(cell), TAU, N_B)
    plain = cell.gradient(**case)
    for name, value in cell.gradient(**case, lengths=[TAU] * N_B).items():
        np.testing.assert_array_equal(value, plain[name])
