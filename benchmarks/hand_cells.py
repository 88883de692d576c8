"""Elman, LSTM and two GRUs put together by hand from the kernel toolbox.

They show what a compiler on top of the toolbox has to produce, and they are what
benchmarks/kernels.py times and tests/execute/codegen/test_hand_cells.py checks. The
equations, with z the stacked pre-activations U x + b of all gates:

    elman     h = tanh(z + W h')
    lstm      i, f, o = sigmoid, g = tanh of z + W h';  s = f s' + i g;  h = o tanh(s)
    gru       r, u = sigmoid(z + W h');  q = W_n h' + c;  n = tanh(z_n + r q)
              h = (1 - u) n + u h'                        (the convention of PyTorch)
    gru_pre   as gru with n = tanh(z_n + W_n (r h')): the reset before the product
"""

import ctypes
from dataclasses import dataclass, replace

import numpy as np

from bptt.execute.codegen import vmath
from bptt.execute.codegen.arrays import Array
from bptt.execute.codegen.kernel import Kernel, Module
from bptt.execute.codegen.packed_weights import Matrix
from bptt.execute.codegen.reduce import REDUCE_TYPES, count_reduce_work, emit_reduce
from bptt.execute.codegen.stage import Stage, StageProduct
from bptt.execute.codegen.turns import flat_turn, full_turns
from bptt.execute.kernels.threads import RowPool, choose_threads, split_rows
from bptt.execute.kernels.workspace import build_table, empty_aligned, empty_together

# A product with so few inputs costs less than the memory traffic of its result:
# (784, 64, 1, 128) spends 2 ms on z before the loop and 2 ms on reading it inside.
FUSE_UP_TO = 16
# Fewer columns than this would fill a small part of the two vectors of a tile.
SWAP_BELOW = 8
GATES = {"elman": 1, "lstm": 4, "gru": 3, "gru_pre": 3}


@dataclass(frozen=True)
class Sizes:
    """n_x inputs, n_h units, and the gates of the cell."""

    cell: str
    n_x: int
    n_h: int

    @property
    def n_a(self):
        """All pre-activations of a row side by side."""
        return GATES[self.cell] * self.n_h

    @property
    def is_fused(self):
        """Whether U x is computed inside the loop: z need not be written and read."""
        return self.n_x <= FUSE_UP_TO

    def gate(self, name, number, count=1):
        """`count` gates of the buffer `name`, beginning with gate `number`."""
        return Array(name, count * self.n_h, self.n_a, number * self.n_h)


def before(sizes):
    """z = U x + b for all steps at once: tau * n_b rows and one step."""
    target = Array("z", sizes.n_a, sizes.n_a, has_time=False)
    x = Array("x", sizes.n_x, sizes.n_x, has_time=False)
    bias = Array("b", sizes.n_a, 0, has_time=False)
    matrix = Matrix("U", sizes.n_x, 1)

    def epilogue(lane):
        lane.store(target, lane.e.builder.fadd(lane.products[0], lane.load(bias)))

    return (
        Stage(sizes.n_a, 1, (StageProduct(x, 0, (matrix,), (0,), "pU"),), epilogue),
    )


def read(sizes, operand, shift, gates, packed):
    """W_g @ operand for several gates: one pass, one slot each."""
    n_h = sizes.n_h
    matrices = tuple(Matrix("W", n_h, 1, gate * n_h * n_h) for gate in gates)
    return StageProduct(operand, shift, matrices, tuple(range(len(gates))), packed)


def read_back(sizes, operand, shift, gate, packed):
    """The transposes of the W of all gates side by side in the operand."""
    n_h = sizes.n_h
    matrix = Matrix("W", 1, n_h, gate * n_h * n_h)
    return StageProduct(operand, shift, (matrix,), (0,), packed)


def read_input(sizes, gates, slots):
    """U_g @ x inside the loop, if it is fused there."""
    if not sizes.is_fused:
        return ()
    n_x, n_h = sizes.n_x, sizes.n_h
    matrices = tuple(Matrix("U", n_x, 1, gate * n_h * n_x) for gate in gates)
    return (StageProduct(Array("x", n_x, n_x), 0, matrices, slots, "pU"),)


