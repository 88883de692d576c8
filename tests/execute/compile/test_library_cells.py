"""Every cell of the library by kernels: sizes around tile boundaries, older CPUs.

A tile is a vector or two of columns (4 to 16 reals each) by up to 14 rows, so the sizes
lie on both sides of the multiples of these. tau and n_b are free once a cell is
compiled; n_x, n_h and n_o are not, so the cells take turns on them.
"""

import os

import numpy as np
import pytest

from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.kernels import executor
from tests.execute.compile.test_compiled import assert_close, compare, measure
from tests.execute.library import VARIANT_NAMES, library, make_case, sizes_of

LIBRARY = library()
OTHERS = [name for name in LIBRARY if name not in VARIANT_NAMES]
# h of the sLSTM does not depend on its stabiliser: what is left of that gradient is
# rounding, which has no digits to compare. `cell.check` bounds it.
VANISHING = {("slstm", "m")}
N_H = (1, 2, 7, 8, 15, 16, 17, 31, 33, 48, 65)
N_X = (1, 5, 16, 17)
N_B = (1, 2, 3, 4, 5, 13, 14, 15, 17, 29)
TAU = (1, 2, 5)
DTYPES = (np.float32, np.float64)
LEVELS = ["avx2", "sse2"] if get_host_target().vector_bytes == 64 else []
EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))
# Each cell at one of the older levels in turn; at both with BPTT_EVERY_CELL=1.
OLDER = [
    (name, level)
    for number, name in enumerate(VARIANT_NAMES)
    for turn, level in enumerate(LEVELS)
    if EVERY or turn == number // 2 % 2  # the types of numbers take turns, too
]


def turns():
    """(cell, n_x, n_h, dtype): each cell once, elman with every n_h."""
    for number, name in enumerate(VARIANT_NAMES):
        for turn in range(1):
            n_h = N_H[(2 * number + 5 * turn) % len(N_H)]
            if name == "rows":  # of one or two elements, layer_norm has no gradient
                n_h = max(n_h, 7)
            n_x = N_X[(number + 2 * turn) % len(N_X)]
            yield name, n_x, n_h, DTYPES[(number + turn) % 2]
    for number, n_h in enumerate(N_H):
        yield "elman", N_X[number % len(N_X)], n_h, DTYPES[number % 2]


@pytest.mark.parametrize(("name", "n_x", "n_h", "dtype"), list(turns()))
def test_every_size_equals_the_reference(name, n_x, n_h, dtype):
    cell = LIBRARY[name]
    sizes = sizes_of(cell, n_x, n_h, 3)
    for number, n_b in enumerate(N_B):
        case = make_case(cell, sizes, TAU[number % 3], n_b, dtype, seed=n_b)
        errors, dtype = compare(cell, **case, with_forward=False)
        assert_close(errors, dtype)
    if n_h in (17, 33):
        errors, dtype = compare(cell, **make_case(cell, sizes, 2, 5, dtype))
        assert_close(errors, dtype)


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_every_other_cell_equals_the_reference(number):
    """One program each: parameters, inputs and initial states."""
    name, dtype = OTHERS[number], DTYPES[number % 2]
    cell = LIBRARY[name]
    sizes = sizes_of(cell, N_X[number % len(N_X)], N_H[3 + number % 6], 3)
    for tau, n_b in ((1, 1), (5, 3), (2, 14)):
        case = make_case(cell, sizes, tau, n_b, dtype)
        options = {**case, "input_gradient": True, "initial_gradient": True}
        found = cell.gradient(**options)
        assert type(found._values) is executor.KernelValues
        expected = cell.gradient(**options, executor="reference")
        errors = {n: measure(array, found[n]) for n, array in expected.items()}
        for kind in ("inputs", "initial"):
            mine, theirs = getattr(found, kind), getattr(expected, kind)
            errors |= {
                f"{kind} {n}": measure(theirs[n], mine[n])
                for n in theirs
                if (name, n) not in VANISHING
            }
        assert_close(errors, np.dtype(dtype))


@pytest.mark.parametrize(("name", "level"), OLDER)
def test_older_instruction_sets_give_the_same(name, level):
    cell = LIBRARY[name]
    dtype = DTYPES[(list(LIBRARY).index(name) + len(level)) % 2]
    sizes = sizes_of(cell, 5, 17, 3)
    for tau, n_b in ((1, 1), (5, 3), (2, 7), (3, 14)):
        case = make_case(cell, sizes, tau, n_b, dtype)
        errors, dtype = compare(
            cell, **case, target=lower_target(level), with_forward=False
        )
        assert_close(errors, dtype)


def test_a_long_sequence_in_float32_stays_near_float64():
    """tau = 200, against the float64 reference on the same (float32) arrays.

    A step of this cell contracts (its weights are small), so a rounding error fades
    instead of growing; what is left is one rounding per operation and per addition of
    the sum over tau * n_b rows. 200 * eps of the largest element covers the sqrt of
    that number of random roundings ten times over.
    """
    cell = LIBRARY["lstm read out"]
    sizes = sizes_of(cell, 3, 17, 4)
    case = make_case(cell, sizes, 200, 4, np.float32)
    case["params"] = {k: np.float32(0.4) * v for k, v in case["params"].items()}
    found = cell.gradient(case["params"], case["inputs"], initial=case["initial"])
    wide = {name: value.astype(np.float64) for name, value in case["params"].items()}
    inputs = {
        name: value.astype(np.float64) if value.dtype.kind == "f" else value
        for name, value in case["inputs"].items()
    }
    initial = {
        name: value.astype(np.float64) for name, value in case["initial"].items()
    }
    expected = cell.gradient(wide, inputs, initial=initial, executor="reference")
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    for name, value in expected.items():
        bound = 200 * np.finfo(np.float32).eps * np.abs(value).max()
        assert np.abs(found[name] - value).max() <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_underflows_is_the_reference_s(dtype):
    """Only the last step is seeded, and the gradient shrinks to nothing on its way.

    Below the smallest normal number a rounding is absolute: half the smallest denormal
    per operation, so values are compared to a few of those beside the relative bound.
    """
    cell = LIBRARY["elman"]
    sizes = sizes_of(cell, 3, 9)
    tau = 60 if dtype == np.float32 else 400
    case = make_case(cell, sizes, tau, 3, dtype)
    case["params"]["W"] *= dtype(0.05)
    seeds = np.zeros((tau, 3, 9), dtype)
    seeds[-1] = 1
    options = {"seeds": {"h": seeds}, "nodes": ("h",), "initial_gradient": True}
    found, expected = (
        cell.gradient(case["params"], case["inputs"], executor=kind, **options)
        for kind in ("llvm", "reference")
    )
    info = np.finfo(dtype)
    got, true = found.nodes["h"], expected.nodes["h"]
    sizes_in_time = np.abs(true).max(axis=(1, 2))
    assert sizes_in_time[0] == 0
    assert ((sizes_in_time > 0) & (sizes_in_time < info.tiny)).any()
    bound = tau * 30 * info.eps * sizes_in_time + 20 * info.smallest_subnormal
    assert (np.abs(got - true).max(axis=(1, 2)) <= bound).all()
    np.testing.assert_array_equal(found.initial["h"], 0)


def test_the_compiled_executor_ran():
    cell = LIBRARY["elman"]
    sizes = sizes_of(cell)
    case = make_case(cell, sizes, 2, 2)
    grad = cell.gradient(**case)
    assert type(grad._values) is executor.KernelValues
