"""Tiles that cells share: compiled once, and code that grows with the products."""

import platform
import re
from dataclasses import replace

import pytest

from bptt import Cell, cells
from bptt.calculus.program import gradient_program
from bptt.execute.codegen import shared
from bptt.execute.codegen.jit import compile_ir
from bptt.execute.codegen.shared import write_ir
from bptt.execute.codegen.shared_tiles import TileKind, share_tile
from bptt.execute.codegen.target import get_host_target, lower_target
from bptt.execute.codegen.tiling import choose_tiling
from bptt.execute.compile.compiler import compile_program
from bptt.execute.kernels import executor
from tests.execute.fingerprints import _request


@pytest.fixture(autouse=True)
def _with_least_effort(monkeypatch):
    target = replace(get_host_target(), effort=0)
    monkeypatch.setattr(executor, "host_target", lambda: target)


def build(cell, sizes):
    program = gradient_program(cell.graph, _request(cell))
    return compile_program(program, sizes, 4, executor.host_target())


def test_a_second_cell_compiles_no_tile_again():
    """Nor the copies of packed weights: kernels hold calls of them, and no sums."""
    build(Cell(cells.lstm.text), {"n_x": 19, "n_h": 37})
    known = shared._compile.cache_info().misses
    built = build(Cell(cells.gru.text), {"n_x": 23, "n_h": 35})
    assert shared._compile.cache_info().misses == known
    assert 'declare void @"bptt_' in built.code.text
    assert 'define void @"bptt_' not in built.code.text


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly"
)
@pytest.mark.parametrize("level", ["avx512", "avx2"])
def test_the_sums_of_a_tile_stay_in_their_registers(level):
    """Nothing is moved or touches the stack in the loops over K."""
    target = lower_target(level)
    seen = 0
    for n_slots in (1, 2, 3, 4):
        tiling = choose_tiling(target, 4, 256, n_slots)
        slots = min(n_slots, tiling.slots_per_pass)
        for shape in tiling.shapes:
            kind = TileKind(shape, tiling.columns.vectors, (True,) * slots)
            text = write_ir(share_tile(kind), target, 4)
            assembly = compile_ir(text, target, {}, keep_assembly=True).assembly
            blocks = re.split(r"^(\.L\w+):", assembly, flags=re.MULTILINE)
            for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
                if re.search(rf"\bj\w+\s+{re.escape(label)}$", body, re.MULTILINE):
                    seen += body.count("vfmadd")
                    moves = r"vmovap\w\s+%[yz]mm\d+, %[yz]mm|\(%rsp"
                    assert not re.search(moves, body), (kind, body)
    assert seen > 100


def gates(count):
    """A cell of 4 products for each of `count` gates, like a HyperLSTM's."""
    lines = [f"g{i}: (n_h)" for i in range(count)]
    lines += [
        f"g{i}[t] = sigmoid(A{i} @ x[t] + (B{i} @ z[t-1]) * (C{i} @ h[t-1]) "
        f"+ D{i} @ h[t-1] + b{i})"
        for i in range(count)
    ]
    lines.append("h[t] = tanh(" + " + ".join(f"g{i}[t]" for i in range(count)) + ")")
    lines.append("z[t] = tanh(R @ h[t] + S @ z[t-1])")
    return Cell("\n".join([*lines, "L[t] = sum(h[t] ** 2)"]))


def test_code_grows_no_faster_than_the_products():
    """40 and 80 products: time on a machine in use says little, lines of code do."""
    lines = []
    for count in (10, 20):
        cell = gates(count)
        built = build(cell, {dim: 16 + i for i, dim in enumerate(cell.dims)})
        lines.append(len(built.code.text.splitlines()))
    assert lines[1] <= 2 * lines[0]
    # 15,000 lines take 2 s; each product with tiles of its own gave 70,000.
    assert lines[0] <= 20_000