def load_input(sizes, lane, gate, slot=None):
    """U x + b of a gate: from z, or from the tile if it is fused.

    `slot` is given where the tile keeps U x apart from the rest.
    """
    if not sizes.is_fused:
        return lane.load(sizes.gate("z", gate))
    n_h = sizes.n_h
    bias = lane.load(Array("b", n_h, 0, gate * n_h, has_time=False))
    return bias if slot is None else lane.e.builder.fadd(bias, lane.products[slot])


def slope_tanh(b, one, y):
    """(1 - y) (1 + y)."""
    return b.fmul(b.fsub(one, y), b.fadd(one, y))


def slope_sigmoid(b, one, y):
    """y (1 - y)."""
    return b.fmul(y, b.fsub(one, y))


def elman(sizes):
    """Forward and backward stages."""
    n_h = sizes.n_h
    h = Array("h", n_h, n_h)
    g, da = Array("g", n_h, n_h), Array("z", n_h, n_h)

    def forward(lane):
        total = lane.e.builder.fadd(lane.products[0], load_input(sizes, lane, 0))
        lane.store(h, vmath.tanh(lane.e, total), 1)

    def backward(lane):
        b, one = lane.e.builder, lane.e.constant(1.0)
        grad_h = b.fadd(lane.products[0], lane.load(g))
        lane.store(da, b.fmul(grad_h, slope_tanh(b, one, lane.load(h, 1))))

    products = (read(sizes, h, 0, (0,), "pW"), *read_input(sizes, (0,), (0,)))
    return (
        (Stage(n_h, 1, products, forward),),
        (Stage(n_h, 1, (read_back(sizes, da, 1, 0, "qW"),), backward),),
    )


def lstm(sizes):
    """Forward and backward stages; gates in PyTorch's order i, f, g, o."""
    n_h = sizes.n_h
    h, s, grad = (Array(name, n_h, n_h) for name in ("h", "s", "g"))
    carry = Array("carry", n_h, n_h, has_time=False)
    gates = [sizes.gate("z", number) for number in range(4)]

    def forward(lane):
        e, b = lane.e, lane.e.builder
        inputs = [load_input(sizes, lane, k) for k in range(4)]
        totals = [b.fadd(lane.products[k], inputs[k]) for k in range(4)]
        i, f, o = (vmath.sigmoid(e, totals[k]) for k in (0, 1, 3))
        g = vmath.tanh(e, totals[2])
        state = e.fma(f, lane.load(s), b.fmul(i, g))
        lane.store(s, state, 1)
        lane.store(h, b.fmul(o, vmath.tanh(e, state)), 1)
        for gate, value in zip(gates, (i, f, g, o), strict=True):
            lane.store(gate, value)

    def backward(lane):
        e, b, one = lane.e, lane.e.builder, lane.e.constant(1.0)
        i, f, g, o = (lane.load(gate) for gate in gates)
        grad_h = b.fadd(lane.products[0], lane.load(grad))
        y = vmath.tanh(e, lane.load(s, 1))
        grad_s = e.fma(b.fmul(grad_h, o), slope_tanh(b, one, y), lane.load(carry))
        lane.store(carry, b.fmul(grad_s, f))
        grad_i = b.fmul(b.fmul(grad_s, g), slope_sigmoid(b, one, i))
        grad_f = b.fmul(b.fmul(grad_s, lane.load(s)), slope_sigmoid(b, one, f))
        grad_g = b.fmul(b.fmul(grad_s, i), slope_tanh(b, one, g))
        grad_o = b.fmul(b.fmul(grad_h, y), slope_sigmoid(b, one, o))
        for gate, value in zip(gates, (grad_i, grad_f, grad_g, grad_o), strict=True):
            lane.store(gate, value)

    back = read_back(sizes, sizes.gate("z", 0, 4), 1, 0, "qW")
    every = (0, 1, 2, 3)
    products = (read(sizes, h, 0, every, "pW"), *read_input(sizes, every, every))
    return (
        (Stage(n_h, 4, products, forward),),
        (Stage(n_h, 1, (back,), backward),),
    )


