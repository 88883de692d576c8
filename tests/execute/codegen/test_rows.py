"""Stages that reduce over the columns of a row, and stages without products."""

import ctypes

import numpy as np
import pytest

from bptt.execute.codegen import vmath
from bptt.execute.codegen.arrays import Array
from bptt.execute.codegen.kernel import Kernel, Module
from bptt.execute.codegen.rows import RowStage
from bptt.execute.codegen.stage import Stage
from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.codegen.turns import full_turns
from bptt.execute.kernels.workspace import build_table

HOST = get_host_target()
LEVELS = ["host", "avx2", "sse2"] if HOST.vector_bytes == 64 else ["host"]


def run_stage(stage, level, x, names=("x", "y"), **others):
    target = HOST if level == "host" else lower_target(level)
    module = Module(names, target, x.itemsize)
    module.add_kernel(Kernel("run", (stage,)))
    compiled = module.compile()
    arrays = {"x": x, "y": np.full_like(x, np.nan), **others}
    table = build_table(names, arrays)
    tau, n_b, _ = x.shape
    turns = full_turns(tau, n_b, 1)
    run = compiled.get_function("run")
    run(turns.ctypes.data, tau, 0, n_b, ctypes.addressof(table))
    return arrays["y"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 15, 16, 17, 33, 100])
def test_softmax(width, dtype, level):
    x, y = Array("x", width, width), Array("y", width, width)

    def body(row):
        b = row.e.builder
        largest = row.maximum(width, lambda lane: lane.load(x))

        def weight(lane):
            value = vmath.exp(row.e, b.fsub(lane.load(x), largest))
            lane.store(y, value)
            return value

        total = row.sum(width, weight)
        row.each(width, lambda lane: lane.store(y, b.fdiv(lane.load(y), total)))

    values = np.random.default_rng(0).normal(size=(3, 4, width)).astype(dtype) * 5
    got = run_stage(RowStage(body), level, values)
    wide = np.exp(values.astype(np.longdouble) - values.max(-1, keepdims=True))
    true = wide / wide.sum(-1, keepdims=True)
    # exp 1.5 ulp and |x - max| / 2 for the rounded difference, width / lanes + 6
    # additions of positive terms, 1 division.
    bound = np.finfo(dtype).eps * (10 + np.abs(values).max() + width / 2)
    assert (np.abs(got - true) <= bound * true).all()


def test_a_nan_reaches_the_maximum():
    x, y = Array("x", 20, 20), Array("y", 20, 20)

    def body(row):
        largest = row.maximum(20, lambda lane: lane.load(x))
        row.each(20, lambda lane: lane.store(y, largest))

    values = np.zeros((1, 2, 20), np.float32)
    values[0, 1, 18] = np.nan
    got = run_stage(RowStage(body), "host", values)
    assert (got[0, 0] == 0).all() and np.isnan(got[0, 1]).all()


def test_scalars_of_a_row():
    x, y = Array("x", 5, 5), Array("y", 5, 5)
    m = Array("m", 1, 1)

    def body(row):
        row.store_scalar(m, row.sum(5, lambda lane: lane.load(x)))
        row.each(5, lambda lane: lane.store(y, row.load_scalar(m)))

    values = np.arange(20, dtype=np.float64).reshape(2, 2, 5)
    sums = np.zeros((2, 2, 1))
    got = run_stage(RowStage(body), "host", values, ("x", "y", "m"), m=sums)
    np.testing.assert_array_equal(sums, values.sum(-1, keepdims=True))
    np.testing.assert_array_equal(got, np.broadcast_to(sums, got.shape))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("width", [1, 7, 16, 33])
def test_a_stage_without_products_runs_on_every_row(width, level):
    x, y = Array("x", width, width), Array("y", width, width)

    def epilogue(lane):
        lane.store(y, lane.e.builder.fmul(lane.load(x), lane.e.constant(2.0)))

    values = np.random.default_rng(0).normal(size=(2, 9, width)).astype(np.float32)
    got = run_stage(Stage(width, 0, (), epilogue), level, values)
    np.testing.assert_array_equal(got, 2 * values)
