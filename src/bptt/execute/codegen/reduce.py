"""The product after the loop: sums over time and batch, C = A^T @ B.

    C[m, n] = sum over rows r of A[r, m] * B[r, n]          (grad_W = grad_a^T @ h)
    sums[m] = sum over rows r of A[r, m]                    (grad_b)

where the rows are all tau * n_b steps. One kernel per type serves every size. Blocks of
DEPTH rows of B are packed into panels and blocks of A into tiles, because their columns
are far apart in memory: with n_h = 1024 the rows of one column share a cache set.

NumPy's BLAS does the same product; on an AVX-512 Zen 5 its wheels pick an AVX2 kernel
and reach 125 GF/s where this one reaches 215, and it would use threads of its own.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, POINTER, Emitter, start_function
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.tile import UNROLL, add_outer

__all__ = ["REDUCE_TYPES", "choose_rows", "count_reduce_work", "emit_reduce"]

Value = Any

DEPTH = 256  # rows of a block: a panel of 2 vectors is 32 KiB, two thirds of a Zen 5 L1
BREADTH = 512  # columns of a block: its panels are 512 KiB, half of the L2
VECTORS = 2

# (n_rows, a, a_stride, m_begin, m_end, b, b_stride, n, c, c_stride, sums, work, adds)
REDUCE_TYPES: list[Any] = [
    ctypes.c_int64,
    ctypes.c_void_p,
    *[ctypes.c_int64] * 3,
    ctypes.c_void_p,
    *[ctypes.c_int64] * 2,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
]
_ARGUMENTS = [POINTER if t is ctypes.c_void_p else INDEX for t in REDUCE_TYPES]


def choose_rows(target: Target) -> tuple[int, ...]:
    """Rows of C that a tile covers, largest first; smaller ones finish what is left."""
    return (14, 8, 4) if target.registers >= 32 else (6, 4, 2)


def count_reduce_work(target: Target, real_bytes: int) -> int:
    """Reals of aligned work space one call needs."""
    lanes = target.count_lanes(real_bytes)
    tallest = choose_rows(target)[0]
    return DEPTH * (BREADTH + VECTORS * lanes) + DEPTH * tallest + 2 * tallest * lanes


def emit_reduce(module: ir.Module, name: str, target: Target, real_bytes: int) -> None:
    """Write `name`, with the arguments of REDUCE_TYPES.

    Computes rows m_begin..m_end of C and the same entries of `sums`; threads take
    disjoint ranges of m and a `work` (count_reduce_work reals, aligned to a vector)
    each. A pointer `sums` of 0 leaves the sums out. Unless `adds` is 0, blocks are
    added to what C and `sums` hold: rows given in several calls, each of whole blocks
    but the last, give the bits of one call. Strides may be negative; n_rows >= 1.
    """
    tiles = [
        (rows, _emit_block(module, f"{name}_{rows}", rows, target, real_bytes))
        for rows in choose_rows(target)
    ]
    pack_b = _emit_pack_b(module, f"{name}_pack", target, real_bytes)
    e = start_function(module, name, _ARGUMENTS, target, real_bytes, is_public=True)
    n_rows, a, a_stride, begin, end, b, b_stride, n, c, c_stride, sums, work, adds = (
        e.function.args
    )
    builder = e.builder
    packed_a = e.at(work, DEPTH * (BREADTH + VECTORS * e.lanes))

    def run_block(column: Value, row: Value) -> None:
        """Pack b's block from this row and column on; run the tiles of a over it."""
        depth = e.minimum_index(e.index(DEPTH), builder.sub(n_rows, row))
        breadth = e.minimum_index(e.index(BREADTH), builder.sub(n, column))
        source = e.at(b, builder.mul(row, b_stride), column)
        builder.call(pack_b, [source, b_stride, depth, breadth, work])
        is_first = builder.icmp_signed("==", builder.or_(row, adds), e.index(0))
        is_first_column = builder.icmp_signed("==", column, e.index(0))
        no_sums = ir.Constant(POINTER, None)
        totals = builder.select(is_first_column, sums, no_sums)

        def run_tile(m: Value, tile: ir.Function) -> None:
            source = e.at(a, builder.mul(row, a_stride), m)
            target_row = e.at(c, builder.mul(m, c_stride), column)
            place = [source, a_stride, depth, builder.sub(end, m), work]
            place += [breadth, target_row, c_stride, totals, m, is_first]
            builder.call(tile, [*place, packed_a])

        _loop_tiles(e, begin, end, tiles, run_tile)

    def run_columns(column: Value) -> None:
        e.loop(e.index(0), n_rows, DEPTH, lambda row: run_block(column, row))

    e.loop(e.index(0), n, BREADTH, run_columns)
    e.finish()


