"""Products into slots: any number of slots and products, every tile shape."""

import ctypes

import numpy as np
import pytest

from bptt.execute.codegen.arrays import Array
from bptt.execute.codegen.kernel import Kernel, Module
from bptt.execute.codegen.packed_weights import Matrix
from bptt.execute.codegen.stage import Stage, StageProduct
from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.codegen.turns import flat_turn, full_turns
from bptt.execute.kernels.workspace import build_table, empty_together

HOST = get_host_target()
LEVELS = ["host", "avx2", "sse2"] if HOST.vector_bytes == 64 else ["host"]
NAMES = ("x", "s", "y", "W", "V", "pW", "pV")


class Slots:
    """y_s = W_s @ x, and V_s @ s on top for every second slot, all in one stage.

    first: x is two vectors side by side, of `first` and of the other columns, with a
    matrix each; 0: it is one.
    """

    def __init__(self, n_slots, width, n_x, n_s, dtype, level, first=0):
        self.target = HOST if level == "host" else lower_target(level)
        self.sizes = n_slots, width, n_x, n_s
        self.dtype = dtype
        x, s = Array("x", n_x, n_x), Array("s", n_s, n_s)
        row = n_slots * width
        outputs = [Array("y", width, row, slot * width) for slot in range(n_slots)]
        forward = tuple(
            Matrix("W", n_x, 1, slot * width * n_x + begin)
            for slot in range(n_slots)
            for begin in ((0, first) if first else (0,))
        )
        widths = (first, n_x - first) if first else ()
        self.second = tuple(range(0, n_slots, 2))
        # V is stored as its transpose, (n_s, width) for each slot.
        backward = tuple(
            Matrix("V", 1, width, slot * width * n_s) for slot in self.second
        )
        products = (
            StageProduct(x, 0, forward, tuple(range(n_slots)), "pW", widths),
            StageProduct(s, 0, backward, self.second, "pV"),
        )

        def epilogue(lane):
            for output, value in zip(outputs, lane.products, strict=True):
                lane.store(output, value)

        module = Module(NAMES, self.target, np.dtype(dtype).itemsize)
        stage = Stage(width, n_slots, products, epilogue)
        self.packed = module.add_kernel(Kernel("run", (stage,)))
        module.add_pack("pack", self.packed)
        self.compiled = module.compile()

    def check(self, n_rows):
        n_slots, width, n_x, n_s = self.sizes
        random = np.random.default_rng(n_rows)
        shapes = {
            "x": (n_rows, n_x),
            "s": (n_rows, n_s),
            "W": (n_slots, width, n_x),
            "V": (n_slots, n_s, width),
        }
        arrays = {
            name: random.normal(size=shape).astype(self.dtype)
            for name, shape in shapes.items()
        }
        arrays["y"] = y = np.full((n_rows, n_slots, width), np.nan, self.dtype)
        sizes = {packed.name: packed.n_reals for packed in self.packed}
        arrays |= empty_together(sizes, self.dtype)
        table = build_table(NAMES, arrays)
        self.compiled.get_function("pack")(ctypes.addressof(table))
        address = ctypes.addressof(table)
        turns = flat_turn(n_rows)
        run = self.compiled.get_function("run")
        run(turns.ctypes.data, 1, 0, n_rows, address)
        x, s, W, V = (arrays[name].astype(np.float64) for name in "xsWV")
        true = np.einsum("rk,sjk->rsj", x, W)
        scale = np.einsum("rk,sjk->rsj", np.abs(x), np.abs(W))
        for slot in self.second:
            true[:, slot] += s @ V[slot]
            scale[:, slot] += np.abs(s) @ np.abs(V[slot])
        bound = np.finfo(self.dtype).eps * (n_x + n_s) * scale
        assert (np.abs(y - true) <= bound).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n_slots", [1, 2, 3, 4, 5, 9])
def test_any_number_of_slots(n_slots, level):
    stage = Slots(n_slots, 19, 6, 9, np.float32, level)
    for n_rows in (1, 2, 5, 13, 30):
        stage.check(n_rows)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 4, 8, 15, 31, 32, 33, 64, 129])
def test_any_width_and_number_of_rows(width, dtype, level):
    stage = Slots(1, width, 5, 1, dtype, level)
    for n_rows in range(1, 32):
        stage.check(n_rows)


@pytest.mark.parametrize("n_x", [1, 2, 3, 4, 5, 15, 16, 17, 33])
def test_any_number_of_inputs(n_x):
    stage = Slots(2, 21, n_x, 36 - n_x, np.float32, "host")
    for n_rows in (1, 4, 17):
        stage.check(n_rows)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("first", "other"), [(1, 2), (5, 17), (16, 3), (33, 40)])
def test_vectors_side_by_side_have_a_matrix_each(first, other, level):
    for n_slots in (1, 5):
        stage = Slots(n_slots, 19, first + other, 4, np.float32, level, first)
        for n_rows in (1, 5, 17):
            stage.check(n_rows)


def test_weights_that_are_walked_in_turns():
    n_h = 190  # 144 KiB of packed weights: odd steps walk backward
    x, y = Array("x", n_h, n_h), Array("y", n_h, n_h)

    def epilogue(lane):
        lane.store(y, lane.products[0])

    matrix = Matrix("W", n_h, 1)
    module = Module(("x", "y", "W", "pW"), HOST, 4)
    stage = Stage(n_h, 1, (StageProduct(x, 0, (matrix,), (0,), "pW"),), epilogue)
    (packed,) = module.add_kernel(Kernel("run", (stage,)))
    module.add_pack("pack", [packed])
    compiled = module.compile()
    random = np.random.default_rng(0)
    arrays = {
        "x": random.integers(-9, 9, (5, 1, n_h)).astype(np.float32),
        "y": np.full((5, 1, n_h), np.nan, np.float32),
        "W": random.integers(-9, 9, (n_h, n_h)).astype(np.float32),
        **empty_together({"pW": packed.n_reals}, np.float32),
    }
    table = build_table(module.names, arrays)
    address = ctypes.addressof(table)
    compiled.get_function("pack")(address)
    turns = full_turns(5, 1, 1)
    compiled.get_function("run")(turns.ctypes.data, 5, 0, 1, address)
    # Small integers: every order of additions gives the same exact sum.
    np.testing.assert_array_equal(arrays["y"], arrays["x"] @ arrays["W"].T)
