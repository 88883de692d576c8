"""Whole cells between unreadable pages: kernels touch only their arrays."""

import pytest

from tests.execute.guard import run_guarded
from tests.execute.library import VARIANT_NAMES

CODE = """
import numpy as np
from bptt.execute.kernels import memory
from tests.execute.guard import GuardedArray, guard
from tests.execute.library import library, make_case, sizes_of
from tests.execute.compile.test_compiled import assert_close, compare

owners = []
at_start = False

def empty_guarded(shape, dtype):
    owner = GuardedArray(tuple(shape), dtype, at_start=at_start)
    owner.array.fill(np.nan)
    owners.append(owner)
    return owner.array

def guard_all(group):
    result = {}
    for name, array in group.items():
        owner, result[name] = guard(array, at_start=at_start)
        owners.append(owner)
    return result

def empty_together(sizes, dtype, is_shared=True):
    return {name: empty_guarded((size,), dtype) for name, size in sizes.items()}

CELLS = library()
memory.empty_aligned = empty_guarded
memory.empty_together = empty_together
"""

RUN = """
for name in {names!r}:
    cell = CELLS[name]
    for number, (n_x, n_h, n_o) in enumerate({sizes!r}):
        sizes = sizes_of(cell, n_x, n_h, n_o)
        dtype = (np.float32, np.float64)[(number + len(name)) % 2]
        for at_start in (False, True):
            for tau, n_b in ((1, 1), (3, 2), (2, 5), (2, 15)):
                case = make_case(cell, sizes, tau, n_b, dtype)
                case = {{kind: guard_all(group) for kind, group in case.items()}}
                print(name, sizes, tau, n_b, dtype.__name__, flush=True)
                errors, kind = compare(cell, **case, with_forward={forward})
                assert_close(errors, kind)
print("done")
"""


@pytest.mark.parametrize("part", range(4))
def test_every_cell_stays_within_its_arrays(part):
    names = list(VARIANT_NAMES)[part::4]
    sizes = ((1, 7, 2), (17, 18, 5))
    code = CODE + RUN.format(names=names, sizes=sizes, forward=False)
    assert run_guarded(code).endswith("done\n")


def test_the_forward_program_stays_within_its_arrays():
    code = CODE + RUN.format(names=["rows"], sizes=((3, 17, 3),), forward=True)
    assert run_guarded(code).endswith("done\n")