def _loop_tiles(
    e: Emitter,
    begin: Value,
    end: Value,
    tiles: Sequence[tuple[int, ir.Function]],
    run: Callable[..., None],
) -> None:
    """Cover begin..end with tall tiles, then smaller ones; the last may be part."""
    builder = e.builder
    m = begin
    for rows, tile in tiles:
        left = builder.sub(end, m)
        if rows == tiles[-1][0]:
            left = builder.add(left, e.index(rows - 1))
        count = builder.mul(builder.sdiv(left, e.index(rows)), e.index(rows))
        tile_end = builder.add(m, count)
        e.loop(m, tile_end, rows, functools.partial(run, tile=tile))
        m = tile_end


def _emit_pack_b(
    module: ir.Module, name: str, target: Target, real_bytes: int
) -> ir.Function:
    """Write `name`(source, stride, depth, breadth, panels).

    Panels are [depth rounded up to UNROLL][vector][lane], 0 beyond depth and breadth.
    """
    arguments = [POINTER, INDEX, INDEX, INDEX, POINTER]
    e = start_function(module, name, arguments, target, real_bytes)
    source, stride, depth, breadth, panels = e.function.args
    width = VECTORS * e.lanes
    padded = _round_up(e, depth)
    ahead = e.builder.mul(e.index(DEPTH), stride)  # the next block

    def pack_panel(column: Value) -> None:
        """The columns of one panel, from `column` on, row after row."""
        start = e.at(panels, e.builder.mul(column, padded))
        columns = [e.builder.add(column, e.index(v * e.lanes)) for v in range(VECTORS)]
        masks = [e.mask_first(e.builder.sub(breadth, first)) for first in columns]

        def copy(k: Value) -> None:
            row = e.at(source, e.builder.mul(k, stride))
            for first in columns:
                e.prefetch(e.at(row, ahead, first), 2)
            place = e.at(start, e.builder.mul(k, e.index(width)))
            for vector, (first, mask) in enumerate(zip(columns, masks, strict=True)):
                value = e.load(e.at(row, first), mask)
                e.store(value, e.at(place, vector * e.lanes), aligned=True)

        def clear(k: Value) -> None:
            place = e.at(start, e.builder.mul(k, e.index(width)))
            for vector in range(VECTORS):
                e.store(e.constant(0.0), e.at(place, vector * e.lanes), aligned=True)

        e.loop(e.index(0), depth, 1, copy)
        e.loop(depth, padded, 1, clear)

    e.loop(e.index(0), breadth, width, pack_panel)
    e.finish()
    return e.function


def _round_up(e: Emitter, depth: Value) -> Value:
    blocks = e.builder.add(depth, e.index(UNROLL - 1))
    return e.builder.and_(blocks, e.index(-UNROLL))


_BLOCK_ARGUMENTS = [POINTER, INDEX, INDEX, INDEX, POINTER, INDEX, POINTER, INDEX]
_BLOCK_ARGUMENTS += [POINTER, INDEX, ir.IntType(1), POINTER]


def _emit_block(
    module: ir.Module, name: str, n_rows: int, target: Target, real_bytes: int
) -> ir.Function:
    """Write the function that adds one block of depth to `n_rows` rows of C.

    Arguments: a, a_stride, depth, rows left, panels, breadth, c, c_stride, sums, m,
    is_first (C is overwritten), packed_a.
    """
    e = start_function(module, name, _BLOCK_ARGUMENTS, target, real_bytes)
    (
        a,
        a_stride,
        depth,
        left,
        panels,
        breadth,
        c,
        c_stride,
        sums,
        m,
        is_first,
        packed,
    ) = e.function.args
    padded = _round_up(e, depth)
    left = e.minimum_index(left, e.index(n_rows))
    totals = _pack_a(e, (a, a_stride, depth, padded, left, packed), n_rows)
    _add_sums(e, totals, sums, m, left, is_first)
    scratch = e.allocate(n_rows * VECTORS * e.lanes)

    def run_panel(column: Value) -> None:
        panel = e.at(panels, e.builder.mul(column, padded))
        for place, value in enumerate(_sum_block(e, packed, panel, padded, n_rows)):
            e.store(value, e.at(scratch, place * e.lanes), aligned=True)
        rest = e.builder.sub(breadth, column)

        def write_row(row: Value) -> None:
            start = e.at(c, e.builder.mul(row, c_stride), column)
            source = e.at(scratch, e.builder.mul(row, e.index(VECTORS * e.lanes)))
            _write_row(e, source, start, rest, is_first)

        e.loop(e.index(0), left, 1, write_row)

    e.loop(e.index(0), breadth, VECTORS * e.lanes, run_panel)
    e.finish()
    return e.function


