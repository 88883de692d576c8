"""Kernels touch only their arrays: each lies flush against an unreadable page."""

import os
import sys

import pytest

from bptt.execute.codegen.target import get_host_target
from tests.execute.guard import run_guarded

pytestmark = pytest.mark.skipif(os.name == "nt", reason="mprotect")

HEAD = f"import sys\nsys.path[:0] = {sys.path!r}\n"
WALK = """
from itertools import product
import numpy as np
from benchmarks.hand_cells import HandLayer
from bptt.execute.codegen.target import get_host_target, lower_target
from tests.execute.guard import guard
from tests.execute.codegen.test_hand_cells import check_gradient, make_case

class Guarded(HandLayer):
    def allocate(self, tau, n_b):
        super().allocate(tau, n_b)
        self.owners = []
        for group in (self.arrays, self.grad):
            for name, array in group.items():
                owner, group[name] = guard(array, at_start=self.at_start)
                self.owners.append(owner)

target = get_host_target() if level == "host" else lower_target(level)
tolerance = 3e-6 if dtype == "float32" else 1e-14
for n_h in (1, 7, 16, 17, 33):
    for n_x in (1, 18):
        layer = Guarded(cell, n_x, n_h, dtype, target)
        for at_start, n_b, tau in product((True, False), (1, 2, 7, 15, 19), (1, 3)):
            layer.at_start, layer.shape = at_start, None  # allocate again
            params, x, g = make_case(cell, tau, n_b, n_x, n_h, dtype)
            owners, moved = [], {}
            for name, value in [*params.items(), ("x", x), ("g", g)]:
                owner, moved[name] = guard(value, at_start=at_start)
                owners.append(owner)
            x, g = moved.pop("x"), moved.pop("g")
            check_gradient(layer, cell, (moved, x, g), tolerance)
print("clean")
"""

LEVELS = ["host", "avx2"] if get_host_target().vector_bytes == 64 else ["host"]
EVERY = bool(os.environ.get("BPTT_EVERY_CELL"))
# Where there are two instruction sets a cell's two types take turns with them;
# BPTT_EVERY_CELL=1 tries each with each.
TURNS = [
    (cell, dtype, level)
    for a, cell in enumerate(("elman", "lstm", "gru", "gru_pre"))
    for b, dtype in enumerate(("float32", "float64"))
    for c, level in enumerate(LEVELS)
    if EVERY or len(LEVELS) == 1 or (a + b + c) % 2 == 0
]


@pytest.mark.parametrize(("cell", "dtype", "level"), TURNS)
def test_kernels_touch_only_their_arrays(cell, dtype, level):
    code = HEAD + "".join(
        f"{name} = {value!r}\n"
        for name, value in [("cell", cell), ("dtype", dtype), ("level", level)]
    )
    assert "clean" in run_guarded(code + WALK)


def test_the_guard_catches_one_element_too_far():
    code = HEAD + (
        "import ctypes, numpy as np\n"
        "from tests.execute.guard import guard\n"
        "owner, a = guard(np.zeros(5, np.float32), at_start=False)\n"
        "ctypes.c_float.from_address(a.ctypes.data + 20).value\n"
    )
    with pytest.raises(AssertionError):
        run_guarded(code)