def gru(sizes):
    """Forward and backward stages; gates in PyTorch's order r, u, n."""
    n_h = sizes.n_h
    h, q, grad = (Array(name, n_h, n_h) for name in ("h", "q", "g"))
    carry = Array("carry", n_h, n_h, has_time=False)
    bias = Array("c", n_h, 0, has_time=False)
    gates = [sizes.gate("z", number) for number in range(3)]

    def forward(lane):
        e, b, one = lane.e, lane.e.builder, lane.e.constant(1.0)
        r, u = (
            vmath.sigmoid(e, b.fadd(lane.products[k], load_input(sizes, lane, k)))
            for k in (0, 1)
        )
        inner = b.fadd(lane.products[2], lane.load(bias))
        n = vmath.tanh(e, e.fma(r, inner, load_input(sizes, lane, 2, slot=3)))
        lane.store(q, inner)
        lane.store(h, e.fma(u, lane.load(h), b.fmul(b.fsub(one, u), n)), 1)
        for gate, value in zip(gates, (r, u, n), strict=True):
            lane.store(gate, value)

    def backward(lane):
        b, one = lane.e.builder, lane.e.constant(1.0)
        r, u, n = (lane.load(gate) for gate in gates)
        grad_h = b.fadd(lane.products[0], lane.load(grad))
        grad_h = b.fadd(grad_h, lane.load(carry))
        lane.store(carry, b.fmul(grad_h, u))
        grad_n = b.fmul(b.fmul(grad_h, b.fsub(one, u)), slope_tanh(b, one, n))
        grad_u = b.fmul(b.fsub(lane.load(h), n), slope_sigmoid(b, one, u))
        grad_r = b.fmul(b.fmul(grad_n, lane.load(q)), slope_sigmoid(b, one, r))
        lane.store(q, b.fmul(grad_n, r))
        values = (grad_r, b.fmul(grad_h, grad_u), grad_n)
        for gate, value in zip(gates, values, strict=True):
            lane.store(gate, value)

    back = (
        read_back(sizes, sizes.gate("z", 0, 2), 1, 0, "qW"),
        read_back(sizes, q, 1, 2, "qN"),
    )
    # W_n h' is multiplied by r and U_n x is not: they need slots of their own.
    products = (
        read(sizes, h, 0, (0, 1, 2), "pW"),
        *read_input(sizes, (0, 1, 2), (0, 1, 3)),
    )
    return (
        (Stage(n_h, 4 if sizes.is_fused else 3, products, forward),),
        (Stage(n_h, 1, back, backward),),
    )


def gru_pre(sizes):
    """Forward and backward stages: two per step, because n needs all of r h'."""
    n_h = sizes.n_h
    h, q, grad = (Array(name, n_h, n_h) for name in ("h", "q", "g"))
    carry = Array("carry", n_h, n_h, has_time=False)
    gates = [sizes.gate("z", number) for number in range(3)]

    def forward_gates(lane):
        e, b = lane.e, lane.e.builder
        for k in (0, 1):
            total = b.fadd(lane.products[k], load_input(sizes, lane, k))
            value = vmath.sigmoid(e, total)
            lane.store(gates[k], value)
            if k == 0:
                lane.store(q, b.fmul(value, lane.load(h)))

    def forward_state(lane):
        e, b, one = lane.e, lane.e.builder, lane.e.constant(1.0)
        n = vmath.tanh(e, b.fadd(lane.products[0], load_input(sizes, lane, 2)))
        u = lane.load(gates[1])
        lane.store(h, e.fma(u, lane.load(h), b.fmul(b.fsub(one, u), n)), 1)
        lane.store(gates[2], n)

    def backward_state(lane):
        b, one = lane.e.builder, lane.e.constant(1.0)
        u, n = lane.load(gates[1]), lane.load(gates[2])
        grad_h = b.fadd(lane.products[0], lane.load(grad))
        grad_h = b.fadd(grad_h, lane.load(carry))
        lane.store(carry, b.fmul(grad_h, u))
        slope = b.fmul(b.fsub(lane.load(h), n), slope_sigmoid(b, one, u))
        lane.store(gates[1], b.fmul(grad_h, slope))
        grad_n = b.fmul(b.fmul(grad_h, b.fsub(one, u)), slope_tanh(b, one, n))
        lane.store(gates[2], grad_n)

    def backward_reset(lane):
        e, b, one = lane.e, lane.e.builder, lane.e.constant(1.0)
        r, grad_q = lane.load(gates[0]), lane.products[0]
        lane.store(carry, e.fma(grad_q, r, lane.load(carry)))
        slope = b.fmul(lane.load(h), slope_sigmoid(b, one, r))
        lane.store(gates[0], b.fmul(grad_q, slope))

    first = read_back(sizes, sizes.gate("z", 0, 2), 1, 0, "qW")
    second = read_back(sizes, gates[2], 0, 2, "qN")
    gate_products = (
        read(sizes, h, 0, (0, 1), "pW"),
        *read_input(sizes, (0, 1), (0, 1)),
    )
    state_products = (
        read(sizes, q, 0, (2,), "pN"),
        *(replace(p, packed="pV") for p in read_input(sizes, (2,), (0,))),
    )
    return (
        (
            Stage(n_h, 2, gate_products, forward_gates),
            Stage(n_h, 1, state_products, forward_state),
        ),
        (
            Stage(n_h, 1, (first,), backward_state),
            Stage(n_h, 1, (second,), backward_reset),
        ),
    )


