"""The micro-kernel: a tile of sums of products, held in registers along k.

    tile[r, v] += sum over k of operand[r, k] * panel[k, v]

One broadcast of operand[r, k] serves all vectors of the tile and one load of a panel
vector serves all rows, so a 14 x 2 tile needs 16 loads for 28 multiply-adds. Each row's
sum runs over k in order, with one rounding per term, whatever the tile's number of
rows: results do not depend on how a batch is cut into tiles. (A batch of one row with
`splits` > 1 is summed in another order; it cannot be cut.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bptt.execute.codegen.emit import Emitter

__all__ = ["UNROLL", "WeightPanel", "add_outer", "emit_tile"]

Value = Any
UNROLL = 4  # of k; 8 is no faster and doubles the code
# Sums; a tile of more has work enough in one step of K, and a turn of two made LLVM
# move 27 of 28 sums from register to register (AVX-512; on NEON through memory).
WIDE = 16


@dataclass(frozen=True)
class WeightPanel:
    """Packed weights [K][n_vectors][lanes] at `pointer`, aligned to a vector."""

    pointer: Value
    n_vectors: int


def emit_tile(
    e: Emitter,
    rows: Sequence[Value],
    panel: WeightPanel,
    n_inputs: Value,
    sums: Sequence[Value],
    splits: int = 1,
) -> list[Value]:
    """Add the product of `rows` (addresses of K reals each) and `panel` to `sums`.

    `sums` and the result are ordered by row, then vector. `splits` divides UNROLL.
    """
    n_sums = len(sums)
    zeros = [e.constant(0.0)] * (n_sums * (splits - 1))
    partial = [*sums, *zeros]

    def add_block(k: Value, *carried: Value) -> list[Value]:
        current = list(carried)
        for step in range(UNROLL):
            begin = step % splits * n_sums
            end = begin + n_sums
            part = current[begin:end]
            current[begin:end] = _add_step(e, rows, panel, k, step, part)
        return current

    def add_one(k: Value, *part: Value) -> list[Value]:
        return _add_step(e, rows, panel, k, 0, list(part))

    blocks: Value = e.index(0)
    if n_sums < WIDE:
        left = e.builder.srem(n_inputs, e.index(UNROLL))
        blocks = e.builder.sub(n_inputs, left)
        partial = e.fold(e.index(0), blocks, UNROLL, add_block, partial)
    partial[:n_sums] = e.fold(blocks, n_inputs, 1, add_one, partial[:n_sums])
    return _add_partial(e, partial, n_sums)


def _add_step(
    e: Emitter,
    rows: Sequence[Value],
    panel: WeightPanel,
    k: Value,
    step: int,
    sums: list[Value],
) -> list[Value]:
    """One rank-1 update: column k + step of the rows by row k + step of the panel."""
    width = panel.n_vectors * e.lanes
    start = e.at(panel.pointer, e.builder.mul(k, e.index(width)))
    weights = [
        e.load(e.at(start, step * width + vector * e.lanes), aligned=True)
        for vector in range(panel.n_vectors)
    ]
    return add_outer(e, [e.at(row, k, step) for row in rows], weights, sums)


def add_outer(
    e: Emitter, addresses: Sequence[Value], weights: Sequence[Value], sums: list[Value]
) -> list[Value]:
    """sums[r, v] + (the real at addresses[r]) * weights[v], one rounding each."""
    results = []
    for number, address in enumerate(addresses):
        value = e.splat(e.load_scalar(address))
        for vector, weight in enumerate(weights):
            total = sums[number * len(weights) + vector]
            results.append(e.multiply_add(value, weight, total))
    return results


def _add_partial(e: Emitter, partial: list[Value], n_sums: int) -> list[Value]:
    """Add the partial sums pairwise."""
    parts = [partial[i : i + n_sums] for i in range(0, len(partial), n_sums)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [
            [
                e.builder.fadd(a, b)
                for a, b in zip(parts[i], parts[i + half], strict=True)
            ]
            for i in range(half)
        ]
    return parts[0]
