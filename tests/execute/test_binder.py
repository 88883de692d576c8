"""Calls like an earlier one, and prepared gradients: the same bits and the same errors.

Every test here runs in workspaces that are full of NaN: see `conftest`.
"""

import numpy as np
import pytest

from bptt import Cell, cells, errors
from bptt.execute.binder import Binder
from bptt.execute.kernels import quick, threads
from tests.execute.library import make_case

BOOK = cells.book  # a class index as target
LSTM = Cell(cells.lstm.text)
TABLE = Cell(cells.elman.with_tokens().text)  # a transposed table, made at every call
SHIFTED = Cell(
    "h: (n_h)\nh[t] = tanh(U @ x[t-1] + V @ x[t] + W @ h[t-1])\nL[t] = sum(h[t])"
)
CELLS = {"book": BOOK, "lstm": LSTM, "tokens": TABLE, "shifted": SHIFTED}


def sizes_of(cell, first=3):
    return {dim: first + 2 * number for number, dim in enumerate(cell.dims)}


def slowly(cell, case):
    """The gradient by the general road, in a cell that has seen no call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, "find_recipe", lambda *_: None)
        return Cell(cell.text).gradient(**case, threads=1, initial_gradient=True)


def bits(grad):
    found = {name: value.tobytes() for name, value in (*grad.items(),)}
    found |= {f"initial {n}": v.tobytes() for n, v in grad.initial.items()}
    return found | {"loss": grad.loss, "final": str(grad.final)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CELLS)
def test_a_call_like_an_earlier_one_gives_the_same_bits(name, dtype):
    cell = Cell(CELLS[name].text)
    for tau, n_b in ((4, 3), (1, 1), (4, 3), (130, 2)):
        for seed in (0, 1):
            case = make_case(cell, sizes_of(cell), tau, n_b, dtype, seed)
            grad = cell.gradient(**case, threads=1, initial_gradient=True)
            assert bits(grad) == bits(slowly(cell, case))
    # Without a batch axis, and arrays that are not in one piece.
    case["inputs"] = {n: a[:, 0] for n, a in case["inputs"].items()}
    case["params"] = {n: np.asfortranarray(a) for n, a in case["params"].items()}
    case = {key: case[key] for key in ("params", "inputs")}
    if cell.graph.loss:
        for _ in range(2):
            grad = cell.gradient(**case, threads=1, initial_gradient=True)
            assert bits(grad) == bits(slowly(cell, case))


def test_what_is_wrong_in_a_later_call_is_refused_as_in_the_first():
    cell = Cell(BOOK.text)
    case = make_case(cell, sizes_of(cell), 4, 3, np.float64)
    cell.gradient(**case)
    nan, index = float("nan"), {**case["inputs"]}
    for group, name in (("params", "W"), ("inputs", "x"), ("initial", "h")):
        wrong = case[group][name].copy() if group in case else np.zeros((3, 5))
        wrong.flat[1] = nan
        given = {**case, group: {**case.get(group, {}), name: wrong}}
        for _ in range(2):
            with pytest.raises(errors.NotFiniteError, match=name):
                cell.gradient(**given)
    index["y"] = np.full_like(index["y"], 99)
    with pytest.raises(errors.IndexRangeError):
        cell.gradient(case["params"], index)
    short = {**case["params"], "W": case["params"]["W"][:-1]}
    with pytest.raises(errors.SizeError):
        cell.gradient(short, case["inputs"])
    mixed = {**case["params"], "W": case["params"]["W"].astype(np.float32)}
    with pytest.raises(errors.DtypeError):
        cell.gradient(mixed, case["inputs"])
    assert np.isfinite(cell.gradient(**case).loss)


def test_results_of_one_call_are_not_those_of_the_next():
    cell = Cell(LSTM.text)
    case = make_case(cell, sizes_of(cell), 4, 3, np.float64)
    first = cell.gradient(**case, threads=1)
    kept = {name: np.array(value) for name, value in first.items()}
    case["params"] = {name: value + 1 for name, value in case["params"].items()}
    second = cell.gradient(**case, threads=1)
    for name, value in kept.items():
        assert np.array_equal(first[name], value)
        assert not np.array_equal(second[name], value)


@pytest.mark.parametrize("name", CELLS)
def test_a_prepared_gradient_is_that_of_its_arrays_as_they_are_now(name):
    cell = Cell(CELLS[name].text)
    case = make_case(cell, sizes_of(cell), 4, 3, np.float64)
    run = cell.prepare(**case, threads=1, initial_gradient=True)
    given = [array for group in case.values() for array in group.values()]
    rng = np.random.default_rng(0)
    for _ in range(3):
        for array in given:
            if array.dtype.kind == "f":
                array[...] += 0.1 * rng.standard_normal(array.shape)
        assert bits(run()) == bits(slowly(cell, case))
        assert np.array_equal(run().run["h"], cell.forward(**_forward(case))["h"])
    # Others, of the same shapes and of other ones, and back again.
    for tau, n_b in ((4, 3), (2, 5), (4, 3), (7, 1)):
        case = make_case(cell, sizes_of(cell), tau, n_b, np.float64, tau)
        assert bits(run(**case)) == bits(slowly(cell, case))
        assert bits(run()) == bits(slowly(cell, case))


def _forward(case):
    return {key: case[key] for key in ("params", "inputs", "initial") if key in case}


def test_a_prepared_gradient_takes_what_a_call_takes():
    cell = Cell(BOOK.text)
    case = make_case(cell, sizes_of(cell), 4, 3, np.float64)
    lists = {group: {n: a.tolist() for n, a in named.items()}
             for group, named in case.items()}  # fmt: skip
    run = cell.prepare(**lists, initial_gradient=True)
    assert bits(run()) == bits(slowly(cell, case)) == bits(run())
    with pytest.raises(errors.SizeError):
        run({**case["params"], "W": case["params"]["W"][:-1]})
    assert bits(run()) == bits(slowly(cell, case))  # as if that had not been asked
    run = cell.prepare(**case)
    case["inputs"]["y"][1, 2] = 99  # in place: nothing is read beyond an array's end
    with pytest.raises(errors.IndexRangeError, match="holds 99 at"):
        run()
    with pytest.raises(errors.NoLossError):
        LSTM.prepare({}, {})
    with pytest.raises(errors.MissingParameterError):
        cell.prepare({}, case["inputs"])


def test_only_plain_calls_take_the_short_road(monkeypatch):
    found = []
    find = quick.find_recipe
    monkeypatch.setattr(
        quick, "find_recipe", lambda *a: found.append(find(*a)) or found[-1]
    )
    cell = Cell(LSTM.text)
    case = make_case(cell, sizes_of(cell), 4, 3, np.float64)
    cell.gradient(**case, threads=2)
    cell.gradient(**case, threads=2, lengths=[4, 2, 1])
    monkeypatch.setattr(threads, "FLOPS_PER_THREAD", 1)
    cell.gradient(**case, threads=2)
    cell.gradient(**case, threads=1)
    assert [recipe is not None for recipe in found] == [True, False, False, True]


def test_kinds_of_calls_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr("bptt.execute.binder.KEPT", 3)
    cell = Cell(LSTM.text)
    binder = Binder(cell.graph)
    for tau in range(1, 9):
        case = make_case(cell, sizes_of(cell), tau, 2, np.float64)
        bound = binder.bind(
            case["params"], case["inputs"], None, case["seeds"], "sum", None, None
        )
        assert bound.tau == tau
        assert len(binder._known) <= 3
        assert all(not kept.parameters for kept in binder._known.values())