def _write_row(
    e: Emitter, source: Value, place: Value, rest: Value, is_first: Value
) -> None:
    """Add one row of a tile to `rest` columns of C."""
    for vector in range(VECTORS):
        mask = e.mask_first(e.builder.sub(rest, e.index(vector * e.lanes)))
        value = e.load(e.at(source, vector * e.lanes), aligned=True)
        _add_to(e, e.at(place, vector * e.lanes), value, mask, is_first)


def _add_to(
    e: Emitter, place: Value, value: Value, mask: Value, is_first: Value
) -> None:
    """place = value, or place += value unless `is_first`."""
    with e.builder.if_else(is_first) as (first, later):
        with first:
            e.store(value, place, mask)
        with later:
            e.store(e.builder.fadd(e.load(place, mask), value), place, mask)


def _pack_a(
    e: Emitter, place: tuple[Value, Value, Value, Value, Value, Value], n_rows: int
) -> list[Value]:
    """Pack [k][n_rows] of A, 0 beyond depth and the last row; returns sums over k."""
    a, a_stride, depth, padded, left, packed = place
    starts = range(0, n_rows, e.lanes)
    masks = [e.mask_first(e.builder.sub(left, e.index(start))) for start in starts]
    inside = [e.mask_first(e.index(n_rows - start)) for start in starts]

    ahead = e.builder.mul(e.index(DEPTH), a_stride)  # the next block

    def copy(k: Value, *totals: Value) -> list[Value]:
        row = e.at(a, e.builder.mul(k, a_stride))
        e.prefetch(e.at(row, ahead), 2)
        target = e.at(packed, e.builder.mul(k, e.index(n_rows)))
        results = []
        for start, mask, keep, total in zip(starts, masks, inside, totals, strict=True):
            value = e.load(e.at(row, start), mask)
            e.store(value, e.at(target, start), keep)
            results.append(e.builder.fadd(total, value))
        return results

    def clear(k: Value) -> None:
        target = e.at(packed, e.builder.mul(k, e.index(n_rows)))
        for start, keep in zip(starts, inside, strict=True):
            e.store(e.constant(0.0), e.at(target, start), keep)

    zeros = [e.constant(0.0)] * len(masks)
    totals = e.fold(e.index(0), depth, 1, copy, zeros)
    e.loop(depth, padded, 1, clear)
    return totals


def _add_sums(
    e: Emitter,
    totals: Sequence[Value],
    sums: Value,
    m: Value,
    left: Value,
    is_first: Value,
) -> None:
    has_sums = e.builder.icmp_unsigned("!=", sums, ir.Constant(POINTER, None))

    def add() -> None:
        for number, total in enumerate(totals):
            start = number * e.lanes
            mask = e.mask_first(e.builder.sub(left, e.index(start)))
            _add_to(e, e.at(sums, m, start), total, mask, is_first)

    e.when(has_sums, add)


def _sum_block(
    e: Emitter, packed: Value, panel: Value, depth: Value, n_rows: int
) -> list[Value]:
    """The tile's sums over one block of depth (a multiple of UNROLL)."""
    width = VECTORS * e.lanes

    def add_block(k: Value, *sums: Value) -> list[Value]:
        column = e.at(packed, e.builder.mul(k, e.index(n_rows)))
        row = e.at(panel, e.builder.mul(k, e.index(width)))
        current = list(sums)
        for step in range(UNROLL):
            weights = [
                e.load(e.at(row, step * width + vector * e.lanes), aligned=True)
                for vector in range(VECTORS)
            ]
            values = [e.at(column, step * n_rows + number) for number in range(n_rows)]
            current = add_outer(e, values, weights, current)
        return current

    zeros = [e.constant(0.0)] * (n_rows * VECTORS)
    return e.fold(e.index(0), depth, UNROLL, add_block, zeros)
