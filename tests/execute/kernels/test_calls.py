"""Calls of compiled cells: caching, threads, results that stay, and fall-backs."""

import gc
import threading
import warnings

import numpy as np
import pytest

from bptt import Cell, cells, errors
from bptt.execute.compile import compiler, lowerings
from bptt.execute.dispatch import FallbackWarning
from bptt.execute.kernels import executor, threads
from tests.execute.library import library, make_case, sizes_of

LIBRARY = library()
EVERYTHING = {"input_gradient": True, "initial_gradient": True}
THREADED = ("elman", "lstm read out", "gru of tokens read out", "rows")


def gradient(cell, case, **options):
    return cell.gradient(**case, nodes=tuple(cell.nodes), **EVERYTHING, **options)


def everything(grad):
    """Every array of a gradient, by name."""
    found = {f"grad {name}": value for name, value in grad.items()}
    for what in ("nodes", "inputs", "initial", "run", "final"):
        found |= {f"{what} {k}": v for k, v in getattr(grad, what).items()}
    for name, copies in grad.copies.items():
        found[f"copies of {name}"] = copies.stack()
    return found


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


# ----- compiled once -----


def test_tau_and_n_b_never_compile_again():
    cell = Cell("h[t] = tanh(W @ h[t-1] + U @ x[t] + 0.25)")
    sizes = sizes_of(cell)
    gradient(cell, make_case(cell, sizes, 3, 2)).run["h"]
    before = compiler._compile.cache_info()
    for tau, n_b in ((1, 1), (7, 2), (3, 31), (50, 5)):
        gradient(cell, make_case(cell, sizes, tau, n_b)).run["h"]
    after = compiler._compile.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits
    gradient(cell, make_case(cell, sizes, 3, 2, np.float32))
    assert compiler._compile.cache_info().misses == before.misses + 1


def test_what_is_kept_is_bounded():
    info = compiler._compile.cache_info()
    assert info.maxsize == compiler.KEPT
    assert info.currsize <= info.maxsize


