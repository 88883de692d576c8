"""A^T B and the column sums of A, for sizes around every tile and block boundary."""

import functools
import itertools

import llvmlite.ir as ir
import numpy as np
import pytest

from bptt.execute.codegen.jit import compile_ir
from bptt.execute.codegen.reduce import REDUCE_TYPES, count_reduce_work, emit_reduce
from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.kernels.workspace import empty_aligned

HOST = get_host_target()
LEVELS = ["host", "avx2", "sse2"] if HOST.vector_bytes == 64 else ["host"]


@functools.cache
def compile_reduce(level, dtype):
    target = HOST if level == "host" else lower_target(level)
    real_bytes = np.dtype(dtype).itemsize
    module = ir.Module()
    emit_reduce(module, "reduce", target, real_bytes)
    compiled = compile_ir(str(module), target, {"reduce": REDUCE_TYPES})
    work = empty_aligned((count_reduce_work(target, real_bytes),), dtype)
    return compiled.get_function("reduce"), work


def reduce(level, a, b, m_range=None):
    kernel, work = compile_reduce(level, a.dtype.name)
    m, n = a.shape[1], b.shape[1]
    c, sums = np.full((m, n), np.nan, a.dtype), np.full(m, np.nan, a.dtype)
    begin, end = m_range or (0, m)
    kernel(
        len(a), a.ctypes.data, a.strides[0] // a.itemsize, begin, end,
        b.ctypes.data, b.strides[0] // b.itemsize, n,
        c.ctypes.data, n, sums.ctypes.data, work.ctypes.data, 0,
    )  # fmt: skip
    return c, sums


@pytest.mark.parametrize("direction", [1, -1])
def test_rows_given_in_pieces_of_whole_blocks_give_the_bits_of_one_call(direction):
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(700, n)).astype(np.float32) for n in (19, 35))
    kernel, work = compile_reduce("host", "float32")
    results = []
    for cuts in ((0, 700), (0, 256, 700), (0, 512, 700), (0, 256, 512, 700)):
        c, sums = np.full((19, 35), np.nan, "f4"), np.full(19, np.nan, "f4")
        for begin, end in itertools.pairwise(cuts):
            part_a, part_b = a[::direction][begin:end], b[::direction][begin:end]
            kernel(
                end - begin, part_a.__array_interface__["data"][0], direction * 19,
                0, 19, part_b.__array_interface__["data"][0], direction * 35, 35,
                c.ctypes.data, 35, sums.ctypes.data, work.ctypes.data, begin,
            )  # fmt: skip
        results.append((c, sums))
    for c, sums in results[1:]:
        np.testing.assert_array_equal(c, results[0][0])
        np.testing.assert_array_equal(sums, results[0][1])
    np.testing.assert_allclose(c, a.T @ b, atol=1e-3)


def check(level, a, b):
    c, sums = reduce(level, a, b)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    eps = np.finfo(a.dtype).eps
    # Blocks of 256 terms and a sum over blocks: (256 + n / 256) roundings at most.
    bound = eps * (256 + len(a) / 256)
    scale = np.abs(wide_a).T @ np.abs(wide_b)
    assert (np.abs(c - wide_a.T @ wide_b) <= bound * scale).all()
    assert (np.abs(sums - wide_a.sum(0)) <= bound * np.abs(wide_a).sum(0)).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes_around_every_boundary(level, dtype):
    random = np.random.default_rng(0)
    for n_rows in (1, 2, 3, 4, 5, 255, 256, 257, 515):
        for m in (1, 3, 4, 5, 8, 13, 14, 15, 22, 27, 29):
            for n in (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 65):
                a = random.normal(size=(n_rows, m)).astype(dtype)
                b = random.normal(size=(n_rows, n)).astype(dtype)
                check(level, a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_columns_than_a_block(dtype):
    random = np.random.default_rng(0)
    for n in (511, 512, 513, 1040):
        a = random.normal(size=(300, 17)).astype(dtype)
        check("host", a, random.normal(size=(300, n)).astype(dtype))


def test_columns_of_a_wider_buffer():
    random = np.random.default_rng(0)
    wide_a = random.normal(size=(70, 40)).astype(np.float32)
    wide_b = random.normal(size=(70, 50)).astype(np.float32)
    check("host", wide_a[:, 5:24], wide_b[:, 3:40])


def test_a_range_of_rows_leaves_the_others_alone():
    random = np.random.default_rng(0)
    a = random.normal(size=(70, 40)).astype(np.float32)
    b = random.normal(size=(70, 50)).astype(np.float32)
    whole, sums = reduce("host", a, b)
    c, part = reduce("host", a, b, (14, 33))
    np.testing.assert_array_equal(c[14:33], whole[14:33])
    np.testing.assert_array_equal(part[14:33], sums[14:33])
    assert np.isnan(c[:14]).all() and np.isnan(c[33:]).all()
    assert np.isnan(part[:14]).all() and np.isnan(part[33:]).all()


def test_nan_and_infinity_stay_in_their_row_and_column():
    a, b = np.ones((9, 20), np.float32), np.ones((9, 40), np.float32)
    a[4, 3], b[2, 33] = np.nan, np.inf
    c, sums = reduce("host", a, b)
    assert np.isnan(c[3]).all() and np.isnan(sums[3])
    assert np.isposinf(np.delete(c, 3, 0)[:, 33]).all()
    rest = np.delete(np.delete(c, 3, 0), 33, 1)
    np.testing.assert_array_equal(rest, 9)