CELLS = {"elman": elman, "lstm": lstm, "gru": gru, "gru_pre": gru_pre}
NAMES = [
    *["x", "U", "W", "b", "c", "z", "h", "s", "q", "g", "carry"],
    *["pU", "pV", "pW", "pN", "qW", "qN"],
]


class HandLayer:
    """A compiled cell; `gradient` runs forward, backward and the sums after."""

    def __init__(self, cell, n_x, n_h, dtype, target, threads=1):
        self.sizes = sizes = Sizes(cell, n_x, n_h)
        self.dtype = np.dtype(dtype)
        real_bytes = self.dtype.itemsize
        module = Module(NAMES, target, real_bytes)
        forward, backward = CELLS[cell](sizes)
        stages = () if sizes.is_fused else before(sizes)
        self.packed = module.add_kernel(Kernel("before", stages))
        self.packed += module.add_kernel(Kernel("forward", forward))
        self.packed += module.add_kernel(Kernel("backward", backward))
        module.add_pack("pack", self.packed)
        emit_reduce(module.module, "reduce", target, real_bytes)
        module.add_signature("reduce", REDUCE_TYPES)
        self.compiled = module.compile()
        self.run = {
            name: self.compiled.get_function(name)
            for name in ("before", "forward", "backward", "pack", "reduce")
        }
        self.threads = threads
        self.pool = RowPool(threads)
        n_work = count_reduce_work(target, real_bytes)
        self.work = [empty_aligned((n_work,), dtype) for _ in range(threads)]
        self.shape = None

    def prepare(self, tau, n_b):
        """Allocate what depends on tau and n_b; kept until they change."""
        if self.shape == (tau, n_b):
            return
        self.shape = (tau, n_b)
        self.allocate(tau, n_b)
        self.table = build_table(NAMES, self.arrays)
        self.numbers = {name: number for number, name in enumerate(NAMES)}
        self.turns = {
            "before": flat_turn(tau * n_b),
            "forward": full_turns(tau, n_b, 1),
            "backward": full_turns(tau, n_b, -1),
        }

    def allocate(self, tau, n_b):
        """Make `arrays` and `grad`."""
        n_h, n_a = self.sizes.n_h, self.sizes.n_a

        zeros = self.zeros
        self.arrays = {name: zeros(1) for name in NAMES}
        self.arrays |= {
            "z": zeros(tau + 1, n_b, n_a),
            "h": zeros(tau + 1, n_b, n_h),
            "s": zeros(tau + 1, n_b, n_h),
            "q": zeros(tau + 1, n_b, n_h),
            "carry": zeros(n_b, n_h),
        }
        sizes = {packed.name: packed.n_reals for packed in self.packed}
        self.arrays |= empty_together(sizes, self.dtype)
        self.grad = {
            "W": zeros(n_a, n_h),
            "U": self.zeros_input(n_a),
            "b": zeros(n_a),
            "c": zeros(n_h),
        }

    def zeros(self, *shape):
        """An aligned array of zeros."""
        array = empty_aligned(shape, self.dtype)
        array[...] = 0
        return array

    def zeros_input(self, n_a):
        """The gradient of U, in memory as its transpose if n_x is small."""
        n_x = self.sizes.n_x
        if n_x < SWAP_BELOW:
            return self.zeros(n_x, n_a).T
        return self.zeros(n_a, n_x)

    def gradient(self, params, x, g):
        """Gradients of sum(g * h) for all parameters; the arrays are reused."""
        tau, n_b, _ = x.shape
        self.prepare(tau, n_b)
        arrays = self.arrays
        for name, array in (*params.items(), ("x", x), ("g", g)):
            self.table[self.numbers[name]] = array.ctypes.data
        address = ctypes.addressof(self.table)
        self.run["pack"](address)
        if not self.sizes.is_fused:
            self.split("before", tau * n_b, address)
        self.split("forward", n_b, address)
        # The step after the last contributes nothing to the gradient.
        arrays["z"][tau] = 0
        arrays["q"][tau] = 0
        arrays["carry"][...] = 0
        self.split("backward", n_b, address)
        self.sum_up(tau * n_b, x)
        return self.grad

    def split(self, name, n_rows, address):
        """Run a kernel on all rows, over all threads."""
        k = self.sizes.n_x if name == "before" else self.sizes.n_h
        tau, n_b = self.shape
        flops = 2 * tau * n_b * self.sizes.n_a * k
        ranges = split_rows(n_rows, choose_threads(flops, self.threads))
        kernel, turns = self.run[name], self.turns[name]
        place, count = turns.ctypes.data, len(turns)
        self.pool.run(ranges, lambda _, i, j: kernel(place, count, i, j, address))

    def sum_up(self, n_rows, x):
        """The products after the loop."""
        n_h, n_a, cell = self.sizes.n_h, self.sizes.n_a, self.sizes.cell
        z, h, q = (self.arrays[name] for name in "zhq")
        grad = self.grad
        is_swapped = self.sizes.n_x < SWAP_BELOW
        if is_swapped:
            self.reduce(n_rows, x, 0, self.sizes.n_x, z, grad["U"].T, None)
        else:
            self.reduce(n_rows, z, 0, n_a, x, grad["U"], grad["b"])
        if not cell.startswith("gru"):
            sums = grad["b"] if is_swapped else None
            self.reduce(n_rows, z, 0, n_a, h, grad["W"], sums)
            return
        sums, sums_n = (grad["b"], grad["b"][2 * n_h :]) if is_swapped else (None, None)
        self.reduce(n_rows, z, 0, 2 * n_h, h, grad["W"], sums)
        W_n = grad["W"][2 * n_h :]
        if cell == "gru":
            self.reduce(n_rows, q, 0, n_h, h, W_n, grad["c"])
            if is_swapped:
                np.sum(z[:-1, :, 2 * n_h :], (0, 1), out=sums_n)
        else:
            self.reduce(n_rows, z, 2 * n_h, n_h, q, W_n, sums_n)

    def reduce(self, n_rows, a, column, n_a, b, c, sums):
        """c = a[:, column : column + n_a]^T @ b over the first n_rows rows."""
        item = self.dtype.itemsize
        a_stride, n = a.shape[-1], b.shape[-1]
        a_data = a.ctypes.data + column * item
        b_data, c_data = b.ctypes.data, c.ctypes.data
        sum_data = 0 if sums is None else sums.ctypes.data
        kernel = self.run["reduce"]

        def run(number, begin, end):
            work = self.work[number].ctypes.data
            kernel(
                n_rows, a_data, a_stride, begin, end, b_data, n, n, c_data, n,
                sum_data, work, 0,
            )  # fmt: skip

        threads = choose_threads(2 * n_rows * n_a * n, self.threads)
        self.pool.run(split_rows(n_a, threads, 14), run)