# ----- threads -----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", THREADED)
def test_results_do_not_depend_on_the_number_of_threads(name, dtype, monkeypatch):
    """All of them bitwise: nodes, parameters, copies, inputs, initial states.

    Rows are cut where the tiles are, and a sum over rows and steps is cut by the
    columns of its result, so every element meets the same operations in the same
    order. The loss and the sums outside kernels are made by one thread.
    """
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    cell = LIBRARY[name]
    sizes = sizes_of(cell, 5, 33, 4)
    used = set()
    split = executor.split_rows

    def note(rows, n, *multiple):
        ranges = split(rows, n, *multiple)
        used.add(len(ranges))
        return ranges

    monkeypatch.setattr(executor, "split_rows", note)
    for n_b in (1, 4, 5, 13, 15, 29):
        case = make_case(cell, sizes, 4, n_b, dtype)
        first, *others = (gradient(cell, case, threads=n) for n in (1, 2, 3))
        for other in others:
            assert first.loss == other.loss
            assert_same(everything(first), everything(other))
    assert used >= {1, 2, 3}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_two_callers_at_once_get_their_own_results(n_threads, monkeypatch):
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    cell = LIBRARY["lstm read out"]
    sizes = sizes_of(cell, 3, 17, 4)
    cases = [make_case(cell, sizes, 5 + k, 9, seed=k) for k in range(2)]
    cases.append(make_case(cell, sizes, 5, 9, seed=2))
    expected = [everything(gradient(cell, case, threads=1)) for case in cases]
    wrong = []
    start = threading.Barrier(len(cases))

    def work(k):
        start.wait()
        for _ in range(60):
            grad = gradient(cell, cases[k], threads=n_threads)
            for name, value in grad.items():
                if not np.array_equal(value, expected[k][f"grad {name}"]):
                    wrong.append((k, name))
            if not np.array_equal(grad.nodes["h"], expected[k]["nodes h"]):
                wrong.append((k, "h"))

    callers = [threading.Thread(target=work, args=(k,)) for k in range(len(cases))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.parametrize("asked", [0, -1, "x", 0.5])
def test_a_number_of_threads_that_is_none_is_refused(asked):
    cell = LIBRARY["elman"]
    case = make_case(cell, sizes_of(cell), 2, 2)
    with pytest.raises(errors.ThreadsError) as caught:
        cell.gradient(**case, threads=asked)
    assert str(caught.value) == f"threads={asked!r}: use a whole number >= 1"


def test_the_environment_variable_is_read_and_checked(monkeypatch):
    cell = LIBRARY["elman"]
    case = make_case(cell, sizes_of(cell), 2, 2)
    monkeypatch.setenv("BPTT_THREADS", "zero")
    with pytest.raises(errors.ThreadsError, match=r"^BPTT_THREADS=.zero.: use a whole"):
        cell.gradient(**case)
    cell.gradient(**case, threads=1)
    monkeypatch.setenv("BPTT_THREADS", "3")
    assert executor.count_threads(None) == 3
    assert executor.count_threads(2) == 2
    monkeypatch.setenv("BPTT_THREADS", "")
    assert executor.count_threads(None) >= 1


# ----- results -----


def test_results_stay_while_further_calls_run():
    cell = LIBRARY["lstm read out"]
    sizes = sizes_of(cell)
    grad = gradient(cell, make_case(cell, sizes, 6, 5))
    held = {
        "h": grad.nodes["h"], "W": grad["W_i"], "b": grad["b_i"],
        "x": grad.inputs["x"], "initial": grad.initial["h"], "run": grad.run["h"],
        "row": grad.nodes["s"][2, 1:], "final": grad.final["h"],
    }  # fmt: skip
    copies = grad.copies["W_i"]
    before = {name: value.copy() for name, value in held.items()}
    stack, norms = copies.stack(), copies.norms()
    del grad
    for seed in range(1, 40):
        other = gradient(cell, make_case(cell, sizes, 6, 5, seed=seed))
        other.run["h"]
        del other
    gc.collect()
    assert_same(held, before)
    np.testing.assert_array_equal(copies.stack(), stack)
    np.testing.assert_array_equal(copies.norms(), norms)


def buffers_of(grad):
    return grad._values._loan.workspace.buffers


def test_buffers_are_used_again_when_results_are_dropped():
    cell = LIBRARY["gru"]
    case = make_case(cell, sizes_of(cell), 4, 3)
    grad = cell.gradient(**case)
    first = [id(buffer) for buffer in buffers_of(grad)]
    held = cell.gradient(**case)
    assert [id(buffer) for buffer in buffers_of(held)] != first
    del grad
    again = cell.gradient(**case)
    assert [id(buffer) for buffer in buffers_of(again)] == first


def test_buffers_are_used_again_after_other_lengths():
    cell = LIBRARY["gru"]
    sizes = sizes_of(cell)
    for tau in range(11, 17):
        cell.gradient(**make_case(cell, sizes, tau, 3))
    case = make_case(cell, sizes, 4, 3)
    workspace = cell.gradient(**case)._values._loan.workspace
    assert cell.gradient(**case)._values._loan.workspace is workspace


# ----- arguments -----


def variants(array):
    """The same values in other memory: name -> array."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    raw = np.zeros(array.nbytes + 1, np.uint8)
    odd = raw[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "strided": wide[..., ::2], "unaligned": odd, "read-only": read_only,
        "fortran": np.asfortranarray(array), "reversed": array[::-1].copy()[::-1],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["lstm", "book", "gru of tokens", "rows"])
def test_arrays_of_any_layout_work_and_are_not_written(name):
    cell = LIBRARY[name]
    case = make_case(cell, sizes_of(cell), 4, 5)
    expected = everything(gradient(cell, case))
    layouts = {
        kind: {k: variants(v) for k, v in group.items()} for kind, group in case.items()
    }
    for layout in ("strided", "unaligned", "read-only", "fortran", "reversed"):
        given = {
            kind: {k: v[layout] for k, v in group.items()}
            for kind, group in layouts.items()
        }
        assert_same(everything(gradient(cell, given)), expected)
        for kind, group in case.items():
            for k, value in group.items():
                np.testing.assert_array_equal(given[kind][k], value)


@pytest.mark.parametrize("name", ["lstm", "book", "rows"])
def test_arrays_of_stride_zero_count_at_every_place(name):
    cell = LIBRARY[name]
    case = make_case(cell, sizes_of(cell), 4, 5)
    thin = {
        kind: {
            k: np.broadcast_to(
                v if kind == "params" and v.ndim == 1 else v[:1], v.shape
            )
            for k, v in group.items()
        }
        for kind, group in case.items()
        if kind != "seeds"
    }
    thin["seeds"] = {
        k: np.broadcast_to(v[:, :1], v.shape) for k, v in case["seeds"].items()
    }
    thick = {kind: {k: v.copy() for k, v in g.items()} for kind, g in thin.items()}
    assert_same(everything(gradient(cell, thin)), everything(gradient(cell, thick)))


# ----- what kernels have no form for -----

FAST_WEIGHTS = """
A: (n_h, n_h)
h: (n_h)
A[t] = 0.9 * A[t-1] + 0.1 * outer(h[t-1], h[t-1])
h[t] = tanh(W @ x[t] + A[t] @ h[t-1])
L[t] = sum(h[t] ** 2)
"""


def test_a_cell_without_kernels_falls_back_and_says_so_once(monkeypatch):
    monkeypatch.delitem(lowerings.LOWERINGS, "tanh")
    cell = Cell(FAST_WEIGHTS)
    case = make_case(cell, sizes_of(cell), 4, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        found = [cell.gradient(**case) for _ in range(3)]
    (warning,) = caught
    assert warning.category is FallbackWarning
    assert str(warning.message) == (
        "this cell runs step by step in NumPy: kernels have no form for the operation "
        "tanh inside a time step"
    )
    expected = cell.gradient(**case, executor="reference")
    for grad in found:
        assert grad.loss == expected.loss
        np.testing.assert_array_equal(grad["W"], expected["W"])


def test_complex_values_take_the_reference_in_silence():
    cell = cells.elman
    case = make_case(cell, sizes_of(cell), 4, 3)
    case["params"] = {k: v + 0.1j for k, v in case["params"].items()}
    found, expected = (
        cell.gradient(**case, executor=kind) for kind in ("llvm", "reference")
    )
    assert found["W"].dtype == np.complex128
    np.testing.assert_array_equal(found["W"], expected["W"])


def test_an_unknown_executor_is_refused():
    cell = cells.elman
    case = make_case(cell, sizes_of(cell), 4, 3)
    with pytest.raises(errors.UnknownExecutorError) as caught:
        cell.gradient(**case, executor="gpu")
    assert str(caught.value) == "executor 'gpu'; use one of llvm, reference"


def test_an_initial_gradient_is_not_made_from_what_was_written_over():
    """W^T g is stored, read by a sum over the row, and its place given away."""
    cell = Cell(
        "h[t] = tanh(0.5 * h[t-1] + W @ log_softmax(h[t-1]) + U @ x[t])\n"
        "L[t] = sum(h[t] ** 2)\n"
    )
    rng = np.random.default_rng(0)
    params = cell.init(n_x=3, n_h=5)
    inputs = {"x": rng.standard_normal((4, 2, 3))}
    found, expected = (
        cell.gradient(params, inputs, initial_gradient=True, executor=name).initial["h"]
        for name in ("llvm", "reference")
    )
    assert np.abs(found - expected).max() <= 1e-14 * np.abs(expected).max()
